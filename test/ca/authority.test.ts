import { X509Certificate } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { DAY, HOUR, MINUTE } from '../../base/clock.ts'
import { makeKeyPair } from '../../ca/keys.ts'
import { readAudit } from '../../store/audit.ts'
import { findCertificate } from '../../store/certificates.ts'
import type { Change } from '../../store/schema.ts'
import { readSetting } from '../../store/settings.ts'
import { altNamesOf, readCertificate, serialText } from '../../x509/certificate.ts'
import { sha256 } from '../../x509/spki.ts'
import { tempDirs } from '../support/tempDir.ts'
import { TestClock } from '../support/testClock.ts'
import { SERVER_PROFILE, TestHome } from '../support/testHome.ts'

const newDir = tempDirs()
let clock: TestClock
let home: TestHome

beforeEach(async () => {
  clock = new TestClock()
  home = await TestHome.open(newDir(), {
    clock,
    profiles: [SERVER_PROFILE, { name: 'long', days: 400, renewAt: 0.5 }],
  })
})
afterEach(() => home.close())

const recorded = () =>
  home.store.db.selectFrom('certificates').selectAll().where('device_id', 'is not', null).execute()

describe('CERT-3 UX-2: an issued certificate', () => {
  test('says what the request says, from the current issuer, for the profile’s time', async () => {
    const issued = await home.issue('nas.home.arpa', { addresses: ['192.168.1.20'] })
    const certificate = readCertificate(issued.certificate)
    expect(altNamesOf(certificate)).toEqual({ dns: ['nas.home.arpa'], ip: ['192.168.1.20'], others: [] })
    expect(certificate.spki).toEqual(issued.pair.spki)
    expect(certificate.issuer).toEqual(home.hierarchy.current.name)
    expect([certificate.notBefore, certificate.notAfter]).toEqual([
      clock.time - HOUR,
      clock.time + 7 * DAY - 1000,
    ])
    expect(new X509Certificate(issued.certificate).verify(home.hierarchy.current.publicKey)).toBe(true)
  })

  test('is on record when it is handed out, with an audit row and a change', async () => {
    const changes: Change[] = []
    home.store.follow((seen) => void changes.push(...seen))
    const deviceId = await home.addDevice('nas.home.arpa', ['192.168.1.20'])
    const { serial, certificate, pair } = await home.issue('nas.home.arpa', { actor: 'est 192.168.1.20' })
    expect(await findCertificate(home.store.db, serial)).toMatchObject({
      serial: serialText(readCertificate(certificate).serial),
      issuer_id: home.hierarchy.current.id,
      device_id: deviceId,
      profile: 'server',
      subject: 'nas.home.arpa',
      addresses: '["192.168.1.20"]',
      certificate,
      fingerprint_sha256: sha256(certificate),
      spki_sha256: sha256(pair.spki),
      issued_at: clock.time,
      requested_by: 'est 192.168.1.20',
      names: ['nas.home.arpa'],
    })
    expect(changes.map(({ kind, subject }) => [kind, subject])).toEqual([['certificate.issued', serial]])
    expect((await readAudit(home.store.db, 0, 100)).at(-1)).toMatchObject({
      actor: 'est 192.168.1.20',
      action: 'certificate.issue',
      subject: serial,
      detail: expect.stringMatching(/^nas\.home\.arpa; profile server; ends \d{4}-/),
    })
  })

  test('has 16 octets of serial, of which no two are alike', async () => {
    const deviceId = await home.addDevice('nas.home.arpa')
    const issued = await Promise.all(
      Array.from({ length: 50 }, () => home.issue('nas.home.arpa', { deviceId })),
    )
    const serials = issued.map(({ serial }) => serial)
    expect(new Set(serials).size).toBe(50)
    expect(serials.filter((serial) => !/^[4-7][0-9A-F]{31}$/.test(serial))).toEqual([])
  })

  test('is possible right after the clock was set back a little', async () => {
    clock.pass(-4 * MINUTE)
    const { certificate } = await home.issue('nas.home.arpa')
    expect(readCertificate(certificate).notBefore).toBe(home.hierarchy.current.notBefore)
  })
})

