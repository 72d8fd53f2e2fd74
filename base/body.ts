import type { IncomingMessage } from 'node:http'
import rawBody from 'raw-body'
import { HearthError } from './errors.ts'

export type BodyErrorCode = 'BODY_TOO_LARGE' | 'BODY_INCOMPLETE'

export class BodyError extends HearthError<BodyErrorCode> {}

/**
 * The whole body of a request, up to `limit` octets. Slow senders are cut off by the listener.
 *
 * @throws {BodyError} `BODY_TOO_LARGE`, before more than `limit` octets are read; `BODY_INCOMPLETE`.
 */
export async function readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  try {
    return await rawBody(request, { limit, length: request.headers['content-length'] ?? null })
  } catch (error) {
    if ((error as { type?: string }).type === 'entity.too.large') {
      throw new BodyError('BODY_TOO_LARGE', `the body is larger than the ${limit} bytes that belong here`)
    }
    throw new BodyError('BODY_INCOMPLETE', 'the body ended before it was complete; send it again')
  }
}
