import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { DAY, HOUR } from '../../base/clock.ts'
import { readAudit } from '../../store/audit.ts'
import {
  countDeviceCertificates,
  findCertificate,
  findLiveCertificatesOfName,
  findNewestOfProfile,
  findStatus,
  lastExpiryOfName,
  listDeviceCertificates,
  listRevoked,
  markRevoked,
} from '../../store/certificates.ts'
import {
  expireCredentials,
  findCredential,
  insertCredential,
  spendCredential,
} from '../../store/credentials.ts'
import { openStore, type Store, type Tx } from '../../store/database.ts'
import {
  closeDevice,
  findDevice,
  findDeviceByName,
  findGatewayDevice,
  insertDevice,
  listDevices,
  renameDevice,
  replaceAddresses,
} from '../../store/devices.ts'
import { drawCrlNumber, listIssuers } from '../../store/issuers.ts'
import { anyKey, deleteReplacedKeys, findKeyId, insertKey, readKey } from '../../store/keys.ts'
import { deleteRecords, listRecords, putRecords } from '../../store/records.ts'
import { readSetting, writeSetting } from '../../store/settings.ts'
import { changesZone, readZone } from '../../store/zone.ts'
import { describeOnBothEngines } from '../support/engines.ts'
import { TestClock } from '../support/testClock.ts'
import { putCertificate, putIssuer } from './rows.ts'

