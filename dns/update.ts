import { HearthError } from '../base/errors.ts'
import type { ZoneRecord } from '../store/records.ts'
import type { Message, ResourceRecord } from '../wire/message.ts'
import type { Name } from '../wire/name.ts'
import { printRdata } from '../wire/presentation.ts'
import { fieldsOf, splitRdata } from '../wire/rdata.ts'
import { CLASS, isMetaType, type RCODE, TYPE, typeName } from '../wire/registry.ts'

/**
 * Why an update is not carried out. The code is the name of the rcode, and the message is for the log: a
 * client is told the rcode and, if it speaks EDNS, the message too.
 */
export class UpdateError extends HearthError<Exclude<keyof typeof RCODE, 'NOERROR'>> {}

/** A zone as an update finds it. Records of a name are asked for under its name in lower case. */
export interface UpdateZone {
  apex: Name
  /** What the gateway makes itself: SOA and NS of the zone, records of devices and of leases. No update changes them. */
  made: (owner: Name) => readonly ResourceRecord[]
  /** What people and updates have put there, and an update may change. */
  kept: (owner: Name) => readonly ResourceRecord[]
  /** Why an update may not add anything to a name; null if it may. */
  refusal: (owner: Name) => string | null
}

/** What an update comes to. A record whose TTL alone is new is among those added. */
export interface UpdatePlan {
  removed: ZoneRecord[]
  added: ZoneRecord[]
}

/**
 * Works out what an update does to a zone, all of it or, with an error, nothing.
 *
 * Prerequisites see everything in the zone. What the gateway makes itself stays: adding what is there
 * already changes nothing, and anything else that would change it is REFUSED. Whether the new records are
 * ones that a zone can have is for the caller to judge, who knows all of them.
 *
 * @throws {UpdateError}
 * @see RFC 2136 sections 3.2 and 3.4.
 */
export function planUpdate(message: Message, zone: UpdateZone): UpdatePlan {
  // RFC 2136 section 2: the sections of an update have names of their own.
  const { answers: prerequisites, authorities: updates } = message
  checkPrerequisites(prerequisites, zone)
  prescan(updates, zone)
  const draft = new Draft(zone)
  for (const update of updates) draft.apply(update)
  return draft.plan()
}

/**
 * The name of the zone that an update is for.
 *
 * @throws {UpdateError} FORMERR if there is not exactly one (RFC 2136 section 3.1).
 */
export function zoneOfUpdate({ questions }: Message): Name {
  const [zone, ...more] = questions
  if (zone === undefined || more.length > 0 || zone.type !== TYPE.SOA) {
    throw new UpdateError('FORMERR', 'an update names exactly one zone, by the type SOA')
  }
  if (zone.class !== CLASS.IN) throw new UpdateError('NOTAUTH', 'the zones here are of class IN')
  return zone.name.toLowerCase()
}

/** RFC 2136 section 3.2.5. */
function checkPrerequisites(prerequisites: readonly ResourceRecord[], zone: UpdateZone): void {
  const wanted = new Map<string, { owner: Name; type: number; data: Set<string> }>()
  for (const record of prerequisites) {
    const { name, type, class: kind, ttl, data } = record
    const owner = inZone(name, zone)
    const isEmpty = ttl === 0 && data.length === 0
    if (kind === CLASS.IN && ttl === 0 && !isMetaType(type)) {
      const key = `${type} ${owner.key}`
      const rrset = wanted.get(key) ?? { owner, type, data: new Set() }
      rrset.data.add(identity(record))
      wanted.set(key, rrset)
    } else if (kind === CLASS.ANY && isEmpty) {
      if (type === TYPE.ANY && recordsAt(owner, zone).length === 0) {
        throw new UpdateError('NXDOMAIN', `${owner} is not in use`)
      }
      if (type !== TYPE.ANY && rrsetAt(owner, type, zone).length === 0) {
        throw new UpdateError('NXRRSET', `${owner} has no ${typeName(type)}`)
      }
    } else if (kind === CLASS.NONE && isEmpty) {
      if (type === TYPE.ANY && recordsAt(owner, zone).length > 0) {
        throw new UpdateError('YXDOMAIN', `${owner} is in use`)
      }
      if (type !== TYPE.ANY && rrsetAt(owner, type, zone).length > 0) {
        throw new UpdateError('YXRRSET', `${owner} has a ${typeName(type)}`)
      }
    } else {
      throw new UpdateError('FORMERR', `the prerequisite on ${owner} has no known form`)
    }
  }
  for (const { owner, type, data } of wanted.values()) {
    const there = new Set(rrsetAt(owner, type, zone).map(identity))
    if (there.size !== data.size || ![...data].every((datum) => there.has(datum))) {
      throw new UpdateError('NXRRSET', `the ${typeName(type)} of ${owner} are others`)
    }
  }
}

/** RFC 2136 section 3.4.1.3. */
function prescan(updates: readonly ResourceRecord[], zone: UpdateZone): void {
  for (const { name, type, class: kind, ttl, data } of updates) {
    const owner = inZone(name, zone)
    const isGood =
      (kind === CLASS.IN && !isMetaType(type)) ||
      (kind === CLASS.ANY && ttl === 0 && data.length === 0 && (type === TYPE.ANY || !isMetaType(type))) ||
      (kind === CLASS.NONE && ttl === 0 && !isMetaType(type))
    if (!isGood) throw new UpdateError('FORMERR', `the change of ${owner} has no known form`)
  }
}

