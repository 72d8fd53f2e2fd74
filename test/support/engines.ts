import { join } from 'node:path'
import { afterAll, beforeAll, describe } from '@jest/globals'
import { TestPostgres } from './postgres.ts'
import { tempDirs } from './tempDir.ts'

/** Runs the same tests on SQLite and on PostgreSQL; `newDatabase` makes the URL of an empty one. */
export function describeOnBothEngines(
  title: string,
  tests: (newDatabase: () => Promise<string>) => void,
): void {
  describe(`${title}, on SQLite`, () => {
    const newDir = tempDirs()
    tests(async () => `sqlite:${join(newDir(), 'hearth.db')}`)
  })
  describe(`${title}, on PostgreSQL`, () => {
    let postgres: TestPostgres
    beforeAll(async () => {
      postgres = await TestPostgres.start()
    })
    afterAll(() => postgres.stop())
    tests(() => postgres.newDatabase())
  })
}
