import { type Clock, MINUTE, SECOND } from '../../base/clock.ts'
import type { Message } from '../../wire/message.ts'
import { RCODE } from '../../wire/registry.ts'
import { printUpstream, type Upstream } from '../upstream.ts'
import type { Link } from './link.ts'

/** How much of the smoothed round trip a new measurement makes up. */
const SMOOTHING = 0.25

/** What a passed-over upstream's round trip is thought to shrink to with each question, so that it is measured again. */
const FORGIVENESS = 0.98

/** First and longest time for which a failing upstream is asked only if the others fail too. */
const FIRST_BACK_OFF = SECOND
const LONGEST_BACK_OFF = MINUTE

/** Says of the upstream that it works, whatever it says of the name. */
const HEALTHY: ReadonlySet<number> = new Set([RCODE.NOERROR, RCODE.NXDOMAIN, RCODE.SERVFAIL])

/** How one upstream is doing, for people and metrics. */
export interface UpstreamHealth {
  upstream: string
  /** The zone it is asked about; null for everything else. */
  zone: string | null
  /** Milliseconds, smoothed; null before the first answer. */
  srtt: number | null
  state: 'untried' | 'healthy' | 'failing'
  asked: number
  answered: number
  failed: number
}

/** An upstream did not answer within the time it was given. */
export class NoAnswerInTime extends Error {}

/** One upstream: the way to it, how fast it is, and whether it fails. */
export class Peer {
  /** As it may be shown. */
  readonly name: string
  readonly #link: Link
  readonly #clock: Clock
  readonly #attempts = new Set<AbortController>()
  #srtt: number | null = null
  #favour = 1
  #failures = 0
  #lastFailure = 0
  #restsUntil = 0
  #asked = 0
  #answered = 0
  #failed = 0
  #closed = false

  constructor(upstream: Upstream, link: Link, clock: Clock) {
    this.name = printUpstream(upstream)
    this.#link = link
    this.#clock = clock
  }

  /** Milliseconds in which an answer can be expected; null if nothing is known. */
  get srtt(): number | null {
    return this.#srtt
  }

  /** What upstreams are ordered by: an unknown one is measured first, one long passed over comes back. */
  get expected(): number {
    return (this.#srtt ?? 0) * this.#favour
  }

  /** Whether its last answer was none. */
  get isFailing(): boolean {
    return this.#failures > 0
  }

  /** Milliseconds for which others are to be asked before it. A clock that went back does not make them more. */
  get restsFor(): number {
    const left = this.#restsUntil - this.#clock.now()
    return left > LONGEST_BACK_OFF ? 0 : Math.max(0, left)
  }

  get health(): Omit<UpstreamHealth, 'zone'> {
    return {
      upstream: this.name,
      srtt: this.#srtt === null ? null : Math.round(this.#srtt * 10) / 10,
      state: this.isFailing ? 'failing' : this.#answered > 0 ? 'healthy' : 'untried',
      asked: this.#asked,
      answered: this.#answered,
      failed: this.#failed,
    }
  }

  /** Another upstream was asked in its place. */
  passOver(): void {
    this.#favour *= FORGIVENESS
  }

  /** Asks, and learns from what becomes of it. Rejects with `NoAnswerInTime` or the reason of the failure. */
  async ask(query: Message, timeout: number): Promise<Message> {
    if (this.#closed) throw closing()
    const attempt = new AbortController()
    const timer = setTimeout(() => attempt.abort(new NoAnswerInTime('no answer in time')), timeout)
    const start = performance.now()
    this.#attempts.add(attempt)
    this.#asked += 1
    try {
      const reply = await this.#askEitherWay(query, attempt.signal)
      this.#answered += 1
      this.#learn(performance.now() - start)
      if (HEALTHY.has(reply.rcode)) this.#recover()
      else this.#fail(start)
      return reply
    } catch (error) {
      this.#failed += 1
      this.#fail(start)
      throw error
    } finally {
      clearTimeout(timer)
      this.#attempts.delete(attempt)
    }
  }

  close(): void {
    this.#closed = true
    for (const attempt of this.#attempts) attempt.abort(closing())
    this.#link.close()
  }

  async #askEitherWay(query: Message, signal: AbortSignal): Promise<Message> {
    const reply = await this.#link.ask(query, signal)
    // RFC 6891 section 7: this is how a server says that it does not know EDNS.
    const knowsNoEdns = reply.rcode === RCODE.FORMERR && reply.edns === null
    return knowsNoEdns ? this.#link.ask({ ...query, edns: null }, signal) : reply
  }

  #learn(elapsed: number): void {
    this.#srtt = this.#srtt === null ? elapsed : this.#srtt + SMOOTHING * (elapsed - this.#srtt)
    this.#favour = 1
  }

  #recover(): void {
    this.#failures = 0
    this.#restsUntil = 0
  }

  /** Questions that were under way when it failed before say nothing new. */
  #fail(start: number): void {
    if (this.#failures > 0 && start < this.#lastFailure) return
    this.#failures += 1
    this.#lastFailure = performance.now()
    const backOff = Math.min(LONGEST_BACK_OFF, FIRST_BACK_OFF * 2 ** (this.#failures - 1))
    this.#restsUntil = this.#clock.now() + backOff
  }
}

const closing = () => new Error('the gateway is closing')
