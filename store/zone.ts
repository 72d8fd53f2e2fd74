import type { Db } from './database.ts'
import { listDevices } from './devices.ts'
import { type HandRecord, listRecords } from './records.ts'
import type { Change, ChangeKind } from './schema.ts'

/** Everything that the DNS answers from, as plain data. */
export interface ZoneData {
  /** Grows with every change that the zone can show. */
  serial: number
  hosts: { name: string; addresses: string[] }[]
  records: HandRecord[]
}

const ZONE_CHANGES: readonly ChangeKind[] = [
  'device.added',
  'device.changed',
  'device.removed',
  'dns.changed',
]

/** Whether a change can show in the zone. */
export function changesZone(change: Change): boolean {
  return ZONE_CHANGES.includes(change.kind)
}

export async function readZone(db: Db): Promise<ZoneData> {
  const last = await db
    .selectFrom('changes')
    .select((columns) => columns.fn.max('seq').as('seq'))
    .where('kind', 'in', ZONE_CHANGES)
    .executeTakeFirst()
  const devices = await listDevices(db)
  return {
    serial: last?.seq ?? 1,
    hosts: devices
      .filter((device) => device.state === 'active')
      .flatMap(({ names, addresses }) => names.map((name) => ({ name, addresses }))),
    records: await listRecords(db),
  }
}
