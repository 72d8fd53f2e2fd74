import type { Db, Tx } from './database.ts'
import type { KeyRow } from './schema.ts'

export async function insertKey(tx: Tx, key: Omit<KeyRow, 'created_at'>): Promise<void> {
  await tx.db
    .insertInto('keys')
    .values({ ...key, created_at: tx.now })
    .execute()
}

/** @throws if there is none: a key id comes from a row that references it. */
export async function readKey(db: Db, id: string): Promise<KeyRow> {
  return db.selectFrom('keys').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
}

/** The newest key for a purpose, or null. */
export async function findNewestKey(db: Db, purpose: KeyRow['purpose']): Promise<KeyRow | null> {
  const row = await db
    .selectFrom('keys')
    .selectAll()
    .where('purpose', '=', purpose)
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .executeTakeFirst()
  return row ?? null
}

export async function deleteKey(tx: Tx, id: string): Promise<void> {
  await tx.db.deleteFrom('keys').where('id', '=', id).execute()
}
