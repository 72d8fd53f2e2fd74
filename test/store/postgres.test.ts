import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { Client } from 'pg'
import { systemClock } from '../../base/clock.ts'
import { openStore, type Store } from '../../store/database.ts'
import { readSetting, writeSetting } from '../../store/settings.ts'
import { TestPostgres } from '../support/postgres.ts'

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await TestPostgres.start()
})
afterAll(() => postgres.stop())

describe('when PostgreSQL restarts', () => {
  let url: string
  let store: Store
  beforeEach(async () => {
    url = await postgres.newDatabase()
    store = await openStore({ url, clock: systemClock, onFollowerError: () => {} })
    await writeSetting(store.db, 'domain', 'home.arpa')
  })
  afterEach(() => store.close())

  /** Ends every connection of the store, as a restart does. */
  async function cutConnections(): Promise<void> {
    const administrator = new Client({ connectionString: url })
    await administrator.connect()
    await administrator.query(
      'select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
    )
    await administrator.end()
  }

  /** The first query may still meet a dead connection; a later one gets a new one. */
  async function readEventually(): Promise<string | null> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await readSetting(store.db, 'domain')
      } catch (error) {
        if (attempt === 10) throw error
      }
    }
  }

  test('the store outlives its connections', async () => {
    await cutConnections()
    expect(await readEventually()).toBe('home.arpa')
  })

  test('a transaction under way fails, alone, and leaves nothing', async () => {
    const cut = store.transaction(async (tx) => {
      await writeSetting(tx.db, 'domain', 'haus.arpa')
      await cutConnections()
      await tx.change('device.changed', 'nas')
    })
    await expect(cut).rejects.toThrow(/connection error/)
    expect(await readEventually()).toBe('home.arpa')
  })
})

test('writing transactions follow one another, so that what one has read still holds when it commits', async () => {
  const url = await postgres.newDatabase()
  const store = await openStore({ url, clock: systemClock, onFollowerError: () => {} })
  const order: string[] = []
  const write = (name: string) =>
    store.transaction(async (tx) => {
      order.push(`${name} begins`)
      const before = await readSetting(tx.db, 'domain')
      await tx.change('device.changed', name)
      await new Promise((resolve) => setTimeout(resolve, 50))
      await writeSetting(tx.db, 'domain', `${before ?? ''}${name}.`)
      order.push(`${name} ends`)
    })

  await Promise.all([write('a'), write('b'), write('c')])
  const [first, , second, , third] = order.map((line) => line[0])
  expect(order).toEqual([first, second, third].flatMap((name) => [`${name} begins`, `${name} ends`]))
  expect(await readSetting(store.db, 'domain')).toBe(`${first}.${second}.${third}.`)
  const changes = await store.db.selectFrom('changes').select('subject').orderBy('seq').execute()
  expect(changes.map(({ subject }) => subject)).toEqual([first, second, third])
  await store.close()
})
