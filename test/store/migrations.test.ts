import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import Database from 'better-sqlite3'
import { Client } from 'pg'
import { systemClock } from '../../base/clock.ts'
import { openStore } from '../../store/database.ts'
import { writeSetting } from '../../store/settings.ts'
import { NextVersion } from '../support/nextVersion.ts'
import { TestPostgres } from '../support/postgres.ts'
import { run } from '../support/run.ts'
import { tempDirs } from '../support/tempDir.ts'

const newDir = tempDirs()
const open = (url: string) => openStore({ url, clock: systemClock, onFollowerError: () => {} })
const sqliteUrl = (dir: string) => `sqlite:${join(dir, 'hearth.db')}`

/** What each file in a directory holds, as a hash; without empty ones, and SQLite's `-shm`, which is an index. */
function contents(dir: string): Record<string, string> {
  const hash = (octets: Buffer) => createHash('sha256').update(octets).digest('hex')
  return Object.fromEntries(
    readdirSync(dir)
      .filter((name) => !name.endsWith('-shm') && statSync(join(dir, name)).size > 0)
      .map((name) => [name, hash(readFileSync(join(dir, name)))]),
  )
}

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await TestPostgres.start()
})
afterAll(() => postgres.stop())

describe('the schema', () => {
  test('is the same on both engines', async () => {
    const dir = newDir()
    await (await open(sqliteUrl(dir))).close()
    const postgresUrl = await postgres.newDatabase()
    await (await open(postgresUrl)).close()
    const onSqlite = sqliteSchema(join(dir, 'hearth.db'))
    expect(await postgresSchema(postgresUrl)).toEqual(onSqlite)
    expect(onSqlite).toContain('devices.id text not null')
    expect(onSqlite).toContain('unique index on device_names (name) where until is null')
    expect(onSqlite).toContain('device_names (device_id) references devices (id)')
  })

  test('stays as it is when it is opened again', async () => {
    const dir = newDir()
    for (let round = 0; round < 2; round++) {
      await (await open(sqliteUrl(dir))).close()
    }
    expect(readdirSync(dir)).toEqual(['hearth.db'])
  })
})

describe('a database that a newer version has used is refused and stays as it was', () => {
  test.each(['closed', 'killed'] as const)('SQLite, after the newer version was %s', async (end) => {
    const dir = newDir()
    const version = new NextVersion(newDir())
    await version.open(sqliteUrl(dir), end)
    const before = contents(dir)
    expect(Object.keys(before)).toEqual(end === 'closed' ? ['hearth.db'] : ['hearth.db', 'hearth.db-wal'])

    await expect(open(sqliteUrl(dir))).rejects.toMatchObject({
      name: 'StoreError',
      code: 'DATABASE_NEWER',
      message: expect.stringMatching(/it has 9999-next\); nothing was changed. Start that version again/),
    })
    expect(contents(dir)).toEqual(before)
    expect((await version.open(sqliteUrl(dir))).code).toBe(0)
  })

  test('PostgreSQL', async () => {
    const url = await postgres.newDatabase()
    await new NextVersion(newDir()).open(url)
    const before = (await run('pg_dump', [url])).stdout.replace(/\\(un)?restrict .*/g, '')
    await expect(open(url)).rejects.toMatchObject({ code: 'DATABASE_NEWER' })
    expect((await run('pg_dump', [url])).stdout.replace(/\\(un)?restrict .*/g, '')).toBe(before)
    expect(before).toContain('9999-next')
  })
})

describe('an older database is copied before it is migrated', () => {
  async function older(): Promise<string> {
    const dir = newDir()
    const store = await open(sqliteUrl(dir))
    await writeSetting(store.db, 'domain', 'home.arpa')
    await store.close()
    return dir
  }
  const domainIn = (file: string) =>
    new Database(file, { readonly: true }).prepare('select value from settings').pluck().get()

  test('and the copy is whole and of the older version', async () => {
    const dir = await older()
    const { code, stderr } = await new NextVersion(newDir()).open(sqliteUrl(dir))
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(readdirSync(dir).toSorted()).toEqual(['hearth.db', 'hearth.db.before-9999-next'])
    const copy = join(dir, 'hearth.db.before-9999-next')
    expect(domainIn(copy)).toBe('home.arpa')
    writeFileSync(join(dir, 'restored.db'), readFileSync(copy))
    await (await open(`sqlite:${join(dir, 'restored.db')}`)).close()
  })

  test('also what was committed but lies in the -wal yet', async () => {
    const dir = newDir()
    const store = await open(sqliteUrl(dir))
    await writeSetting(store.db, 'domain', 'home.arpa')
    expect(existsSync(join(dir, 'hearth.db-wal'))).toBe(true)
    const { code } = await new NextVersion(newDir()).open(sqliteUrl(dir), 'killed')
    expect(code).toBeNull()
    await store.close()
    expect(domainIn(join(dir, 'hearth.db.before-9999-next'))).toBe('home.arpa')
  })

  test('and a copy that was cut off by a power cut is not taken for one', async () => {
    const dir = await older()
    writeFileSync(join(dir, 'hearth.db.before-9999-next.half'), 'SQLite format 3')
    expect((await new NextVersion(newDir()).open(sqliteUrl(dir))).code).toBe(0)
    expect(readdirSync(dir).toSorted()).toEqual(['hearth.db', 'hearth.db.before-9999-next'])
    expect(domainIn(join(dir, 'hearth.db.before-9999-next'))).toBe('home.arpa')
  })
})

