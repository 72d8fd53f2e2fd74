import { bitString, context, DerReader, integer, sequence, TAG, time, unsignedInteger } from './der.ts'
import type { Extension } from './extensions.ts'
import { type AltNames, readAltNames } from './generalNames.ts'
import { OID } from './oids.ts'
import type { Signer } from './signature.ts'

/** What a certificate says, before it is signed. Names and key are DER. */
export interface CertificateTemplate {
  /** Up to 20 octets, unsigned. */
  serial: Uint8Array
  issuer: Uint8Array
  /** Milliseconds; certificates know whole seconds. */
  notBefore: number
  notAfter: number
  subject: Uint8Array
  spki: Uint8Array
  extensions: readonly Extension[]
}

/** The TBSCertificate of RFC 5280 section 4.1.2, version 3. */
export function encodeTbsCertificate(template: CertificateTemplate, signer: Signer): Buffer {
  return sequence(
    context(0, integer(2)),
    unsignedInteger(template.serial),
    signer.algorithm,
    template.issuer,
    sequence(time(template.notBefore), time(template.notAfter)),
    template.subject,
    template.spki,
    context(3, sequence(...template.extensions)),
  )
}

/** Signs the TBSCertificate; what comes out is a certificate that the whole home will believe. */
export function signCertificate(tbs: Uint8Array, signer: Signer): Buffer {
  return sequence(tbs, signer.algorithm, bitString(signer.sign(tbs)))
}

/** A certificate as read back; fields that Hearth acts on, and all extensions raw. */
export interface ReadCertificate {
  version: number
  /** Octets without a sign octet. */
  serial: Buffer
  /** Object identifier of the signature's algorithm. */
  algorithm: string
  issuer: Buffer
  subject: Buffer
  notBefore: number
  notAfter: number
  spki: Buffer
  /** In order, as they stand. */
  extensions: ReadExtension[]
}

export interface ReadExtension {
  id: string
  critical: boolean
  value: Buffer
}

/** @throws {DerError} if it is no certificate. */
export function readCertificate(der: Uint8Array): ReadCertificate {
  const outer = new DerReader(der, 'certificate')
  const certificate = outer.enter()
  outer.end()
  const tbs = certificate.element(TAG.sequence).whole
  certificate.element(TAG.sequence)
  certificate.bitString()
  certificate.end()
  return readTbsCertificate(tbs)
}

/** @throws {DerError} if it is no TBSCertificate. */
export function readTbsCertificate(der: Uint8Array): ReadCertificate {
  const tbs = new DerReader(der, 'certificate').enter()
  const version = tbs.nextTag === 0xa0 ? tbs.enter(0xa0).smallInteger() + 1 : 1
  const serial = tbs.unsignedInteger()
  const algorithm = tbs.enter().oid()
  const issuer = tbs.element(TAG.sequence).whole
  const validity = tbs.enter()
  const notBefore = validity.time()
  const notAfter = validity.time()
  validity.end()
  const subject = tbs.element(TAG.sequence).whole
  const spki = tbs.element(TAG.sequence).whole
  const extensions: ReadExtension[] = []
  if (tbs.nextTag === 0xa3) {
    const list = tbs.enter(0xa3).enter()
    while (!list.done) {
      const extension = list.enter()
      const id = extension.oid()
      const critical = extension.nextTag === TAG.boolean && extension.boolean()
      extensions.push({ id, critical, value: extension.content(TAG.octetString) })
      extension.end()
    }
  }
  tbs.end()
  return { version, serial, algorithm, issuer, subject, notBefore, notAfter, spki, extensions }
}

export function findExtension(certificate: ReadCertificate, id: string): ReadExtension | null {
  return certificate.extensions.find((extension) => extension.id === id) ?? null
}

/** The subject alternative name; empty lists if there is none. */
export function altNamesOf(certificate: ReadCertificate): AltNames {
  const extension = findExtension(certificate, OID.subjectAltName)
  return extension === null ? { dns: [], ip: [], others: [] } : readAltNames(extension.value)
}

/** Object identifiers of the extended key usages; empty if the extension is absent. */
export function extKeyUsagesOf(certificate: ReadCertificate): string[] {
  const extension = findExtension(certificate, OID.extKeyUsage)
  if (extension === null) return []
  const reader = new DerReader(extension.value, 'extended key usage').enter()
  const usages: string[] = []
  while (!reader.done) usages.push(reader.oid())
  return usages
}

/** Whether basic constraints make it a CA, and the path length if one is set. */
export function basicConstraintsOf(certificate: ReadCertificate): { ca: boolean; pathLength: number | null } {
  const extension = findExtension(certificate, OID.basicConstraints)
  if (extension === null) return { ca: false, pathLength: null }
  const reader = new DerReader(extension.value, 'basic constraints').enter()
  const ca = reader.nextTag === TAG.boolean && reader.boolean()
  return { ca, pathLength: reader.done ? null : reader.smallInteger() }
}

/** The key identifier that a CA certificate carries; null if it carries none. */
export function subjectKeyIdentifierOf(certificate: ReadCertificate): Buffer | null {
  const extension = findExtension(certificate, OID.subjectKeyIdentifier)
  return extension === null ? null : new DerReader(extension.value, 'key identifier').content(TAG.octetString)
}

/** A serial number as it is shown and stored: upper-case hexadecimal, two digits an octet. */
export function serialText(serial: Uint8Array): string {
  return Buffer.from(serial).toString('hex').toUpperCase()
}

/** PEM text of one DER structure (RFC 7468). */
export function pem(der: Uint8Array, label: string): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

/** The DER of every PEM block with this label, in order. */
export function readPem(text: string, label: string): Buffer[] {
  const blocks = text.matchAll(new RegExp(`-----BEGIN ${label}-----([^-]*)-----END ${label}-----`, 'g'))
  return [...blocks].map((block) => Buffer.from(block[1]!, 'base64'))
}
