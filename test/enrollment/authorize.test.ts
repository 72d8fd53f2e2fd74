import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { DAY, HOUR, MINUTE } from '../../base/clock.ts'
import type { IssuedCertificate } from '../../ca/authority.ts'
import { type KeyPair, makeKeyPair } from '../../ca/keys.ts'
import { revokeSerial } from '../../ca/revocation.ts'
import { newSerial } from '../../ca/serial.ts'
import { authorizeCertificate, authorizeCredential, refuseForeignNames } from '../../enrollment/authorize.ts'
import type { EnrollmentCredential } from '../../enrollment/credential.ts'
import { Devices } from '../../enrollment/devices.ts'
import type { Device } from '../../store/devices.ts'
import {
  type CertificateTemplate,
  encodeTbsCertificate,
  readCertificate,
  signCertificate,
} from '../../x509/certificate.ts'
import type { ProvenCsr } from '../../x509/csr.ts'
import { extKeyUsage } from '../../x509/extensions.ts'
import { OID } from '../../x509/oids.ts'
import { type Signer, signerOf } from '../../x509/signature.ts'
import { sha256 } from '../../x509/spki.ts'
import { tempDirs } from '../support/tempDir.ts'
import { TestClock } from '../support/testClock.ts'
import { TestHome } from '../support/testHome.ts'

const newDir = tempDirs()
let clock: TestClock
let home: TestHome
let devices: Devices
let deviceId: string
let credential: EnrollmentCredential

beforeEach(async () => {
  clock = new TestClock()
  home = await TestHome.open(newDir(), { clock })
  devices = new Devices({
    store: home.store,
    domain: 'home.arpa',
    gatewayName: 'gateway.home.arpa',
    profiles: ['server'],
    credentialLife: HOUR,
  })
  ;({ deviceId, credential } = await devices.add({ name: 'nas', addresses: ['192.168.1.20'] }, 'test'))
})
afterEach(() => home.close())

const byCredential = (given = credential) => authorizeCredential(home.store.db, clock.time, given)
const byCertificate = (der: Buffer) =>
  authorizeCertificate(home.store.db, clock.time, der, home.hierarchy.issuers)

/** Enrolls the device with what it is authorised by. */
async function enroll(
  { claim }: Awaited<ReturnType<typeof byCredential>>,
  pair: KeyPair = makeKeyPair('P-256'),
): Promise<IssuedCertificate> {
  return home.issue('nas.home.arpa', { deviceId, claim, pair })
}

const suspend = () => home.store.db.updateTable('devices').set({ state: 'suspended' }).execute()

describe('SEC-2: by credential', () => {
  test('its device is authorised, until the credential expires', async () => {
    const { device, spent } = await byCredential()
    expect([device.id, device.names, spent]).toEqual([deviceId, ['nas.home.arpa'], null])
    clock.pass(HOUR - 1)
    await byCredential()
    clock.pass(1)
    await expect(byCredential()).rejects.toMatchObject({
      name: 'AuthorizationError',
      code: 'CREDENTIAL_EXPIRED',
      message: expect.stringMatching(
        /^this token expired at .*Z\. Make a new one: hearth device token NAME$/,
      ),
    })
  })

  test('a wrong id and a wrong token get the same answer', async () => {
    const refusals = await Promise.all(
      [
        { id: credential.id, token: 'wrong' },
        { id: 'wrong', token: credential.token },
        { id: '', token: '' },
      ].map((given) => byCredential(given).catch((error) => error)),
    )
    for (const refusal of refusals) expect(refusal).toMatchObject({ code: 'CREDENTIAL_WRONG' })
    expect(new Set(refusals.map(String)).size).toBe(1)
  })

  test('one credential makes one certificate, though many ask at once', async () => {
    const authorized = await Promise.all(Array.from({ length: 8 }, () => byCredential()))
    const outcomes = await Promise.allSettled(authorized.map((one) => enroll(one)))
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'CLAIM_LOST' })
    }
  })

  test('a spent one tells for ten minutes on which key, then it is refused', async () => {
    const pair = makeKeyPair('P-256')
    const { serial } = await enroll(await byCredential(), pair)
    clock.pass(10 * MINUTE - 1)
    expect((await byCredential()).spent).toMatchObject({ serial, spkiSha256: sha256(pair.spki) })
    clock.pass(1)
    await expect(byCredential()).rejects.toMatchObject({
      code: 'CREDENTIAL_USED',
      message: expect.stringContaining('one token makes one certificate. Make a new one'),
    })
  })

  test('a spent one cannot be spent again within the ten minutes', async () => {
    await enroll(await byCredential())
    await expect(enroll(await byCredential())).rejects.toMatchObject({ code: 'CLAIM_LOST' })
  })

  test('a device that was suspended gets nothing', async () => {
    await suspend()
    await expect(byCredential()).rejects.toMatchObject({
      code: 'DEVICE_INACTIVE',
      message: 'nas.home.arpa was suspended and gets no certificates. Ask whoever runs the gateway',
    })
  })

  test('a device that is removed while its certificate is made gets nothing', async () => {
    const authorized = await byCredential()
    await devices.remove('nas', 'test')
    await expect(enroll(authorized)).rejects.toMatchObject({ code: 'CLAIM_LOST' })
    await expect(byCredential()).rejects.toMatchObject({ code: 'CREDENTIAL_EXPIRED' })
  })
})

