import { join } from 'node:path'
import Database from 'better-sqlite3'
import { HearthError } from '../base/errors.ts'

export class DataDirLockedError extends HearthError<'DATA_DIR_LOCKED'> {}

/** A connection that nobody refers to is closed by the garbage collector, and its lock is gone with it. */
const held = new Set<Database.Database>()

/**
 * Makes this process the only gateway on a data directory, until `release` or its end.
 *
 * Held by an exclusive transaction on a database of its own: the kernel drops the lock with the
 * process, so a kill -9 leaves nothing to clean up, and a pid file that lies about a reused pid
 * cannot exist.
 *
 * @throws {DataDirLockedError} if another process holds it.
 */
export function lockDataDir(dataDir: string): { release(): void } {
  const connection = new Database(join(dataDir, 'lock.db'), { timeout: 0 })
  try {
    connection.exec('begin exclusive')
  } catch (error) {
    connection.close()
    if ((error as { code?: string }).code !== 'SQLITE_BUSY') throw error
    throw new DataDirLockedError(
      'DATA_DIR_LOCKED',
      `another Hearth gateway is running on the data directory ${dataDir}. Stop it first ("hearth status" shows its process), or give this one a dataDir of its own`,
    )
  }
  held.add(connection)
  return {
    release: () => {
      held.delete(connection)
      connection.close()
    },
  }
}
