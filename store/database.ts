import { existsSync, renameSync, rmSync } from 'node:fs'
import Database from 'better-sqlite3'
import { type Dialect, Kysely, PostgresDialect, SqliteDialect, sql, type Transaction } from 'kysely'
import type { Clock } from '../base/clock.ts'
import { HearthError, reasonOf } from '../base/errors.ts'
import { withoutSecrets } from '../base/url.ts'
import { newId } from './id.ts'
import { migrate, missingMigrations, unknownMigrations } from './migrate.ts'
import type { AuditEntry, Change, ChangeKind, Schema } from './schema.ts'

export type StoreErrorCode = 'DATABASE_NEWER' | 'DATABASE_UNREADABLE'

export class StoreError extends HearthError<StoreErrorCode> {}

/** Either the database itself or a transaction on it: what a function that only reads takes. */
export type Db = Kysely<Schema>

/** What a function that writes takes: a transaction, and the two rows that go with every change. */
export interface Tx {
  readonly db: Transaction<Schema>
  /** The time of the whole transaction, milliseconds. */
  readonly now: number
  /** Adds a row to `changes`; followers see it once the transaction has committed. */
  change(kind: ChangeKind, subject: string): Promise<void>
  audit(entry: AuditEntry): Promise<void>
}

/** Told of committed changes, each exactly once. */
export type Follower = (changes: readonly Change[]) => Promise<void> | void

export interface StoreOptions {
  /** `sqlite:/path/to/hearth.db` or `postgres://user@host/name`. */
  url: string
  clock: Clock
  /** Told when a follower throws: the change itself stands, what follows it may be behind. */
  onFollowerError: (error: unknown) => void
}

export interface Store {
  readonly db: Db
  /**
   * Runs `work` in one transaction.
   *
   * Resolves after the commit is durable *and* every follower has seen its changes, so that whoever
   * adds a device may look up its name at once. A throw from `work` rolls everything back.
   */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  /** From now on tells `follower` of every change. */
  follow(follower: Follower): void
  close(): Promise<void>
}

/**
 * Opens the database, brings its schema up to date, and returns the store.
 *
 * A database that a newer version has migrated is refused before anything is written to it. Before
 * an older SQLite database is migrated, a copy is left beside it.
 *
 * @throws {StoreError} `DATABASE_NEWER`; `DATABASE_UNREADABLE` when it cannot be opened or is no database.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const db = new Kysely<Schema>({ dialect: dialectOf(options.url, { readonly: false }) })
  try {
    await bringUpToDate(db, options)
  } catch (error) {
    await db.destroy()
    if (error instanceof StoreError) throw error
    throw new StoreError(
      'DATABASE_UNREADABLE',
      `the database ${withoutSecrets(options.url)} cannot be opened: ${reasonOf(error)}`,
      { cause: error },
    )
  }
  return new FollowedStore(db, options)
}

const PREPARED_STATEMENTS = 500

/** Any number, the same for all that write to one PostgreSQL database. */
const WRITERS_LOCK = 0x4865

class FollowedStore implements Store {
  readonly db: Db
  readonly #options: StoreOptions
  readonly #followers: Follower[] = []
  #published: Promise<void> = Promise.resolve()

  constructor(db: Db, options: StoreOptions) {
    this.db = db
    this.#options = options
  }

  async transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    let published: Promise<void> | null = null
    const committed: Promise<T> = this.db.transaction().execute(async (db) => {
      await this.#waitForOtherWriters(db)
      const now = this.#options.clock.now()
      const changes: Omit<Change, 'seq'>[] = []
      const result = await work({
        db,
        now,
        change: async (kind, subject) => {
          changes.push({ at: now, kind, subject })
        },
        audit: async (entry) => {
          await db
            .insertInto('audit')
            .values({ ...entry, id: newId(now), at: now })
            .execute()
        },
      })
      // Last: whoever has the counter's lock waits for nobody any more, and is the next to publish.
      if (changes.length > 0) published = this.#publish(await appendChanges(db, changes), committed)
      return result
    })
    const result = await committed
    await published
    return result
  }

  follow(follower: Follower): void {
    this.#followers.push(follower)
  }

  async close(): Promise<void> {
    await this.#published
    await this.db.destroy()
  }

  /**
   * Lets writing transactions follow one another, as they do on SQLite by itself.
   *
   * What one reads before it writes (is this name free, is this certificate revoked?) would otherwise not
   * hold any more when it commits.
   */
  async #waitForOtherWriters(db: Transaction<Schema>): Promise<void> {
    if (sqlitePath(this.#options.url) === null)
      await sql`select pg_advisory_xact_lock(${WRITERS_LOCK})`.execute(db)
  }

  /** Takes its turn at once, and tells the followers when it has come and the changes are committed. */
  #publish(changes: readonly Change[], committed: Promise<unknown>): Promise<void> {
    const before = this.#published
    this.#published = committed.then(
      async () => {
        await before
        for (const follower of this.#followers) {
          try {
            await follower(changes)
          } catch (error) {
            this.#options.onFollowerError(error)
          }
        }
      },
      () => before,
    )
    return this.#published
  }
}

