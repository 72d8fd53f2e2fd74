import { createHash } from 'node:crypto'
import { readCertificate } from '../x509/certificate.ts'
import { context, nullValue, octetString, oid, sequence, unsignedInteger } from '../x509/der.ts'
import { OID } from '../x509/oids.ts'
import { keyIdentifier } from '../x509/spki.ts'

/** A request about one certificate (RFC 6960 section 4.1.1); the nonce, if there is one, stands last. */
export function ocspRequest(issuer: Buffer, serial: Buffer, nonce: Buffer | null): Buffer {
  const extensions =
    nonce === null
      ? []
      : [context(2, sequence(sequence(oid(OID.ocspNonce), octetString(octetString(nonce)))))]
  return sequence(sequence(sequence(sequence(certIdOf(issuer, serial))), ...extensions))
}

/** Whether an answer calls the certificate revoked: the status follows the CertID that was asked about. */
export function saysRevoked(answer: Buffer, issuer: Buffer, serial: Buffer): boolean {
  const certId = certIdOf(issuer, serial)
  const at = answer.indexOf(certId)
  return at >= 0 && answer[at + certId.length] === 0xa1
}

function certIdOf(issuer: Buffer, serial: Buffer): Buffer {
  const { subject, spki } = readCertificate(issuer)
  return sequence(
    sequence(oid(OID.sha1), nullValue),
    octetString(createHash('sha1').update(subject).digest()),
    octetString(keyIdentifier(spki)),
    unsignedInteger(serial),
  )
}
