import type { Db, Tx } from './database.ts'
import { newId } from './id.ts'
import type { DnsRecordRow } from './schema.ts'

/** A record as people write it: owner absolute without the final dot, data in master-file form. */
export type HandRecord = Pick<DnsRecordRow, 'owner' | 'type' | 'ttl' | 'data'>

export async function listRecords(db: Db): Promise<HandRecord[]> {
  return db
    .selectFrom('dns_records')
    .select(['owner', 'type', 'ttl', 'data'])
    .orderBy('owner')
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

/** Adds records; one that is there already takes the new TTL, and so does the rest of its RRset. */
export async function putRecords(tx: Tx, records: readonly HandRecord[]): Promise<void> {
  for (const record of records) {
    await tx.db
      .insertInto('dns_records')
      .values({ ...record, id: newId(tx.now), created_at: tx.now })
      .onConflict((conflict) => conflict.columns(['owner', 'type', 'data']).doUpdateSet({ ttl: record.ttl }))
      .execute()
    await tx.db
      .updateTable('dns_records')
      .set({ ttl: record.ttl })
      .where('owner', '=', record.owner)
      .where('type', '=', record.type)
      .execute()
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
