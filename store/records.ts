import { sql } from 'kysely'
import { chunksOf, readInChunks } from './chunks.ts'
import type { Db, Tx } from './database.ts'
import { newId } from './id.ts'
import type { DnsRecordRow } from './schema.ts'

/** A record as people write it: owner absolute without the final dot, data in master-file form. */
export type ZoneRecord = Pick<DnsRecordRow, 'owner' | 'type' | 'ttl' | 'data'>

/** A record, and who put it there. */
export type SourcedRecord = Pick<DnsRecordRow, 'owner' | 'type' | 'ttl' | 'data' | 'source'>

export type RecordSource = DnsRecordRow['source']

export async function listRecords(db: Db): Promise<ZoneRecord[]> {
  return db
    .selectFrom('dns_records')
    .select(['owner', 'type', 'ttl', 'data'])
    .orderBy('owner')
    .orderBy('type')
    .orderBy('data')
    .execute()
}

/** What a new record has to fit in with. */
export interface Surroundings {
  /** Names of devices. */
  deviceNames: string[]
  records: SourcedRecord[]
  /** How many records there are in all. */
  total: number
  /** Octets of their data as text. */
  octets: number
}

/** The surroundings of a record with this owner: the devices at or below it, and its records. Of all if none is named. */
export async function readSurroundings(db: Db, owner?: string): Promise<Surroundings> {
  const below = `.${owner}`
  const names = await db
    .selectFrom('device_names')
    .select('name')
    .where('until', 'is', null)
    .$if(owner !== undefined, (query) =>
      query.where((columns) =>
        columns.or([
          columns('name', '=', owner ?? ''),
          columns(sql`substr(name, length(name) - ${below.length - 1})`, '=', below),
        ]),
      ),
    )
    .execute()
  const records = await db
    .selectFrom('dns_records')
    .select(['owner', 'type', 'ttl', 'data', 'source'])
    .$if(owner !== undefined, (query) => query.where('owner', '=', owner ?? ''))
    .orderBy('owner')
    .orderBy('type')
    .orderBy('data')
    .execute()
  return { deviceNames: names.map(({ name }) => name), records, ...(await readTotals(db)) }
}

/** The records of some owners, however many, with their sources, and how much there is in all. */
export async function readRecordsOf(
  db: Db,
  owners: readonly string[],
): Promise<Pick<Surroundings, 'records' | 'total' | 'octets'>> {
  const records = await readInChunks(owners, (chunk) =>
    db
      .selectFrom('dns_records')
      .select(['owner', 'type', 'ttl', 'data', 'source'])
      .where('owner', 'in', chunk)
      .execute(),
  )
  return { records, ...(await readTotals(db)) }
}

function readTotals(db: Db): Promise<Pick<Surroundings, 'total' | 'octets'>> {
  return db
    .selectFrom('dns_records')
    .select((columns) => [
      columns.fn.countAll<number>().as('total'),
      sql<number>`coalesce(sum(length(data)), 0)`.as('octets'),
    ])
    .executeTakeFirstOrThrow()
}

/** Octets of the data of some records. */
export function octetsOf(records: readonly Pick<ZoneRecord, 'data'>[]): number {
  return records.reduce((sum, { data }) => sum + data.length, 0)
}

/** All records that have one source. */
export async function listRecordsFrom(db: Db, source: RecordSource): Promise<ZoneRecord[]> {
  return db
    .selectFrom('dns_records')
    .select(['owner', 'type', 'ttl', 'data'])
    .where('source', '=', source)
    .execute()
}

/** The records of some owners. */
export async function listRecordsOf(db: Db, owners: readonly string[]): Promise<ZoneRecord[]> {
  if (owners.length === 0) return []
  return db
    .selectFrom('dns_records')
    .select(['owner', 'type', 'ttl', 'data'])
    .where('owner', 'in', owners)
    .orderBy('type')
    .orderBy('data')
    .execute()
}

/** Whether an owner is an alias by hand, and so can be nothing else (RFC 2181 section 10.1). */
export async function isAlias(db: Db, owner: string): Promise<boolean> {
  const row = await db
    .selectFrom('dns_records')
    .select('id')
    .where('owner', '=', owner)
    .where('type', '=', 'CNAME')
    .executeTakeFirst()
  return row !== undefined
}

