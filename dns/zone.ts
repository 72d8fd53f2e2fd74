import type { ResourceRecord } from '../wire/message.ts'
import { Name, parentKey } from '../wire/name.ts'
import { targetOf } from '../wire/rdata.ts'
import { CLASS, TYPE } from '../wire/registry.ts'

/** What a zone says of one name and type: each kind is a different message. */
export type ZoneAnswer =
  | { kind: 'answer'; records: ResourceRecord[] }
  | { kind: 'alias'; records: ResourceRecord[]; target: Name }
  | { kind: 'referral'; nameServers: ResourceRecord[]; glue: ResourceRecord[] }
  | { kind: 'nodata' | 'nxdomain'; soa: ResourceRecord }

/**
 * How a zone denies: `ordinary` by the rules of RFC 1034; `nonexistent` says NXDOMAIN even of its apex;
 * `without-data` says NODATA of every name, so that a client learns only that there is nothing.
 */
export type Denial = 'ordinary' | 'nonexistent' | 'without-data'

/** Where a zone's names come from: reserved by a standard, or the household's own. */
export type ZoneSource = 'special' | 'zone'

/** Records of one owner and type, whose TTLs are equal (RFC 2181 section 5.2). */
interface Rrset {
  ttl: number
  data: Uint8Array[]
}

type Node = Map<number, Rrset>

/** Long enough that whoever asks for ANY does not ask again soon (RFC 8482 section 4.2). */
const ANY_TTL = 3600

/** HINFO "RFC8482" "". */
const ANY_DATA = Buffer.from('\x07RFC8482\x00', 'latin1')

/** A zone as it was at one moment: it never changes, a new one takes its place. */
export class Zone {
  readonly apex: Name
  readonly source: ZoneSource
  readonly #denial: Denial
  /** Every name that exists, empty non-terminals included (RFC 4592 section 2.2.2), by key. */
  readonly #nodes = new Map<string, Node>()
  /** Keys of the names below the apex that are delegated away. */
  readonly #cuts = new Set<string>()
  readonly #negativeSoa: ResourceRecord

  /** `records` lie at or below the apex, and one of them is its SOA. */
  constructor(
    apex: Name,
    records: readonly ResourceRecord[],
    options: { denial: Denial; source: ZoneSource },
  ) {
    this.apex = apex
    this.#denial = options.denial
    this.source = options.source
    for (const record of records) this.#add(record)
    this.#negativeSoa = this.#makeNegativeSoa()
  }

  /**
   * Looks a name up that lies at or below the apex.
   *
   * Records come back under the name as it was asked, so that its case is echoed (RFC 4343 section 4.1)
   * and a wildcard's records carry the name they were made for.
   *
   * @see RFC 1034 section 4.3.2, step 3; RFC 4592 section 3.3.1 for the closest encloser.
   */
  lookup(name: Name, type: number): ZoneAnswer {
    if (this.#denial === 'nonexistent') return { kind: 'nxdomain', soa: this.#negativeSoa }

    const cut = this.#cutAbove(name)
    if (cut !== null && !(type === TYPE.DS && cut === name.key)) return this.#referral(cut)

    const node = this.#nodes.get(name.key) ?? this.#wildcardFor(name.key)
    if (node === undefined) {
      return { kind: this.#denial === 'without-data' ? 'nodata' : 'nxdomain', soa: this.#negativeSoa }
    }
    const alias = node.get(TYPE.CNAME)
    if (alias !== undefined && type !== TYPE.CNAME && type !== TYPE.ANY) {
      const records = recordsOf(name, TYPE.CNAME, alias)
      return { kind: 'alias', records, target: targetOf(alias.data[0]!) }
    }
    if (type === TYPE.ANY && node.size > 0) {
      const records = alias === undefined ? [minimalAny(name)] : recordsOf(name, TYPE.CNAME, alias)
      return { kind: 'answer', records }
    }
    const rrset = node.get(type)
    if (rrset === undefined) return { kind: 'nodata', soa: this.#negativeSoa }
    return { kind: 'answer', records: recordsOf(name, type, rrset) }
  }

  #add(record: ResourceRecord): void {
    const node = this.#nodeAt(record.name.key)
    const rrset = node.get(record.type)
    if (rrset === undefined) {
      node.set(record.type, { ttl: record.ttl, data: [record.data] })
    } else {
      rrset.ttl = Math.min(rrset.ttl, record.ttl)
      if (!rrset.data.some((data) => Buffer.compare(data, record.data) === 0)) rrset.data.push(record.data)
    }
    if (record.type === TYPE.NS && record.name.key !== this.apex.key) this.#cuts.add(record.name.key)
  }

  /** The node of a name; it and the names between it and the apex exist from now on. */
  #nodeAt(key: string): Node {
    const existing = this.#nodes.get(key)
    if (existing !== undefined) return existing
    const node: Node = new Map()
    this.#nodes.set(key, node)
    if (key !== this.apex.key) this.#nodeAt(parentKey(key))
    return node
  }

  /** The topmost delegation at or above the name. */
  #cutAbove(name: Name): string | null {
    if (this.#cuts.size === 0) return null
    let topmost: string | null = null
    for (let key = name.key; key !== this.apex.key; key = parentKey(key)) {
      if (this.#cuts.has(key)) topmost = key
    }
    return topmost
  }

  #referral(cut: string): ZoneAnswer {
    const nameServers = recordsOf(Name.fromWire(cut), TYPE.NS, this.#nodes.get(cut)!.get(TYPE.NS)!)
    const glue = nameServers.flatMap(({ data }) => {
      const host = targetOf(data)
      const node = this.#nodes.get(host.key)
      return [TYPE.A, TYPE.AAAA].flatMap((type) => {
        const rrset = node?.get(type)
        return rrset === undefined ? [] : recordsOf(host, type, rrset)
      })
    })
    return { kind: 'referral', nameServers, glue }
  }

  #wildcardFor(key: string): Node | undefined {
    let encloser = key
    while (!this.#nodes.has(encloser)) encloser = parentKey(encloser)
    return this.#nodes.get(`\x01*${encloser}`)
  }

  /** The SOA of negative answers, whose TTL says how long they may be kept (RFC 2308 section 3). */
  #makeNegativeSoa(): ResourceRecord {
    const rrset = this.#nodes.get(this.apex.key)?.get(TYPE.SOA)
    if (rrset === undefined) throw new TypeError(`the zone ${this.apex} has no SOA`)
    const [soa] = recordsOf(this.apex, TYPE.SOA, rrset)
    const minimum = Buffer.from(soa!.data).readUInt32BE(soa!.data.length - 4)
    return { ...soa!, ttl: Math.min(soa!.ttl, minimum) }
  }
}

/** The one record that stands for all others where ANY is asked. */
export function minimalAny(name: Name): ResourceRecord {
  return { name, type: TYPE.HINFO, class: CLASS.IN, ttl: ANY_TTL, data: ANY_DATA }
}

function recordsOf(name: Name, type: number, { ttl, data }: Rrset): ResourceRecord[] {
  return data.map((octets) => ({ name, type, class: CLASS.IN, ttl, data: octets }))
}
