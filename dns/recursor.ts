import { SECOND } from '../base/clock.ts'
import { reasonOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Question, ResourceRecord } from '../wire/message.ts'
import type { Name } from '../wire/name.ts'
import { EXTENDED_ERROR, RCODE } from '../wire/registry.ts'
import { AnswerCache, type Kept, keyOf } from './cache.ts'
import { type Failure, FailureCache } from './failureCache.ts'
import { type ExtendedError, Forwarder, type ForwarderOptions } from './forwarder.ts'
import type { Answer } from './scrub.ts'
import { type DnssecFlags, ForwardError } from './upstream/group.ts'
import type { UpstreamHealth } from './upstream/peer.ts'
import { Waiting } from './waiting.ts'

/** RFC 8767 section 5: how long a client waits for a fresh answer if there is a stale one. */
const STALE_AFTER = 1.8 * SECOND

/** RFC 8767 section 5: how long nobody is asked again about a stale answer that could not be refreshed. */
const STALE_RECHECK = 30 * SECOND

/** RFC 8767 section 4: seconds for which a client may keep a stale answer. */
const STALE_TTL = 30

/** Each waiting question holds sockets; each waiting client, some memory. */
const MAX_QUESTIONS = 512
const MAX_WAITING = { total: 4096, perClient: 256 }

/** What is known outside, and how it came to be known. */
export interface Recursed extends Answer {
  source: 'forwarder' | 'cache' | 'stale' | 'failure-cache'
  /** The upstream that was asked for it now. */
  upstream: string | null
  /** Seconds since it was stored; null if it was not. */
  age: number | null
  extendedError: ExtendedError | null
  /** Milliseconds for which it may be given again, TTLs counted down. */
  reusableFor: number
}

export interface RecursorOptions extends ForwarderOptions {
  cache: { octets: number; staleFor: number }
}

/** A question that upstreams are being asked. */
interface Asking {
  since: number
  answer: Promise<Recursed>
}

/**
 * Knows what is outside: from the cache, and else from the upstreams.
 *
 * Clients that wait for the same question share one query. What is often asked is fetched anew before it
 * runs out. What has run out is still given when no upstream can say more, and failures are remembered, so
 * that a home without internet is not made to wait at every step.
 */
export class Recursor {
  readonly #forwarder: Forwarder
  readonly #cache: AnswerCache
  readonly #failures: FailureCache
  readonly #asking = new Map<string, Asking>()
  readonly #log: Log
  readonly #waiting = new Waiting(MAX_WAITING)

  /** `isHome` tells the names that must stay inside. */
  constructor(options: RecursorOptions, isHome: (name: Name) => boolean) {
    this.#forwarder = new Forwarder(options, isHome)
    this.#cache = new AnswerCache({ ...options.cache, clock: options.clock })
    this.#failures = new FailureCache(options.clock)
    this.#log = options.log
  }

  /** The zone with upstreams of its own that a name is in; null for the common upstreams. */
  zoneOf(name: Name): string | null {
    return this.#forwarder.zoneOf(name)
  }

  health(): UpstreamHealth[] {
    return this.#forwarder.health()
  }

  /** How many answers are kept. */
  get kept(): number {
    return this.#cache.size
  }

