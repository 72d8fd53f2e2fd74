import { chmodSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Ajv } from 'ajv'
import { readBody } from '../base/body.ts'
import { HearthError, reasonOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'

/** One command that a running gateway carries out for `bin/hearth`. */
export interface Operation {
  /** JSON schema of its parameters. */
  params: object
  run: (params: never) => Promise<unknown>
}

export class ControlSocketError extends HearthError<'PATH_TOO_LONG'> {}

/** unix(7): sun_path has 108 octets with its end. */
const MAX_SOCKET_PATH = 107

/** What a master file to import may have, and then some. */
const MAX_BODY = 8 * 1024 * 1024

/**
 * The control socket: how commands on this machine reach the running gateway.
 *
 * A Unix socket that only its owner may open (0600): whoever can open it administers the gateway.
 * `POST /NAME` with the parameters as JSON; the answer is `{"result": ...}` or `{"error": {code, message}}`.
 */
export async function openControlSocket(options: {
  path: string
  operations: Record<string, Operation>
  log: Log
}): Promise<{ close(): Promise<void> }> {
  const { path, operations, log } = options
  const ajv = new Ajv({ allErrors: true })
  const validators = new Map(
    Object.entries(operations).map(([name, { params }]) => [name, ajv.compile(params)]),
  )

  const answer = async (request: IncomingMessage): Promise<{ status: number; body: object }> => {
    const name = request.url?.slice(1) ?? ''
    const operation = Object.hasOwn(operations, name) ? operations[name] : undefined
    const validate = validators.get(name)
    if (request.method !== 'POST' || operation === undefined || validate === undefined) {
      return failure(
        404,
        'OPERATION_UNKNOWN',
        `this gateway knows no operation "${name}"; is it of the same version?`,
      )
    }
    const params: unknown = JSON.parse((await readBody(request, MAX_BODY)).toString('utf8'))
    if (!validate(params))
      return failure(400, 'PARAMETERS_INVALID', ajv.errorsText(validate.errors, { dataVar: '' }))
    return { status: 200, body: { result: await operation.run(params as never) } }
  }

  const server = createServer((request, response) => {
    answer(request)
      .catch((error: unknown) => {
        if (error instanceof HearthError) return failure(422, error.code, error.message)
        log.error({ err: error }, 'a command failed')
        return failure(
          500,
          'INTERNAL',
          `the gateway failed to do this: ${reasonOf(error)}; its log says more`,
        )
      })
      .then(({ status, body }) => send(response, status, body))
  })
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH) {
    throw new ControlSocketError(
      'PATH_TOO_LONG',
      `the data directory's path is too long for the control socket ${path}: the system allows ${MAX_SOCKET_PATH} bytes. Set a shorter dataDir`,
    )
  }
  // Only the holder of the data directory's lock gets here, so a socket file that exists is a leftover.
  rmSync(path, { force: true })
  const umask = process.umask(0o177)
  try {
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve))
  } finally {
    process.umask(umask)
  }
  chmodSync(path, 0o600)
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function failure(status: number, code: string, message: string): { status: number; body: object } {
  return { status, body: { error: { code, message } } }
}

function send(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body)
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
  })
  response.end(text)
}
