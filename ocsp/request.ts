import { HearthError, reasonOf } from '../base/errors.ts'
import { DerError, DerReader, TAG } from '../x509/der.ts'
import { OID } from '../x509/oids.ts'

export class OcspRequestError extends HearthError<'OCSP_MALFORMED'> {}

/** Which certificate is asked about, by the hash that the client chose. */
export interface CertId {
  /** Object identifier of the hash. */
  hash: string
  issuerNameHash: Buffer
  issuerKeyHash: Buffer
  serial: Buffer
  /** DER, as it stood: answers echo it byte for byte. */
  encoded: Buffer
}

export interface OcspRequest {
  certIds: CertId[]
  /** The nonce extension's value as it stood, or null. */
  nonce: Buffer | null
}

/** More certificates in one request than any client has reason to ask about. */
const MAX_CERT_IDS = 32

/** RFC 9654 section 2.1: a nonce has 1 to 128 octets. */
const NONCE_OCTETS = { least: 1, most: 128 }

/**
 * Reads an OCSPRequest (RFC 6960 section 4.1.1). A signature on it is passed over: we answer everyone.
 *
 * @throws {OcspRequestError} if it is not one.
 */
export function readOcspRequest(der: Uint8Array): OcspRequest {
  try {
    return readRequest(der)
  } catch (error) {
    if (!(error instanceof DerError)) throw error
    throw new OcspRequestError('OCSP_MALFORMED', reasonOf(error))
  }
}

function readRequest(der: Uint8Array): OcspRequest {
  const outer = new DerReader(der, 'OCSP request')
  const tbs = outer.enter().enter()
  outer.end()
  tbs.optional(0xa0) // version
  tbs.optional(0xa1) // requestorName
  const list = tbs.enter()
  const certIds: CertId[] = []
  while (!list.done) {
    if (certIds.length === MAX_CERT_IDS)
      throw new DerError(`the OCSP request asks about more than ${MAX_CERT_IDS} certificates`)
    certIds.push(readCertId(list.enter().element(TAG.sequence).whole))
  }
  if (certIds.length === 0) throw new DerError('the OCSP request asks about no certificate')
  return { certIds, nonce: tbs.nextTag === 0xa2 ? readNonce(tbs.enter(0xa2).enter()) : null }
}

function readCertId(encoded: Buffer): CertId {
  const certId = new DerReader(encoded, 'OCSP request').enter()
  const hash = certId.enter().oid()
  const issuerNameHash = certId.content(TAG.octetString)
  const issuerKeyHash = certId.content(TAG.octetString)
  const serial = certId.unsignedInteger()
  certId.end()
  return { hash, issuerNameHash, issuerKeyHash, serial, encoded }
}

function readNonce(extensions: DerReader): Buffer | null {
  let nonce: Buffer | null = null
  while (!extensions.done) {
    const extension = extensions.enter()
    const id = extension.oid()
    extension.optional(TAG.boolean)
    const value = extension.content(TAG.octetString)
    if (id !== OID.ocspNonce) continue
    const inner = new DerReader(value, 'OCSP nonce')
    const octets = inner.content(TAG.octetString).length
    inner.end()
    if (octets < NONCE_OCTETS.least || octets > NONCE_OCTETS.most) {
      throw new DerError(`the OCSP nonce has ${octets} octets; 1 to 128 belong there`)
    }
    nonce = value
  }
  return nonce
}
