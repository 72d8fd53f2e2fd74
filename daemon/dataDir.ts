import { accessSync, chmodSync, constants, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { makeDirectory } from '../base/directory.ts'
import { HearthError, reasonOf } from '../base/errors.ts'

export class DataDirError extends HearthError<'DATA_DIR_UNUSABLE'> {}

/**
 * Makes the data directory if it is missing, keeps others out of it (0700), and proves that it can be used.
 *
 * @throws {DataDirError} saying what is in the way.
 */
export function openDataDir(path: string): void {
  const unusable = (problem: string, cause?: unknown) =>
    new DataDirError('DATA_DIR_UNUSABLE', `the data directory ${path} ${problem}`, { cause })
  try {
    makeDirectory(path)
  } catch (error) {
    throw unusable(`cannot be made: ${reasonOf(error)}. Make it by hand, or set another dataDir`, error)
  }
  if (!statSync(path).isDirectory()) throw unusable('is a file, not a directory. Set another dataDir')
  const { mode, uid } = statSync(path)
  if ((mode & 0o077) !== 0 && uid === process.getuid?.()) chmodSync(path, 0o700)
  try {
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    const user = process.getuid?.() ?? 'this user'
    throw unusable(
      `cannot be written by user ${user}. Say "chown -R ${user} ${path}" (or its parent ${dirname(path)}), or set another dataDir`,
      error,
    )
  }
}
