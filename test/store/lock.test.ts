import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, describe, expect, test } from '@jest/globals'
import { lockDataDir } from '../../store/lock.ts'
import { tempDirs } from '../support/tempDir.ts'

const newDir = tempDirs()

let other: ChildProcess | null = null
afterEach(() => void other?.kill('SIGKILL'))

/** Another process that holds the lock until it is killed, and does not even remember that it does. */
async function startOther(dataDir: string): Promise<void> {
  other = spawn(process.execPath, [
    '--expose-gc',
    '--input-type=module',
    '-e',
    `import { lockDataDir } from ${JSON.stringify(new URL('../../store/lock.ts', import.meta.url).href)}
     lockDataDir(${JSON.stringify(dataDir)})
     gc()
     setTimeout(() => console.log('locked'), 10)
     setInterval(() => {}, 1000)`,
  ])
  await once(other.stdout!, 'data')
}

async function killOther(): Promise<void> {
  const ended = once(other!, 'exit')
  other!.kill('SIGKILL')
  await ended
}

describe('the lock of a data directory', () => {
  const locked = (dataDir: string) =>
    expect.objectContaining({
      name: 'DataDirLockedError',
      code: 'DATA_DIR_LOCKED',
      message: expect.stringContaining(
        `another Hearth gateway is running on the data directory ${dataDir}. Stop it`,
      ),
    })

  test('keeps a second gateway out until the first lets go', () => {
    const dir = newDir()
    const lock = lockDataDir(dir)
    expect(() => lockDataDir(dir)).toThrow(locked(dir))
    lock.release()
    lockDataDir(dir).release()
  })

  test('keeps another process out, and is free the moment that process is killed', async () => {
    const dir = newDir()
    await startOther(dir)
    expect(() => lockDataDir(dir)).toThrow(locked(dir))
    await killOther()
    lockDataDir(dir).release()
  })

  test('is one for each directory', () => {
    const locks = [newDir(), newDir()].map(lockDataDir)
    for (const lock of locks) lock.release()
  })

  test('a directory that is not there is no lock that somebody holds', () => {
    expect(() => lockDataDir('/nowhere')).toThrow(/directory does not exist/)
  })
})
