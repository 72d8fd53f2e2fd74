import type { Wait } from '../../agent/wait.ts'
import type { Clock } from '../../base/clock.ts'

/** The real time, moved on by every wait and by the tests: certificates are made and checked by OpenSSL in real time. */
export class TestTime implements Clock {
  #ahead = 0
  /** Every wait so far, in milliseconds. */
  readonly waits: number[] = []

  now(): number {
    return Date.now() + this.#ahead
  }

  pass(milliseconds: number): void {
    this.#ahead += milliseconds
  }

  readonly wait: Wait = async (milliseconds, signal) => {
    signal?.throwIfAborted()
    this.waits.push(milliseconds)
    this.pass(milliseconds)
  }
}
