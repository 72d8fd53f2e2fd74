import type { ResourceRecord } from '../wire/message.ts'
import { Name } from '../wire/name.ts'
import { EXTENDED_ERROR, RCODE, TYPE } from '../wire/registry.ts'
import type { Transfer } from './respond.ts'
import { REVERSE_APEXES, SPECIAL_DOMAINS } from './special.ts'
import type { Zone, ZoneDelta } from './zone.ts'
import type { Zones } from './zones.ts'

/** For each zone: what its secondaries can have missed and still get as differences. */
const MAX_DELTAS = 200
const MAX_JOURNAL_OCTETS = 1024 * 1024

/** Octets of records in one message of a transfer: well below the 64 KiB that a message may have, whatever is compressed. */
const PART_OCTETS = 16 * 1024

/**
 * Copies zones to their secondaries, whole (AXFR) or what has changed (IXFR).
 *
 * Which zones: the household's own and the reverse zones of private addresses. For whom: who signs with a
 * key that may. Over TCP and TLS only; a client that asks for differences by UDP is told the serial and comes
 * again over TCP.
 *
 * @see RFC 5936; RFC 1995.
 */
export class Transfers {
  readonly #zones: Zones
  readonly #apexes: ReadonlySet<string>
  readonly #journals = new Map<string, Journal>()
  /** Zones that are being copied, as they were at a serial: all transfers of it share one list. */
  readonly #copies = new Map<string, { serial: number; records: WeakRef<readonly ResourceRecord[]> }>()

  constructor({ zones, domain }: { zones: Zones; domain: string }) {
    this.#zones = zones
    this.#apexes = new Set([domain, ...REVERSE_APEXES.filter(isHomes)].map((apex) => Name.parse(apex).key))
  }

  /** The zones that secondaries are told about: those that can be copied and have anything in them. */
  *zones(): Generator<Zone> {
    for (const apex of this.#apexes) {
      const zone = this.#find(Name.fromWire(apex))
      if (zone !== null && hasRecords(zone)) yield zone
    }
  }

