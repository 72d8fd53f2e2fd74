import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Makes a directory for its owner only (0700), and its parents where they are missing.
 *
 * Step by step, because Node's own recursive `mkdir` never returns where a parent cannot be made (`/proc`).
 */
export function makeDirectory(path: string): void {
  if (existsSync(path)) return
  if (dirname(path) !== path) makeDirectory(dirname(path))
  mkdirSync(path, { mode: 0o700 })
}
