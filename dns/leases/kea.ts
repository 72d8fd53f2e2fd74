import { SECOND } from '../../base/clock.ts'
import { canonicalAddress } from '../../base/ip.ts'
import type { Lease } from './lease.ts'

/** The lifetime of a lease that never ends. */
const INFINITE = 0xffffffff

/** The state of a lease that is in use; others are declined, expired or released. */
const IN_USE = '0'

/** A delegated prefix is no address of a host, and a temporary address is made not to be recognised. */
const NON_TEMPORARY = '0'

/**
 * Reads lease files of Kea's memfile back-end, DHCPv4 or DHCPv6, oldest first.
 *
 * A file is a journal: each line says what became of one address, and the last one holds. Which columns
 * there are depends on Kea's version, so they are found by their headings.
 */
export function parseKeaLeases(texts: readonly string[]): Lease[] {
  const leases = new Map<string, Lease | null>()
  for (const text of texts) {
    const [headings = '', ...lines] = text.split('\n')
    const columns = headings.split(',')
    for (const line of lines) {
      const values = line.split(',')
      const value = (column: string) => values[columns.indexOf(column)] ?? ''
      const address = canonicalAddress(value('address'))
      const lifetime = Number(value('valid_lifetime'))
      if (address === null || Number.isNaN(lifetime) || values.length < columns.length) continue
      const isHost = !columns.includes('lease_type') || value('lease_type') === NON_TEMPORARY
      const hostname = value('hostname')
      const expires = lifetime === INFINITE ? Number.POSITIVE_INFINITY : Number(value('expire')) * SECOND
      // A lease that was deleted is one without a lifetime.
      const isGood = value('state') === IN_USE && lifetime > 0 && hostname !== '' && isHost && expires > 0
      leases.set(address, isGood ? { address, hostname, expires } : null)
    }
  }
  return [...leases.values()].filter((lease) => lease !== null)
}
