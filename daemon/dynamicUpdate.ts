import { addressText, canonicalAddress } from '../base/ip.ts'
import type { Log } from '../base/log.ts'
import { checkKeptForm, RecordError } from '../dns/records.ts'
import { REVERSE_APEXES } from '../dns/special.ts'
import { planUpdate, UpdateError, type UpdatePlan, zoneOfUpdate } from '../dns/update.ts'
import type { UpdateRequest, UpdateResult } from '../dns/updateGate.ts'
import { Zones, type ZonesOptions } from '../dns/zones.ts'
import { isAskedByPrograms } from '../enrollment/names.ts'
import { findCertifiedNames } from '../store/certificates.ts'
import type { Store, Tx } from '../store/database.ts'
import { findHeldNames } from '../store/devices.ts'
import {
  octetsOf,
  putRecords,
  readRecordsOf,
  readSurroundings,
  removeRecords,
  type SourcedRecord,
  type ZoneRecord,
} from '../store/records.ts'
import { ALL_OWNERS, readHostsAround } from '../store/zone.ts'
import { decodeMessage, type Message, type ResourceRecord } from '../wire/message.ts'
import { Name, parentKey } from '../wire/name.ts'
import { parseRdata } from '../wire/presentation.ts'
import { CLASS, RCODE, TYPE, typeNumber } from '../wire/registry.ts'

export interface DynamicUpdatesOptions {
  store: Store
  /** As the DNS has them. */
  zones: ZonesOptions
  log: Log
}

/** With more owners in one update than this, the zone is read anew as a whole. */
const MAX_NAMED_OWNERS = 100

/** What leads whoever asks for a name to some host. */
const POINTING_TYPES: ReadonlySet<string> = new Set(['A', 'AAAA', 'CNAME', 'NS', 'HTTPS', 'SVCB'])

/** What of an update an audit row tells. */
const MAX_DETAIL = 1000

/**
 * Carries dynamic updates out, each in one transaction: what it sees is what it changes, and when it is
 * answered it is durable and in the DNS.
 */
export class DynamicUpdates {
  readonly #store: Store
  readonly #options: ZonesOptions
  readonly #log: Log
  readonly #apexes: ReadonlySet<string>
  /** Zones with nothing in them but the devices that the update under way is about. */
  readonly #zones: Zones

  constructor({ store, zones, log }: DynamicUpdatesOptions) {
    this.#store = store
    this.#options = zones
    this.#log = log
    this.#apexes = new Set([zones.domain, ...REVERSE_APEXES].map((apex) => Name.parse(apex).key))
    this.#zones = new Zones(zones)
  }

  /** Does it, or says why not. */
  async apply(request: UpdateRequest): Promise<UpdateResult> {
    const { key, client } = request
    try {
      const message = decodeMessage(request.octets)
      const apex = zoneOfUpdate(message)
      if (!this.#apexes.has(apex.key)) throw new UpdateError('NOTAUTH', `${apex} is no zone of this gateway`)
      await this.#store.transaction((tx) => this.#carryOut(tx, message, apex, request))
      return { rcode: RCODE.NOERROR, reason: null }
    } catch (error) {
      if (!(error instanceof UpdateError)) throw error
      const level = error.code === 'REFUSED' ? 'warn' : 'debug'
      this.#log[level]({ tsigKey: key, client, rcode: error.code, reason: error.message }, 'update refused')
      return { rcode: RCODE[error.code], reason: error.message }
    }
  }

  async #carryOut(tx: Tx, message: Message, apex: Name, request: UpdateRequest): Promise<void> {
    // 1. What is there: records of the owners in question, and what their devices make. Nothing is read for
    //    names outside the zone: the plan refuses them unseen.
    const inQuestion = [...message.answers, ...message.authorities].map(({ name }) => name)
    const names = [...new Map(inQuestion.map((name) => [name.key, name])).values()].filter((name) =>
      name.isAtOrBelow(apex),
    )
    const { records, total, octets } = await readRecordsOf(tx.db, names.map(ownerText))
    const { serial, hosts } = await readHostsAround(tx.db, around(names, apex), tx.now)

    // 2. What becomes of it. From here to the end of the plan nothing waits, so that no other update comes between.
    this.#zones.load({ serial, hosts, records: [] })
    const zone = this.#zones.find(apex)
    if (zone?.apex.key !== apex.key) throw new UpdateError('NOTAUTH', `${apex} is no zone of this gateway`)
    const soa = zone.soaAt(serial === request.seenSerial ? request.zoneSerial : serial)
    const kept = Map.groupBy(records.filter(({ source }) => source !== 'lease').map(readRow), keyOf)
    const leased = Map.groupBy(records.filter(({ source }) => source === 'lease').map(readRow), keyOf)
    const plan = planUpdate(message, {
      apex,
      made: (owner) => [
        ...zone.at(owner).map((record) => (record.type === TYPE.SOA ? soa : record)),
        ...(leased.get(owner.key) ?? []),
      ],
      kept: (owner) => kept.get(owner.key) ?? [],
      refusal: (owner) => this.#refusal(ownerText(owner)),
    })
    if (plan.added.length + plan.removed.length === 0) return

    // 3. Whether these names are free to be given, and a zone can have that.
    await refuseNamesOfDevices(tx, plan)
    const gone = new Set(plan.removed.map(line))
    const others = records.filter((record) => !gone.has(line(record)))
    const deviceNames = hosts.flatMap(({ names }) => names)
    for (const { owner, type } of plan.added) {
      if (type === 'NS') deviceNames.push(...(await readSurroundings(tx.db, owner)).deviceNames)
    }
    try {
      checkKeptForm(
        plan.added,
        {
          deviceNames,
          records: others,
          total: total - plan.removed.length,
          octets: octets - octetsOf(plan.removed),
        },
        this.#options,
      )
    } catch (error) {
      if (error instanceof RecordError) throw new UpdateError('REFUSED', error.message, { cause: error })
      throw error
    }

    // 4. Done.
    await removeRecords(tx, plan.removed)
    await putRecords(tx, plan.added, 'update')
    const changed = new Set([...plan.removed, ...plan.added].map(({ owner }) => owner))
    for (const owner of changed.size > MAX_NAMED_OWNERS ? [ALL_OWNERS] : changed) {
      await tx.change('dns.changed', owner)
    }
    await tx.audit({
      actor: `key ${request.key} (${request.client})`,
      action: 'dns.update',
      subject: changed.size === 1 ? [...changed][0]! : ownerText(apex),
      outcome: 'done',
      detail: describe(plan),
    })
  }

