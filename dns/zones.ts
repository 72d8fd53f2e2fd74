import { reasonOf } from '../base/errors.ts'
import type { ZoneRecord } from '../store/records.ts'
import type { ZoneData, ZoneHost, ZonePatch } from '../store/zone.ts'
import { parseMasterFile } from '../wire/masterFile.ts'
import type { ResourceRecord } from '../wire/message.ts'
import { Name, parentKey } from '../wire/name.ts'
import { parseRdata } from '../wire/presentation.ts'
import { CLASS, TYPE, typeNumber } from '../wire/registry.ts'
import { browsingRecords, type Designated, gatewayRecords } from './gatewayRecords.ts'
import { HOST_TTL, hostRecords } from './hostRecords.ts'
import { SPECIAL_DOMAINS, type SpecialDomain } from './special.ts'
import { Zone, type ZoneDelta, type ZoneSource } from './zone.ts'

/** What makes a household's zones. Names are lower-case without the final dot. */
export interface ZonesOptions {
  /** The apex: `home.arpa`, or an owned public domain. */
  domain: string
  /** Name server of every zone here: `gateway.home.arpa`. */
  gatewayName: string
  /** Public domains of the household's of which single names are answered here. */
  overrides: readonly string[]
  /** Domains that have upstreams of their own: not answered here, unless a closer zone is. */
  forwarded: readonly string[]
  /** The encrypted ways to the gateway that are told to resolvers (RFC 9462); null: there is none. */
  designated: Designated | null
}

/** What came of new data: one delta for each zone that changed, one sentence for each thing left out. */
export interface ZonesChange {
  deltas: ZoneDelta[]
  problems: string[]
}

const HOME_ARPA = Name.parse('home.arpa')

/** For secondaries; a home's zone is small, so asking often costs nothing. Seconds. */
const SOA_TIMERS = { refresh: 3600, retry: 600, expire: 604800, minimum: HOST_TTL }

/**
 * Every zone answered for: the household's own, the reverse zones with its PTR records, the names taken over
 * from public domains, the special names.
 *
 * Loaded whole once and then patched in place: a change costs what has changed, not what there is. Loading
 * never throws: what a row says wrongly, or what contradicts a device's name, is left out and told, so that
 * one bad row does not silence the home's names. However the data came to be, the zones are the same.
 */
export class Zones {
  readonly #options: ZonesOptions
  readonly #household: Zone
  readonly #gatewayName: Name
  readonly #soa: Uint8Array
  /** By apex key. Null for a domain that upstreams of its own are asked about. */
  readonly #zones = new Map<string, Zone | null>()
  readonly #hosts = new Map<string, ZoneHost>()
  readonly #records = new Map<string, ZoneRecord[]>()
  #serial = 0

  constructor(options: ZonesOptions) {
    this.#options = options
    this.#gatewayName = Name.parse(options.gatewayName)
    this.#soa = parseRdata(TYPE.SOA, soaText(options, 0), absolute)
    for (const domain of SPECIAL_DOMAINS) this.#open(Name.parse(domain.apex), 'special', domain)
    for (const domain of options.forwarded) {
      // The PTR records of the home's own devices are answered here all the same.
      if (isReverse(domain)) this.#open(Name.parse(domain), 'zone', { denial: 'name-by-name' })
      else this.#zones.set(Name.parse(domain).key, null)
    }
    for (const domain of options.overrides) {
      this.#open(Name.parse(domain), 'override', { denial: 'name-by-name' })
    }
    const domain = Name.parse(options.domain)
    this.#household = this.#open(domain, 'zone', { denial: 'ordinary' })
    this.#put(browsingRecords(domain, domain))
  }

  /** The zone that answers for a name: that with the longest apex at or above it; null if the name is not ours. */
  find(name: Name): Zone | null {
    const zone = this.#closest(name)
    return zone?.speaksOf(name) ? zone : null
  }

  /**
   * Whether it is the parent outside that answers, though the name is ours: that `home.arpa` has no DS can
   * be proven only by `arpa`, and without the proof a client that validates believes nothing at home.
   *
   * @see RFC 8375 section 4: the one exception to not forwarding such queries.
   */
  isParents(name: Name, type: number): boolean {
    return type === TYPE.DS && name.equals(HOME_ARPA)
  }

  /** Up to which change the zones say what the data says. */
  get serial(): number {
    return this.#serial
  }

  /** The SOA of a zone as it is now; null if there is no zone of this name. */
  soaOf(apex: Name): ResourceRecord | null {
    const zone = this.#zones.get(apex.key) ?? null
    return zone === null ? null : zone.soaAt(zone.serial)
  }

