import { addressRange, HOME_RANGES, rangeHolds } from '../base/ip.ts'
import { WireError } from '../wire/errors.ts'
import type { ResourceRecord } from '../wire/message.ts'
import { Name } from '../wire/name.ts'
import { Reader } from '../wire/reader.ts'
import { TYPE } from '../wire/registry.ts'

/**
 * Besides the addresses a home can have: those that mean this very host, an IPv4 address in disguise, or what a
 * translator of the home's own stands for (RFC 8215).
 */
const INSIDE_RANGES = [
  ...HOME_RANGES,
  ...['0.0.0.0/8', '::/128', '::ffff:0.0.0.0/96', 'fec0::/10', '64:ff9b:1::/48'].map(addressRange),
]

/**
 * Prefixes before an IPv4 address that a translator or a tunnel takes packets to: the octets it starts at.
 *
 * RFC 6052 section 2.1 for NAT64, RFC 3056 section 2 for 6to4, RFC 4291 section 2.5.5.1 for the compatible form.
 */
const CARRIERS = [
  { range: addressRange('64:ff9b::/96'), at: 12 },
  { range: addressRange('2002::/16'), at: 2 },
  { range: addressRange('::/96'), at: 12 },
]

/** RFC 9460 section 14.3.2. */
const SVC_PARAM = { MANDATORY: 0, IPV4_HINT: 4, IPV6_HINT: 6 }

/**
 * Keeps names of the internet from leading into the home.
 *
 * A web page can let its own name lead to an address of the home, and then read what answers there as if it
 * were its own: the browser goes by names. So addresses that only the home has are taken out of answers
 * about names outside, unless the household has said that a name may have them.
 */
export class RebindingGuard {
  readonly #protect: boolean
  readonly #allowed: readonly Name[]

  /** `allow` names domains, each with everything below it. */
  constructor({ protect, allow }: { protect: boolean; allow: readonly string[] }) {
    this.#protect = protect
    this.#allowed = allow.map((domain) => Name.parse(domain))
  }

  /** Whether a name outside may not have addresses of the home. */
  covers(name: Name): boolean {
    return this.#protect && !this.#allowed.some((domain) => name.isAtOrBelow(domain))
  }

  /** The records without addresses of the home, hints among them, and without signatures that this breaks. */
  filter(records: readonly ResourceRecord[]): { records: ResourceRecord[]; removed: boolean } {
    const left: ResourceRecord[] = []
    const changed = new Set<string>()
    for (const record of records) {
      const harmless = withoutInside(record)
      if (harmless !== null) left.push(harmless)
      if (harmless !== record) changed.add(`${record.type} ${record.name.key}`)
    }
    if (changed.size === 0) return { records: left, removed: false }
    const isBroken = ({ name, type, data }: ResourceRecord) =>
      type === TYPE.RRSIG && changed.has(`${((data[0] ?? 0) << 8) | (data[1] ?? 0)} ${name.key}`)
    return { records: left.filter((record) => !isBroken(record)), removed: true }
  }
}

/** The record, or what may be left of it; null if nothing may. */
function withoutInside(record: ResourceRecord): ResourceRecord | null {
  switch (record.type) {
    case TYPE.A:
    case TYPE.AAAA:
      return isInside(record.data) ? null : record
    case TYPE.SVCB:
    case TYPE.HTTPS:
      try {
        return withoutInsideHints(record)
      } catch (error) {
        if (error instanceof WireError) return null
        throw error
      }
    default:
      return record
  }
}

function isInside(octets: Uint8Array): boolean {
  if (INSIDE_RANGES.some((range) => rangeHolds(range, octets))) return true
  return CARRIERS.some(({ range, at }) => rangeHolds(range, octets) && isInside(octets.subarray(at, at + 4)))
}

/** The service without hints that lead inside; if it says that it needs one of them, there is none. */
function withoutInsideHints(record: ResourceRecord): ResourceRecord | null {
  const reader = new Reader(record.data, { pointers: false })
  reader.skip(2)
  reader.name()
  const kept = [reader.bytes.subarray(0, reader.offset)]
  let isChanged = false
  let needed: number[] = []
  while (reader.left > 0) {
    const start = reader.offset
    const key = reader.u16()
    const value = reader.octets(reader.u16())
    if (key === SVC_PARAM.MANDATORY) needed = piecesOf(value, 2).map((pair) => pair.readUInt16BE(0))
    const size = key === SVC_PARAM.IPV4_HINT ? 4 : key === SVC_PARAM.IPV6_HINT ? 16 : 0
    const addresses = size === 0 ? [] : piecesOf(value, size)
    const outside = addresses.filter((address) => !isInside(address))
    if (outside.length === addresses.length) {
      kept.push(reader.bytes.subarray(start, reader.offset))
      continue
    }
    isChanged = true
    if (outside.length > 0) kept.push(head(key, outside.length * size), ...outside)
    else if (needed.includes(key)) return null
  }
  return isChanged ? { ...record, data: Buffer.concat(kept) } : record
}

/** Key and length of a parameter. */
function head(key: number, length: number): Buffer {
  const octets = Buffer.alloc(4)
  octets.writeUInt16BE(key, 0)
  octets.writeUInt16BE(length, 2)
  return octets
}

function piecesOf(octets: Buffer, size: number): Buffer[] {
  const count = Math.floor(octets.length / size)
  return Array.from({ length: count }, (_, index) => octets.subarray(index * size, (index + 1) * size))
}
