import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { DAY } from '../../base/clock.ts'
import { findCertifiedNames } from '../../store/certificates.ts'
import { openStore, type Store } from '../../store/database.ts'
import {
  closeDevice,
  findDeviceByName,
  findHeldAddresses,
  findHeldNames,
  insertDevice,
} from '../../store/devices.ts'
import {
  listRecordsFrom,
  putRecords,
  readRecordsOf,
  removeRecords,
  type ZoneRecord,
} from '../../store/records.ts'
import { putService } from '../../store/services.ts'
import { deleteTsigKey, insertTsigKey, listTsigKeys } from '../../store/tsigKeys.ts'
import { readHostsAround } from '../../store/zone.ts'
import { describeOnBothEngines } from '../support/engines.ts'
import { TestClock } from '../support/testClock.ts'
import { putCertificate, putIssuer } from './rows.ts'

describeOnBothEngines('what changes of the zone from outside need', (newDatabase) => {
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

  const addDevice = (name: string, ...addresses: string[]) =>
    store.transaction((tx) =>
      insertDevice(tx, { kind: 'device', profile: 'server', names: [name], addresses }),
    )
  const record = (owner: string, data: string, ttl = 300): ZoneRecord => ({ owner, type: 'A', ttl, data })
  const put = (records: ZoneRecord[], source?: 'update' | 'lease') =>
    store.transaction((tx) => putRecords(tx, records, source))

  test('many records at once, of which some are there already, and some twice', async () => {
    const many = Array.from({ length: 1200 }, (_, index) =>
      record(`h${index}.home.arpa`, `10.0.0.${index % 256}`),
    )
    await put([record('h7.home.arpa', '10.0.0.7', 60), record('h7.home.arpa', '10.9.9.9', 60)])
    await put([...many, record('h8.home.arpa', '10.0.0.8', 900)], 'update')
    const { records, total } = await readRecordsOf(store.db, ['h7.home.arpa', 'h8.home.arpa', 'h9.home.arpa'])
    expect(total).toBe(1201)
    expect(records.map(({ owner, ttl, data, source }) => `${source} ${owner} ${ttl} ${data}`).sort()).toEqual(
      [
        'hand h7.home.arpa 300 10.0.0.7',
        'hand h7.home.arpa 300 10.9.9.9',
        'update h8.home.arpa 900 10.0.0.8',
        'update h9.home.arpa 300 10.0.0.9',
      ],
    )

    await store.transaction((tx) =>
      removeRecords(tx, [...many.slice(10), record('none.home.arpa', '10.0.0.1')]),
    )
    expect((await readRecordsOf(store.db, [])).total).toBe(11)
    expect(await listRecordsFrom(store.db, 'hand')).toHaveLength(2)
  })

  test('which names and addresses are held, and which names are certified', async () => {
    await putIssuer(store, 'I')
    await addDevice('nas.home.arpa', '192.168.1.20')
    const gone = await addDevice('old.home.arpa', '192.168.1.21')
    await store.transaction(async (tx) => {
      await putCertificate(tx, 'AA', { names: ['old.home.arpa'], deviceId: gone })
      await closeDevice(tx, gone)
    })
    const names = ['nas.home.arpa', 'old.home.arpa', 'new.home.arpa']
    expect(await findHeldNames(store.db, names)).toEqual(new Set(['nas.home.arpa']))
    expect(await findHeldAddresses(store.db, ['192.168.1.20', '192.168.1.21'])).toEqual(
      new Set(['192.168.1.20']),
    )
    expect(await findCertifiedNames(store.db, names, clock.now())).toEqual(new Set(['old.home.arpa']))
    expect(await findCertifiedNames(store.db, names, clock.now() + 30 * DAY)).toEqual(new Set())
  })

  test('the devices around some names', async () => {
    await addDevice('nas.home.arpa', '192.168.1.20')
    await addDevice('tv.home.arpa', '192.168.1.21')
    await addDevice('printer.home.arpa')
    const printer = await findDeviceByName(store.db, 'printer.home.arpa')
    await store.transaction((tx) =>
      putService(tx, printer!.id, { instance: 'Laser', type: '_ipp._tcp', port: 631, txt: [], alpn: [] }),
    )
    const around = async (names: string[], addresses: string[], services: boolean) =>
      (await readHostsAround(store.db, { names, addresses, services }, clock.now())).hosts.map(
        ({ names: [name] }) => name,
      )
    expect(await around([], [], false)).toEqual([])
    expect(await around(['nas.home.arpa', 'x.home.arpa'], [], false)).toEqual(['nas.home.arpa'])
    expect(await around([], ['192.168.1.21'], false)).toEqual(['tv.home.arpa'])
    expect(await around(['nas.home.arpa'], ['192.168.1.20'], true)).toEqual([
      'nas.home.arpa',
      'printer.home.arpa',
    ])
  })

  test('keys', async () => {
    const key = { algorithm: 'hmac-sha256', sealed: Buffer.of(1, 2), may_update: 1, may_transfer: 0 }
    await store.transaction((tx) => insertTsigKey(tx, { name: 'b', ...key }))
    await store.transaction((tx) => insertTsigKey(tx, { name: 'a', ...key }))
    await expect(store.transaction((tx) => insertTsigKey(tx, { name: 'a', ...key }))).rejects.toThrow()
    expect(await listTsigKeys(store.db)).toEqual([
      { name: 'a', ...key, created_at: clock.time },
      { name: 'b', ...key, created_at: clock.time },
    ])
    expect(await store.transaction((tx) => deleteTsigKey(tx, 'a'))).toBe(true)
    expect(await store.transaction((tx) => deleteTsigKey(tx, 'a'))).toBe(false)
  })
})