describeOnBothEngines('the store', (newDatabase) => {
  let store: Store
  let clock: TestClock

  beforeEach(async () => {
    clock = new TestClock()
    store = await openStore({
      url: await newDatabase(),
      clock,
      onFollowerError: (error) => {
        throw error
      },
    })
  })
  afterEach(() => store.close())

  const write = <T>(work: (tx: Tx) => Promise<T>): Promise<T> => store.transaction(work)
  const addDevice = (name: string, addresses: string[] = []) =>
    write((tx) => insertDevice(tx, { kind: 'device', profile: 'server', names: [name], addresses }))

  describe('devices', () => {
    test('are found by id and by name, with addresses in the order given', async () => {
      const addresses = Array.from({ length: 12 }, (_, index) => `192.168.1.${200 - index}`)
      const id = await addDevice('nas.home.arpa', addresses)
      const device = await findDevice(store.db, id)
      expect(device).toEqual({
        id,
        kind: 'device',
        state: 'active',
        profile: 'server',
        created_at: clock.time,
        removed_at: null,
        names: ['nas.home.arpa'],
        addresses,
      })
      expect(await findDeviceByName(store.db, 'nas.home.arpa')).toEqual(device)
      expect(await findDeviceByName(store.db, 'tv.home.arpa')).toBeNull()
      expect(await findDevice(store.db, 'nobody')).toBeNull()
    })

    test('the first name stays the principal one', async () => {
      const names = ['nas', 'files', 'backup', 'archive', 'media'].map((label) => `${label}.home.arpa`)
      const id = await write((tx) =>
        insertDevice(tx, { kind: 'device', profile: 'server', names, addresses: [] }),
      )
      expect((await findDevice(store.db, id))?.names).toEqual(names)
    })

    test('are listed with the gateway first, then by name', async () => {
      await addDevice('tv.home.arpa')
      await addDevice('nas.home.arpa')
      expect(await findGatewayDevice(store.db)).toBeNull()
      await write((tx) =>
        insertDevice(tx, { kind: 'gateway', profile: 'server', names: ['zz.home.arpa'], addresses: [] }),
      )
      const names = (await listDevices(store.db)).map((device) => device.names[0])
      expect(names).toEqual(['zz.home.arpa', 'nas.home.arpa', 'tv.home.arpa'])
      expect((await findGatewayDevice(store.db))?.names).toEqual(['zz.home.arpa'])
    })

    test('a name belongs to one device at a time', async () => {
      const id = await addDevice('nas.home.arpa')
      await expect(addDevice('nas.home.arpa')).rejects.toThrow(/unique/i)
      expect(await listDevices(store.db)).toHaveLength(1)
      await write((tx) => closeDevice(tx, id))
      const second = await addDevice('nas.home.arpa')
      expect((await findDeviceByName(store.db, 'nas.home.arpa'))?.id).toBe(second)
    })

    test('that were removed keep their last name and addresses on record', async () => {
      const id = await addDevice('nas.home.arpa', ['192.168.1.20'])
      const device = (await findDevice(store.db, id))!
      clock.pass(HOUR)
      await write(async (tx) => {
        await renameDevice(tx, device, 'files.home.arpa')
        await replaceAddresses(tx, device, ['192.168.1.21'])
      })
      clock.pass(HOUR)
      await write((tx) => closeDevice(tx, id))
      expect(await findDevice(store.db, id)).toMatchObject({
        state: 'removed',
        removed_at: clock.time,
        names: ['files.home.arpa'],
        addresses: ['192.168.1.21'],
      })
      expect(await listDevices(store.db)).toEqual([])
    })

    test('addresses are replaced, and whether that changed anything is told', async () => {
      const device = (await findDevice(store.db, await addDevice('nas.home.arpa', ['10.0.0.1', '10.0.0.2'])))!
      clock.pass(HOUR)
      expect(await write((tx) => replaceAddresses(tx, device, ['10.0.0.2', '10.0.0.1']))).toBe(false)
      expect(await write((tx) => replaceAddresses(tx, device, ['10.0.0.2', '10.0.0.3']))).toBe(true)
      expect((await findDevice(store.db, device.id))?.addresses).toEqual(['10.0.0.2', '10.0.0.3'])
    })
  })

  describe('certificates', () => {
    let nas: string
    beforeEach(async () => {
      await putIssuer(store, 'I')
      await putIssuer(store, 'J')
      nas = await addDevice('nas.home.arpa')
    })

    test('are on record with their names, octets and times', async () => {
      await write((tx) =>
        putCertificate(tx, '4A01', { names: ['nas.home.arpa', 'files.home.arpa'], deviceId: nas }),
      )
      expect(await findCertificate(store.db, '4A01')).toEqual({
        serial: '4A01',
        issuer_id: 'I',
        device_id: nas,
        profile: 'server',
        subject: 'nas.home.arpa',
        addresses: '[]',
        spki_sha256: expect.any(Buffer),
        fingerprint_sha256: Buffer.alloc(32, 7),
        certificate: Buffer.from('4A01'),
        not_before: clock.time,
        not_after: clock.time + 7 * DAY,
        issued_at: clock.time,
        requested_by: 'test',
        revoked_at: null,
        revocation_reason: null,
        names: ['files.home.arpa', 'nas.home.arpa'],
      })
      expect(await findCertificate(store.db, '4A02')).toBeNull()
    })

    test('a serial exists once', async () => {
      await write((tx) => putCertificate(tx, '4A01'))
      await expect(write((tx) => putCertificate(tx, '4A01', { issuerId: 'J' }))).rejects.toThrow(/unique/i)
    })

    test('of devices are listed newest first, the gateway’s own apart', async () => {
      const tv = await addDevice('tv.home.arpa')
      for (const [serial, deviceId] of [
        ['4A01', nas],
        ['4A02', tv],
        ['4A03', nas],
        ['4A04', undefined],
      ] as const) {
        clock.pass(HOUR)
        await write((tx) => putCertificate(tx, serial, { ...(deviceId === undefined ? {} : { deviceId }) }))
      }
      const serials = async (filter: { deviceId?: string; limit: number }) =>
        (await listDeviceCertificates(store.db, filter)).map(({ serial }) => serial)
      expect(await serials({ limit: 10 })).toEqual(['4A03', '4A02', '4A01'])
      expect(await serials({ limit: 2 })).toEqual(['4A03', '4A02'])
      expect(await serials({ deviceId: nas, limit: 10 })).toEqual(['4A03', '4A01'])
    })

    test('the newest that the gateway made for itself is found by issuer and profile', async () => {
      await write(async (tx) => {
        await putCertificate(tx, '4A01', { profile: 'ocsp', notAfter: tx.now + DAY })
        await putCertificate(tx, '4A02', { profile: 'ocsp', notAfter: tx.now + 2 * DAY })
        await putCertificate(tx, '4A03', { profile: 'ocsp', notAfter: tx.now + 3 * DAY, issuerId: 'J' })
        await putCertificate(tx, '4A04', { profile: 'ocsp', notAfter: tx.now + 4 * DAY })
        for (const id of ['4A01', '4A02', '4A03']) {
          await insertKey(tx, { id, instance_id: 'test', purpose: 'ocsp', sealed: Buffer.of(0) })
        }
      })
      expect((await findNewestOfProfile(store.db, 'I', 'ocsp', clock.time + DAY))?.serial).toBe('4A02')
      expect(await findNewestOfProfile(store.db, 'I', 'server', clock.time + DAY)).toBeNull()
    })

    test('CERT-1: of two revocations the first stands', async () => {
      await write((tx) => putCertificate(tx, '4A01'))
      clock.pass(HOUR)
      const first = clock.time
      expect(await write((tx) => markRevoked(tx, '4A01', 1))).toBe(true)
      clock.pass(HOUR)
      expect(await write((tx) => markRevoked(tx, '4A01', 4))).toBe(false)
      expect(await findStatus(store.db, 'I', '4A01')).toEqual({
        serial: '4A01',
        not_after: expect.any(Number),
        revoked_at: first,
        revocation_reason: 1,
      })
    })

    test('an issuer knows only its own', async () => {
      await write(async (tx) => {
        await putCertificate(tx, '4A01', { issuerId: 'I' })
        await putCertificate(tx, '4B01', { issuerId: 'J' })
        await markRevoked(tx, '4A01', 1)
        await markRevoked(tx, '4B01', 1)
      })
      expect(await findStatus(store.db, 'J', '4A01')).toBeNull()
      expect((await listRevoked(store.db, 'J', 0)).map(({ serial }) => serial)).toEqual(['4B01'])
    })

    test('revoked ones are listed by serial while they end after a time', async () => {
      await write(async (tx) => {
        for (const [serial, days] of [
          ['4A03', 3],
          ['4A01', 1],
          ['4A02', 2],
          ['4A04', 4],
        ] as const) {
          await putCertificate(tx, serial, { notAfter: tx.now + days * DAY })
          if (serial !== '4A04') await markRevoked(tx, serial, 0)
        }
      })
      const serials = (await listRevoked(store.db, 'I', clock.time + DAY)).map(({ serial }) => serial)
      expect(serials).toEqual(['4A02', '4A03'])
    })

    test('of a name: live ones, and when the last one ends, revoked or not', async () => {
      const name = 'nas.home.arpa'
      await write(async (tx) => {
        await putCertificate(tx, '4A01', { names: [name], notAfter: tx.now + DAY })
        await putCertificate(tx, '4A02', { names: [name], notAfter: tx.now + 3 * DAY })
        await putCertificate(tx, '4A03', { names: ['tv.home.arpa'], notAfter: tx.now + 9 * DAY })
        await markRevoked(tx, '4A02', 1)
      })
      const live = (await findLiveCertificatesOfName(store.db, name, clock.time)).map(({ serial }) => serial)
      expect(live).toEqual(['4A01'])
      expect(await lastExpiryOfName(store.db, name, clock.time)).toBe(clock.time + 3 * DAY)
      expect(await lastExpiryOfName(store.db, name, clock.time + 3 * DAY)).toBeNull()
    })

    test('of devices are counted: valid, revoked, ending soon', async () => {
      await write(async (tx) => {
        for (const [serial, days] of [
          ['4A01', 1],
          ['4A02', 5],
          ['4A03', 5],
          ['4A04', 0],
        ] as const) {
          await putCertificate(tx, serial, { deviceId: nas, notAfter: tx.now + days * DAY })
        }
        await putCertificate(tx, '4A05', { profile: 'ocsp' })
        await markRevoked(tx, '4A03', 1)
      })
      expect(await countDeviceCertificates(store.db, clock.time, clock.time + 2 * DAY)).toEqual({
        valid: 2,
        revoked: 1,
        expiringSoon: 1,
      })
    })
  })

  describe('credentials', () => {
    const spending = { spkiSha256: Buffer.alloc(32, 9), serial: '4A01' }
    let nas: string
    beforeEach(async () => {
      await putIssuer(store, 'I')
      nas = await addDevice('nas.home.arpa')
      await write((tx) =>
        insertCredential(tx, {
          id: 'cafe',
          device_id: nas,
          token_hash: Buffer.alloc(32, 1),
          expires_at: tx.now + HOUR,
        }),
      )
    })

    test('SEC-2: of many requests with one token exactly one is served', async () => {
      const claims = Array.from({ length: 12 }, (_, index) =>
        write(async (tx) => {
          const serial = `4A${10 + index}`
          const spent = await spendCredential(tx, 'cafe', { ...spending, serial })
          if (spent) await putCertificate(tx, serial)
          return spent
        }),
      )
      expect((await Promise.all(claims)).filter(Boolean)).toHaveLength(1)
      const { serial } = (await findCredential(store.db, 'cafe'))!
      expect(await findCertificate(store.db, serial!)).not.toBeNull()
    })

    test('are spent only together with their certificate', async () => {
      await expect(write((tx) => spendCredential(tx, 'cafe', spending))).rejects.toThrow(/foreign key/i)
      expect(await findCredential(store.db, 'cafe')).toMatchObject({ used_at: null, serial: null })
    })

    test('are worth nothing from the moment they expire', async () => {
      clock.pass(HOUR)
      expect(await write((tx) => spendCredential(tx, 'cafe', spending))).toBe(false)
    })

    test('of a device end early, unless they were spent', async () => {
      await write((tx) => expireCredentials(tx, nas))
      expect(await findCredential(store.db, 'cafe')).toMatchObject({ expires_at: clock.time })
      expect(await write((tx) => spendCredential(tx, 'cafe', spending))).toBe(false)
    })
  })

  describe('keys and issuers', () => {
    test('a sealed key comes back octet for octet', async () => {
      expect(await anyKey(store.db)).toBe(false)
      const sealed = Buffer.from(Array.from({ length: 256 }, (_, octet) => octet))
      await write((tx) => insertKey(tx, { id: 'k', instance_id: 'test', purpose: 'root', sealed }))
      expect(await readKey(store.db, 'k')).toEqual({
        id: 'k',
        instance_id: 'test',
        purpose: 'root',
        sealed,
        created_at: clock.time,
      })
      expect(await anyKey(store.db)).toBe(true)
      expect([await findKeyId(store.db, 'root'), await findKeyId(store.db, 'ocsp')]).toEqual(['k', null])
    })

    test('a replaced key goes, those of other issuers and purposes stay', async () => {
      await putIssuer(store, 'I')
      await putIssuer(store, 'J')
      await write(async (tx) => {
        for (const [id, issuerId] of [
          ['4A01', 'I'],
          ['4A02', 'I'],
          ['4B01', 'J'],
        ] as const) {
          await putCertificate(tx, id, { issuerId, profile: 'ocsp' })
          await insertKey(tx, { id, instance_id: 'test', purpose: 'ocsp', sealed: Buffer.of(1) })
        }
        await deleteReplacedKeys(tx, { purpose: 'ocsp', keep: '4A02', issuerId: 'I' })
      })
      const left = await store.db.selectFrom('keys').select('id').orderBy('id').execute()
      expect(left.map(({ id }) => id)).toEqual(['4A02', '4B01', 'I', 'J'])
    })

    test('issuers of an instance are listed oldest first', async () => {
      await putIssuer(store, 'Z')
      clock.pass(HOUR)
      await putIssuer(store, 'A')
      expect((await listIssuers(store.db, 'test')).map(({ id, crl_number }) => [id, crl_number])).toEqual([
        ['Z', 0],
        ['A', 0],
      ])
      expect(await listIssuers(store.db, 'another')).toEqual([])
    })

    test('CRL numbers grow by one, jump to the floor, and never repeat', async () => {
      await putIssuer(store, 'I')
      const draw = (floor: number) => write((tx) => drawCrlNumber(tx, 'I', floor))
      expect([await draw(0), await draw(0), await draw(1000), await draw(5)]).toEqual([1, 2, 1000, 1001])
      const now = Date.UTC(2027, 0)
      const drawn = await Promise.all(Array.from({ length: 8 }, () => draw(now)))
      expect(drawn.toSorted()).toEqual(Array.from({ length: 8 }, (_, index) => now + index))
    })
  })

  describe('records and the zone', () => {
    const record = (owner: string, data: string, ttl = 300) => ({ owner, type: 'TXT', ttl, data })

    test('records are put, and a repeated one gives its TTL to the whole RRset', async () => {
      await write((tx) => putRecords(tx, [record('b.home.arpa', '"2"'), record('a.home.arpa', '"1"')]))
      await write((tx) => putRecords(tx, [record('b.home.arpa', '"2"'), record('b.home.arpa', '"3"', 60)]))
      expect(await listRecords(store.db)).toEqual([
        record('a.home.arpa', '"1"'),
        record('b.home.arpa', '"2"', 60),
        record('b.home.arpa', '"3"', 60),
      ])
    })

    test('records are deleted by owner, type and data; how many there were is told', async () => {
      const remove = (which: Parameters<typeof deleteRecords>[1]) => write((tx) => deleteRecords(tx, which))
      const owner = 'a.home.arpa'
      await write((tx) =>
        putRecords(tx, [
          record(owner, '"1"'),
          record(owner, '"2"'),
          { ...record(owner, '10.0.0.1'), type: 'A' },
        ]),
      )
      expect(await remove({ owner, type: 'TXT', data: '"1"' })).toBe(1)
      expect(await remove({ owner, type: 'MX' })).toBe(0)
      expect(await remove({ owner: 'b.home.arpa' })).toBe(0)
      expect(await remove({ owner })).toBe(2)
    })

    test('the zone shows active devices and records, and its serial follows what can be seen', async () => {
      expect(await readZone(store.db, clock.now())).toEqual({ serial: 1, hosts: [], records: [] })
      const id = await write(async (tx) => {
        await tx.change('device.added', 'nas.home.arpa')
        await tx.change('credential.added', 'nas.home.arpa')
        return insertDevice(tx, {
          kind: 'device',
          profile: 'server',
          names: ['nas.home.arpa'],
          addresses: ['10.0.0.1'],
        })
      })
      expect(await readZone(store.db, clock.now())).toEqual({
        serial: 1,
        hosts: [{ id, names: ['nas.home.arpa'], addresses: ['10.0.0.1'], keys: [], services: [] }],
        records: [],
      })
      await write(async (tx) => {
        await putRecords(tx, [record('a.home.arpa', '"1"')])
        await tx.change('dns.changed', 'a.home.arpa')
        await tx.db.updateTable('devices').set({ state: 'suspended' }).execute()
      })
      expect(await readZone(store.db, clock.now())).toEqual({
        serial: 3,
        hosts: [],
        records: [record('a.home.arpa', '"1"')],
      })
      expect(changesZone({ seq: 1, at: 0, kind: 'credential.added', subject: 'nas.home.arpa' })).toBe(false)
    })
  })

  describe('settings', () => {
    test('are read as they were written last', async () => {
      expect(await readSetting(store.db, 'domain')).toBeNull()
      await writeSetting(store.db, 'domain', 'home.arpa')
      await writeSetting(store.db, 'domain', 'haus.arpa')
      expect(await readSetting(store.db, 'domain')).toBe('haus.arpa')
    })
  })

  describe('audit', () => {
    const did = (tx: Tx, subject: string) =>
      tx.audit({ actor: 'test', action: 'device.add', subject, outcome: 'done', detail: 'a detail' })

    test('tells in the order in which things were done, also within one transaction', async () => {
      const subjects = Array.from({ length: 12 }, (_, index) => `step ${index}`)
      await write(async (tx) => {
        for (const subject of subjects) await did(tx, subject)
      })
      expect((await readAudit(store.db, 0, 100)).map(({ subject }) => subject)).toEqual(subjects)
    })

    test('the newest rows since a time', async () => {
      for (const subject of ['first', 'second', 'third', 'fourth']) {
        await write((tx) => did(tx, subject))
        clock.pass(HOUR)
      }
      const rows = await readAudit(store.db, clock.time - 3 * HOUR, 2)
      expect(rows.map(({ subject }) => subject)).toEqual(['third', 'fourth'])
      expect(rows[1]).toEqual({
        id: expect.stringMatching(/^[0-9A-Z]{26}$/),
        at: clock.time - HOUR,
        actor: 'test',
        action: 'device.add',
        subject: 'fourth',
        outcome: 'done',
        detail: 'a detail',
      })
    })
  })
})
