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

/** Whether there is any key at all: then the file that opens them must exist. */
export async function anyKey(db: Db): Promise<boolean> {
  return (await db.selectFrom('keys').select('id').executeTakeFirst()) !== undefined
}

/** The id of the one key for a purpose that keeps only one, or null. */
export async function findKeyId(db: Db, purpose: KeyRow['purpose']): Promise<string | null> {
  const row = await db.selectFrom('keys').select('id').where('purpose', '=', purpose).executeTakeFirst()
  return row?.id ?? null
}

/** Deletes the keys for a purpose that `keep` replaces: all others, or those of one issuer's certificates. */
export async function deleteReplacedKeys(
  tx: Tx,
  replaced: { purpose: KeyRow['purpose']; keep: string; issuerId?: string },
): Promise<void> {
  const { purpose, keep, issuerId } = replaced
  await tx.db
    .deleteFrom('keys')
    .where('purpose', '=', purpose)
    .where('id', '<>', keep)
    .$if(issuerId !== undefined, (query) =>
      query.where('id', 'in', (sub) =>
        sub
          .selectFrom('certificates')
          .select('serial')
          .where('issuer_id', '=', issuerId ?? ''),
      ),
    )
    .execute()
}
