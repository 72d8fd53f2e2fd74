import { readInChunks } from './chunks.ts'
import type { Db } from './database.ts'
import { listRecords, listRecordsOf, type ZoneRecord } from './records.ts'
import type { Change, ChangeKind } from './schema.ts'
import { listServices, type Service } from './services.ts'

/** Everything that the DNS answers from, as plain data. */
export interface ZoneData {
  /** Grows with every change that the zone can show. */
  serial: number
  hosts: ZoneHost[]
  records: ZoneRecord[]
}

/** An active device with what the zone says of it. */
export interface ZoneHost {
  /** The device's. */
  id: string
  /** Absolute, lower-case, without the final dot; the first is the principal one. */
  names: string[]
  addresses: string[]
  /** Those of certificates that are neither expired nor revoked, each once. */
  keys: ZoneKey[]
  services: Service[]
}

/** A public key that a device has enrolled. */
export interface ZoneKey {
  /** Of its SubjectPublicKeyInfo, hexadecimal. */
  sha256: string
  /** When its last certificate ends. */
  until: number
}

/** What has changed in a zone: whole hosts and whole owners, as they are now. */
export interface ZonePatch {
  serial: number
  /** Null in place of a host that is in the zone no more. */
  hosts: { id: string; host: ZoneHost | null }[]
  /** No records for an owner that has none any more. */
  owners: { owner: string; records: ZoneRecord[] }[]
}

/** The subject of a `dns.changed` that is about more owners than are worth naming. */
export const ALL_OWNERS = '*'

const ZONE_CHANGES: readonly ChangeKind[] = [
  'device.added',
  'device.changed',
  'device.removed',
  'dns.changed',
  'certificate.issued',
  'certificate.revoked',
]

/** With more in one go than this, reading everything anew costs no more. */
const MAX_PATCH = 400

/** Whether a change can show in the zone. */
export function changesZone(change: Change): boolean {
  return ZONE_CHANGES.includes(change.kind)
}

/** The whole zone; `now` says which certificates are still good. */
export async function readZone(db: Db, now: number): Promise<ZoneData> {
  return { serial: await readSerial(db), hosts: await readHosts(db, now), records: await listRecords(db) }
}

/**
 * The devices that some names of the zone, however many, can have records from: those of these names and addresses, and
 * all that offer services, if wanted, since these are listed under names that are nobody's.
 */
export async function readHostsAround(
  db: Db,
  wanted: { names: readonly string[]; addresses: readonly string[]; services: boolean },
  now: number,
): Promise<Pick<ZoneData, 'serial' | 'hosts'>> {
  const ids = [
    ...(await holdersOf(db, wanted.names)),
    ...(await holdersOfAddresses(db, wanted.addresses)),
    ...(wanted.services ? await listServices(db) : []).map(({ deviceId }) => deviceId),
  ]
  return { serial: await readSerial(db), hosts: await readHosts(db, now, [...new Set(ids)]) }
}

async function readSerial(db: Db): Promise<number> {
  const last = await db
    .selectFrom('changes')
    .select('seq')
    .where('kind', 'in', ZONE_CHANGES)
    .orderBy('seq', 'desc')
    .limit(1)
    .executeTakeFirst()
  return last?.seq ?? 1
}

/**
 * Reads what some changes are about and nothing else.
 *
 * @returns null if they are about so much that `readZone` is the better way.
 */
export async function readZonePatch(
  db: Db,
  changes: readonly Change[],
  now: number,
): Promise<ZonePatch | null> {
  const relevant = changes.filter(changesZone)
  const subjects = (...kinds: ChangeKind[]): string[] => [
    ...new Set(relevant.filter(({ kind }) => kinds.includes(kind)).map(({ subject }) => subject)),
  ]
  const owners = subjects('dns.changed')
  if (relevant.length > MAX_PATCH || owners.includes(ALL_OWNERS)) return null

  const ids = [
    ...(await holdersOf(db, subjects('device.added', 'device.changed'))),
    ...(await formerHoldersOf(db, subjects('device.removed'))),
    ...(await holdersOfCertificates(db, subjects('certificate.issued', 'certificate.revoked'))),
  ]
  const deviceIds = [...new Set(ids)]
  const hosts = new Map((await readHosts(db, now, deviceIds)).map((host) => [host.id, host]))
  const records = Map.groupBy(await listRecordsOf(db, owners), ({ owner }) => owner)
  return {
    serial: Math.max(1, ...relevant.map(({ seq }) => seq)),
    hosts: deviceIds.map((id) => ({ id, host: hosts.get(id) ?? null })),
    owners: owners.map((owner) => ({ owner, records: records.get(owner) ?? [] })),
  }
}