  #refusal(owner: string): string | null {
    const { domain, gatewayName } = this.#options
    if (owner === gatewayName) return `${owner} is the gateway itself`
    if (isAskedByPrograms(owner, domain)) return `${owner} is reserved: programs give it a meaning of its own`
    return null
  }
}

/**
 * A name of a device is that device's alone, also while it has no address or is suspended, and as long as a
 * browser may still believe a certificate of one that was removed.
 */
async function refuseNamesOfDevices(tx: Tx, { added }: UpdatePlan): Promise<void> {
  const names = added.filter(({ type }) => POINTING_TYPES.has(type)).map(({ owner }) => owner)
  const held = await findHeldNames(tx.db, names)
  const certified = await findCertifiedNames(tx.db, names, tx.now)
  const taken = names.find((name) => held.has(name) || certified.has(name))
  if (taken !== undefined) {
    throw new UpdateError(
      'REFUSED',
      `${taken} is, or was, a device's name: only that device has addresses there`,
    )
  }
}

/**
 * Devices that can have records at these owners of a zone: at the name itself, or at a name below one of the
 * device's.
 */
function around(names: readonly Name[], apex: Name) {
  const keys = new Set<string>()
  for (const { key: owner } of names) {
    for (let key = owner; key.length > apex.key.length && !keys.has(key); key = parentKey(key)) keys.add(key)
  }
  const owners = names.map(ownerText)
  return {
    names: [...keys].map((key) => ownerText(Name.fromWire(key))),
    addresses: owners.flatMap((owner) => addressOf(owner) ?? []),
    services: owners.some((owner) => owner.startsWith('_') || owner.includes('._')),
  }
}

/** The address that a reverse name stands for; null for any other name. */
function addressOf(owner: string): string | null {
  const four = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\.in-addr\.arpa$/.exec(owner)
  if (four !== null) return canonicalAddress(four.slice(1).reverse().join('.'))
  const nibbles = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(owner)?.[1]
  if (nibbles === undefined) return null
  return addressText(Buffer.from(nibbles.split('.').reverse().join(''), 'hex'))
}

const keyOf = ({ name }: ResourceRecord): string => name.key

function readRow({ owner, type, ttl, data }: SourcedRecord): ResourceRecord {
  const number = typeNumber(type)!
  return {
    name: Name.parse(owner),
    type: number,
    class: CLASS.IN,
    ttl,
    data: parseRdata(number, data, Name.parse),
  }
}

const line = ({ owner, type, data }: ZoneRecord): string => `${owner} ${type} ${data}`

function describe({ removed, added }: UpdatePlan): string {
  const parts = [...removed.map((record) => `-${line(record)}`), ...added.map((record) => `+${line(record)}`)]
  return parts.join('; ').slice(0, MAX_DETAIL)
}

function ownerText(name: Name): string {
  return name.toLowerCase().toString().replace(/\.$/, '')
}
