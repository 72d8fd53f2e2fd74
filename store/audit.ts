import type { Selectable } from 'kysely'
import type { Db } from './database.ts'
import type { Schema } from './schema.ts'

export type AuditRow = Selectable<Schema['audit']>

/** What was done or refused since a time, oldest first; the newest `limit` rows of it. */
export async function readAudit(db: Db, since: number, limit: number): Promise<AuditRow[]> {
  const rows = await db
    .selectFrom('audit')
    .selectAll()
    .where('at', '>=', since)
    .orderBy('at', 'desc')
    .orderBy('id', 'desc')
    .limit(limit)
    .execute()
  return rows.reverse()
}
