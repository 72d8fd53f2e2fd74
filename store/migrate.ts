import type { Kysely } from 'kysely'
import { type Migration, Migrator } from 'kysely/migration'
import * as initial from '../migrations/0001-initial.ts'
import * as dns from '../migrations/0002-dns.ts'
import type { Schema } from './schema.ts'

/** Every migration by name, oldest first. Append only: a released one never changes. */
const MIGRATIONS: Record<string, Migration> = {
  '0001-initial': initial,
  '0002-dns': dns,
}

/** Names of migrations in a database that this version doesn't know: it was made by a newer one. */
export function unknownMigrations(applied: readonly string[]): string[] {
  return applied.filter((name) => !(name in MIGRATIONS))
}

/** Names of migrations that a database which has `applied` still lacks. */
export function missingMigrations(applied: readonly string[]): string[] {
  return Object.keys(MIGRATIONS).filter((name) => !applied.includes(name))
}

/** Brings the schema up to this version; each migration is recorded in `kysely_migration`. */
export async function migrate(db: Kysely<Schema>): Promise<void> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => MIGRATIONS } })
  const { error } = await migrator.migrateToLatest()
  if (error !== undefined) throw error
}
