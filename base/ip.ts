import { isIPv4 } from 'node:net'
import ipaddr from 'ipaddr.js'

/** The canonical text of an IP address (RFC 5952 for IPv6, no zone), or null if it is none. */
export function canonicalAddress(text: string): string | null {
  const octets = addressOctets(text)
  return octets === null ? null : addressText(octets)
}

/** The 4 or 16 octets of an IPv4 or IPv6 address in text form, or null if it is none. */
export function addressOctets(text: string): Uint8Array | null {
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number)
  if (!text.includes(':') || text.includes('%') || !ipaddr.IPv6.isValid(text)) return null
  return Uint8Array.from(ipaddr.IPv6.parse(text).toByteArray())
}

/** The text of 4 or 16 octets. An IPv4-mapped IPv6 address keeps its IPv6 form. */
export function addressText(octets: Uint8Array): string {
  if (octets.length === 4) return octets.join('.')
  return new ipaddr.IPv6([...octets]).toRFC5952String()
}

/** A range of addresses: as many octets of network as the address has, and of mask. */
export interface AddressRange {
  network: Uint8Array
  mask: Uint8Array
}

/**
 * Reads `10.0.0.0/8` or `fc00::/7`; of `10.1.2.3/8` only the network counts. Throws on what is no range:
 * whoever takes one from a person checks it first.
 */
export function addressRange(cidr: string): AddressRange {
  const [text = '', bits = ''] = cidr.split('/')
  const address = addressOctets(text)
  if (address === null) throw new TypeError(`not an address range: ${cidr}`)
  const mask = address.map(
    (_, index) => 0xff & (0xff00 >> Math.min(8, Math.max(0, Number(bits) - 8 * index))),
  )
  return { network: address.map((octet, index) => octet & mask[index]!), mask }
}

export function rangeHolds(range: AddressRange, octets: Uint8Array): boolean {
  return (
    octets.length === range.network.length &&
    octets.every((octet, index) => (octet & range.mask[index]!) === range.network[index])
  )
}

/**
 * The addresses a home can have: private, shared, link-local, loopback and unique-local.
 *
 * RFC 1918, RFC 6598, RFC 3927, RFC 1122 section 3.2.1.3, RFC 4193, RFC 4291. Exactly what the root's
 * name constraints permit, so that a certificate for any other address cannot exist.
 */
export const HOME_RANGES: readonly AddressRange[] = [
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  '169.254.0.0/16',
  '127.0.0.0/8',
  'fc00::/7',
  'fe80::/10',
  '::1/128',
].map(addressRange)

export function isHomeAddress(octets: Uint8Array): boolean {
  return HOME_RANGES.some((range) => rangeHolds(range, octets))
}

const LOOPBACK = ['127.0.0.0/8', '::1/128'].map(addressRange)

export function isLoopback(octets: Uint8Array): boolean {
  return LOOPBACK.some((range) => rangeHolds(range, octets))
}
