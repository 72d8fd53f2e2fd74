import type { Db, Tx } from './database.ts'
import { newId } from './id.ts'
import type { ServiceRow } from './schema.ts'

/** What a device offers on a port, its lists unpacked. */
export interface Service {
  /** What people see in a list. */
  instance: string
  /** `_ipp._tcp`. */
  type: string
  port: number
  /** `key=value` strings. */
  txt: string[]
  /** ALPN protocol ids. */
  alpn: string[]
}

/** A service, and whose it is. */
export interface DeviceService extends Service {
  deviceId: string
}

/** Adds a service; one of the same instance and type takes the new port, strings and protocols. */
export async function putService(tx: Tx, deviceId: string, service: Service): Promise<void> {
  const { instance, type, port } = service
  const said = { port, txt: JSON.stringify(service.txt), alpn: JSON.stringify(service.alpn) }
  await tx.db
    .insertInto('services')
    .values({ id: newId(tx.now), device_id: deviceId, instance, type, ...said, created_at: tx.now })
    .onConflict((conflict) => conflict.columns(['instance', 'type']).doUpdateSet(said))
    .execute()
}

/** Services by type and instance: all of the household, or those of some devices. */
export async function listServices(db: Db, deviceIds?: readonly string[]): Promise<DeviceService[]> {
  const rows = await db
    .selectFrom('services')
    .selectAll()
    .$if(deviceIds !== undefined, (query) => query.where('device_id', 'in', deviceIds ?? []))
    .orderBy('type')
    .orderBy('instance')
    .execute()
  return rows.map(unpack)
}

/** All services of a type, whoever offers them. */
export async function listServicesOfType(db: Db, type: string): Promise<DeviceService[]> {
  const rows = await db.selectFrom('services').selectAll().where('type', '=', type).execute()
  return rows.map(unpack)
}

export async function deleteService(tx: Tx, { instance, type }: Service): Promise<void> {
  await tx.db.deleteFrom('services').where('instance', '=', instance).where('type', '=', type).execute()
}

/** Ends all services of a device; how many there were. */
export async function deleteServicesOf(tx: Tx, deviceId: string): Promise<number> {
  const result = await tx.db.deleteFrom('services').where('device_id', '=', deviceId).executeTakeFirst()
  return Number(result.numDeletedRows)
}

function unpack({ device_id, instance, type, port, txt, alpn }: ServiceRow): DeviceService {
  return { deviceId: device_id, instance, type, port, txt: JSON.parse(txt), alpn: JSON.parse(alpn) }
}
