import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { DAY } from '../../base/clock.ts'
import { markRevoked } from '../../store/certificates.ts'
import { openStore, type Store, type Tx } from '../../store/database.ts'
import { closeDevice, findDevice, insertDevice, renameDevice } from '../../store/devices.ts'
import { putRecords, readSurroundings } from '../../store/records.ts'
import type { Change, ChangeKind } from '../../store/schema.ts'
import { deleteServicesOf, putService, type Service } from '../../store/services.ts'
import { ALL_OWNERS, readZone, readZonePatch, type ZonePatch } from '../../store/zone.ts'
import { describeOnBothEngines } from '../support/engines.ts'
import { TestClock } from '../support/testClock.ts'
import { putCertificate, putIssuer } from './rows.ts'

describeOnBothEngines('what the zone is made of', (newDatabase) => {
  let store: Store
  let clock: TestClock
  let seen: Change[]

  beforeEach(async () => {
    clock = new TestClock()
    seen = []
    store = await openStore({
      url: await newDatabase(),
      clock,
      onFollowerError: (error) => {
        throw error
      },
    })
    store.follow((changes) => {
      seen.push(...changes)
    })
    await putIssuer(store, 'I')
  })
  afterEach(() => store.close())

  const add = (name: string, ...addresses: string[]) =>
    store.transaction((tx) =>
      insertDevice(tx, { kind: 'device', profile: 'server', names: [name], addresses }),
    )
  /** What a transaction that ends in a change is read as. */
  async function patchOf(
    kind: ChangeKind,
    subject: string,
    work: (tx: Tx) => Promise<unknown> = async () => {},
  ): Promise<ZonePatch | null> {
    seen = []
    await store.transaction(async (tx) => {
      await work(tx)
      await tx.change(kind, subject)
    })
    return readZonePatch(store.db, seen, clock.now())
  }
  const printer: Service = { instance: 'Laser', type: '_ipp._tcp', port: 631, txt: ['rp=ipp'], alpn: [] }

  test('an added device is read with what it has, and no other', async () => {
    await add('tv.home.arpa', '10.0.0.2')
    const id = await add('nas.home.arpa', '10.0.0.9', '10.0.0.1')
    const patch = await patchOf('device.added', 'nas.home.arpa', (tx) => putService(tx, id, printer))
    const host = {
      id,
      names: ['nas.home.arpa'],
      addresses: ['10.0.0.9', '10.0.0.1'],
      keys: [],
      services: [printer],
    }
    expect(patch).toEqual({ serial: 1, hosts: [{ id, host }], owners: [] })
    expect((await readZone(store.db, clock.now())).hosts[0]).toEqual(host)
  })

  test('a device that was renamed, suspended or removed is known by its id', async () => {
    const id = await add('nas.home.arpa', '10.0.0.1')
    const renamed = await patchOf('device.changed', 'store.home.arpa', async (tx) =>
      renameDevice(tx, (await findDevice(tx.db, id))!, 'store.home.arpa'),
    )
    expect(renamed!.hosts).toMatchObject([{ id, host: { names: ['store.home.arpa'] } }])
    const suspended = await patchOf('device.changed', 'store.home.arpa', (tx) =>
      tx.db.updateTable('devices').set({ state: 'suspended' }).where('id', '=', id).execute(),
    )
    expect(suspended!.hosts).toEqual([{ id, host: null }])
    const removed = await patchOf('device.removed', 'store.home.arpa', (tx) => closeDevice(tx, id))
    expect(removed!.hosts).toEqual([{ id, host: null }])
  })

  test('a name that went from one device to another names both', async () => {
    const first = await add('nas.home.arpa')
    const patch = await patchOf('device.removed', 'nas.home.arpa', async (tx) => {
      await closeDevice(tx, first)
      await insertDevice(tx, { kind: 'device', profile: 'server', names: ['nas.home.arpa'], addresses: [] })
    })
    expect(patch!.hosts).toHaveLength(2)
    expect(patch!.hosts).toContainEqual({ id: first, host: null })
  })

  test('keys are those of certificates that are good, each once and until the last one ends', async () => {
    const id = await add('nas.home.arpa')
    const issue = (serial: string, notAfter: number) =>
      patchOf('certificate.issued', serial, (tx) => putCertificate(tx, serial, { deviceId: id, notAfter }))
    await issue('4A01', clock.now() + DAY)
    await issue('4A02', clock.now() + 2 * DAY)
    await store.transaction(async (tx) => {
      await putCertificate(tx, '4A03', { notAfter: clock.now() + 9 * DAY })
      await tx.db
        .updateTable('certificates')
        .set({ spki_sha256: Buffer.alloc(32, 1) })
        .execute()
    })
    const key = '01'.repeat(32)
    const patch = await issue('4A04', clock.now())
    expect(patch!.hosts[0]!.host!.keys).toEqual([{ sha256: key, until: clock.now() + 2 * DAY }])

    const revoked = await patchOf('certificate.revoked', '4A02', (tx) => markRevoked(tx, '4A02', 1))
    expect(revoked!.hosts[0]!.host!.keys).toEqual([{ sha256: key, until: clock.now() + DAY }])
    clock.pass(DAY)
    expect((await readZone(store.db, clock.now())).hosts[0]!.keys).toEqual([])
  })

  test("a certificate of the CA itself is nobody's", async () => {
    const patch = await patchOf('certificate.issued', '4A09', (tx) => putCertificate(tx, '4A09'))
    expect(patch).toEqual({ serial: 1, hosts: [], owners: [] })
  })

  test('owners are read whole, also when nothing is left', async () => {
    const record = (data: string) => ({ owner: 'a.home.arpa', type: 'TXT', ttl: 60, data })
    const patch = await patchOf('dns.changed', 'a.home.arpa', (tx) =>
      putRecords(tx, [record('"2"'), record('"1"'), { ...record('"3"'), owner: 'b.home.arpa' }]),
    )
    expect(patch!.owners).toEqual([{ owner: 'a.home.arpa', records: [record('"1"'), record('"2"')] }])
    expect((await patchOf('dns.changed', 'c.home.arpa'))!.owners).toEqual([
      { owner: 'c.home.arpa', records: [] },
    ])
  })

  test('too much to name is read as a whole', async () => {
    expect(await patchOf('dns.changed', ALL_OWNERS)).toBeNull()
    const many = Array.from({ length: 401 }, (_, index) => ({
      seq: index,
      at: 0,
      kind: 'dns.changed' as const,
      subject: `n${index}.home.arpa`,
    }))
    expect(await readZonePatch(store.db, many, clock.now())).toBeNull()
  })

  test('services go with their device', async () => {
    const id = await add('nas.home.arpa')
    await store.transaction((tx) => putService(tx, id, printer))
    await store.transaction((tx) => putService(tx, id, { ...printer, port: 632, alpn: ['h2'] }))
    const services = async () => (await readZone(store.db, clock.now())).hosts[0]!.services
    expect(await services()).toEqual([{ ...printer, port: 632, alpn: ['h2'] }])
    expect(await store.transaction((tx) => deleteServicesOf(tx, id))).toBe(1)
    expect(await services()).toEqual([])
  })

  test('the surroundings of an owner are its records and the devices at or below it', async () => {
    for (const name of ['lab.home.arpa', 'a.lab.home.arpa', 'collab.home.arpa', 'l_b.home.arpa'])
      await add(name)
    const record = { type: 'TXT', ttl: 60, data: '"1"' }
    await store.transaction(async (tx) => {
      await putRecords(tx, [{ ...record, owner: 'lab.home.arpa' }])
      await putRecords(tx, [{ ...record, owner: 'b.lab.home.arpa' }], 'lease')
    })
    const around = await readSurroundings(store.db, 'lab.home.arpa')
    expect(around.deviceNames.toSorted()).toEqual(['a.lab.home.arpa', 'lab.home.arpa'])
    expect(around.records).toEqual([{ ...record, owner: 'lab.home.arpa', source: 'hand' }])
    expect(around.total).toBe(2)
    expect(around.octets).toBe(6)
    expect((await readSurroundings(store.db)).records.map(({ source }) => source)).toEqual(['lease', 'hand'])
  })

  test('a record that a person adds stays by hand, whatever comes by a lease', async () => {
    const record = { owner: 'tv.home.arpa', type: 'A', ttl: 60, data: '10.0.0.9' }
    const source = async () => (await readSurroundings(store.db)).records[0]!.source
    await store.transaction((tx) => putRecords(tx, [record], 'lease'))
    expect(await source()).toBe('lease')
    await store.transaction((tx) => putRecords(tx, [record]))
    await store.transaction((tx) => putRecords(tx, [record], 'lease'))
    expect(await source()).toBe('hand')
  })
})
