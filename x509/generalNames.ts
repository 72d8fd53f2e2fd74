import { addressOctets, addressText } from '../base/ip.ts'
import { contextPrimitive, DerError, DerReader } from './der.ts'

/** The kinds of GeneralName that Hearth writes and reads (RFC 5280 section 4.2.1.6). */
export interface AltNames {
  dns: string[]
  /** Canonical text. */
  ip: string[]
  /** Tags of other kinds that were present: e-mail, URI, directory name... */
  others: number[]
}

export const GENERAL_NAME = { email: 1, dns: 2, uri: 6, ip: 7 } as const

export const dnsName = (name: string): Buffer =>
  contextPrimitive(GENERAL_NAME.dns, Buffer.from(name, 'latin1'))
export const uriName = (uri: string): Buffer => contextPrimitive(GENERAL_NAME.uri, Buffer.from(uri, 'latin1'))
export const emailName = (email: string): Buffer =>
  contextPrimitive(GENERAL_NAME.email, Buffer.from(email, 'latin1'))

/** @throws {TypeError} if `address` is no IP address. */
export function ipName(address: string): Buffer {
  const octets = addressOctets(address)
  if (octets === null) throw new TypeError(`not an IP address: ${address}`)
  return contextPrimitive(GENERAL_NAME.ip, octets)
}

/** Reads the contents of a `GeneralNames` sequence. DNS names come lower-cased. */
export function readAltNames(der: Uint8Array): AltNames {
  const names: AltNames = { dns: [], ip: [], others: [] }
  const reader = new DerReader(der, 'subject alternative name').enter()
  while (!reader.done) {
    const { tag, content } = reader.any()
    if (tag === (0x80 | GENERAL_NAME.dns)) names.dns.push(content.toString('latin1').toLowerCase())
    else if (tag === (0x80 | GENERAL_NAME.ip)) {
      if (content.length !== 4 && content.length !== 16) {
        throw new DerError(
          `the subject alternative name has an address of ${content.length} octets; 4 or 16 belong there`,
        )
      }
      names.ip.push(addressText(content))
    } else names.others.push(tag & 0x1f)
  }
  return names
}
