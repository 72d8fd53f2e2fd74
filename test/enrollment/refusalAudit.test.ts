import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { MINUTE } from '../../base/clock.ts'
import { createLog } from '../../base/log.ts'
import { RefusalAudit } from '../../enrollment/refusalAudit.ts'
import { readAudit } from '../../store/audit.ts'
import { openStore } from '../../store/database.ts'
import { tempDirs } from '../support/tempDir.ts'
import { TestClock } from '../support/testClock.ts'

const newDir = tempDirs()

test('refusals are written, but 30 a minute; those left out are counted in the next', async () => {
  const clock = new TestClock(Date.UTC(2027, 0))
  const store = await openStore({
    url: `sqlite:${join(newDir(), 'hearth.db')}`,
    clock,
    onFollowerError: () => {},
  })
  const refusals = new RefusalAudit({ store, clock, log: createLog('silent') })
  const refuse = (times: number) =>
    Promise.all(
      Array.from({ length: times }, () =>
        refusals.record({
          actor: 'est 10.0.0.9',
          action: 'certificate.refuse',
          subject: '/',
          detail: 'wrong token',
        }),
      ),
    )
  const written = () => readAudit(store.db, 0, 1000)

  await refuse(100)
  expect(await written()).toHaveLength(30)
  clock.pass(MINUTE - 1)
  await refuse(1)
  expect(await written()).toHaveLength(30)

  clock.pass(1)
  await refuse(2)
  const rows = await written()
  expect(rows).toHaveLength(32)
  expect(rows.map(({ detail }) => detail).slice(-3)).toEqual([
    'wrong token',
    'wrong token (71 refusals before this one were not written down)',
    'wrong token',
  ])
  expect(rows[0]).toMatchObject({
    actor: 'est 10.0.0.9',
    action: 'certificate.refuse',
    subject: '/',
    outcome: 'refused',
  })
  await store.close()
})
