import { reasonOf } from '../base/errors.ts'
import { addressOctets } from '../base/ip.ts'
import type { ZoneData } from '../store/zone.ts'
import { parseMasterFile } from '../wire/masterFile.ts'
import type { ResourceRecord } from '../wire/message.ts'
import { Name, parentKey } from '../wire/name.ts'
import { parseRdata } from '../wire/presentation.ts'
import { CLASS, TYPE, typeNumber } from '../wire/registry.ts'
import { SPECIAL_DOMAINS, type SpecialDomain } from './special.ts'
import { Zone, type ZoneSource } from './zone.ts'

/** What makes a household's zone: its own name, and that of the server that answers for it. */
export interface ZoneOptions {
  /** The apex: `home.arpa`, or an owned public domain. Lower-case, no final dot. */
  domain: string
  /** Name server of every zone here: `gateway.home.arpa`. */
  gatewayName: string
}

/** Seconds. A change at home must show within a minute, so nothing may be kept for longer. */
export const HOST_TTL = 60

/** For secondaries; a home's zone is small, so asking often costs nothing. Seconds. */
const SOA_TIMERS = { refresh: 3600, retry: 600, expire: 604800, minimum: HOST_TTL }

/** Every zone answered for, as it was at one moment. */
export class Snapshot {
  readonly #zones: ReadonlyMap<string, Zone>

  constructor(zones: readonly Zone[]) {
    this.#zones = new Map(zones.map((zone) => [zone.apex.key, zone]))
  }

  /** The zone with the longest apex at or above the name; null if the name is not ours to answer. */
  find(name: Name): Zone | null {
    for (let key = name.key; key !== Name.root.key; key = parentKey(key)) {
      const zone = this.#zones.get(key)
      if (zone !== undefined) return zone
    }
    return null
  }
}

/**
 * Makes the zones of a household: its own, the reverse zones with its PTR records, the special names.
 *
 * Never throws: what a row says wrongly, or what contradicts a host's name, is left out and told in
 * `problems`, one sentence each, so that one bad row does not silence the home's names.
 */
export function buildSnapshot(
  data: ZoneData,
  options: ZoneOptions,
): { snapshot: Snapshot; problems: string[] } {
  const household = Name.parse(options.domain)
  const gateway = Name.parse(options.gatewayName)
  const soa = parseRdata(TYPE.SOA, soaText(options, data.serial), absolute)
  const problems: string[] = []

  // 1. Drafts of all zones, each with its SOA and NS. The household's takes the place of a special one.
  const drafts = new Map<string, ZoneDraft>()
  for (const domain of SPECIAL_DOMAINS) {
    const draft = new ZoneDraft(Name.parse(domain.apex), 'special', domain)
    drafts.set(draft.apex.key, draft)
  }
  drafts.set(household.key, new ZoneDraft(household, 'zone', { denial: 'ordinary' }))
  for (const draft of drafts.values()) {
    draft.add(draft.apex, TYPE.SOA, HOST_TTL, soa)
    draft.add(draft.apex, TYPE.NS, HOST_TTL, Buffer.from(gateway.wire, 'latin1'))
  }
  const draftFor = (name: Name): ZoneDraft | null => {
    for (let key = name.key; key !== Name.root.key; key = parentKey(key)) {
      const draft = drafts.get(key)
      if (draft !== undefined) return draft
    }
    return null
  }

  // 2. Hosts: addresses forward, and a PTR back wherever the address is a private one.
  const hosts = new Set<string>()
  for (const host of data.hosts) {
    try {
      const name = Name.parse(host.name)
      const draft = draftFor(name)
      hosts.add(name.key)
      if (draft === null || draft.apex !== household) throw new Error(`it is not in ${options.domain}`)
      for (const address of host.addresses) {
        const octets = addressOctets(address)
        if (octets === null) throw new Error(`"${address}" is no IP address`)
        draft.add(name, octets.length === 4 ? TYPE.A : TYPE.AAAA, HOST_TTL, octets)
        const reverse = reverseName(octets)
        draftFor(reverse)?.add(reverse, TYPE.PTR, HOST_TTL, Buffer.from(name.wire, 'latin1'))
      }
    } catch (error) {
      problems.push(`the host ${host.name} is left out: ${reasonOf(error)}`)
    }
  }

  // 3. Records by hand.
  for (const { owner, type, ttl, data: text } of data.records) {
    try {
      const name = Name.parse(owner)
      const draft = draftFor(name)
      const number = typeNumber(type)
      if (draft === null) throw new Error('its owner is in none of the zones answered here')
      if (number === null) throw new Error('its type is unknown')
      if (number === TYPE.CNAME && hosts.has(name.key))
        throw new Error('the owner is a device with addresses')
      draft.add(name, number, ttl, parseRdata(number, text, absolute))
    } catch (error) {
      problems.push(`the record ${owner} ${type} is left out: ${reasonOf(error)}`)
    }
  }

  return { snapshot: new Snapshot([...drafts.values()].map((draft) => draft.finish())), problems }
}

/** The RDATA of the SOA that every zone here has. Serials are compared modulo 2^32 (RFC 1982). */
export function soaText({ domain, gatewayName }: ZoneOptions, serial: number): string {
  const { refresh, retry, expire, minimum } = SOA_TIMERS
  return `${gatewayName}. hostmaster.${domain}. ${serial % 2 ** 32} ${refresh} ${retry} ${expire} ${minimum}`
}

/** `192.168.1.20` as `20.1.168.192.in-addr.arpa`, and IPv6 in nibbles below `ip6.arpa` (RFC 3596 section 2.5). */
function reverseName(octets: Uint8Array): Name {
  if (octets.length === 4) return Name.parse(`${[...octets].reverse().join('.')}.in-addr.arpa`)
  const nibbles = Buffer.from(octets).toString('hex').split('')
  return Name.parse(`${nibbles.reverse().join('.')}.ip6.arpa`)
}

/** A zone while its records are gathered. */
class ZoneDraft {
  readonly apex: Name
  readonly #source: ZoneSource
  readonly #denial: SpecialDomain['denial']
  readonly #records: ResourceRecord[]

  constructor(apex: Name, source: ZoneSource, { denial, records = '' }: Omit<SpecialDomain, 'apex'>) {
    this.apex = apex
    this.#source = source
    this.#denial = denial
    this.#records = parseMasterFile(records, { origin: apex, defaultTtl: HOST_TTL })
  }

  add(name: Name, type: number, ttl: number, data: Uint8Array): void {
    this.#records.push({ name, type, class: CLASS.IN, ttl, data })
  }

  finish(): Zone {
    return new Zone(this.apex, this.#records, { denial: this.#denial, source: this.#source })
  }
}

const absolute = (text: string): Name => Name.parse(text)
