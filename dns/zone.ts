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
 * `without-data` says NODATA of every name, so that a client learns only that there is nothing;
 * `name-by-name` speaks only of names that have records here, each as if it were a zone of its own.
 */
export type Denial = 'ordinary' | 'nonexistent' | 'without-data' | 'name-by-name'

/** Where a zone's names come from: reserved by a standard, the household's own, or taken over from a public domain. */
export type ZoneSource = 'special' | 'zone' | 'override'

/** How a zone's records changed from one serial to the next, its SOA left out: what IXFR sends (RFC 1995). */
export interface ZoneDelta {
  apex: Name
  fromSerial: number
  toSerial: number
  removed: ResourceRecord[]
  added: ResourceRecord[]
}

export interface ZoneOptions {
  denial: Denial
  source: ZoneSource
  /** RDATA of the SOA, whose serial is set here. */
  soa: Uint8Array
  /** Of the SOA, seconds. */
  ttl: number
}

/** A datum under one TTL, and how many times it was added. */
interface Part {
  data: Uint8Array
  ttl: number
  count: number
}

/** Records of one owner and type, in the order of their octets, whose TTLs are told as equal (RFC 2181 section 5.2). */
interface Rrset {
  type: number
  ttl: number
  parts: Part[]
}

/** A name that exists: it has records, or names below it have (RFC 4592 section 2.2.2). */
interface Node {
  rrsets: Rrset[]
  children: number
}

/** Long enough that whoever asks for ANY does not ask again soon (RFC 8482 section 4.2). */
const ANY_TTL = 3600

/** HINFO "RFC8482" "". */
const ANY_DATA = Buffer.from('\x07RFC8482\x00', 'latin1')

/** The serial lies before four timers of four octets each. */
const SERIAL_FROM_END = 20

/**
 * The records of a zone, and how it answers from them.
 *
 * It changes in place, record by record, and `commit` ends the change. Lookups are synchronous, so that
 * none of them sees half of it. What is added twice stays until it is removed twice, since two devices may
 * make the same record. A CNAME beside other data is kept but not told, because an alias can have nothing
 * else (RFC 1034 section 3.6.2), and comes forth when the other data is gone.
 */
export class Zone {
  readonly apex: Name
  readonly source: ZoneSource
  readonly #denial: Denial
  readonly #nodes = new Map<string, Node>()
  /** Keys of the names below the apex that are delegated away. */
  readonly #cuts = new Set<string>()
  /** What the names told before the change under way; null until the first one has ended. */
  #before: Map<string, Rrset[]> | null = null
  /** Keys of names that had a CNAME beside other data at some time of the change under way. */
  readonly #crowded = new Set<string>()
  #serial = 0
  #soa: ResourceRecord

  constructor(apex: Name, { denial, source, soa, ttl }: ZoneOptions) {
    this.apex = apex
    this.source = source
    this.#denial = denial
    this.#soa = { name: apex, type: TYPE.SOA, class: CLASS.IN, ttl, data: soa }
    this.#nodes.set(apex.key, { rrsets: [], children: 0 })
  }

  get serial(): number {
    return this.#serial
  }

