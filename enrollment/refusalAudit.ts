import { type Clock, MINUTE } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { Store } from '../store/database.ts'
import type { AuditEntry } from '../store/schema.ts'

/** Letters of subject and detail that are kept: both can come from the request. */
const LONGEST = 400

/** Refusals written a minute, for all clients together. */
const PER_MINUTE = 30

/**
 * Writes refused requests into the audit, but no faster than a household could read them.
 *
 * Anyone in the network can be refused as often as they like; each row is a disk flush and a line that
 * stays. What is left out is counted in the next row.
 */
export class RefusalAudit {
  readonly #store: Store
  readonly #clock: Clock
  readonly #log: Log
  #minute = 0
  #written = 0
  #leftOut = 0

  constructor(options: { store: Store; clock: Clock; log: Log }) {
    this.#store = options.store
    this.#clock = options.clock
    this.#log = options.log
  }

  async record(refusal: Omit<AuditEntry, 'outcome'>): Promise<void> {
    const minute = Math.floor(this.#clock.now() / MINUTE)
    if (minute !== this.#minute) {
      this.#minute = minute
      this.#written = 0
    }
    if (this.#written >= PER_MINUTE) {
      this.#leftOut++
      return
    }
    this.#written++
    const missing =
      this.#leftOut > 0 ? ` (${this.#leftOut} refusals before this one were not written down)` : ''
    this.#leftOut = 0
    this.#log.info({ actor: refusal.actor, subject: refusal.subject }, `refused: ${refusal.detail}`)
    const entry: AuditEntry = {
      ...refusal,
      subject: refusal.subject.slice(0, LONGEST),
      outcome: 'refused',
      detail: `${refusal.detail.slice(0, LONGEST)}${missing}`,
    }
    try {
      await this.#store.transaction((tx) => tx.audit(entry))
    } catch (error) {
      this.#log.error({ err: error }, 'a refusal could not be written down')
    }
  }
}