/** The first of some owners that is delegated to another name server, or null. */
export async function findDelegation(db: Db, owners: readonly string[]): Promise<string | null> {
  const row = await db
    .selectFrom('dns_records')
    .select('owner')
    .where('owner', 'in', owners)
    .where('type', '=', 'NS')
    .executeTakeFirst()
  return row?.owner ?? null
}

/**
 * Adds records; one that is there already takes the new TTL, and so does the rest of its RRset.
 *
 * One that a person adds is from then on by hand, so that it outlives the lease or update it came from;
 * the other way round it stays by hand.
 */
export async function putRecords(
  tx: Tx,
  records: readonly ZoneRecord[],
  source: RecordSource = 'hand',
): Promise<void> {
  const once = new Map(records.map((record) => [lineOf(record), record]))
  const ttls = new Map(records.map(({ owner, type, ttl }) => [`${owner} ${type}`, ttl]))
  for (const chunk of chunksOf([...once.values()])) {
    await tx.db
      .insertInto('dns_records')
      .values(
        chunk.map(({ owner, type, ttl, data }) => ({
          ...{ owner, type, ttl, data, source },
          id: newId(tx.now),
          created_at: tx.now,
        })),
      )
      .onConflict((conflict) =>
        conflict.columns(['owner', 'type', 'data']).doUpdateSet((row) => ({
          ttl: row.ref('excluded.ttl'),
          ...(source === 'hand' && { source }),
        })),
      )
      .execute()
    const rrsets = await tx.db
      .selectFrom('dns_records')
      .select(['owner', 'type', 'ttl'])
      .distinct()
      .where(
        'owner',
        'in',
        chunk.map(({ owner }) => owner),
      )
      .execute()
    for (const { owner, type, ttl } of rrsets) {
      const wanted = ttls.get(`${owner} ${type}`) ?? ttl
      if (wanted === ttl) continue
      await tx.db
        .updateTable('dns_records')
        .set({ ttl: wanted })
        .where('owner', '=', owner)
        .where('type', '=', type)
        .execute()
    }
  }
}

/**
 * Removes what updates have made lead from a name to some host: it is going to be a device's, and must not
 * lead to whoever had it before. How many there were.
 */
export async function removeUpdatedAddresses(tx: Tx, owner: string): Promise<number> {
  const result = await tx.db
    .deleteFrom('dns_records')
    .where('owner', '=', owner)
    .where('source', '=', 'update')
    .where('type', 'in', ['A', 'AAAA', 'HTTPS', 'SVCB'])
    .executeTakeFirst()
  return Number(result.numDeletedRows)
}

/** Removes single records, however many. */
export async function removeRecords(tx: Tx, records: readonly ZoneRecord[]): Promise<void> {
  const gone = new Set(records.map(lineOf))
  const owners = new Set(records.map(({ owner }) => owner))
  for (const chunk of chunksOf([...owners])) {
    const rows = await tx.db
      .selectFrom('dns_records')
      .select(['id', 'owner', 'type', 'data'])
      .where('owner', 'in', chunk)
      .execute()
    const ids = rows.filter((row) => gone.has(lineOf(row))).map(({ id }) => id)
    for (const some of chunksOf(ids)) {
      await tx.db.deleteFrom('dns_records').where('id', 'in', some).execute()
    }
  }
}

/** Removes an owner's records, of one type or with one data if named; how many there were. */
export async function deleteRecords(
  tx: Tx,
  which: { owner: string; type?: string | undefined; data?: string | undefined },
): Promise<number> {
  const result = await tx.db
    .deleteFrom('dns_records')
    .where('owner', '=', which.owner)
    .$if(which.type !== undefined, (query) => query.where('type', '=', which.type ?? ''))
    .$if(which.data !== undefined, (query) => query.where('data', '=', which.data ?? ''))
    .executeTakeFirst()
  return Number(result.numDeletedRows)
}

/** What makes one record another than the next. */
const lineOf = ({ owner, type, data }: Pick<ZoneRecord, 'owner' | 'type' | 'data'>): string =>
  `${owner} ${type} ${data}`