  /** The SOA as it is at a serial, of which the lower 32 bits are told (RFC 1982). */
  soaAt(serial: number): ResourceRecord {
    const data = Buffer.from(this.#soa.data)
    data.writeUInt32BE(serial % 2 ** 32, data.length - SERIAL_FROM_END)
    return { ...this.#soa, data }
  }

  /** Adds a record that lies at or below the apex. */
  add(name: Name, type: number, ttl: number, data: Uint8Array): void {
    const { key } = name
    this.#remember(key)
    const node = this.#nodeAt(key)
    let rrset = node.rrsets.find((each) => each.type === type)
    if (rrset === undefined) {
      rrset = { type, ttl, parts: [] }
      node.rrsets.push(rrset)
      if (type === TYPE.NS && key !== this.apex.key) this.#cuts.add(key)
    }
    const { at, found } = position(rrset.parts, data, ttl)
    if (found) rrset.parts[at]!.count += 1
    else rrset.parts.splice(at, 0, { data, ttl, count: 1 })
    if (ttl < rrset.ttl) rrset.ttl = ttl
    if (isCrowded(node)) this.#crowded.add(key)
  }

  /** Takes back what was added with the same words. */
  remove({ key }: Name, type: number, ttl: number, data: Uint8Array): void {
    const node = this.#nodes.get(key)
    const rrset = node?.rrsets.find((each) => each.type === type)
    if (node === undefined || rrset === undefined) return
    const { at, found } = position(rrset.parts, data, ttl)
    if (!found) return
    this.#remember(key)
    const part = rrset.parts[at]!
    part.count -= 1
    if (part.count > 0) return
    rrset.parts.splice(at, 1)
    if (rrset.parts.length > 0) {
      rrset.ttl = Math.min(...rrset.parts.map((other) => other.ttl))
      return
    }
    node.rrsets.splice(node.rrsets.indexOf(rrset), 1)
    if (type === TYPE.NS) this.#cuts.delete(key)
    this.#prune(key, node)
  }

  /**
   * Ends a change: from here on the zone has `serial`, if anything can be seen to be different.
   *
   * @returns the difference, null if there is none or nothing was there before; and the aliases that are not
   *   told because their names have other data.
   */
  commit(serial: number): { delta: ZoneDelta | null; hiddenAliases: Name[] } {
    const hiddenAliases = [...this.#crowded]
      .filter((key) => isCrowded(this.#nodes.get(key)))
      .map((key) => Name.fromWire(key))
    this.#crowded.clear()
    const delta = this.#before === null ? null : this.#difference(this.#before, serial)
    if (this.#before === null || delta !== null) {
      this.#serial = serial
      this.#soa = this.soaAt(serial)
    }
    this.#before = new Map()
    return { delta, hiddenAliases }
  }

  /** Whether it is this zone that speaks of a name at or below its apex. */
  speaksOf(name: Name): boolean {
    if (this.#denial !== 'name-by-name') return true
    const node = this.#nodes.get(name.key) ?? this.#wildcardFor(name.key)
    return node !== undefined && node.rrsets.length > 0
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
    const isByName = this.#denial === 'name-by-name'
    const soa = isByName ? { ...this.#soa, name } : this.#soa
    if (this.#denial === 'nonexistent') return { kind: 'nxdomain', soa }

    const cut = this.#cutAbove(name)
    if (cut !== null && !(type === TYPE.DS && cut === name.key)) return this.#referral(cut)
    if (type === TYPE.SOA && name.key === this.apex.key && !isByName) {
      return { kind: 'answer', records: [{ ...soa, name }] }
    }

    const node = this.#nodes.get(name.key) ?? this.#wildcardFor(name.key)
    if (node === undefined) return { kind: this.#denial === 'without-data' ? 'nodata' : 'nxdomain', soa }
    const alias = rrsetOf(node, TYPE.CNAME)
    if (alias !== undefined && type !== TYPE.CNAME && type !== TYPE.ANY) {
      const records = recordsOf(name, alias)
      return { kind: 'alias', records, target: targetOf(alias.parts[0]!.data) }
    }
    if (type === TYPE.ANY && node.rrsets.length > 0) {
      const records = alias === undefined ? [minimalAny(name)] : recordsOf(name, alias)
      return { kind: 'answer', records }
    }
    const rrset = rrsetOf(node, type)
    if (rrset === undefined) return { kind: 'nodata', soa }
    return { kind: 'answer', records: recordsOf(name, rrset) }
  }

  /** What a name has and tells: no alias is followed, no wildcard stands in, and what is delegated is told too. */
  at(name: Name): ResourceRecord[] {
    const records = recordsAt(name.key, told(this.#nodes.get(name.key)))
    return name.key === this.apex.key ? [this.#soa, ...records] : records
  }

  /** Every record, in the order of a transfer: the SOA first, which a transfer ends with once more (RFC 5936 section 2.2). */
  *records(): Generator<ResourceRecord> {
    yield this.#soa
    for (const [key, node] of this.#nodes) yield* recordsAt(key, told(node))
  }

  /** Keeps what a name tells before the change under way touches it. */
  #remember(key: string): void {
    if (this.#before === null || this.#before.has(key)) return
    this.#before.set(
      key,
      told(this.#nodes.get(key)).map((rrset) => ({ ...rrset, parts: [...rrset.parts] })),
    )
  }

  #difference(before: ReadonlyMap<string, Rrset[]>, serial: number): ZoneDelta | null {
    const removed: ResourceRecord[] = []
    const added: ResourceRecord[] = []
    for (const [key, were] of before) {
      const are = told(this.#nodes.get(key))
      removed.push(...recordsAt(key, without(were, are)))
      added.push(...recordsAt(key, without(are, were)))
    }
    if (removed.length + added.length === 0) return null
    return { apex: this.apex, fromSerial: this.#serial, toSerial: serial, removed, added }
  }

  /** The node of a name; it and the names between it and the apex exist from now on. */
  #nodeAt(key: string): Node {
    const existing = this.#nodes.get(key)
    if (existing !== undefined) return existing
    const node: Node = { rrsets: [], children: 0 }
    this.#nodes.set(key, node)
    this.#nodeAt(parentKey(key)).children += 1
    return node
  }

  /** Forgets a name that has nothing any more, and those above it that existed for its sake. */
  #prune(key: string, node: Node): void {
    if (node.rrsets.length > 0 || node.children > 0 || key === this.apex.key) return
    this.#nodes.delete(key)
    const above = parentKey(key)
    const parent = this.#nodes.get(above)!
    parent.children -= 1
    this.#prune(above, parent)
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
    const nameServers = recordsOf(Name.fromWire(cut), rrsetOf(this.#nodes.get(cut)!, TYPE.NS)!)
    const glue = nameServers.flatMap(({ data }) => {
      const host = targetOf(data)
      const node = this.#nodes.get(host.key)
      return [TYPE.A, TYPE.AAAA].flatMap((type) => {
        const rrset = node && rrsetOf(node, type)
        return rrset === undefined ? [] : recordsOf(host, rrset)
      })
    })
    return { kind: 'referral', nameServers, glue }
  }

  #wildcardFor(key: string): Node | undefined {
    let encloser = key
    while (!this.#nodes.has(encloser)) encloser = parentKey(encloser)
    return this.#nodes.get(`\x01*${encloser}`)
  }
}

/** The one record that stands for all others where ANY is asked. */
export function minimalAny(name: Name): ResourceRecord {
  return { name, type: TYPE.HINFO, class: CLASS.IN, ttl: ANY_TTL, data: ANY_DATA }
}

function recordsOf(name: Name, { type, ttl, parts }: Rrset): ResourceRecord[] {
  return parts.filter(isFirstOfItsData).map(({ data }) => ({ name, type, class: CLASS.IN, ttl, data }))
}

/** The same datum may have been added with several TTLs. */
function isFirstOfItsData({ data }: Part, index: number, parts: readonly Part[]): boolean {
  return index === 0 || Buffer.compare(parts[index - 1]!.data, data) !== 0
}

function recordsAt(key: string, rrsets: readonly Rrset[]): ResourceRecord[] {
  if (rrsets.length === 0) return []
  const name = Name.fromWire(key)
  return rrsets.flatMap((rrset) => recordsOf(name, rrset))
}

/** The RRsets of a name that are told. */
function told(node: Node | undefined): Rrset[] {
  if (node === undefined) return []
  return isCrowded(node) ? node.rrsets.filter(({ type }) => type !== TYPE.CNAME) : node.rrsets
}

function rrsetOf({ rrsets }: Node, type: number): Rrset | undefined {
  if (type === TYPE.CNAME && rrsets.length > 1) return undefined
  return rrsets.find((rrset) => rrset.type === type)
}

/** Whether a name has a CNAME and other data. */
function isCrowded(node: Node | undefined): boolean {
  return node !== undefined && node.rrsets.length > 1 && node.rrsets.some(({ type }) => type === TYPE.CNAME)
}

/** What of some RRsets is not in the others; all of an RRset whose TTL is another. */
function without(rrsets: readonly Rrset[], others: readonly Rrset[]): Rrset[] {
  return rrsets.flatMap((rrset) => {
    const other = others.find(({ type }) => type === rrset.type)
    if (other === undefined || other.ttl !== rrset.ttl) return [rrset]
    const parts = rrset.parts.filter(({ data }) => !holds(other.parts, data))
    return parts.length === 0 ? [] : [{ ...rrset, parts }]
  })
}

function holds(parts: readonly Part[], data: Uint8Array): boolean {
  const part = parts[position(parts, data, 0).at]
  return part !== undefined && Buffer.compare(part.data, data) === 0
}

/** Where a datum with a TTL is in the order of octets and then TTLs, or would be. */
function position(parts: readonly Part[], data: Uint8Array, ttl: number): { at: number; found: boolean } {
  let low = 0
  let high = parts.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const part = parts[middle]!
    const order = Buffer.compare(part.data, data) || part.ttl - ttl
    if (order === 0) return { at: middle, found: true }
    if (order < 0) low = middle + 1
    else high = middle
  }
  return { at: low, found: false }
}