function inZone(name: Name, { apex }: UpdateZone): Name {
  if (!name.isAtOrBelow(apex)) throw new UpdateError('NOTZONE', `${name} is not in ${apex}`)
  return name.toLowerCase()
}

/** The zone while an update is applied to it. */
class Draft {
  readonly #zone: UpdateZone
  readonly #owners = new Map<string, OwnerDraft>()

  constructor(zone: UpdateZone) {
    this.#zone = zone
  }

  /** RFC 2136 section 3.4.2.7. */
  apply(update: ResourceRecord): void {
    const name = update.name.toLowerCase()
    const { type } = update
    const owner = this.#owner(name)
    // Whatever is said of them, SOA and NS of the zone stay: they are passed over, not refused.
    const isApexOwn = (type: number) =>
      name.key === this.#zone.apex.key && (type === TYPE.SOA || type === TYPE.NS)

    if (update.class === CLASS.IN) {
      this.#add(owner, { ...update, name, data: canonicalData(update) })
    } else if (type === TYPE.ANY) {
      const fixed = [...owner.made.values()].find((record) => !isApexOwn(record.type))
      if (fixed !== undefined) throw madeHere(fixed)
      owner.now.clear()
    } else if (isApexOwn(type)) {
      return
    } else if (update.class === CLASS.ANY) {
      const fixed = [...owner.made.values()].find((record) => record.type === type)
      if (fixed !== undefined) throw madeHere(fixed)
      for (const [id, record] of owner.now) if (record.type === type) owner.now.delete(id)
    } else {
      const fixed = owner.made.get(identity(update))
      if (fixed !== undefined) throw madeHere(fixed)
      owner.now.delete(identity(update))
    }
  }

  plan(): UpdatePlan {
    const removed: ZoneRecord[] = []
    const added: ZoneRecord[] = []
    for (const { before, now } of this.#owners.values()) {
      for (const [id, record] of before) if (!now.has(id)) removed.push(asKept(record))
      for (const [id, record] of now) if (before.get(id)?.ttl !== record.ttl) added.push(asKept(record))
    }
    return { removed, added }
  }

  #add(owner: OwnerDraft, record: ResourceRecord): void {
    const { type, ttl } = record
    const made = [...owner.made.values()]
    if (owner.made.has(identity(record))) return
    if (type === TYPE.SOA) {
      const soa = made.find((other) => other.type === TYPE.SOA)
      if (soa === undefined || !isNewer(serialOf(record), serialOf(soa))) return
    }
    const isAlias = type === TYPE.CNAME
    if ([...made, ...owner.now.values()].some((other) => (other.type === TYPE.CNAME) !== isAlias)) return
    const fixed = made.find((other) => other.type === type)
    if (fixed !== undefined) throw madeHere(fixed)
    const refusal = this.#zone.refusal(record.name)
    if (refusal !== null) throw new UpdateError('REFUSED', refusal)

    if (isAlias) owner.now.clear()
    owner.now.set(identity(record), record)
    // The TTL of one is that of all (RFC 2181 section 5.2).
    for (const [id, other] of owner.now) {
      if (other.type === type && other.ttl !== ttl) owner.now.set(id, { ...other, ttl })
    }
  }

  #owner(name: Name): OwnerDraft {
    const existing = this.#owners.get(name.key)
    if (existing !== undefined) return existing
    const kept = byIdentity(this.#zone.kept(name))
    const owner = { made: byIdentity(this.#zone.made(name)), before: kept, now: new Map(kept) }
    this.#owners.set(name.key, owner)
    return owner
  }
}

/** The records of one name by what tells them apart: those that stay, those that were, and those that will be. */
interface OwnerDraft {
  made: ReadonlyMap<string, ResourceRecord>
  before: ReadonlyMap<string, ResourceRecord>
  now: Map<string, ResourceRecord>
}

function madeHere({ name, type }: ResourceRecord): UpdateError {
  return new UpdateError('REFUSED', `the ${typeName(type)} of ${name} is made by the gateway itself`)
}

function recordsAt(owner: Name, zone: UpdateZone): ResourceRecord[] {
  return [...zone.made(owner), ...zone.kept(owner)]
}

function rrsetAt(owner: Name, type: number, zone: UpdateZone): ResourceRecord[] {
  return recordsAt(owner, zone).filter((record) => record.type === type)
}

function byIdentity(records: readonly ResourceRecord[]): Map<string, ResourceRecord> {
  return new Map(records.map((record) => [identity(record), record]))
}

/** What tells one record of a name from another: its type and its data, names without their case. */
function identity(record: ResourceRecord): string {
  return `${record.type} ${canonicalData(record).toString('latin1')}`
}

/** RDATA with its names in the one case that is kept. */
function canonicalData({ type, data }: ResourceRecord): Buffer {
  const fields = fieldsOf(type)
  if (fields === null || !fields.includes('name')) return Buffer.from(data)
  return Buffer.concat(
    splitRdata(data, fields).map(({ name, octets }) =>
      name === undefined ? octets : Buffer.from(name.key, 'latin1'),
    ),
  )
}

/** RFC 1982 section 3.2, of 32 bits. */
function isNewer(serial: number, than: number): boolean {
  const distance = (serial - than) >>> 0
  return distance > 0 && distance < 2 ** 31
}

function serialOf({ data }: ResourceRecord): number {
  return Buffer.from(data).readUInt32BE(data.length - 20)
}

function asKept({ name, type, ttl, data }: ResourceRecord): ZoneRecord {
  const owner = name.toString().replace(/\.$/, '')
  return { owner, type: typeName(type), ttl, data: printRdata(type, data) }
}
