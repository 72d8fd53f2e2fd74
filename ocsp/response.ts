import type { OcspSigner } from '../ca/ocspSigner.ts'
import {
  bitString,
  context,
  contextPrimitive,
  enumerated,
  generalizedTime,
  octetString,
  oid,
  sequence,
  tlv,
} from '../x509/der.ts'
import { OID } from '../x509/oids.ts'

/** What an answer says of one certificate (CertStatus, RFC 6960 section 4.2.1). */
export type CertStatus =
  | { kind: 'good' }
  | { kind: 'unknown' }
  | { kind: 'revoked'; revokedAt: number; reason: number }

export interface SingleAnswer {
  /** The CertID as asked, DER. */
  certId: Uint8Array
  status: CertStatus
}

/** Answers that say why there is no answer; they are not signed (OCSPResponseStatus). */
export const OCSP_ERROR = { malformedRequest: 1, internalError: 2, tryLater: 3, unauthorized: 6 } as const

export function ocspError(status: (typeof OCSP_ERROR)[keyof typeof OCSP_ERROR]): Buffer {
  return sequence(enumerated(status))
}

/** A signed basic response (RFC 6960 section 4.2.1), with the signer's certificate and the nonce if one was sent. */
export function signOcspResponse(
  answers: readonly SingleAnswer[],
  period: { thisUpdate: number; nextUpdate: number },
  nonce: Uint8Array | null,
  responder: OcspSigner,
): Buffer {
  const { signer, certificate, keyId } = responder
  const responseData = sequence(
    context(2, octetString(keyId)),
    generalizedTime(period.thisUpdate),
    sequence(
      ...answers.map((answer) =>
        sequence(
          answer.certId,
          encodeStatus(answer.status),
          generalizedTime(period.thisUpdate),
          context(0, generalizedTime(period.nextUpdate)),
        ),
      ),
    ),
    ...(nonce === null ? [] : [context(1, sequence(sequence(oid(OID.ocspNonce), octetString(nonce))))]),
  )
  const basic = sequence(
    responseData,
    signer.algorithm,
    bitString(signer.sign(responseData)),
    context(0, sequence(certificate)),
  )
  return sequence(enumerated(0), context(0, sequence(oid(OID.ocspBasic), octetString(basic))))
}

function encodeStatus(status: CertStatus): Buffer {
  switch (status.kind) {
    case 'good':
      return contextPrimitive(0, Buffer.alloc(0))
    case 'unknown':
      return contextPrimitive(2, Buffer.alloc(0))
    case 'revoked': {
      const reason = status.reason === 0 ? [] : [context(0, enumerated(status.reason))]
      return tlv(0xa1, generalizedTime(status.revokedAt), ...reason)
    }
  }
}