  /**
   * Answers within `patience` milliseconds. Never rejects: a failure is an answer too, with the reason.
   */
  async answer(
    question: Question,
    flags: DnssecFlags & { client: string },
    patience: number,
  ): Promise<Recursed> {
    const key = keyOf(question.name, question.type, flags)

    // 1. Fresh from the cache.
    const kept = this.#cache.find(question, flags)
    if (kept !== null && kept.goodFor > 0) {
      if (kept.restsFor <= 0) this.#refresh(key, question, flags)
      return fromCache(kept)
    }

    // 2. What was in vain a moment ago is not tried again; what is stale is better than nothing.
    const failure = this.#failures.find(key)
    if (failure !== null) return kept === null ? fromFailure(failure) : stale(kept)

    // 3. The upstreams. A client waits for them less long if there is something stale to give.
    if (!this.#waiting.enter(flags.client)) return kept === null ? TOO_BUSY : stale(kept)
    try {
      const asking = this.#ask(key, question, flags, kept !== null)
      if (asking === null) return kept === null ? TOO_BUSY : stale(kept)
      if (kept === null) return await within(patience, asking.answer, () => TOO_LATE)
      if (this.#forwarder.isFailing(question.name)) return stale(kept)
      const left = asking.since + STALE_AFTER - performance.now()
      const fresh = await within(Math.min(left, patience), asking.answer, () => stale(kept))
      return isFailure(fresh.rcode) ? stale(kept) : fresh
    } finally {
      this.#waiting.leave(flags.client)
    }
  }

  /** Ends every query under way; whoever waits for one is told of a failure. */
  close(): void {
    this.#forwarder.close()
  }

  /** Asks without anyone waiting, unless there is enough to do already. */
  #refresh(key: string, question: Question, flags: DnssecFlags): void {
    if (this.#asking.size >= MAX_QUESTIONS / 2 || this.#failures.find(key) !== null) return
    this.#ask(key, question, flags, true)
  }

  /** The query under way, or a new one; null if there are too many. */
  #ask(key: string, question: Question, flags: DnssecFlags, hasStale: boolean): Asking | null {
    const underWay = this.#asking.get(key)
    if (underWay !== undefined) return underWay
    if (this.#asking.size >= MAX_QUESTIONS) return null
    const answer = this.#forward(key, question, flags, hasStale).finally(() => this.#asking.delete(key))
    // There may be nobody who waits for it.
    answer.catch((error) => this.#log.error({ reason: reasonOf(error) }, 'asking the upstreams failed'))
    const asking = { since: performance.now(), answer }
    this.#asking.set(key, asking)
    return asking
  }

  async #forward(key: string, question: Question, flags: DnssecFlags, hasStale: boolean): Promise<Recursed> {
    const remember = (rcode: number, text: string) => {
      const failure = { rcode, extendedError: { code: EXTENDED_ERROR.CACHED_ERROR, text } }
      this.#failures.note(key, failure, hasStale ? STALE_RECHECK : undefined)
    }
    try {
      const { reply, upstream } = await this.#forwarder.forward(question, flags)
      const { rcode, extendedError } = reply
      if (isFailure(rcode)) {
        remember(rcode, extendedError?.text ?? '')
        return { ...NOTHING, rcode, extendedError, upstream }
      }
      this.#failures.forget(key)
      const { restsFor } = this.#cache.store(question, flags, reply)
      return { ...reply, source: 'forwarder', upstream, age: null, reusableFor: restsFor }
    } catch (error) {
      if (!(error instanceof ForwardError)) throw error
      if (error.code !== 'NO_UPSTREAM') remember(RCODE.SERVFAIL, error.message)
      const code = EXTENDED_ERROR.NO_REACHABLE_AUTHORITY
      return { ...NOTHING, extendedError: { code, text: error.message } }
    }
  }
}

/** Only these two refresh what is known (RFC 8767 section 4). */
function isFailure(rcode: number): boolean {
  return rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN
}

const NOTHING: Recursed = {
  rcode: RCODE.SERVFAIL,
  answers: [],
  authorities: [],
  additionals: [],
  source: 'forwarder',
  upstream: null,
  age: null,
  extendedError: null,
  reusableFor: 0,
}

const TOO_BUSY: Recursed = {
  ...NOTHING,
  extendedError: { code: EXTENDED_ERROR.OTHER, text: 'too many questions wait for the upstreams' },
}

const TOO_LATE: Recursed = {
  ...NOTHING,
  extendedError: { code: EXTENDED_ERROR.NO_REACHABLE_AUTHORITY, text: 'no upstream answered in time' },
}

function fromFailure({ rcode, extendedError }: Failure): Recursed {
  return { ...NOTHING, rcode, extendedError, source: 'failure-cache' }
}

function fromCache({ answer, age, restsFor }: Kept): Recursed {
  return {
    ...answer,
    source: 'cache',
    upstream: null,
    age,
    extendedError: null,
    reusableFor: Math.max(0, restsFor),
  }
}

/** What has run out, for a short time, and with a word about it (RFC 8914 section 4). */
function stale({ answer, age }: Kept): Recursed {
  const shortly = (records: readonly ResourceRecord[]) =>
    records.map((record) => ({ ...record, ttl: STALE_TTL }))
  const isAbsent = answer.rcode === RCODE.NXDOMAIN
  return {
    rcode: answer.rcode,
    answers: shortly(answer.answers),
    authorities: shortly(answer.authorities),
    additionals: shortly(answer.additionals),
    source: 'stale',
    upstream: null,
    age,
    extendedError: {
      code: isAbsent ? EXTENDED_ERROR.STALE_NXDOMAIN_ANSWER : EXTENDED_ERROR.STALE_ANSWER,
      text: 'no upstream could refresh the answer',
    },
    reusableFor: 0,
  }
}

/** What comes first: the promised, or what is given in its place after so many milliseconds. */
async function within<T>(milliseconds: number, promised: Promise<T>, otherwise: () => T): Promise<T> {
  const { promise: late, resolve } = Promise.withResolvers<T>()
  const timer = setTimeout(() => resolve(otherwise()), milliseconds)
  try {
    return await Promise.race([promised, late])
  } finally {
    clearTimeout(timer)
  }
}