  /** Every zone, in no order. */
  *all(): Generator<Zone> {
    for (const zone of this.#zones.values()) if (zone !== null) yield zone
  }

  /** Makes the zones say what `data` says, and nothing of what was there before. */
  load({ serial, hosts, records }: ZoneData): ZonesChange {
    const ids = new Set(hosts.map(({ id }) => id))
    const byOwner = Map.groupBy(records, ({ owner }) => owner)
    return this.patch({
      serial,
      hosts: [
        ...[...this.#hosts.keys()].filter((id) => !ids.has(id)).map((id) => ({ id, host: null })),
        ...hosts.map((host) => ({ id: host.id, host })),
      ],
      owners: [...new Set([...this.#records.keys(), ...byOwner.keys()])].map((owner) => ({
        owner,
        records: byOwner.get(owner) ?? [],
      })),
    })
  }

  patch({ serial, hosts, owners }: ZonePatch): ZonesChange {
    const problems: string[] = []
    const untold: string[] = []
    for (const { id, host } of hosts) {
      const before = this.#hosts.get(id)
      if (before !== undefined) this.#take(this.#recordsOfHost(before, untold))
      if (host === null) {
        this.#hosts.delete(id)
      } else {
        this.#hosts.set(id, host)
        this.#put(this.#recordsOfHost(host, problems))
      }
    }
    for (const { owner, records } of owners) {
      this.#take(this.#recordsOfRows(this.#records.get(owner) ?? [], untold))
      if (records.length === 0) this.#records.delete(owner)
      else this.#records.set(owner, records)
      this.#put(this.#recordsOfRows(records, problems))
    }

    this.#serial = serial
    const deltas: ZoneDelta[] = []
    for (const zone of this.all()) {
      const { delta, hiddenAliases } = zone.commit(serial)
      if (delta !== null) deltas.push(delta)
      for (const name of hiddenAliases) {
        const owner = name.toString().slice(0, -1)
        problems.push(`the record ${owner} CNAME is left out: the name has other records too`)
      }
    }
    return { deltas, problems }
  }

  #open(apex: Name, source: ZoneSource, { denial, records = '' }: Omit<SpecialDomain, 'apex'>): Zone {
    const zone = new Zone(apex, { denial, source, soa: this.#soa, ttl: HOST_TTL })
    this.#zones.set(apex.key, zone)
    if (denial === 'name-by-name') return zone
    zone.add(apex, TYPE.NS, HOST_TTL, Buffer.from(this.#gatewayName.wire, 'latin1'))
    for (const { name, type, ttl, data } of parseMasterFile(records, {
      origin: apex,
      defaultTtl: HOST_TTL,
    })) {
      zone.add(name, type, ttl, data)
    }
    return zone
  }

  #closest(name: Name): Zone | null {
    for (let key = name.key; key !== Name.root.key; key = parentKey(key)) {
      const zone = this.#zones.get(key)
      if (zone !== undefined) return zone
    }
    return null
  }

  #put(records: Iterable<ResourceRecord>): void {
    for (const { name, type, ttl, data } of records) this.#closest(name)?.add(name, type, ttl, data)
  }

  #take(records: Iterable<ResourceRecord>): void {
    for (const { name, type, ttl, data } of records) this.#closest(name)?.remove(name, type, ttl, data)
  }

  /** What a device makes. The same device makes the same records, so that they can be taken back. */
  #recordsOfHost(host: ZoneHost, problems: string[]): ResourceRecord[] {
    const names: Name[] = []
    for (const text of host.names) {
      try {
        const name = Name.parse(text)
        if (this.#closest(name) !== this.#household) throw new Error(`it is not in ${this.#options.domain}`)
        names.push(name)
      } catch (error) {
        problems.push(`the host ${text} is left out: ${reasonOf(error)}`)
      }
    }
    const domain = this.#household.apex
    const made = hostRecords(host, { names, domain })
    problems.push(...made.problems)
    if (names[0]?.key !== this.#gatewayName.key) return made.records
    const { designated } = this.#options
    return [...made.records, ...gatewayRecords(host, names[0], { domain, designated })]
  }

  #recordsOfRows(rows: readonly ZoneRecord[], problems: string[]): ResourceRecord[] {
    return rows.flatMap(({ owner, type, ttl, data }) => {
      try {
        const name = Name.parse(owner)
        const number = typeNumber(type)
        if (this.#closest(name) === null) throw new Error('its owner is in none of the zones answered here')
        if (number === null) throw new Error('its type is unknown')
        return [{ name, type: number, class: CLASS.IN, ttl, data: parseRdata(number, data, absolute) }]
      } catch (error) {
        problems.push(`the record ${owner} ${type} is left out: ${reasonOf(error)}`)
        return []
      }
    })
  }
}

/** The RDATA of the SOA that every zone here has. */
export function soaText(
  { domain, gatewayName }: Pick<ZonesOptions, 'domain' | 'gatewayName'>,
  serial: number,
): string {
  const { refresh, retry, expire, minimum } = SOA_TIMERS
  return `${gatewayName}. hostmaster.${domain}. ${serial % 2 ** 32} ${refresh} ${retry} ${expire} ${minimum}`
}

const absolute = (text: string): Name => Name.parse(text)

function isReverse(domain: string): boolean {
  return domain.endsWith('.in-addr.arpa') || domain.endsWith('.ip6.arpa')
}