/** The counter's row is locked until the commit, so numbers follow the order of commits. */
async function appendChanges(
  db: Transaction<Schema>,
  changes: readonly Omit<Change, 'seq'>[],
): Promise<Change[]> {
  const counter = await db
    .insertInto('counters')
    .values({ name: 'changes', value: changes.length })
    .onConflict((conflict) =>
      conflict.column('name').doUpdateSet((row) => ({ value: row('counters.value', '+', changes.length) })),
    )
    .returning('value')
    .executeTakeFirstOrThrow()
  const first = counter.value - changes.length + 1
  const rows = changes.map((change, index) => ({ ...change, seq: first + index }))
  await db.insertInto('changes').values(rows).execute()
  return rows
}

async function bringUpToDate(db: Db, options: StoreOptions): Promise<void> {
  const applied = await appliedMigrations(options.url)
  const unknown = unknownMigrations(applied)
  if (unknown.length > 0) {
    throw new StoreError(
      'DATABASE_NEWER',
      `the database ${withoutSecrets(options.url)} was last used by a newer version of Hearth (it has ${unknown.join(', ')}); nothing was changed. Start that version again, or restore a backup made by this one`,
    )
  }
  const missing = missingMigrations(applied)
  const path = sqlitePath(options.url)
  if (path !== null && applied.length > 0 && missing.length > 0) copyBeforeMigration(path, missing[0]!)
  await migrate(db)
}

/** Looks without touching: a SQLite file is opened read-only, so that even its journal stays as it was. */
async function appliedMigrations(url: string): Promise<string[]> {
  const path = sqlitePath(url)
  if (path !== null && !existsSync(path)) return []
  const db = new Kysely<{ kysely_migration: { name: string } }>({
    dialect: dialectOf(url, { readonly: true }),
  })
  try {
    const tables = await db.introspection.getTables({ withInternalKyselyTables: true })
    if (!tables.some((table) => table.name === 'kysely_migration')) return []
    const rows = await db.selectFrom('kysely_migration').select('name').execute()
    return rows.map((row) => row.name)
  } finally {
    await db.destroy()
  }
}

/** The copy takes its name only when it is whole: one that a power cut left half is made anew. */
function copyBeforeMigration(path: string, migration: string): void {
  const copy = `${path}.before-${migration}`
  if (existsSync(copy)) return
  const half = `${copy}.half`
  rmSync(half, { force: true })
  const source = new Database(path, { readonly: true })
  try {
    source.prepare('vacuum into ?').run(half)
  } finally {
    source.close()
  }
  renameSync(half, copy)
}

function dialectOf(url: string, access: { readonly: boolean }): Dialect {
  const path = sqlitePath(url)
  return path === null ? postgresDialect(url) : sqliteDialect(path, access)
}

/**
 * SQLite that never loses what it has acknowledged: WAL with a sync at every commit.
 *
 * The connection keeps its prepared statements: Kysely asks for the same SQL text over and over, and
 * preparing costs more than running.
 */
function sqliteDialect(path: string, access: { readonly: boolean }): Dialect {
  return new SqliteDialect({
    database: async () => {
      const connection = new Database(path, access)
      if (!access.readonly) connection.pragma('journal_mode = WAL')
      connection.pragma('synchronous = FULL')
      connection.pragma('foreign_keys = ON')
      connection.pragma('busy_timeout = 5000')
      const prepared = new Map<string, Database.Statement>()
      const prepare = (sql: string): Database.Statement => {
        const known = prepared.get(sql)
        if (known !== undefined) return known
        const statement = connection.prepare(sql)
        if (prepared.size < PREPARED_STATEMENTS) prepared.set(sql, statement)
        return statement
      }
      return { prepare: prepare as Database.Database['prepare'], close: () => connection.close() }
    },
  })
}

/** The driver is loaded only where PostgreSQL is configured. */
function postgresDialect(url: string): Dialect {
  return new PostgresDialect({
    pool: async () => {
      const { Pool, types } = (await import('pg')).default
      // A bigint of ours is milliseconds or a count: exact as a JavaScript number.
      types.setTypeParser(types.builtins.INT8, Number)
      const pool = new Pool({ connectionString: url, max: 4 })
      // A connection may be cut at any time. Whoever uses it learns it from the next query; unheard, the
      // error itself would end the process.
      pool.on('error', () => {})
      pool.on('connect', (client) => client.on('error', () => {}))
      return pool
    },
  })
}

function sqlitePath(url: string): string | null {
  return url.startsWith('sqlite:') ? url.slice('sqlite:'.length) : null
}
