import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { openStore, type Store } from '../../store/database.ts'
import { insertDevice } from '../../store/devices.ts'
import type { Change } from '../../store/schema.ts'
import { describeOnBothEngines } from '../support/engines.ts'
import { TestClock } from '../support/testClock.ts'

describeOnBothEngines('transactions', (newDatabase) => {
  let store: Store
  let followerErrors: unknown[]

  beforeEach(async () => {
    followerErrors = []
    store = await openStore({
      url: await newDatabase(),
      clock: new TestClock(),
      onFollowerError: (error) => followerErrors.push(error),
    })
  })
  afterEach(() => store.close())

  const storedChanges = () => store.db.selectFrom('changes').selectAll().orderBy('seq').execute()
  const numbers = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

  /** A transaction with one change, which fails if its number says so. */
  const change = (subject: string, fails = false) =>
    store.transaction(async (tx) => {
      await tx.change('device.changed', subject)
      if (fails) throw new Error(`${subject} fails`)
    })

  test('changes are numbered without gaps, however many race and fail', async () => {
    const attempts = numbers(40).map((number) => change(`device ${number}`, number % 4 === 0))
    const outcomes = await Promise.allSettled(attempts)
    expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(10)
    expect((await storedChanges()).map(({ seq }) => seq)).toEqual(numbers(30))
  })

  test('a throw takes everything back, and nobody is told', async () => {
    const seen: Change[] = []
    store.follow((changes) => void seen.push(...changes))
    const failure = store.transaction(async (tx) => {
      await insertDevice(tx, { kind: 'device', profile: 'server', names: ['nas.home.arpa'], addresses: [] })
      await tx.change('device.added', 'nas.home.arpa')
      await tx.audit({ actor: 'test', action: 'device.add', subject: 'nas', outcome: 'done', detail: '' })
      throw new Error('a power cut')
    })
    await expect(failure).rejects.toThrow('a power cut')
    expect(seen).toEqual([])
    for (const table of ['devices', 'device_names', 'changes', 'audit', 'counters'] as const) {
      expect(await store.db.selectFrom(table).selectAll().execute()).toEqual([])
    }
  })

  describe('followers', () => {
    test('see each change once, in order, however many race', async () => {
      const seen: Change[] = []
      store.follow(async (changes) => {
        await store.db.selectFrom('changes').selectAll().execute() // one that takes its time
        seen.push(...changes)
      })
      await Promise.all(numbers(100).map((number) => change(`device ${number}`)))
      expect(seen).toEqual(await storedChanges())
      expect(seen.map(({ seq }) => seq)).toEqual(numbers(100))
    })

    test('see what one transaction changed in one piece', async () => {
      const calls: string[][] = []
      store.follow((changes) => void calls.push(changes.map(({ subject }) => subject)))
      await store.transaction(async (tx) => {
        await tx.change('device.added', 'nas')
        await tx.change('credential.added', 'nas')
      })
      await store.transaction(async () => {})
      expect(calls).toEqual([['nas', 'nas']])
    })

    test('have seen it when the transaction resolves, and see it committed', async () => {
      let committed = 0
      store.follow(async () => {
        committed = (await storedChanges()).length
      })
      await change('nas')
      expect(committed).toBe(1)
    })

    test('that fail are told about, and harm neither the change nor other followers', async () => {
      const seen: string[] = []
      store.follow(() => {
        throw new Error('the first is ill')
      })
      store.follow(() => Promise.reject(new Error('the second is ill')))
      store.follow((changes) => void seen.push(...changes.map(({ subject }) => subject)))
      await change('nas')
      await change('tv')
      expect(seen).toEqual(['nas', 'tv'])
      expect(followerErrors.map(String)).toEqual([
        'Error: the first is ill',
        'Error: the second is ill',
        'Error: the first is ill',
        'Error: the second is ill',
      ])
      expect(await storedChanges()).toHaveLength(2)
    })
  })
})
