import type { Clock } from '../base/clock.ts'
import type { Access } from './access.ts'
import { ResponseCounter } from './metrics.ts'
import type { QueryLog } from './queryLog.ts'
import { ResponseRateLimiter } from './rateLimit.ts'
import type { Answer } from './respond.ts'

/**
 * What every query passes on its way in and every response on its way out, whatever the transport: it is
 * known who asks, too many responses to strangers are held back, and what happened is counted and logged.
 */
export class Reception {
  readonly #inner: Answer
  readonly #access: Access
  readonly #log: QueryLog | null
  readonly limiter: ResponseRateLimiter
  readonly counter = new ResponseCounter()

  constructor(inner: Answer, options: { access: Access; queryLog: QueryLog | null; clock: Clock }) {
    this.#inner = inner
    this.#access = options.access
    this.#log = options.queryLog
    this.limiter = new ResponseRateLimiter(options.clock)
  }

  readonly answer: Answer = async (query, client) => {
    const start = performance.now()
    const isLocal = this.#access.isLocalAddress(client.address)
    const known = { ...client, isLocal }
    let response = await this.#inner(query, known)
    if (!isLocal && client.transport === 'udp' && response.isSigned !== true) {
      response = this.limiter.limit(response, client.address)
    }
    const milliseconds = performance.now() - start
    this.counter.count(known, response, milliseconds)
    this.#log?.add(client, response, milliseconds)
    return response
  }
}
