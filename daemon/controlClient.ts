import { request } from 'node:http'
import { join } from 'node:path'
import { MINUTE } from '../base/clock.ts'
import { HearthError, reasonOf } from '../base/errors.ts'

/** The gateway refused, or could not be reached; `code` is the gateway's own where it answered. */
export class ControlError extends HearthError {}

const TIMEOUT = MINUTE

/**
 * Has the gateway that runs on a data directory carry out one operation.
 *
 * @throws {ControlError} with the gateway's refusal, or `GATEWAY_UNREACHABLE` and what to do.
 */
export async function callGateway(dataDir: string, operation: string, params: object): Promise<unknown> {
  const { error, result } = await exchange(join(dataDir, 'control.sock'), operation, JSON.stringify(params))
  if (error !== undefined) throw new ControlError(error.code, error.message)
  return result
}

interface Reply {
  result?: unknown
  error?: { code: string; message: string }
}

function exchange(socketPath: string, operation: string, body: string): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => reject(unreachable(socketPath, error))
    const outgoing = request(
      {
        socketPath,
        path: `/${operation}`,
        method: 'POST',
        timeout: TIMEOUT,
        headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) },
      },
      (incoming) => {
        const parts: Buffer[] = []
        incoming.on('data', (part: Buffer) => parts.push(part))
        incoming.on('error', fail)
        incoming.on('end', () => resolve(JSON.parse(Buffer.concat(parts).toString('utf8')) as Reply))
      },
    )
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer within a minute')))
    outgoing.on('error', fail)
    outgoing.end(body)
  })
}

function unreachable(socketPath: string, error: unknown): ControlError {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'ENOENT' || code === 'ECONNREFUSED') {
    return new ControlError(
      'GATEWAY_UNREACHABLE',
      `no gateway is running on ${socketPath.replace(/\/control\.sock$/, '')}. Start it with "npm start" or "hearth serve"; if it runs with another configuration, name that: --config FILE`,
    )
  }
  if (code === 'EACCES') {
    return new ControlError(
      'GATEWAY_UNREACHABLE',
      `this user may not command the gateway (${socketPath}). Run this as the user who runs the gateway`,
    )
  }
  return new ControlError(
    'GATEWAY_UNREACHABLE',
    `the gateway did not answer on ${socketPath}: ${reasonOf(error)}`,
  )
}
