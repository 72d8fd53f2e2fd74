import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { expect } from '@jest/globals'

/**
 * Compares a text with the file that holds what it should be.
 *
 * With `UPDATE_GOLDEN=1` the file is written instead; then read the difference before it is committed.
 */
export function expectGolden(file: URL, text: string): void {
  if (process.env.UPDATE_GOLDEN === '1') writeFileSync(file, text)
  expect(existsSync(file) ? readFileSync(file, 'utf8') : null).toBe(text)
}
