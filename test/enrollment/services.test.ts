import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { HOUR } from '../../base/clock.ts'
import { Devices } from '../../enrollment/devices.ts'
import {
  ServiceError,
  type ServiceErrorCode,
  Services,
  type WantedService,
} from '../../enrollment/services.ts'
import { readAudit } from '../../store/audit.ts'
import { readZone } from '../../store/zone.ts'
import { tempDirs } from '../support/tempDir.ts'
import { TestClock } from '../support/testClock.ts'
import { TestHome } from '../support/testHome.ts'

const newDir = tempDirs()
let clock: TestClock
let home: TestHome
let services: Services
let devices: Devices

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
  services = new Services({ store: home.store, devices })
  await devices.add({ name: 'printer', addresses: ['192.168.1.30'] }, 'test')
})
afterEach(() => home.close())

const IPP: WantedService = { type: '_ipp._tcp', port: 631, txt: [], alpn: [] }
const add = (part: Partial<WantedService> = {}, device = 'printer') =>
  services.add(device, { ...IPP, ...part }, 'test')

describe('DISC-1: a service', () => {
  test('is in the zone at once, and on record', async () => {
    const added = await add({
      instance: ' Laser printer, 2nd floor ',
      txt: ['rp=ipp/print', 'Duplex=T'],
      alpn: ['h2', 'h2'],
    })
    const service = {
      instance: 'Laser printer, 2nd floor',
      type: '_ipp._tcp',
      port: 631,
      txt: ['rp=ipp/print', 'Duplex=T'],
      alpn: ['h2'],
    }
    expect(added).toEqual({ device: 'printer.home.arpa', ...service })
    expect((await readZone(home.store.db, clock.now())).hosts[0]!.services).toEqual([service])
    expect((await readAudit(home.store.db, 0, 100)).at(-1)).toMatchObject({
      action: 'service.add',
      subject: 'printer.home.arpa',
      detail: 'Laser printer, 2nd floor: _ipp._tcp, port 631',
    })
  })

  test('is called like its device unless told otherwise, in letters that people read', async () => {
    await devices.add({ name: 'küche', addresses: [] }, 'test')
    expect((await add({}, 'xn--kche-0ra')).instance).toBe('küche')
    expect((await add({ type: 'http' })).type).toBe('_http._tcp')
  })

  test('takes a new port and strings, in whatever case it is named', async () => {
    await add({ instance: 'Laser' })
    await add({ instance: 'LASER', port: 8631 })
    expect(await services.list('printer')).toMatchObject([{ instance: 'LASER', port: 8631 }])
  })

  test("may have the name of another type's, but not of another device's", async () => {
    await devices.add({ name: 'other', addresses: [] }, 'test')
    await add({ instance: 'Laser' })
    await add({ instance: 'Laser', type: '_http._tcp' }, 'other')
    await expect(add({ instance: 'laser' }, 'other')).rejects.toMatchObject({ code: 'INSTANCE_TAKEN' })
  })

  test('leaves the zone with its device, and its name is free again', async () => {
    await add({ instance: 'Laser' })
    await devices.remove('printer', 'test')
    await devices.add({ name: 'other', addresses: [] }, 'test')
    await add({ instance: 'Laser' }, 'other')
    expect(await services.list()).toHaveLength(1)
  })

  test('is one of 32 at most', async () => {
    for (let index = 1; index <= 32; index += 1) await add({ instance: `${index}` })
    await expect(add({ instance: '33' })).rejects.toMatchObject({ code: 'TOO_MANY_SERVICES' })
    await add({ instance: '32', port: 1 })
  })

  test.each<[ServiceErrorCode, Partial<WantedService>]>([
    ['SERVICE_TYPE_INVALID', { type: '_ipp' }],
    ['SERVICE_TYPE_INVALID', { type: '_ipp._sctp' }],
    ['SERVICE_TYPE_INVALID', { type: '_a-name-that-is-long._tcp' }],
    ['SERVICE_TYPE_INVALID', { type: '_-ipp._tcp' }],
    ['SERVICE_TYPE_INVALID', { type: '_a--b._tcp' }],
    ['SERVICE_TYPE_INVALID', { type: '631' }],
    ['SERVICE_TYPE_INVALID', { type: '_printer._sub._ipp._tcp' }],
    ['PORT_INVALID', { port: 0 }],
    ['PORT_INVALID', { port: 65536 }],
    ['PORT_INVALID', { port: 1.5 }],
    ['INSTANCE_INVALID', { instance: ' ' }],
    ['INSTANCE_INVALID', { instance: 'ü'.repeat(32) }],
    ['INSTANCE_INVALID', { instance: 'a\u0007b' }],
    ['INSTANCE_INVALID', { instance: 'a\ud800' }],
    ['TXT_INVALID', { txt: ['=value'] }],
    ['TXT_INVALID', { txt: [''] }],
    ['TXT_INVALID', { txt: ['clé=x'] }],
    ['TXT_INVALID', { txt: ['a=1', 'A=2'] }],
    ['TXT_INVALID', { txt: [`a=${'x'.repeat(254)}`] }],
    ['TXT_INVALID', { txt: ['a', 'b', 'c', 'd', 'e', 'f'].map((key) => `${key}=${'x'.repeat(250)}`) }],
    ['ALPN_INVALID', { alpn: [''] }],
    ['ALPN_INVALID', { alpn: ['h 2'] }],
    ['ALPN_INVALID', { alpn: ['x'.repeat(61)] }],
    ['ALPN_INVALID', { alpn: Array.from({ length: 9 }, (_, index) => `p${index}`) }],
  ])('%s: %j is refused', async (code, part) => {
    const refused = add(part)
    await expect(refused).rejects.toThrow(ServiceError)
    await expect(refused).rejects.toMatchObject({ code })
    expect(await services.list()).toEqual([])
  })
})

describe('removing', () => {
  const remove = (which: { type: string; instance?: string }) => services.remove('printer', which, 'test')

  test('by type where there is one, else by name too', async () => {
    await add({ instance: 'Laser' })
    await add({ instance: 'Ink' })
    await add({ type: '_http._tcp' })
    expect(await remove({ type: 'http' })).toMatchObject({ instance: 'printer' })
    await expect(remove({ type: '_ipp._tcp' })).rejects.toMatchObject({
      code: 'SERVICE_AMBIGUOUS',
      message: expect.stringContaining('"Ink", "Laser"'),
    })
    await remove({ type: '_ipp._tcp', instance: 'laser' })
    expect(await services.list()).toMatchObject([{ instance: 'Ink' }])
  })

  test('says what there is where there is nothing', async () => {
    await expect(remove({ type: '_ipp._tcp' })).rejects.toMatchObject({ code: 'SERVICE_UNKNOWN' })
    await expect(services.remove('nobody', { type: 'ipp' }, 'test')).rejects.toMatchObject({
      code: 'DEVICE_UNKNOWN',
    })
  })
})