describe('nothing is issued', () => {
  const request = () => home.issue('nas.home.arpa')

  test('by a profile that does not exist', async () => {
    await expect(home.issue('nas.home.arpa', { profile: 'forever' })).rejects.toMatchObject({
      name: 'AuthorityError',
      code: 'PROFILE_UNKNOWN',
      message: 'there is no profile forever; there are: server, long',
    })
  })

  test('that would outlive the issuer', async () => {
    await expect(home.issue('nas.home.arpa', { profile: 'long' })).rejects.toMatchObject({
      code: 'ISSUER_ENDS_FIRST',
      message: expect.stringContaining('make a new issuer first, or shorten the profile'),
    })
  })

  test('that the last check finds fault with', async () => {
    await expect(home.issue('nas.home.arpa', { names: ['bank.example'] })).rejects.toMatchObject({
      code: 'CERTIFICATE_FAULTY',
      message:
        'the certificate for bank.example was not signed: bank.example lies outside home.arpa, local, localhost',
    })
    await expect(home.issue('tv.home.arpa', { names: [], addresses: [] })).rejects.toMatchObject({
      code: 'CERTIFICATE_FAULTY',
      message: expect.stringMatching(/^the certificate for nothing was not signed: /),
    })
  })

  test('while the clock is in doubt', async () => {
    clock.pass(-HOUR)
    await expect(request()).rejects.toMatchObject({
      code: 'CLOCK_UNTRUSTED',
      message: expect.stringMatching(
        /^no certificate is issued now: the clock went back to .* say: hearth clock accept$/,
      ),
    })
  })

  afterEach(async () => expect(await recorded()).toEqual([]))
})

describe('a claim', () => {
  test('that does not hold leaves nothing behind', async () => {
    await expect(home.issue('nas.home.arpa', { claim: async () => false })).rejects.toMatchObject({
      code: 'CLAIM_LOST',
      message: expect.stringContaining('was used up or withdrawn'),
    })
    expect(await recorded()).toEqual([])
    expect(await home.store.db.selectFrom('certificate_names').selectAll().execute()).toEqual([])
  })

  test('is told what it is for, in the transaction that records it', async () => {
    const pair = makeKeyPair('P-256')
    const claims: unknown[] = []
    const { serial } = await home.issue('nas.home.arpa', {
      pair,
      claim: async (tx, issued) => {
        claims.push(issued, await findCertificate(tx.db, issued.serial))
        return true
      },
    })
    expect(claims).toEqual([{ serial, spkiSha256: sha256(pair.spki) }, null])
  })

  test('that fails takes only its own certificate with it', async () => {
    const deviceId = await home.addDevice('nas.home.arpa')
    const attempts = Array.from({ length: 10 }, (_, index) =>
      home.issue('nas.home.arpa', {
        deviceId,
        claim: async () => {
          if (index === 3) throw new Error('the claim fails')
          return index !== 7
        },
      }),
    )
    const outcomes = await Promise.allSettled(attempts)
    const failures = outcomes.flatMap((outcome) =>
      outcome.status === 'rejected' ? [String(outcome.reason)] : [],
    )
    expect(failures).toEqual(['Error: the claim fails', expect.stringContaining('was used up or withdrawn')])
    expect(await recorded()).toHaveLength(8)
  })
})

test('certificates that are asked for together share a transaction, and all are recorded', async () => {
  const deviceId = await home.addDevice('nas.home.arpa')
  const batches: number[] = []
  home.store.follow((changes) => void batches.push(changes.length))
  const issued = await Promise.all(
    Array.from({ length: 100 }, () => home.issue('nas.home.arpa', { deviceId })),
  )
  expect(batches.reduce((sum, length) => sum + length)).toBe(100)
  expect(batches.length).toBeLessThanOrEqual(10)
  expect(Math.max(...batches)).toBeLessThanOrEqual(64)
  expect((await recorded()).map(({ serial }) => serial).toSorted()).toEqual(
    issued.map(({ serial }) => serial).toSorted(),
  )
})

test('with every issue the believed time moves on', async () => {
  clock.pass(80 * DAY)
  await home.issue('nas.home.arpa')
  expect(await readSetting(home.store.db, 'clock_mark')).toBe(String(clock.time))
  clock.pass(80 * DAY)
  await home.issue('nas.home.arpa')
})
