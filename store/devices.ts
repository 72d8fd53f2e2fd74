import { readInChunks } from './chunks.ts'
import type { Db, Tx } from './database.ts'
import { newId } from './id.ts'
import type { DeviceRow } from './schema.ts'

/** A device with what is its own at this moment. The first name is its principal one. */
export interface Device extends DeviceRow {
  names: string[]
  addresses: string[]
}

export async function insertDevice(
  tx: Tx,
  device: { kind: DeviceRow['kind']; profile: string; names: string[]; addresses: string[] },
): Promise<string> {
  const id = newId(tx.now)
  await tx.db
    .insertInto('devices')
    .values({
      id,
      kind: device.kind,
      state: 'active',
      profile: device.profile,
      created_at: tx.now,
      removed_at: null,
    })
    .execute()
  for (const name of device.names) await openName(tx, id, name)
  for (const address of device.addresses) await openAddress(tx, id, address)
  return id
}

/** Every device that was not removed, the gateway first, then by name. */
export async function listDevices(db: Db): Promise<Device[]> {
  const rows = await db.selectFrom('devices').selectAll().where('state', '<>', 'removed').execute()
  const devices = await withBelongings(db, rows)
  return devices.sort(
    (a, b) => Number(b.kind === 'gateway') - Number(a.kind === 'gateway') || order(a.names[0], b.names[0]),
  )
}

export async function findDevice(db: Db, id: string): Promise<Device | null> {
  const rows = await db.selectFrom('devices').selectAll().where('id', '=', id).execute()
  return (await withBelongings(db, rows))[0] ?? null
}

export async function findDeviceByName(db: Db, name: string): Promise<Device | null> {
  const row = await db
    .selectFrom('device_names')
    .select('device_id')
    .where('name', '=', name)
    .where('until', 'is', null)
    .executeTakeFirst()
  return row === undefined ? null : findDevice(db, row.device_id)
}

/** Which of some names, however many, belong to devices, suspended ones too. */
export async function findHeldNames(db: Db, names: readonly string[]): Promise<Set<string>> {
  const rows = await readInChunks(names, (chunk) =>
    db
      .selectFrom('device_names')
      .select('name')
      .where('name', 'in', chunk)
      .where('until', 'is', null)
      .execute(),
  )
  return new Set(rows.map(({ name }) => name))
}

/** The same for addresses. */
export async function findHeldAddresses(db: Db, addresses: readonly string[]): Promise<Set<string>> {
  const rows = await readInChunks(addresses, (chunk) =>
    db
      .selectFrom('device_addresses')
      .select('address')
      .where('address', 'in', chunk)
      .where('until', 'is', null)
      .execute(),
  )
  return new Set(rows.map(({ address }) => address))
}

/** A device that has this address now, or null. */
export async function findDeviceByAddress(db: Db, address: string): Promise<Device | null> {
  const row = await db
    .selectFrom('device_addresses')
    .select('device_id')
    .where('address', '=', address)
    .where('until', 'is', null)
    .executeTakeFirst()
  return row === undefined ? null : findDevice(db, row.device_id)
}

/** The gateway's own record; null before the first start has made it. */
export async function findGatewayDevice(db: Db): Promise<Device | null> {
  const rows = await db.selectFrom('devices').selectAll().where('kind', '=', 'gateway').execute()
  return (await withBelongings(db, rows))[0] ?? null
}

/** Makes `addresses` the device's addresses; true if that changed anything. */
export async function replaceAddresses(tx: Tx, device: Device, addresses: string[]): Promise<boolean> {
  const gone = device.addresses.filter((address) => !addresses.includes(address))
  const added = addresses.filter((address) => !device.addresses.includes(address))
  if (gone.length > 0) {
    await tx.db
      .updateTable('device_addresses')
      .set({ until: tx.now })
      .where('device_id', '=', device.id)
      .where('until', 'is', null)
      .where('address', 'in', gone)
      .execute()
  }
  for (const address of added) await openAddress(tx, device.id, address)
  return gone.length + added.length > 0
}

/** Gives a device a new name in place of all that it had. */
export async function renameDevice(tx: Tx, device: Device, name: string): Promise<void> {
  await tx.db
    .updateTable('device_names')
    .set({ until: tx.now })
    .where('device_id', '=', device.id)
    .where('until', 'is', null)
    .execute()
  await openName(tx, device.id, name)
}

/** Marks a device as removed and ends its names and addresses; the rows stay for the record. */
export async function closeDevice(tx: Tx, id: string): Promise<void> {
  await tx.db
    .updateTable('devices')
    .set({ state: 'removed', removed_at: tx.now })
    .where('id', '=', id)
    .execute()
  for (const table of ['device_names', 'device_addresses'] as const) {
    await tx.db
      .updateTable(table)
      .set({ until: tx.now })
      .where('device_id', '=', id)
      .where('until', 'is', null)
      .execute()
  }
}

async function openName(tx: Tx, deviceId: string, name: string): Promise<void> {
  await tx.db
    .insertInto('device_names')
    .values({ id: newId(tx.now), device_id: deviceId, name, since: tx.now, until: null })
    .execute()
}

async function openAddress(tx: Tx, deviceId: string, address: string): Promise<void> {
  await tx.db
    .insertInto('device_addresses')
    .values({ id: newId(tx.now), device_id: deviceId, address, since: tx.now, until: null })
    .execute()
}

/** Adds names and addresses to device rows: the open ones, or a removed device's last ones. */
async function withBelongings(db: Db, rows: DeviceRow[]): Promise<Device[]> {
  if (rows.length === 0) return []
  const one = rows.length === 1 ? rows[0]!.id : null
  const names = await db
    .selectFrom('device_names')
    .select(['device_id', 'name', 'until'])
    .$if(one !== null, (query) => query.where('device_id', '=', one))
    .orderBy('id')
    .execute()
  const addresses = await db
    .selectFrom('device_addresses')
    .select(['device_id', 'address', 'until'])
    .$if(one !== null, (query) => query.where('device_id', '=', one))
    .orderBy('id')
    .execute()
  const namesOf = Map.groupBy(names, (row) => row.device_id)
  const addressesOf = Map.groupBy(addresses, (row) => row.device_id)
  return rows.map((row) => {
    const held = <T extends { until: number | null }>(belonging: T) => belonging.until === row.removed_at
    return {
      ...row,
      names: (namesOf.get(row.id) ?? []).filter(held).map(({ name }) => name),
      addresses: (addressesOf.get(row.id) ?? []).filter(held).map(({ address }) => address),
    }
  })
}

function order(a = '', b = ''): number {
  return a < b ? -1 : Number(a > b)
}
