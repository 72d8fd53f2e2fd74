import { SECOND } from '../../base/clock.ts'
import { canonicalAddress } from '../../base/ip.ts'
import type { Lease } from './lease.ts'

/**
 * Reads the lease file of dnsmasq: one lease a line, those of IPv6 after a line `duid ...`.
 *
 *     1764000000 11:22:33:44:55:66 192.168.1.50 laptop 01:11:22:33:44:55:66
 *
 * The first word is when it ends, in seconds, 0 for never; a host without a name has a `*`. In an IPv6
 * lease the second word is a number, with a T before it where the address is a temporary one, which is made
 * so that nobody recognises the host: that one is passed over. So is any line of another form.
 */
export function parseDnsmasqLeases(text: string): Lease[] {
  return text.split('\n').flatMap((line) => {
    const [expiry = '', id = '', addressText = '', hostname = '*'] = line.split(' ')
    const address = canonicalAddress(addressText)
    if (!/^\d{1,11}$/.test(expiry) || address === null || hostname === '*' || id.startsWith('T')) return []
    const seconds = Number(expiry)
    return { address, hostname, expires: seconds === 0 ? Number.POSITIVE_INFINITY : seconds * SECOND }
  })
}
