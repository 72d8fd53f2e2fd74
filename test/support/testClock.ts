import { type Clock, SECOND } from '../../base/clock.ts'

/** A clock that stands still until it is set. Begins now, so that other programs agree with it about dates. */
export class TestClock implements Clock {
  time: number

  constructor(time = Math.floor(Date.now() / SECOND) * SECOND) {
    this.time = time
  }

  now(): number {
    return this.time
  }

  pass(milliseconds: number): void {
    this.time += milliseconds
  }
}
