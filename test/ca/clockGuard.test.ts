import { join } from 'node:path'
import { beforeEach, describe, expect, test } from '@jest/globals'
import { DAY, HOUR, MINUTE, SECOND } from '../../base/clock.ts'
import { ClockGuard } from '../../ca/clockGuard.ts'
import { readAudit } from '../../store/audit.ts'
import { openStore, type Store } from '../../store/database.ts'
import { tempDirs } from '../support/tempDir.ts'
import { TestClock } from '../support/testClock.ts'

const newDir = tempDirs()
const START = Date.UTC(2027, 2, 1, 12)
const BEFORE_EVERY_VERSION = Date.UTC(2026, 10, 1)

let clock: TestClock
let dir: string
/** Whether the system says that it has set the clock since it booted. */
let synchronised: boolean

beforeEach(() => {
  clock = new TestClock(START)
  dir = newDir()
  synchronised = false
})

/** Runs one life of the gateway, from start to stop. */
async function life<T>(
  live: (guard: ClockGuard, advance: () => Promise<void>, store: Store) => T | Promise<T>,
): Promise<T> {
  const store = await openStore({ url: `sqlite:${join(dir, 'hearth.db')}`, clock, onFollowerError: () => {} })
  try {
    const guard = await ClockGuard.open({ store, clock, synchronised: () => synchronised })
    return await live(guard, () => guard.advance(store.db), store)
  } finally {
    await store.close()
  }
}

const trusted = { trusted: true }
const doubted = (reason: RegExp) => ({ trusted: false, reason: expect.stringMatching(reason) })

describe('the clock is believed', () => {
  test('at the first start, if it says a time at which this version existed', async () => {
    await life((guard) => expect(guard.state()).toEqual(trusted))
    clock.time = BEFORE_EVERY_VERSION
    await life((guard) => expect(guard.state()).toEqual(trusted))
  })

  test.each([
    ['5 minutes back', -5 * MINUTE],
    ['as it was', 0],
    ['90 days forward', 90 * DAY],
  ])('%s from the last time that was believed', async (_, step) => {
    await life((_, advance) => advance())
    clock.pass(step)
    await life((guard) => expect(guard.state()).toEqual(trusted))
  })

  test('wherever it is, once the system has synchronised it', async () => {
    await life((_, advance) => advance())
    clock.pass(400 * DAY)
    synchronised = true
    await life((guard) => expect(guard.state()).toEqual(trusted))
  })
})

describe('the clock is in doubt', () => {
  test.each([0, BEFORE_EVERY_VERSION - SECOND])('at %d, before any version was made', async (time) => {
    clock.time = time
    synchronised = true
    await life((guard) =>
      expect(guard.state()).toEqual(doubted(/a time before this version .* Set the clock$/)),
    )
  })

  test('more than 5 minutes back, also after a restart', async () => {
    await life(async (guard, advance) => {
      await advance()
      clock.pass(-5 * MINUTE - 1)
      expect(guard.state()).toEqual(
        doubted(
          /^the clock went back to 2027-03-01T11:54:59Z; it was last seen at 2027-03-01T12:00:00Z\. Wait/,
        ),
      )
    })
    await life((guard) => expect(guard.state()).toEqual(doubted(/^the clock went back to/)))
  })

  test('more than 90 days forward', async () => {
    await life((_, advance) => advance())
    clock.pass(90 * DAY + 1)
    await life((guard) =>
      expect(guard.state()).toEqual(doubted(/^the clock went forward to 2027-05-30T12:00:00Z/)),
    )
  })

  test('until it comes right by itself', async () => {
    await life(async (guard, advance) => {
      await advance()
      clock.pass(-HOUR)
      expect(guard.state().trusted).toBe(false)
      clock.pass(HOUR)
      expect(guard.state()).toEqual(trusted)
    })
  })
})

describe('the mark', () => {
  test('moves on only while the clock is believed', async () => {
    await life(async (guard, advance) => {
      await advance()
      clock.pass(-HOUR)
      await advance()
      expect(guard.state().trusted).toBe(false)
    })
    await life((guard) => expect(guard.state().trusted).toBe(false))
  })
})

describe('a person says that the clock is right', () => {
  test.each([
    ['back', -100 * DAY],
    ['forward', 3650 * DAY],
  ])('after it went %s: believed, also after a restart, and the audit tells', async (_, step) => {
    await life(async (guard, advance) => {
      await advance()
      clock.pass(step)
      expect(guard.state().trusted).toBe(false)
      await guard.accept('cli')
      expect(guard.state()).toEqual(trusted)
    })
    const actions = await life((guard, _, store) => {
      expect(guard.state()).toEqual(trusted)
      return readAudit(store.db, 0, 10)
    })
    expect(actions).toEqual([
      expect.objectContaining({
        actor: 'cli',
        action: 'clock.accept',
        outcome: 'done',
        detail: expect.stringMatching(
          /^the clock at .* was accepted; last seen before: 2027-03-01T12:00:00Z$/,
        ),
      }),
    ])
  })

  test('but no word makes 1970 right', async () => {
    clock.time = 0
    await life(async (guard) => {
      await guard.accept('cli')
      expect(guard.state().trusted).toBe(false)
    })
  })
})
