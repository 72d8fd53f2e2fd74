import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { DAY, HOUR } from '../../base/clock.ts'
import { hashToken } from '../../enrollment/credential.ts'
import { Devices } from '../../enrollment/devices.ts'
import { readAudit } from '../../store/audit.ts'
import { findCredential } from '../../store/credentials.ts'
import { findDevice, insertDevice, listDevices } from '../../store/devices.ts'
import { putRecords, readRecordsOf } from '../../store/records.ts'
import { readZone } from '../../store/zone.ts'
import { tempDirs } from '../support/tempDir.ts'
import { TestClock } from '../support/testClock.ts'
import { TestHome } from '../support/testHome.ts'

const newDir = tempDirs()
let clock: TestClock
let home: TestHome
let devices: Devices

beforeEach(async () => {
  clock = new TestClock()
  home = await TestHome.open(newDir(), { clock })
  devices = new Devices({
    store: home.store,
    domain: 'home.arpa',
    gatewayName: 'gateway.home.arpa',
    profiles: ['server', 'short'],
    credentialLife: HOUR,
  })
  await home.store.transaction((tx) =>
    insertDevice(tx, { kind: 'gateway', profile: 'server', names: ['gateway.home.arpa'], addresses: [] }),
  )
})
afterEach(() => home.close())

const add = (name: string, addresses: string[] = [], profile?: string) =>
  devices.add({ name, addresses, profile }, 'test')
const actions = async () => (await readAudit(home.store.db, clock.time, 100)).map(({ action }) => action)

describe('UX-1: adding a device', () => {
  test('puts it on record and into the DNS, with a credential for its first enrolment', async () => {
    const added = await add('NAS', ['192.168.1.20', ' FD00::20 ', 'fd00:0::20'])
    expect(added).toEqual({
      deviceId: expect.any(String),
      name: 'nas.home.arpa',
      credential: {
        id: expect.stringMatching(/^[0-9a-f]{12}$/),
        token: expect.stringMatching(/^[0-9a-f]{32}$/),
      },
      expires: clock.time + HOUR,
    })
    expect(await findDevice(home.store.db, added.deviceId)).toMatchObject({
      kind: 'device',
      state: 'active',
      profile: 'server',
      names: ['nas.home.arpa'],
      addresses: ['192.168.1.20', 'fd00::20'],
    })
    expect((await readZone(home.store.db, home.clock.now())).hosts).toContainEqual({
      id: added.deviceId,
      names: ['nas.home.arpa'],
      keys: [],
      services: [],
      addresses: ['192.168.1.20', 'fd00::20'],
    })
    expect((await actions()).slice(-2)).toEqual(['device.add', 'credential.make'])
  })

  test('takes the profile that is named, or the first', async () => {
    const { deviceId } = await add('tv', [], 'short')
    expect(await findDevice(home.store.db, deviceId)).toMatchObject({ profile: 'short' })
    await expect(add('nas', [], 'forever')).rejects.toMatchObject({
      code: 'PROFILE_UNKNOWN',
      message: 'there is no profile forever; there are: server, short',
    })
  })

  test('keeps only a hash of the token, and no trace of it elsewhere', async () => {
    const { credential } = await add('nas')
    expect((await findCredential(home.store.db, credential.id))?.token_hash).toEqual(
      hashToken(credential.token),
    )
    const audit = JSON.stringify(await readAudit(home.store.db, 0, 100))
    expect(audit).toContain(credential.id)
    expect(audit).not.toContain(credential.token)
  })

  test('whoever had the name by a dynamic update has its addresses there no more', async () => {
    const put = (source: 'hand' | 'update', type: string, data: string) =>
      home.store.transaction((tx) =>
        putRecords(tx, [{ owner: 'nas.home.arpa', type, ttl: 300, data }], source),
      )
    await put('update', 'A', '192.168.1.66')
    await put('update', 'TXT', '"mine"')
    await put('hand', 'AAAA', 'fd00::9')
    await add('nas')
    const { records } = await readRecordsOf(home.store.db, ['nas.home.arpa'])
    expect(records.map(({ type }) => type).sort()).toEqual(['AAAA', 'TXT'])
  })
})

describe('IDENT-1: a name is refused', () => {
  test('while another device has it', async () => {
    await add('nas')
    await expect(add('NAS.home.arpa')).rejects.toMatchObject({
      name: 'DeviceError',
      code: 'NAME_TAKEN',
      message: expect.stringContaining('say "hearth device token nas.home.arpa"'),
    })
    expect(await listDevices(home.store.db)).toHaveLength(2)
  })

  test('if it is the gateway’s', async () => {
    await expect(add('gateway')).rejects.toMatchObject({ code: 'NAME_RESERVED' })
  })

  test('at or below one that is delegated to another name server', async () => {
    await home.store.transaction((tx) =>
      putRecords(tx, [{ owner: 'lab.home.arpa', type: 'NS', ttl: 300, data: 'ns.example.net.' }]),
    )
    for (const name of ['lab', 'rack.lab.home.arpa', 'a.rack.lab.home.arpa']) {
      await expect(add(name)).rejects.toMatchObject({
        code: 'NAME_DELEGATED',
        message: expect.stringContaining('hearth dns remove lab.home.arpa NS'),
      })
    }
    await add('collab')
  })

  test('until the last certificate of a removed device has ended, though it was revoked', async () => {
    const { deviceId } = await add('nas')
    const { notAfter } = await home.issue('nas.home.arpa', { deviceId })
    await devices.remove('nas', 'test')
    await expect(add('nas')).rejects.toMatchObject({
      code: 'NAME_QUARANTINED',
      message: expect.stringMatching(/belonged to a removed device .* choose another name, or wait$/),
    })
    clock.time = notAfter - 1000
    await expect(add('nas')).rejects.toMatchObject({ code: 'NAME_QUARANTINED' })
    clock.time = notAfter
    await add('nas')
  })

  test('not for longer, if the removed device had no certificate', async () => {
    await add('nas')
    await devices.remove('nas', 'test')
    await add('nas')
  })
})

