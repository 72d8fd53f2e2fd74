import type { Db, Tx } from './database.ts'
import type { TsigKeyRow } from './schema.ts'

export async function insertTsigKey(tx: Tx, key: Omit<TsigKeyRow, 'created_at'>): Promise<void> {
  await tx.db
    .insertInto('tsig_keys')
    .values({ ...key, created_at: tx.now })
    .execute()
}

export async function listTsigKeys(db: Db): Promise<TsigKeyRow[]> {
  return db.selectFrom('tsig_keys').selectAll().orderBy('name').execute()
}

/** Whether there was one of this name. */
export async function deleteTsigKey(tx: Tx, name: string): Promise<boolean> {
  const result = await tx.db.deleteFrom('tsig_keys').where('name', '=', name).executeTakeFirst()
  return Number(result.numDeletedRows) > 0
}
