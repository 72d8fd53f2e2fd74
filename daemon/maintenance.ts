import { type Clock, HOUR, SECOND } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { ClockGuard } from '../ca/clockGuard.ts'
import type { Store } from '../store/database.ts'

const EVERY = 30 * SECOND

/**
 * Looks regularly at what comes due: renewals, roll-overs, addresses that changed.
 *
 * Each task decides itself whether there is anything to do. One that fails is logged and tried again the
 * next time; the others run all the same.
 */
export function startMaintenance(options: {
  clock: Clock
  log: Log
  guard: ClockGuard
  store: Store
  tasks: Record<string, () => Promise<void>>
}): { run(): Promise<void>; stop(): Promise<void> } {
  const { clock, log, guard, store, tasks } = options
  const troubled = new Set<string>()
  let marked = 0
  let running: Promise<void> = Promise.resolve()

  const runAll = async () => {
    if (clock.now() - marked >= HOUR) {
      marked = clock.now()
      await attempt('clock mark', () => guard.advance(store.db))
    }
    for (const [name, task] of Object.entries(tasks)) await attempt(name, task)
  }

  /** Trouble is told when it begins and when it ends, not every half minute between. */
  const attempt = async (name: string, task: () => Promise<void>) => {
    try {
      await task()
      if (troubled.delete(name)) log.info(`${name}: well again`)
    } catch (error) {
      if (!troubled.has(name))
        log.error({ err: error }, `${name}: failed; it is tried again every half minute`)
      troubled.add(name)
    }
  }

  const run = () => {
    running = running.then(runAll)
    return running
  }
  const timer = setInterval(run, EVERY)
  return {
    run,
    stop: async () => {
      clearInterval(timer)
      await running
    },
  }
}
