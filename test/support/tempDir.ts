import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from '@jest/globals'

/** Makes directories for the tests of one file, all of which are gone after the last test. */
export function tempDirs(): () => string {
  const parent = mkdtempSync(join(tmpdir(), 'hearth-test-'))
  afterAll(() => rmSync(parent, { recursive: true, force: true }))
  return () => mkdtempSync(join(parent, 'dir-'))
}
