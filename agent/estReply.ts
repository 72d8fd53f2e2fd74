import { reasonOf } from '../base/errors.ts'
import { DerError, DerReader, TAG } from '../x509/der.ts'
import { readAltNames } from '../x509/generalNames.ts'
import { OID } from '../x509/oids.ts'
import { AgentError } from './errors.ts'

/** Names and addresses of a device, as requested, assigned or certified. */
export interface Names {
  dns: readonly string[]
  ip: readonly string[]
}

/**
 * The DER in the base64 body of an EST message; any white space is read over (RFC 8951 section 3.1).
 *
 * @throws {AgentError} `REPLY_INVALID` if it is not base64.
 */
export function decodeBody(body: Buffer): Buffer {
  const text = body.toString('latin1').replace(/\s+/g, '')
  if (text === '' || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) {
    throw new AgentError(
      'REPLY_INVALID',
      'the reply is not the base64 that EST prescribes; check that the address is the EST listener of the gateway',
    )
  }
  return Buffer.from(text, 'base64')
}

/**
 * The certificates of a CMS "certs-only" message (RFC 8551 section 3.8), each as its original octets.
 *
 * The original octets matter: they are what a fingerprint pins. The envelope may be BER, which the
 * strict reader of `x509/` refuses, hence asn1js; it is loaded only here, when something is enrolled.
 *
 * @throws {AgentError} `REPLY_INVALID` if it is anything else, or holds none.
 */
export async function readCertsOnly(cms: Buffer): Promise<Buffer[]> {
  const { fromBER, Constructed, ObjectIdentifier } = await import('asn1js')
  const unreadable = () =>
    new AgentError('REPLY_INVALID', 'the reply is not a list of certificates (CMS, certs-only)')

  const decoded = fromBER(Uint8Array.from(cms))
  if (decoded.offset === -1) throw unreadable()
  const children = (block: unknown) => (block instanceof Constructed ? block.valueBlock.value : [])
  const tagged = (block: { idBlock: { tagClass: number; tagNumber: number } }, tag: number) =>
    block.idBlock.tagClass === CONTEXT_SPECIFIC && block.idBlock.tagNumber === tag

  const [type, content] = children(decoded.result)
  if (!(type instanceof ObjectIdentifier) || type.getValue() !== OID.pkcs7SignedData) throw unreadable()
  const [signedData] = children(content)
  const certificates = children(signedData).find((field) => tagged(field, 0))
  const found = children(certificates).map((certificate) => Buffer.from(certificate.valueBeforeDecodeView))
  if (found.length === 0) throw unreadable()
  return found
}

const CONTEXT_SPECIFIC = 3

/**
 * The names that the gateway wants to see in the request: the subject alternative name inside the one
 * `id-ExtensionReq` attribute of a CsrAttrs (RFC 9908 section 3.2); null if it says nothing of names.
 *
 * @throws {AgentError} `REPLY_INVALID` if it is no CsrAttrs.
 */
export function readCsrAttributes(der: Buffer): Names | null {
  try {
    const attributes = new DerReader(der, 'list of CSR attributes').enter()
    while (!attributes.done) {
      if (attributes.optional(TAG.oid) !== null) continue
      const attribute = attributes.enter()
      if (attribute.oid() !== OID.extensionRequest) continue
      const extensions = attribute.enter(TAG.set).enter()
      while (!extensions.done) {
        const extension = extensions.enter()
        const id = extension.oid()
        extension.optional(TAG.boolean)
        if (id === OID.subjectAltName) return readAltNames(extension.content(TAG.octetString))
      }
    }
    return null
  } catch (error) {
    if (!(error instanceof DerError)) throw error
    throw new AgentError('REPLY_INVALID', `the gateway's reply cannot be read: ${reasonOf(error)}`)
  }
}
