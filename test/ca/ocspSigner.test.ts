import { X509Certificate } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { DAY } from '../../base/clock.ts'
import { OcspSigners } from '../../ca/ocspSigner.ts'
import { extKeyUsagesOf, findExtension, readCertificate } from '../../x509/certificate.ts'
import { OID } from '../../x509/oids.ts'
import { keyIdentifier } from '../../x509/spki.ts'
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

const open = async (issuer = home.hierarchy.current) => {
  const signers = new OcspSigners({ ...home, issuers: () => [issuer] })
  await signers.refresh()
  return signers.current[0]!
}

/** Serials of the OCSP keys that are kept. */
async function keptKeys(): Promise<string[]> {
  const rows = await home.store.db.selectFrom('keys').select('id').where('purpose', '=', 'ocsp').execute()
  return rows.map(({ id }) => id)
}

test('it may sign OCSP answers for its issuer and nothing else, for 14 days', async () => {
  const { certificate, keyId, notAfter, issuer } = await open()
  const read = readCertificate(certificate)
  expect(extKeyUsagesOf(read)).toEqual([OID.ocspSigning])
  expect(findExtension(read, OID.ocspNoCheck)).not.toBeNull()
  expect(keyId).toEqual(keyIdentifier(read.spki))
  expect(notAfter).toBe(clock.time + 14 * DAY - 1000)
  expect(new X509Certificate(certificate).verify(issuer.publicKey)).toBe(true)
})

test('it is the same until a week before its end, then a new one takes over and the old key goes', async () => {
  const first = await open()
  clock.pass(7 * DAY - 2000)
  expect((await open()).certificate).toEqual(first.certificate)
  clock.pass(2000)
  const second = await open()
  expect(second.certificate).not.toEqual(first.certificate)
  expect(await keptKeys()).toEqual([expect.stringMatching(/^[0-9A-F]{32}$/)])
  expect((await open()).certificate).toEqual(second.certificate)
})

test('it is not rolled over while the clock is in doubt', async () => {
  const first = await open()
  clock.pass(100 * DAY)
  expect((await open()).certificate).toEqual(first.certificate)
})

test('it never outlives its issuer, and is not made anew for that', async () => {
  const { notAfter } = home.hierarchy.current
  clock.time = notAfter - 3 * DAY
  await home.guard.accept('test')
  const last = await open()
  expect(last.notAfter).toBe(notAfter)
  clock.pass(DAY)
  expect((await open()).certificate).toEqual(last.certificate)
})

test('each issuer has its own', async () => {
  const first = await open()
  clock.time = (home.hierarchy.current.notBefore + home.hierarchy.current.notAfter) / 2 + 1000
  await home.guard.accept('test')
  await home.hierarchy.rollIfDue()
  const second = await open()
  expect(second.issuer.id).not.toBe(first.issuer.id)
  expect(await keptKeys()).toHaveLength(2)
})
