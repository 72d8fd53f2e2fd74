import { type Logger, pino } from 'pino'

export type Log = Logger

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** Fields that could carry a secret if someone logs a whole request or credential by mistake. */
const SECRET_FIELDS = ['token', 'password', 'pin', 'authorization', 'cookie', 'key', 'passphrase']

/**
 * The daemon's log: one JSON object a line on standard error.
 *
 * Standard output stays free for what a command prints. Writes are synchronous, so that the last
 * line before a crash is there.
 */
export function createLog(level: LogLevel): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      serializers: { err: describeError },
      redact: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`]),
    },
    pino.destination({ fd: 2, sync: true }),
  )
}

/** What a line may say of an error: never its other fields, which can hold the request as it came, token and all. */
function describeError(error: Error & { code?: unknown }): object {
  return { type: error.name, code: error.code, message: error.message, stack: error.stack }
}
