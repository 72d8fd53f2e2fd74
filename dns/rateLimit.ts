import { type Clock, SECOND } from '../base/clock.ts'
import { decodeHead, encodeMessage } from '../wire/message.ts'
import { RCODE } from '../wire/registry.ts'
import { networkOf } from './access.ts'
import type { Response } from './respond.ts'

/** Responses of one kind that one network gets in a second, and at once after silence. */
const PER_SECOND = 5
const BURST = 15

/** Of those that are too many, every second one says that TCP is open, for an honest client among the forged. */
const SLIP = 2

const MAX_TRACKED = 10_000

/** What one network may still get of one kind of response. */
interface Allowance {
  tokens: number
  at: number
  over: number
}

/**
 * Limits what is sent over UDP to addresses outside, which may be forged: whoever owns them did not ask.
 *
 * Counted by network and kind of response, so that a flood of one kind does not silence the others. The
 * idea is BIND's response rate limiting.
 */
export class ResponseRateLimiter {
  readonly #clock: Clock
  /** By network and kind, the one seen least recently first. */
  readonly #allowances = new Map<string, Allowance>()
  #dropped = 0
  #truncated = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get counts(): { dropped: number; truncated: number } {
    return { dropped: this.#dropped, truncated: this.#truncated }
  }

  /** The response as it may be sent: whole, cut down to "ask again over TCP", or not at all. */
  limit(response: Response, address: string): Response {
    const allowance = this.#allowanceOf(`${kindOf(response)} ${networkOf(address)}`)
    if (allowance.tokens >= 1) {
      allowance.tokens -= 1
      allowance.over = 0
      return response
    }
    allowance.over += 1
    if (allowance.over % SLIP !== 0) {
      this.#dropped += 1
      return { ...response, messages: [] }
    }
    this.#truncated += 1
    return { ...response, messages: Array.from(response.messages, truncated) }
  }

  #allowanceOf(key: string): Allowance {
    const now = this.#clock.now()
    const known = this.#allowances.get(key)
    const allowance = known ?? { tokens: BURST, at: now, over: 0 }
    const earned = (Math.max(0, now - allowance.at) / SECOND) * PER_SECOND
    allowance.tokens = Math.min(BURST, allowance.tokens + earned)
    allowance.at = now
    this.#allowances.delete(key)
    this.#allowances.set(key, allowance)
    if (this.#allowances.size > MAX_TRACKED) this.#allowances.delete(this.#allowances.keys().next().value!)
    return allowance
  }
}

function kindOf({ rcode }: Response): 'answer' | 'denial' | 'error' {
  if (rcode === RCODE.NOERROR) return 'answer'
  return rcode === RCODE.NXDOMAIN ? 'denial' : 'error'
}

/** Header and question alone, with TC. */
function truncated(message: Uint8Array): Buffer {
  const head = decodeHead(message)
  return encodeMessage({ ...head, tc: true, answers: [], authorities: [], additionals: [], edns: null })
}
