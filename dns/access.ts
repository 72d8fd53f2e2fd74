import { networkInterfaces } from 'node:os'
import { type Clock, SECOND } from '../base/clock.ts'
import { type AddressRange, addressOctets, addressRange } from '../base/ip.ts'

export interface AccessOptions {
  /** Networks in CIDR form whose hosts are answered as those of the home are. */
  clients: readonly string[]
  /** Networks whose hosts are not, though their addresses are private. */
  outside?: readonly string[]
  clock: Clock
}

/** How soon a new IPv6 prefix of the provider's is noticed. */
const LOOK_AGAIN = 10 * SECOND

/** Shorter prefixes belong to a provider or a tunnel, not to a home. */
const SHORTEST_HOME_PREFIX = 48

const MAX_KNOWN = 4096

/**
 * Tells the home's own clients from others.
 *
 * Local are loopback, private, link-local and unique-local addresses, this host's own, hosts that share
 * an IPv6 network with one of its interfaces, and the networks that the configuration adds. Neighbours
 * in a public IPv4 network are not: on a router those are the provider's other customers. Neither are
 * those in 100.64.0.0/10, for the same reason (RFC 6598).
 */
export class Access {
  readonly #clients: readonly AddressRange[]
  readonly #outside: readonly AddressRange[]
  readonly #clock: Clock
  #interfaces: readonly AddressRange[] = []
  #lookedAt = Number.NEGATIVE_INFINITY
  readonly #known = new Map<string, boolean>()

  constructor({ clients, outside = [], clock }: AccessOptions) {
    this.#clients = clients.map(addressRange)
    this.#outside = outside.map(addressRange)
    this.#clock = clock
  }

  /** Whether the address in 4 or 16 octets is local. */
  isLocal(octets: Uint8Array, offset = 0, length = octets.length): boolean {
    if (length === 16 && isMapped(octets, offset)) return this.isLocal(octets, offset + 12, 4)
    if (anyHolds(this.#outside, octets, offset, length)) return false
    if (length === 4 ? isPrivate4(octets, offset) : isPrivate6(octets, offset)) return true
    this.#look()
    return (
      anyHolds(this.#clients, octets, offset, length) || anyHolds(this.#interfaces, octets, offset, length)
    )
  }

  /** The same for an address in text, with or without a zone (`fe80::1%eth0`); false if it is none. */
  isLocalAddress(address: string): boolean {
    this.#look()
    let local = this.#known.get(address)
    if (local === undefined) {
      const octets = addressOctets(address.replace(/%.*/, ''))
      local = octets !== null && this.isLocal(octets)
      if (this.#known.size >= MAX_KNOWN) this.#known.clear()
      this.#known.set(address, local)
    }
    return local
  }

  #look(): void {
    const now = this.#clock.now()
    if (Math.abs(now - this.#lookedAt) < LOOK_AGAIN) return
    this.#lookedAt = now
    this.#interfaces = interfaceRanges()
    this.#known.clear()
  }
}

/**
 * The network that an address from outside is counted with: /24, or /56 as one customer has it.
 *
 * In a smaller one, whoever has the network could go through its addresses and never meet a limit.
 */
export function networkOf(address: string): string {
  const octets = addressOctets(address.replace(/%.*/, ''))
  if (octets === null) return address
  return octets.subarray(0, octets.length === 4 ? 3 : 7).join()
}

function interfaceRanges(): AddressRange[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .flatMap(({ address, family, cidr }) => {
      const own = `${address}/${family === 'IPv4' ? 32 : 128}`
      const prefix = Number(cidr?.split('/')[1] ?? 0)
      return family === 'IPv6' && prefix >= SHORTEST_HOME_PREFIX ? [own, `${address}/${prefix}`] : [own]
    })
    .map(addressRange)
}

/** Without a closure or a copy: this is asked about every datagram. */
function anyHolds(
  ranges: readonly AddressRange[],
  octets: Uint8Array,
  offset: number,
  length: number,
): boolean {
  for (const { network, mask } of ranges) {
    let index = network.length === length ? 0 : length + 1
    while (index < length && (octets[offset + index]! & mask[index]!) === network[index]) index += 1
    if (index === length) return true
  }
  return false
}

/** RFC 1122 section 3.2.1.3 (loopback), RFC 1918, RFC 3927. */
function isPrivate4(octets: Uint8Array, offset: number): boolean {
  const first = octets[offset]!
  const second = octets[offset + 1]!
  return (
    first === 127 ||
    first === 10 ||
    (first === 192 && second === 168) ||
    (first === 172 && (second & 0xf0) === 16) ||
    (first === 169 && second === 254)
  )
}

/** RFC 4193 (fc00::/7), RFC 4291 (fe80::/10 and ::1). */
function isPrivate6(octets: Uint8Array, offset: number): boolean {
  const first = octets[offset]!
  if ((first & 0xfe) === 0xfc) return true
  if (first === 0xfe) return (octets[offset + 1]! & 0xc0) === 0x80
  if (octets[offset + 15] !== 1) return false
  for (let index = 0; index < 15; index += 1) if (octets[offset + index] !== 0) return false
  return true
}

/** `::ffff:192.0.2.1`: IPv4 as a socket for both shows it (RFC 4291 section 2.5.5.2). */
function isMapped(octets: Uint8Array, offset: number): boolean {
  for (let index = 0; index < 10; index += 1) if (octets[offset + index] !== 0) return false
  return octets[offset + 10] === 0xff && octets[offset + 11] === 0xff
}