/** Active devices that have a name, in the order of their principal names: all, or those with one of `ids`. */
async function readHosts(db: Db, now: number, ids?: readonly string[]): Promise<ZoneHost[]> {
  if (ids?.length === 0) return []
  const some = ids ?? []
  const all = ids === undefined
  const devices = await db
    .selectFrom('devices')
    .select('id')
    .where('state', '=', 'active')
    .$if(!all, (query) => query.where('id', 'in', some))
    .execute()
  const names = await db
    .selectFrom('device_names')
    .select(['device_id', 'name'])
    .where('until', 'is', null)
    .$if(!all, (query) => query.where('device_id', 'in', some))
    .orderBy('id')
    .execute()
  const addresses = await db
    .selectFrom('device_addresses')
    .select(['device_id', 'address'])
    .where('until', 'is', null)
    .$if(!all, (query) => query.where('device_id', 'in', some))
    .orderBy('id')
    .execute()
  const keys = await db
    .selectFrom('certificates')
    .select(['device_id', 'spki_sha256', (columns) => columns.fn.max('not_after').as('until')])
    .where('device_id', 'is not', null)
    .where('revoked_at', 'is', null)
    .where('not_after', '>', now)
    .$if(!all, (query) => query.where('device_id', 'in', some))
    .groupBy(['device_id', 'spki_sha256'])
    .execute()
  const namesOf = Map.groupBy(names, (row) => row.device_id)
  const addressesOf = Map.groupBy(addresses, (row) => row.device_id)
  const keysOf = Map.groupBy(keys, (row) => row.device_id!)
  const servicesOf = Map.groupBy(await listServices(db, ids), (service) => service.deviceId)
  return devices
    .map(
      ({ id }): ZoneHost => ({
        id,
        names: (namesOf.get(id) ?? []).map(({ name }) => name),
        addresses: (addressesOf.get(id) ?? []).map(({ address }) => address),
        keys: (keysOf.get(id) ?? []).map((row) => ({
          sha256: row.spki_sha256.toString('hex'),
          until: row.until,
        })),
        services: (servicesOf.get(id) ?? []).map(({ deviceId: _, ...service }) => service),
      }),
    )
    .filter(({ names: [principal] }) => principal !== undefined)
    .sort((a, b) => (a.names[0]! < b.names[0]! ? -1 : 1))
}

async function holdersOf(db: Db, names: readonly string[]): Promise<string[]> {
  const rows = await readInChunks(names, (chunk) =>
    db
      .selectFrom('device_names')
      .select('device_id')
      .where('name', 'in', chunk)
      .where('until', 'is', null)
      .execute(),
  )
  return rows.map((row) => row.device_id)
}

async function holdersOfAddresses(db: Db, addresses: readonly string[]): Promise<string[]> {
  const rows = await readInChunks(addresses, (chunk) =>
    db
      .selectFrom('device_addresses')
      .select('device_id')
      .where('address', 'in', chunk)
      .where('until', 'is', null)
      .execute(),
  )
  return rows.map((row) => row.device_id)
}

/** Every device that ever had one of the names. */
async function formerHoldersOf(db: Db, names: readonly string[]): Promise<string[]> {
  if (names.length === 0) return []
  const rows = await db
    .selectFrom('device_names')
    .select('device_id')
    .distinct()
    .where('name', 'in', names)
    .execute()
  return rows.map((row) => row.device_id)
}

async function holdersOfCertificates(db: Db, serials: readonly string[]): Promise<string[]> {
  if (serials.length === 0) return []
  const rows = await db
    .selectFrom('certificates')
    .select('device_id')
    .distinct()
    .where('serial', 'in', serials)
    .where('device_id', 'is not', null)
    .execute()
  return rows.map((row) => row.device_id!)
}
