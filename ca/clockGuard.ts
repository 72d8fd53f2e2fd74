import { existsSync } from 'node:fs'
import { type Clock, DAY, MINUTE, rfc3339 } from '../base/clock.ts'
import type { Db, Store } from '../store/database.ts'
import { readSetting, writeSetting } from '../store/settings.ts'

/** Further back than this, or further forward, and the clock is not believed. */
const BACK = 5 * MINUTE
const FORWARD = 90 * DAY

/** No gateway ran before this version was made: a clock that says so has not been set. */
const EARLIEST = Date.UTC(2026, 10, 1)

/** Written by systemd-timesyncd once it has set the clock since boot. */
const SYNCHRONISED = '/run/systemd/timesync/synchronized'

export type ClockState = { trusted: true } | { trusted: false; reason: string }

/**
 * Decides whether the clock may date certificates.
 *
 * A Raspberry Pi has no clock of its own: after a power cut it may wake in the past, or anywhere. The
 * guard keeps a mark, the last time that was believed, and compares. While it doubts, nothing is
 * issued; DNS and OCSP go on.
 */
export class ClockGuard {
  readonly #store: Store
  readonly #clock: Clock
  readonly #synchronised: () => boolean
  #mark: number | null

  static async open(options: {
    store: Store
    clock: Clock
    synchronised?: () => boolean
  }): Promise<ClockGuard> {
    const mark = await readSetting(options.store.db, 'clock_mark')
    return new ClockGuard(options, mark === null ? null : Number(mark))
  }

  private constructor(
    options: { store: Store; clock: Clock; synchronised?: () => boolean },
    mark: number | null,
  ) {
    this.#store = options.store
    this.#clock = options.clock
    this.#synchronised = options.synchronised ?? (() => existsSync(SYNCHRONISED))
    this.#mark = mark
  }

  state(): ClockState {
    const now = this.#clock.now()
    if (now < EARLIEST) {
      return doubt(
        `the clock says ${rfc3339(now)}, a time before this version of Hearth was made. Set the clock`,
      )
    }
    const mark = this.#mark
    if (mark === null || (now >= mark - BACK && now <= mark + FORWARD) || this.#synchronised()) {
      return { trusted: true }
    }
    const direction = now < mark ? 'back to' : 'forward to'
    return doubt(
      `the clock went ${direction} ${rfc3339(now)}; it was last seen at ${rfc3339(mark)}. Wait until it is synchronised, or, if it is right, say: hearth clock accept`,
    )
  }

  /** Moves the mark to now, if the clock is believed. Called with every issue and once an hour. */
  async advance(db: Db): Promise<void> {
    if (this.state().trusted) await this.#setMark(db)
  }

  /** A person has looked at the clock and says that it is right; the mark may go back. */
  async accept(actor: string): Promise<void> {
    const before = this.#mark
    await this.#store.transaction(async (tx) => {
      await this.#setMark(tx.db)
      await tx.audit({
        actor,
        action: 'clock.accept',
        subject: 'clock',
        outcome: 'done',
        detail: `the clock at ${rfc3339(tx.now)} was accepted; last seen before: ${before === null ? 'never' : rfc3339(before)}`,
      })
    })
  }

  async #setMark(db: Db): Promise<void> {
    const now = this.#clock.now()
    await writeSetting(db, 'clock_mark', String(now))
    this.#mark = now
  }
}

function doubt(reason: string): ClockState {
  return { trusted: false, reason }
}
