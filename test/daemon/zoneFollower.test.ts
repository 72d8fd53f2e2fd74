import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { DAY, HOUR } from '../../base/clock.ts'
import { renewSerial, ZoneFollower } from '../../daemon/zoneFollower.ts'
import type { ZoneDelta } from '../../dns/zone.ts'
import { Zones } from '../../dns/zones.ts'
import { Devices } from '../../enrollment/devices.ts'
import { readZone, type ZoneData, type ZonePatch } from '../../store/zone.ts'
import { Name } from '../../wire/name.ts'
import { printRecord } from '../../wire/presentation.ts'
import { TYPE } from '../../wire/registry.ts'
import { putCertificate, putIssuer } from '../store/rows.ts'
import { tempDirs } from '../support/tempDir.ts'
import { TestClock } from '../support/testClock.ts'
import { TestHome } from '../support/testHome.ts'

const newDir = tempDirs()
let clock: TestClock
let home: TestHome
let devices: Devices
let zones: Zones
let follower: ZoneFollower
/** What came of each change, and whether the zone was read as a whole for it. */
let followed: { whole: boolean; deltas: ZoneDelta[] }[]
let failing: boolean

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
  await putIssuer(home.store, 'I')
  zones = new Zones({
    domain: 'home.arpa',
    gatewayName: 'gateway.home.arpa',
    overrides: [],
    forwarded: [],
    designated: null,
  })
  const zone = await readZone(home.store.db, clock.now())
  zones.load(zone)
  followed = []
  failing = false
  const holder = {
    replaceZone: (data: ZoneData) => {
      followed.push({ whole: true, deltas: zones.load(data).deltas })
    },
    patchZone: (patch: ZonePatch) => {
      if (failing) throw new Error('the DNS is busy')
      followed.push({ whole: false, deltas: zones.patch(patch).deltas })
    },
  }
  follower = new ZoneFollower({ store: home.store, clock, holder, zone })
  home.store.follow((changes) => follower.follow(changes).catch(() => {}))
})
afterEach(() => home.close())

const ask = (name: string, type: number): string[] => {
  const parsed = Name.parse(name)
  const answer = zones.find(parsed)!.lookup(parsed, type)
  return answer.kind === 'answer' ? answer.records.map(printRecord) : [answer.kind]
}
const addDevice = (name: string) => devices.add({ name, addresses: ['192.168.1.20'] }, 'test')
const issue = (serial: string, deviceId: string, life: number) =>
  home.store.transaction(async (tx) => {
    await putCertificate(tx, serial, { deviceId, notAfter: clock.now() + life })
    await tx.change('certificate.issued', serial)
  })

test('a change is in the zone when its transaction resolves, and only what it is about was read', async () => {
  await addDevice('nas')
  expect(ask('nas.home.arpa', TYPE.A)).toEqual(['nas.home.arpa. 60 IN A 192.168.1.20'])
  expect(followed.map(({ whole }) => whole)).toEqual([false])
  await devices.remove('nas', 'test')
  expect(ask('nas.home.arpa', TYPE.A)).toEqual(['nxdomain'])
})

test('TRUST-3: a key is told while a certificate for it is good, and gone when the last one ends', async () => {
  const { deviceId } = await addDevice('nas')
  await issue('4A01', deviceId, DAY)
  const tlsa = () => ask('_443._tcp.nas.home.arpa', TYPE.TLSA)
  expect(tlsa()).toEqual([
    expect.stringMatching(/^_443\._tcp\.nas\.home\.arpa\. 60 IN TLSA 3 1 1 [0-9a-f]{64}$/),
  ])

  clock.pass(DAY - 1)
  await follower.look()
  expect(tlsa()).toHaveLength(1)
  const serial = zones.find(Name.parse('home.arpa'))!.serial
  clock.pass(1)
  await follower.look()
  expect(tlsa()).toEqual(['nxdomain'])
  expect(zones.find(Name.parse('home.arpa'))!.serial).toBeGreaterThan(serial)

  const changes = followed.length
  await follower.look()
  expect(followed).toHaveLength(changes)
})

test('a key that ended by a clock that was ahead is told again when that is put right', async () => {
  const { deviceId } = await addDevice('nas')
  await issue('4A01', deviceId, DAY)
  const tlsa = () => ask('_443._tcp.nas.home.arpa', TYPE.TLSA)
  clock.pass(2 * DAY)
  await follower.look()
  expect(tlsa()).toEqual(['nxdomain'])

  clock.pass(-2 * DAY)
  // A change in between that has nothing to do with it.
  await devices.add({ name: 'tv', addresses: ['192.168.1.21'] }, 'test')
  const serial = zones.find(Name.parse('home.arpa'))!.serial
  await follower.look()
  expect(tlsa()).toEqual([expect.stringContaining(' TLSA ')])
  expect(zones.find(Name.parse('home.arpa'))!.serial).toBeGreaterThan(serial)
  const changes = followed.length
  await follower.look()
  expect(followed).toHaveLength(changes)
})

test('after a failure the whole zone is read, at the next change or look', async () => {
  failing = true
  await addDevice('nas')
  expect(ask('nas.home.arpa', TYPE.A)).toEqual(['nxdomain'])
  await follower.look()
  expect(ask('nas.home.arpa', TYPE.A)).toHaveLength(1)
  expect(followed.map(({ whole }) => whole)).toEqual([true])
  failing = false
  await devices.remove('nas', 'test')
  expect(followed.at(-1)!.whole).toBe(false)
})

test('a start moves the serial on', async () => {
  const before = (await readZone(home.store.db, clock.now())).serial
  await renewSerial(home.store)
  expect((await readZone(home.store.db, clock.now())).serial).toBeGreaterThan(before)
  expect(followed.map(({ whole, deltas }) => [whole, deltas])).toEqual([[true, []]])
})
