import { once } from 'node:events'
import { createServer } from 'node:net'
import { resolve } from 'node:path'
import { sha256 } from '../x509/spki.ts'
import { AgentError } from './errors.ts'

/**
 * Does one piece of work while no other process of this machine works in the same directory.
 *
 * The lock is a socket in Linux's abstract namespace, named after the directory: nothing is left
 * behind, whatever ends the process.
 *
 * @throws {AgentError} `BUSY` at once if another process holds it.
 */
export async function withLock<T>(directory: string, work: () => Promise<T>): Promise<T> {
  const name = sha256(Buffer.from(resolve(directory))).toString('hex')
  const lock = createServer((socket) => socket.destroy())
  try {
    lock.listen({ path: `\0hearth-agent-${name}` })
    await once(lock, 'listening')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    throw new AgentError(
      'BUSY',
      `another process is enrolling or renewing in ${directory}; wait until it is done, or stop it`,
      { cause: error },
    )
  }
  try {
    return await work()
  } finally {
    lock.close()
  }
}