describe('what cannot be opened is refused with its place and the reason', () => {
  const unreadable = (message: RegExp) => ({
    name: 'StoreError',
    code: 'DATABASE_UNREADABLE',
    message: expect.stringMatching(message),
  })

  test('a file that is no database, which stays as it was', async () => {
    const dir = newDir()
    writeFileSync(join(dir, 'hearth.db'), 'a letter to grandmother, longer than a header')
    const before = contents(dir)
    await expect(open(sqliteUrl(dir))).rejects.toMatchObject(
      unreadable(/^the database \S+hearth\.db cannot be opened: .*file is not a database$/),
    )
    expect(contents(dir)).toEqual(before)
  })

  test('a directory that is not there', async () => {
    await expect(open('sqlite:/nowhere/hearth.db')).rejects.toMatchObject(
      unreadable(/^the database \/nowhere\/hearth\.db cannot be opened: /),
    )
  })

  test('a PostgreSQL that is not there; the password is not told', async () => {
    const error = await open('postgres://hearth:secret@127.0.0.1:9/home').catch((thrown) => thrown)
    expect(error).toMatchObject(
      unreadable(/^the database postgres:\/\/hearth@127\.0\.0\.1:9\/home cannot be opened: /),
    )
    expect(String(error)).not.toContain('secret')
  })
})

const TYPES: Record<string, string> = {
  bigint: 'bigint',
  integer: 'integer',
  text: 'text',
  blob: 'bytes',
  bytea: 'bytes',
}

/** Columns, indexes and references, one a line, in an order that does not depend on the engine. */
function sqliteSchema(file: string): string[] {
  const db = new Database(file, { readonly: true })
  const rows = <T>(sql: string): T[] => db.prepare(sql).all() as T[]
  const lines: string[] = []
  for (const { name: table } of rows<{ name: string }>(
    "select name from sqlite_schema where type = 'table' and name not like 'kysely_%'",
  )) {
    for (const column of rows<{ name: string; type: string; notnull: number; pk: number }>(
      `pragma table_info(${table})`,
    )) {
      const required = column.notnull + column.pk > 0
      lines.push(
        `${table}.${column.name} ${TYPES[column.type.toLowerCase()]} ${required ? 'not null' : 'null'}`,
      )
    }
    for (const index of rows<{ name: string; unique: number; partial: number }>(
      `pragma index_list(${table})`,
    )) {
      const columns = rows<{ name: string }>(`pragma index_info(${index.name})`).map(({ name }) => name)
      const sql = db.prepare('select sql from sqlite_schema where name = ?').pluck().get(index.name) as
        | string
        | null
      const where = index.partial ? / where (.*)$/.exec(sql ?? '')?.[0] : ''
      lines.push(`${index.unique ? 'unique ' : ''}index on ${table} (${columns.join(', ')})${where}`)
    }
    for (const key of rows<{ table: string; from: string; to: string }>(
      `pragma foreign_key_list(${table})`,
    )) {
      lines.push(`${table} (${key.from}) references ${key.table} (${key.to})`)
    }
  }
  db.close()
  return lines.toSorted()
}

async function postgresSchema(url: string): Promise<string[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  const query = async (sql: string): Promise<string[]> =>
    (await client.query<{ line: string }>(sql)).rows.map(({ line }) => line)
  const columns = await query(`
    select table_name || '.' || column_name || ' ' || data_type || ' ' || case is_nullable when 'YES' then 'null' else 'not null' end as line
    from information_schema.columns where table_schema = 'public' and table_name not like 'kysely_%'`)
  const indexes = await query(`
    select indexdef as line from pg_indexes where schemaname = 'public' and tablename not like 'kysely_%'`)
  const references = await query(`
    select conrelid::regclass || ' ' || pg_get_constraintdef(oid) as line
    from pg_constraint where contype = 'f' and connamespace = 'public'::regnamespace`)
  await client.end()
  return [
    ...columns.map((line) => line.replace(/ (\w+) /, (_, type) => ` ${TYPES[type]} `)),
    ...indexes.map((line) =>
      line.replace(
        /^CREATE (UNIQUE )?INDEX \S+ ON public\.(\S+) USING btree (\(.*?\))(?: WHERE \((.*)\))?$/,
        (_, unique, table, on, where) =>
          `${unique ? 'unique ' : ''}index on ${table} ${on}${where ? ` where ${where.toLowerCase()}` : ''}`,
      ),
    ),
    ...references.map((line) =>
      line.replace(/^(\S+) FOREIGN KEY (\(\w+\)) REFERENCES (\w+)(\(\w+\)).*$/, '$1 $2 references $3 $4'),
    ),
  ].toSorted()
}
