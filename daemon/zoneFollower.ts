import type { Clock } from '../base/clock.ts'
import type { Store } from '../store/database.ts'
import type { Change } from '../store/schema.ts'
import {
  ALL_OWNERS,
  changesZone,
  readZone,
  readZonePatch,
  type ZoneData,
  type ZoneHost,
  type ZonePatch,
} from '../store/zone.ts'

/** Who answers from the zone. */
interface ZoneHolder {
  replaceZone(data: ZoneData): unknown
  patchZone(patch: ZonePatch): unknown
}

/**
 * Keeps the DNS at what the database says: reads what each change is about, and hands it on.
 *
 * One thing after the other, so that nothing older ever takes the place of something newer. After a failure
 * the whole zone is read anew, at the next change or look.
 */
export class ZoneFollower {
  readonly #store: Store
  readonly #clock: Clock
  readonly #holder: ZoneHolder
  /** By device: a name of it, and when the first of its keys goes out of use. */
  readonly #expiries = new Map<string, { name: string; at: number }>()
  #last: Promise<void> = Promise.resolve()
  #isBehind = false
  /** The latest time by which keys were read: those that had ended then are not in the zone. */
  #readAt: number

  /** `zone` is what the holder has already. */
  constructor(options: { store: Store; clock: Clock; holder: ZoneHolder; zone: ZoneData }) {
    this.#store = options.store
    this.#clock = options.clock
    this.#holder = options.holder
    this.#readAt = options.clock.now()
    this.#noteExpiries(options.zone.hosts)
  }

  /** @throws whatever the database or the holder throws; then the zone is behind. */
  follow(changes: readonly Change[]): Promise<void> {
    return changes.some(changesZone) ? this.#next(changes) : Promise.resolve()
  }

  /**
   * Does what is due without a change: catches up after a failure, takes keys out whose certificates ran out,
   * and back in when the clock that said so was ahead and is put right. Each is a change of its own, so that
   * the zone's serial grows.
   */
  async look(): Promise<void> {
    if (this.#isBehind) await this.#next([])
    const now = this.#clock.now()
    if (now < this.#readAt) await renewSerial(this.#store)
    const due = [...this.#expiries.values()].filter(({ at }) => at <= now)
    if (due.length === 0) return
    await this.#store.transaction(async (tx) => {
      for (const { name } of due) await tx.change('device.changed', name)
    })
  }

  #next(changes: readonly Change[]): Promise<void> {
    const turn = this.#last.then(() => this.#apply(changes))
    this.#last = turn.catch(() => {})
    return turn
  }

  async #apply(changes: readonly Change[]): Promise<void> {
    const wasBehind = this.#isBehind
    this.#isBehind = true
    const { db } = this.#store
    const now = this.#clock.now()
    const patch = wasBehind ? null : await readZonePatch(db, changes, now)
    if (patch === null) {
      const zone = await readZone(db, now)
      await this.#holder.replaceZone(zone)
      this.#readAt = now
      this.#expiries.clear()
      this.#noteExpiries(zone.hosts)
    } else {
      await this.#holder.patchZone(patch)
      this.#readAt = Math.max(this.#readAt, now)
      for (const { id } of patch.hosts) this.#expiries.delete(id)
      this.#noteExpiries(patch.hosts.flatMap(({ host }) => host ?? []))
    }
    this.#isBehind = false
  }

  #noteExpiries(hosts: readonly ZoneHost[]): void {
    for (const { id, names, keys } of hosts) {
      const at = Math.min(...keys.map(({ until }) => until))
      if (keys.length > 0) this.#expiries.set(id, { name: names[0]!, at })
    }
  }
}

/**
 * Moves the serial on and has the whole zone read anew: the zone may say something else than before although
 * no change said so, because the clock was set back or, while the gateway was stopped, certificates ran out or
 * the configuration changed, and secondaries compare nothing but serials.
 */
export async function renewSerial(store: Store): Promise<void> {
  await store.transaction((tx) => tx.change('dns.changed', ALL_OWNERS))
}