describe('PRIV-2: an address is refused', () => {
  test.each([
    ['8.8.8.8', '8.8.8.8 is no address of a home network'],
    ['2001:db8::1', '2001:db8::1 is no address of a home network'],
    ['::ffff:192.168.1.20', 'is no address of a home network'],
    ['172.32.0.1', 'is no address of a home network'],
    ['nas', '"nas" is no IP address; write one such as 192.168.1.20 or fd00::20'],
    ['192.168.1.0/24', 'is no IP address'],
    ['192.168.1', 'is no IP address'],
    ['fe80::1%eth0', 'is no IP address'],
    ['x'.repeat(1000), `"${'x'.repeat(60)}" is no IP address`],
  ])('%s', async (address, reason) => {
    await expect(add('nas', ['192.168.1.20', address])).rejects.toMatchObject({
      code: 'ADDRESS_INVALID',
      message: expect.stringContaining(reason),
    })
    expect(await listDevices(home.store.db)).toHaveLength(1)
  })

  test('if there are more than 16', async () => {
    const addresses = Array.from({ length: 17 }, (_, index) => `10.0.0.${index}`)
    await expect(add('nas', addresses)).rejects.toMatchObject({
      code: 'TOO_MANY_ADDRESSES',
      message: '17 addresses for one device; 16 is the most',
    })
    await add('nas', addresses.slice(0, 16))
  })
})

describe('a new credential', () => {
  test('ends the earlier one', async () => {
    const { credential: first, deviceId } = await add('nas')
    clock.pass(1000)
    const second = await devices.newCredential('nas', 'test')
    expect(second).toMatchObject({ deviceId, name: 'nas.home.arpa', expires: clock.time + HOUR })
    expect(await findCredential(home.store.db, first.id)).toMatchObject({ expires_at: clock.time })
    expect(await findCredential(home.store.db, second.credential.id)).toMatchObject({ used_at: null })
  })

  test.each([
    ['tv', 'DEVICE_UNKNOWN', 'there is no device tv.home.arpa; "hearth device list" shows those there are'],
    [
      'gateway',
      'DEVICE_IS_GATEWAY',
      'gateway.home.arpa is the gateway itself; it cannot be changed like a device',
    ],
  ])('for %s is refused', async (name, code, message) => {
    await expect(devices.newCredential(name, 'test')).rejects.toMatchObject({ code, message })
  })
})

describe('CERT-1: removing a device', () => {
  test('revokes its certificates, ends its credentials, takes it from the DNS; the record stays', async () => {
    const { deviceId, credential } = await add('nas', ['192.168.1.20'])
    const [one, other] = [
      await home.issue('nas.home.arpa', { deviceId }),
      await home.issue('nas.home.arpa', { deviceId }),
    ]
    clock.pass(DAY)
    const { name, revoked } = await devices.remove('nas', 'test')
    expect(name).toBe('nas.home.arpa')
    expect(revoked.toSorted()).toEqual([one.serial, other.serial].toSorted())
    expect(await home.ledger.status(home.hierarchy.current.id, one.serial)).toMatchObject({
      revoked_at: clock.time,
      revocation_reason: 5,
    })
    expect((await findCredential(home.store.db, credential.id))!.expires_at).toBeLessThanOrEqual(clock.time)
    expect((await readZone(home.store.db, home.clock.now())).hosts.flatMap((host) => host.names)).toEqual([
      'gateway.home.arpa',
    ])
    expect(await findDevice(home.store.db, deviceId)).toMatchObject({
      state: 'removed',
      names: ['nas.home.arpa'],
      addresses: ['192.168.1.20'],
    })
    expect(await actions()).toEqual(['certificate.revoke', 'certificate.revoke', 'device.remove'])
  })

  test('is refused for the gateway, and for a device that is not there', async () => {
    await expect(devices.remove('gateway', 'test')).rejects.toMatchObject({ code: 'DEVICE_IS_GATEWAY' })
    await expect(devices.remove('tv', 'test')).rejects.toMatchObject({ code: 'DEVICE_UNKNOWN' })
  })
})

test('a device is found by what people type', async () => {
  const { deviceId } = await add('nas')
  for (const typed of ['nas', 'NAS', ' nas.home.arpa. '])
    expect((await devices.find(typed)).id).toBe(deviceId)
  await expect(devices.find('tv')).rejects.toMatchObject({ code: 'DEVICE_UNKNOWN' })
})
