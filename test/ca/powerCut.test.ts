import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import Database from 'better-sqlite3'
import { tempDirs } from '../support/tempDir.ts'
import { TestHome } from '../support/testHome.ts'

const newDir = tempDirs()
const ROUNDS = 5

/** Starts a CA that issues without end, kills it after some serials were released, and returns those. */
async function issueUntilKilled(dir: string, serials: number): Promise<string[]> {
  const child = spawn(process.execPath, [new URL('issueForever.ts', import.meta.url).pathname, dir])
  let printed = ''
  let errors = ''
  child.stderr.on('data', (data: Buffer) => {
    errors += data
  })
  child.stdout.on('data', (data: Buffer) => {
    printed += data
    if (printed.split('\n').length > serials) child.kill('SIGKILL')
  })
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== null) throw new Error(`the CA ended by itself with ${code}: ${errors}`)
  return printed.split('\n').slice(0, -1)
}

test('CERT-1: whenever the power is cut, every certificate that anyone holds is on record', async () => {
  const dir = newDir()
  const released: string[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const serials = await issueUntilKilled(dir, 1 + 37 * round)
    expect(serials.length).toBeGreaterThan(0)
    released.push(...serials)

    const db = new Database(join(dir, 'hearth.db'))
    expect(db.pragma('integrity_check', { simple: true })).toBe('ok')
    expect(db.pragma('foreign_key_check')).toEqual([])
    const onRecord = new Set(db.prepare('select serial from certificates').pluck().all())
    expect(released.filter((serial) => !onRecord.has(serial))).toEqual([])
    const changes = db.prepare('select count(*) as count, max(seq) as last from changes').get()
    expect(changes).toMatchObject({ count: (changes as { last: number }).last })
    db.close()
  }

  const home = await TestHome.open(dir)
  expect(home.hierarchy.issuers).toHaveLength(1)
  await home.close()
})
