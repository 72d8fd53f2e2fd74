import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { DAY, HOUR } from '../../base/clock.ts'
import { REVOCATION_REASONS, reasonName } from '../../ca/reasons.ts'
import { revokeName, revokeSerial } from '../../ca/revocation.ts'
import { readAudit } from '../../store/audit.ts'
import { tempDirs } from '../support/tempDir.ts'
import { TestClock } from '../support/testClock.ts'
import { TestHome } from '../support/testHome.ts'

const newDir = tempDirs()
let clock: TestClock
let home: TestHome

beforeEach(async () => {
  clock = new TestClock()
  home = await TestHome.open(newDir(), { clock })
})
afterEach(() => home.close())

const status = (serial: string) => home.ledger.status(home.hierarchy.current.id, serial)

describe('CERT-1: revoking', () => {
  test('one certificate: on record, in the audit, and everything that follows is told', async () => {
    const { serial } = await home.issue('nas.home.arpa')
    const told: string[] = []
    home.store.follow(
      (changes) => void told.push(...changes.map(({ kind, subject }) => `${kind} ${subject}`)),
    )
    expect(await revokeSerial(home.store, serial, 'keyCompromise', 'cli')).toEqual([serial])
    expect(await status(serial)).toMatchObject({ revoked_at: clock.time, revocation_reason: 1 })
    expect(told).toEqual([`certificate.revoked ${serial}`])
    expect((await readAudit(home.store.db, 0, 100)).at(-1)).toMatchObject({
      actor: 'cli',
      action: 'certificate.revoke',
      subject: serial,
      outcome: 'done',
      detail: 'reason: keyCompromise',
    })
  })

  test('twice is no error; the first time and reason stand, and nobody is told again', async () => {
    const { serial } = await home.issue('nas.home.arpa')
    await revokeSerial(home.store, serial, 'keyCompromise', 'cli')
    const first = await status(serial)
    clock.pass(HOUR)
    let told = 0
    home.store.follow(() => void told++)
    await revokeSerial(home.store, serial, 'superseded', 'cli')
    expect(await status(serial)).toEqual(first)
    expect(told).toBe(0)
  })

  test('a name: every certificate of it that is still valid, and no other', async () => {
    const { serial: expired } = await home.issue('nas.home.arpa')
    clock.pass(8 * DAY)
    const [one, other] = [await home.issue('nas.home.arpa'), await home.issue('nas.home.arpa')]
    const { serial: ofTv } = await home.issue('tv.home.arpa')
    const serials = await revokeName(home.store, 'nas.home.arpa', 'superseded', 'cli')
    expect(serials.toSorted()).toEqual([one.serial, other.serial].toSorted())
    for (const serial of [expired, ofTv]) expect(await status(serial)).toMatchObject({ revoked_at: null })
  })

  test('what does not exist, or is over, is refused with the reason', async () => {
    const { serial } = await home.issue('nas.home.arpa')
    await expect(revokeSerial(home.store, '4A', 'unspecified', 'cli')).rejects.toMatchObject({
      name: 'RevocationError',
      code: 'CERTIFICATE_UNKNOWN',
      message: 'there is no certificate with serial 4A; "hearth cert list" shows those there are',
    })
    await expect(revokeName(home.store, 'tv.home.arpa', 'unspecified', 'cli')).rejects.toMatchObject({
      code: 'NOTHING_TO_REVOKE',
    })
    clock.pass(7 * DAY)
    await expect(revokeSerial(home.store, serial, 'unspecified', 'cli')).rejects.toMatchObject({
      code: 'NOTHING_TO_REVOKE',
      message: expect.stringMatching(/expired at .*; nobody accepts it any more$/),
    })
  })

  test('an issuer knows only its own certificates', async () => {
    const { serial } = await home.issue('nas.home.arpa')
    expect(await home.ledger.status(home.hierarchy.root.id, serial)).toBeNull()
    expect(await status('4A')).toBeNull()
  })
})

test('reasons have names, and codes without one are shown as they are', () => {
  for (const [name, code] of Object.entries(REVOCATION_REASONS)) expect(reasonName(code)).toBe(name)
  expect(reasonName(6)).toBe('6')
})
