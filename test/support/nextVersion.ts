import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Outcome, run } from './run.ts'

const ROOT = new URL('../../', import.meta.url).pathname
const LAST_MIGRATION = "  '0001-initial': initial,\n"

/** A later version of Hearth's store, made in `dir`: this one, with one migration more. */
export class NextVersion {
  readonly #dir: string

  constructor(dir: string) {
    this.#dir = join(dir, 'next')
    mkdirSync(this.#dir)
    for (const folder of ['base', 'store', 'migrations', 'package.json']) {
      cpSync(join(ROOT, folder), join(this.#dir, folder), { recursive: true })
    }
    symlinkSync(join(ROOT, 'node_modules'), join(this.#dir, 'node_modules'))
    this.#write(
      'migrations/9999-next.ts',
      `export const up = (db) => db.schema.createTable('next').addColumn('name', 'text').execute()`,
    )
    const list = readFileSync(join(this.#dir, 'store/migrate.ts'), 'utf8')
    if (!list.includes(LAST_MIGRATION))
      throw new Error('store/migrate.ts lists its migrations in another way')
    this.#write(
      'store/migrate.ts',
      `import * as next from '../migrations/9999-next.ts'\n${list.replace(LAST_MIGRATION, `${LAST_MIGRATION}  '9999-next': next,\n`)}`,
    )
    this.#write(
      'open.ts',
      `import { systemClock } from './base/clock.ts'
       import { openStore } from './store/database.ts'
       const [url, end] = process.argv.slice(2)
       const store = await openStore({ url, clock: systemClock, onFollowerError: () => {} })
       if (end === 'killed') process.kill(process.pid, 'SIGKILL')
       await store.close()`,
    )
  }

  /** Opens a database with the later version, in a process that closes it or is killed while it is open. */
  open(url: string, end: 'closed' | 'killed' = 'closed'): Promise<Outcome> {
    return run(process.execPath, [join(this.#dir, 'open.ts'), url, end])
  }

  #write(path: string, text: string): void {
    writeFileSync(join(this.#dir, path), text)
  }
}
