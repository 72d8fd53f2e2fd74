import { type Clock, MINUTE, SECOND } from '../base/clock.ts'
import type { ExtendedError } from './forwarder.ts'

/** RFC 9520 section 3.2: no shorter and no longer may it be remembered that nothing was to be had. */
const SHORTEST = SECOND
const LONGEST = 5 * MINUTE

/** Questions; a flood of more only makes the oldest ones be asked again sooner. */
const MAX_FAILURES = 4096

/** What became of a question that no upstream answered. */
export interface Failure {
  rcode: number
  extendedError: ExtendedError
}

interface Entry {
  failure: Failure
  until: number
  /** Milliseconds it is remembered, this time. */
  period: number
}

/**
 * Questions that were asked in vain, so that clients who ask again and again do not make us ask again and
 * again. Each failure in a row is remembered twice as long as the one before.
 *
 * @see RFC 9520 section 3.2.
 */
export class FailureCache {
  readonly #clock: Clock
  readonly #entries = new Map<string, Entry>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Null if the question may be asked. */
  find(key: string): Failure | null {
    const entry = this.#entries.get(key)
    if (entry === undefined) return null
    const left = entry.until - this.#clock.now()
    // More than was ever promised is left only if the clock has gone back.
    return left > 0 && left <= entry.period ? entry.failure : null
  }

  /** Remembers a failure for no less than `atLeast` milliseconds. */
  note(key: string, failure: Failure, atLeast = SHORTEST): void {
    const now = this.#clock.now()
    const before = this.#entries.get(key)
    const isInARow = before !== undefined && Math.abs(now - before.until) <= LONGEST
    const period = Math.min(LONGEST, Math.max(atLeast, isInARow ? 2 * before.period : SHORTEST))
    this.#entries.delete(key)
    this.#entries.set(key, { failure, until: now + period, period })
    if (this.#entries.size > MAX_FAILURES) this.#entries.delete(this.#entries.keys().next().value!)
  }

  forget(key: string): void {
    this.#entries.delete(key)
  }
}
