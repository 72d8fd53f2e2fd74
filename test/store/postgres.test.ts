import { afterAll, beforeAll, expect, test } from '@jest/globals'
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

test('a store outlives the connections that a restart of PostgreSQL cuts', async () => {
  const url = await postgres.newDatabase()
  const store = await openStore({ url, clock: systemClock, onFollowerError: () => {} })
  await writeSetting(store.db, 'domain', 'home.arpa')

  const administrator = new Client({ connectionString: url })
  await administrator.connect()
  await administrator.query(
    'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
  )
  await administrator.end()

  expect(await eventually(store)).toBe('home.arpa')
  await store.close()
})

/** The first query may still meet a dead connection; a later one gets a new one. */
async function eventually(store: Store): Promise<string | null> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await readSetting(store.db, 'domain')
    } catch (error) {
      if (attempt === 10) throw error
    }
  }
}
