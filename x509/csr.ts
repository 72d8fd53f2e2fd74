import type { KeyObject } from 'node:crypto'
import { HearthError, reasonOf } from '../base/errors.ts'
import { bitString, context, DerError, DerReader, integer, oid, sequence, set, TAG } from './der.ts'
import { type Extension, subjectAltName } from './extensions.ts'
import { type AltNames, readAltNames } from './generalNames.ts'
import { commonNameOnly, readCommonNames } from './name.ts'
import { OID } from './oids.ts'
import { knownSignature, signatureHolds, signerOf } from './signature.ts'
import { readSubjectKey, type SubjectKey } from './spki.ts'

export type CsrErrorCode = 'CSR_UNREADABLE' | 'CSR_UNSIGNED'

export class CsrError extends HearthError<CsrErrorCode> {}

/** A request whose signature is proven: whoever made it holds the private key. */
export interface ProvenCsr extends SubjectKey {
  commonNames: string[]
  /** What the request asks for in a subject alternative name; a wish, not a right. */
  altNames: AltNames
}

/**
 * Reads a PKCS #10 request (RFC 2986) and proves its signature.
 *
 * Extensions other than the subject alternative name are read over: the profile decides those.
 *
 * @throws {CsrError} `CSR_UNREADABLE` if it is not a request; `CSR_UNSIGNED` if the signature does not hold.
 * @throws {KeyError} if the key may not be certified.
 */
export function proveCsr(der: Uint8Array): ProvenCsr {
  const request = readRequest(der)
  const { key, spki } = readSubjectKey(request.spki)
  if (!knownSignature(request.algorithm)) {
    throw new CsrError(
      'CSR_UNSIGNED',
      `the request is signed with algorithm ${request.algorithm}; sign it with SHA-256, SHA-384 or SHA-512`,
    )
  }
  if (!signatureHolds(request.algorithm, request.signed, request.signature, key)) {
    throw new CsrError(
      'CSR_UNSIGNED',
      'the signature of the request does not belong to its public key; make the request anew with the key it is for',
    )
  }
  return { key, spki, commonNames: request.commonNames, altNames: request.altNames }
}

interface UnprovenRequest {
  signed: Buffer
  spki: Buffer
  commonNames: string[]
  altNames: AltNames
  algorithm: string
  signature: Buffer
}

function readRequest(der: Uint8Array): UnprovenRequest {
  try {
    const outer = new DerReader(der, 'certificate request')
    const request = outer.enter()
    outer.end()
    const { whole: signed, content } = request.element(TAG.sequence)
    const info = new DerReader(content, 'certificate request')
    if (info.smallInteger() !== 0) throw new DerError('the certificate request has an unknown version')
    const subject = info.element(TAG.sequence).whole
    const spki = info.element(TAG.sequence).whole
    const attributes = info.optional(0xa0)
    info.end()
    const algorithm = request.enter().oid()
    const signature = request.bitString()
    request.end()
    return {
      signed,
      spki,
      commonNames: readCommonNames(subject),
      altNames: attributes === null ? { dns: [], ip: [], others: [] } : requestedAltNames(attributes.content),
      algorithm,
      signature,
    }
  } catch (error) {
    if (!(error instanceof DerError)) throw error
    throw new CsrError('CSR_UNREADABLE', `${reasonOf(error)}. Send a PKCS #10 request, base64 of its DER`)
  }
}

/** The subject alternative name inside the attribute `extensionRequest` (RFC 2985 section 5.4.2). */
function requestedAltNames(attributes: Buffer): AltNames {
  const names: AltNames = { dns: [], ip: [], others: [] }
  const reader = new DerReader(attributes, 'certificate request')
  while (!reader.done) {
    const attribute = reader.enter()
    if (attribute.oid() !== OID.extensionRequest) continue
    const extensions = attribute.enter(TAG.set).enter()
    while (!extensions.done) {
      const extension = extensions.enter()
      const id = extension.oid()
      extension.optional(TAG.boolean)
      const value = extension.content(TAG.octetString)
      if (id !== OID.subjectAltName) continue
      const more = readAltNames(value)
      names.dns.push(...more.dns)
      names.ip.push(...more.ip)
      names.others.push(...more.others)
    }
  }
  return names
}

/** Makes a request for names and addresses, signed by `key`: what a device sends. */
export function makeCsr(
  keys: { privateKey: KeyObject; spki: Uint8Array },
  names: { dns: readonly string[]; ip: readonly string[] },
): Buffer {
  const wanted: Extension[] = names.dns.length + names.ip.length > 0 ? [subjectAltName(names, false)] : []
  const info = sequence(
    integer(0),
    commonNameOnly(names.dns[0] ?? null),
    keys.spki,
    context(0, ...(wanted.length > 0 ? [extensionRequest(wanted)] : [])),
  )
  const signer = signerOf(keys.privateKey)
  return sequence(info, signer.algorithm, bitString(signer.sign(info)))
}

/** The attribute with which a request names the extensions it wants; EST's csrattrs uses it too. */
export function extensionRequest(extensions: readonly Extension[]): Buffer {
  return sequence(oid(OID.extensionRequest), set(sequence(...extensions)))
}