  /** Remembers how zones changed. @returns the apexes of those that secondaries may have. */
  note(deltas: readonly ZoneDelta[]): Name[] {
    const copied = deltas.filter(({ apex }) => this.#apexes.has(apex.key))
    for (const delta of copied) {
      const journal = this.#journals.get(delta.apex.key) ?? new Journal()
      this.#journals.set(delta.apex.key, journal)
      journal.add(delta)
    }
    return copied.map(({ apex }) => apex)
  }

  readonly transfer: Transfer = (question, { authorities }, { transport, signature }) => {
    const isStream = transport === 'tcp' || transport === 'tls'
    if (signature?.key.mayTransfer !== true) {
      return refused('copies of a zone are for servers with a key that may transfer')
    }
    if (!isStream && question.type === TYPE.AXFR) return refused('a zone is copied over TCP only')
    const zone = this.#find(question.name)
    if (zone === null) return { rcode: RCODE.NOTAUTH, extendedError: null, parts: [[]] }
    const soa = zone.soaAt(zone.serial)
    const current = serialOf(soa)

    if (question.type === TYPE.IXFR) {
      const theirs = authorities.find(({ name, type }) => type === TYPE.SOA && name.key === zone.apex.key)
      if (theirs === undefined) return { rcode: RCODE.FORMERR, extendedError: null, parts: [[]] }
      const serial = serialOf(theirs)
      // RFC 1995 sections 2 and 4: the SOA alone says "nothing newer", and by UDP also "come over TCP".
      if (!isStream || !isOlder(serial, current)) return records([[soa]])
      const difference = this.#journals.get(zone.apex.key)?.since(serial) ?? null
      const changes = difference === null ? 0 : difference.removed.length + difference.added.length
      const whole = this.#copy(zone)
      if (difference !== null && changes < whole.length) {
        const { fromSerial, removed, added } = difference
        return records(inParts([soa, zone.soaAt(fromSerial), ...removed, soa, ...added, soa]))
      }
    }
    return records(inParts([...this.#copy(zone), soa]))
  }

  #find(name: Name): Zone | null {
    const zone = this.#apexes.has(name.key) ? this.#zones.find(name) : null
    return zone?.apex.key === name.key ? zone : null
  }

  /** The zone itself changes in place while a slow secondary reads. */
  #copy(zone: Zone): readonly ResourceRecord[] {
    const kept = this.#copies.get(zone.apex.key)
    const known = kept?.serial === zone.serial ? kept.records.deref() : undefined
    if (known !== undefined) return known
    const copy = [...zone.records()]
    this.#copies.set(zone.apex.key, { serial: zone.serial, records: new WeakRef(copy) })
    return copy
  }
}

/** The last changes of a zone, oldest first; each begins where the one before ended. */
class Journal {
  #deltas: { delta: ZoneDelta; octets: number }[] = []
  #octets = 0

  add(delta: ZoneDelta): void {
    const last = this.#deltas.at(-1)?.delta
    if (last !== undefined && last.toSerial !== delta.fromSerial) {
      this.#deltas = []
      this.#octets = 0
    }
    const octets = [...delta.removed, ...delta.added].reduce((sum, record) => sum + octetsOf(record), 0)
    this.#deltas.push({ delta, octets })
    this.#octets += octets
    while (
      this.#deltas.length > MAX_DELTAS ||
      (this.#octets > MAX_JOURNAL_OCTETS && this.#deltas.length > 0)
    ) {
      this.#octets -= this.#deltas.shift()!.octets
    }
  }

  /**
   * All that changed since a serial as one difference, without what came and went in between, which RFC 1995
   * calls condensation; null if it is not remembered that far back.
   */
  since(serial: number): Omit<ZoneDelta, 'apex' | 'toSerial'> | null {
    const first = this.#deltas.findIndex(({ delta }) => delta.fromSerial % 2 ** 32 === serial)
    if (first < 0) return null
    const removed = new Map<string, ResourceRecord>()
    const added = new Map<string, ResourceRecord>()
    for (const { delta } of this.#deltas.slice(first)) {
      for (const record of delta.removed) {
        if (!added.delete(lineOf(record))) removed.set(lineOf(record), record)
      }
      for (const record of delta.added) {
        if (!removed.delete(lineOf(record))) added.set(lineOf(record), record)
      }
    }
    const { fromSerial } = this.#deltas[first]!.delta
    return { fromSerial, removed: [...removed.values()], added: [...added.values()] }
  }
}

function records(parts: Iterable<readonly ResourceRecord[]>) {
  return { rcode: RCODE.NOERROR, extendedError: null, parts }
}

function refused(text: string) {
  return {
    rcode: RCODE.REFUSED,
    extendedError: { code: EXTENDED_ERROR.PROHIBITED, text },
    parts: [[]],
  }
}

/** Cut into what one message each can hold. */
function* inParts(all: readonly ResourceRecord[]): Generator<readonly ResourceRecord[]> {
  let start = 0
  let octets = 0
  for (const [index, record] of all.entries()) {
    const more = octetsOf(record)
    if (octets > 0 && octets + more > PART_OCTETS) {
      yield all.slice(start, index)
      start = index
      octets = 0
    }
    octets += more
  }
  yield all.slice(start)
}

/** Without compression. */
function octetsOf({ name, data }: ResourceRecord): number {
  return name.wire.length + 10 + data.length
}

function lineOf({ name, type, ttl, data }: ResourceRecord): string {
  return `${type} ${ttl} ${name.key} ${Buffer.from(data).toString('latin1')}`
}

function serialOf({ data }: ResourceRecord): number {
  return Buffer.from(data).readUInt32BE(data.length - 20)
}

/** RFC 1982 section 3.2, of 32 bits. */
function isOlder(serial: number, than: number): boolean {
  const distance = (than - serial) >>> 0
  return distance > 0 && distance < 2 ** 31
}

/** Whether a zone has more than its SOA and its NS. */
function hasRecords(zone: Zone): boolean {
  let count = 0
  for (const _ of zone.records()) {
    count += 1
    if (count > 2) return true
  }
  return false
}

/** Zones whose records are fixed are the same in every name server. */
function isHomes(apex: string): boolean {
  return !SPECIAL_DOMAINS.some((domain) => domain.apex === apex && domain.records !== undefined)
}