describe('CERT-3 SEC-2: by certificate', () => {
  let issued: IssuedCertificate
  beforeEach(async () => {
    issued = await enroll(await byCredential())
  })
  const refused = { name: 'AuthorizationError', code: 'CERTIFICATE_REFUSED' }

  test('its device is authorised, and may renew as often as it likes', async () => {
    const authorized = await byCertificate(issued.certificate)
    expect([authorized.device.id, authorized.spent]).toEqual([deviceId, null])
    await enroll(authorized)
    await enroll(authorized)
  })

  test('also up to 30 days past its end, and no longer', async () => {
    clock.time = issued.notAfter + 30 * DAY
    await byCertificate(issued.certificate)
    clock.pass(1)
    await expect(byCertificate(issued.certificate)).rejects.toMatchObject({
      code: 'CERTIFICATE_TOO_OLD',
      message: expect.stringContaining('more than 30 days ago. Enroll anew'),
    })
  })

  test('a revoked one renews nothing, also when it is revoked while the new one is made', async () => {
    const authorized = await byCertificate(issued.certificate)
    await revokeSerial(home.store, issued.serial, 'keyCompromise', 'test')
    await expect(enroll(authorized)).rejects.toMatchObject({ code: 'CLAIM_LOST' })
    await expect(byCertificate(issued.certificate)).rejects.toMatchObject({
      code: 'CERTIFICATE_REVOKED',
      message: expect.stringContaining('renews nothing'),
    })
  })

  test('a device that was suspended gets nothing, also when it is suspended meanwhile', async () => {
    const authorized = await byCertificate(issued.certificate)
    await suspend()
    await expect(enroll(authorized)).rejects.toMatchObject({ code: 'CLAIM_LOST' })
    await expect(byCertificate(issued.certificate)).rejects.toMatchObject({ code: 'DEVICE_INACTIVE' })
  })

  /** The device's certificate with something changed, signed with this or that key. */
  function forge(
    change: Partial<CertificateTemplate>,
    signer: Signer = home.hierarchy.current.signer,
  ): Buffer {
    const read = readCertificate(issued.certificate)
    const tbs = encodeTbsCertificate(
      { ...read, extensions: [extKeyUsage([OID.serverAuth, OID.clientAuth])], ...change },
      signer,
    )
    return signCertificate(tbs, signer)
  }
  const thief = () => signerOf(makeKeyPair('P-256').privateKey)

  test('the same issuer name and serial, another key', async () => {
    await expect(byCertificate(forge({}, thief()))).rejects.toMatchObject(refused)
  })

  test('the same, and expired besides: the expiry must not hide whose signature it is', async () => {
    clock.time = issued.notAfter + DAY
    const expired = { notBefore: clock.time - 9 * DAY, notAfter: clock.time - DAY }
    await expect(byCertificate(forge(expired, thief()))).rejects.toMatchObject(refused)
  })

  test('the issuer’s own signature on something that is not on record', async () => {
    await expect(byCertificate(forge({ serial: newSerial() }))).rejects.toMatchObject(refused)
    await expect(byCertificate(forge({ spki: makeKeyPair('P-256').spki }))).rejects.toMatchObject(refused)
  })

  test('a certificate that is not for clients', async () => {
    await expect(byCertificate(forge({ extensions: [extKeyUsage([OID.serverAuth])] }))).rejects.toMatchObject(
      refused,
    )
    await expect(byCertificate(forge({ extensions: [] }))).rejects.toMatchObject(refused)
  })

  test('CAs of the home, and another home’s device', async () => {
    for (const { certificate } of home.hierarchy.all) {
      await expect(byCertificate(certificate)).rejects.toMatchObject(refused)
    }
    const stranger = await TestHome.open(newDir(), { clock })
    const { certificate } = await stranger.issue('nas.home.arpa')
    await stranger.close()
    await expect(byCertificate(certificate)).rejects.toMatchObject(refused)
  })

  test('octets that are no certificate, and a certificate whose key no library reads', async () => {
    await expect(byCertificate(Buffer.from('hello'))).rejects.toMatchObject(refused)
    await expect(byCertificate(forge({ spki: Buffer.from('30020500', 'hex') }))).rejects.toMatchObject(
      refused,
    )
  })
})

describe('names that a request may ask for', () => {
  const device = {
    names: ['nas.home.arpa', 'files.home.arpa'],
    addresses: ['192.168.1.20', 'fd00::20'],
  } as Device

  /** Asks for common names before the bar, alternative names behind it: `nas | nas.home.arpa, 192.168.1.20`. */
  const ask = (wish: string, others: number[] = []) => {
    const [common = [], alternative = []] = wish.split('|').map((part) =>
      part
        .split(',')
        .map((name) => name.trim())
        .filter(Boolean),
    )
    const isAddress = (name: string) => /^[\d.]+$|:/.test(name)
    const altNames = {
      dns: alternative.filter((name) => !isAddress(name)),
      ip: alternative.filter(isAddress),
      others,
    }
    refuseForeignNames({ commonNames: common, altNames } as unknown as ProvenCsr, device)
  }

  test.each([
    '|',
    'nas.home.arpa |',
    'NAS.home.arpa |',
    'nas |',
    '192.168.1.20 |',
    'nas, files |',
    '| nas.home.arpa, files.home.arpa',
    '| 192.168.1.20, fd00::20',
    'nas | nas.home.arpa, 192.168.1.20',
  ])('its own: %s', (wish) => {
    ask(wish)
  })

  test.each([
    ['| bank.example', 'bank.example'],
    ['| nas.home.arpa, tv.home.arpa', 'tv.home.arpa'],
    ['| *.home.arpa', '*.home.arpa'],
    ['| nas', 'nas'],
    ['| 192.168.1.21', '192.168.1.21'],
    ['tv | nas.home.arpa', 'tv'],
    ['nas, tv |', 'tv'],
    [`${'x'.repeat(200)} |`, 'x'.repeat(100)],
  ])('not: %s', (wish, foreign) => {
    expect(() => ask(wish)).toThrow(
      expect.objectContaining({
        code: 'NAME_REFUSED',
        message:
          `the request asks for "${foreign}", which is not this device's. ` +
          'Its own: nas.home.arpa, files.home.arpa, 192.168.1.20, fd00::20. Ask for these, or for none',
      }),
    )
  })

  test('nor any other kind of name', () => {
    expect(() => ask('| nas.home.arpa', [1])).toThrow(
      expect.objectContaining({
        code: 'NAME_REFUSED',
        message: expect.stringContaining('a kind of name that is neither DNS nor IP'),
      }),
    )
  })
})
