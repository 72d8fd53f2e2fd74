import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { Zones, type ZonesOptions } from '../../dns/zones.ts'
import type { ZoneRecord } from '../../store/records.ts'
import type { Service } from '../../store/services.ts'
import type { ZoneData, ZoneHost, ZonePatch } from '../../store/zone.ts'
import { Name } from '../../wire/name.ts'
import { printRecord } from '../../wire/presentation.ts'
import { TYPE } from '../../wire/registry.ts'
import { host } from './household.ts'

const OPTIONS: ZonesOptions = {
  domain: 'home.arpa',
  gatewayName: 'gateway.home.arpa',
  overrides: ['example.com'],
  forwarded: [],
  designated: { dotPort: 853, dohPort: 8443 },
}

const record = (owner: string, type: string, data: string, ttl = 300): ZoneRecord => ({
  owner,
  type,
  ttl,
  data,
})

function load(data: Partial<ZoneData>, options: Partial<ZonesOptions> = {}) {
  const zones = new Zones({ ...OPTIONS, ...options })
  return { zones, ...zones.load({ serial: 1, hosts: [], records: [], ...data }) }
}

/** Everything that the zones say, serials left out, in one order. */
function contents(zones: Zones): string[] {
  return [...zones.all()]
    .flatMap((zone) =>
      [...zone.records()]
        .filter(({ type }) => type !== TYPE.SOA)
        .map((each) => `${zone.apex} ${zone.source}: ${printRecord(each)}`),
    )
    .toSorted()
}

describe('what cannot be', () => {
  test('is left out and told, and the rest is served', () => {
    const { zones, problems } = load({
      hosts: [
        host('nas.home.arpa', '192.168.1.20', 'nonsense'),
        host('www.example.com', '192.168.1.21'),
        host('no..name', '192.168.1.22'),
      ],
      records: [
        record('nas.home.arpa', 'CNAME', 'tv.home.arpa.'),
        record('a.home.arpa', 'A', 'fd00::1'),
        record('b.home.arpa', 'WHAT', ''),
        record('www.example.org', 'A', '192.168.1.22'),
        record('tv.home.arpa', 'A', '192.168.1.30'),
      ],
    })
    expect(problems).toEqual([
      'an address of nas.home.arpa is left out: "nonsense" is no IP address',
      'the host www.example.com is left out: it is not in home.arpa',
      expect.stringContaining('the host no..name is left out: the name "no..name" has an empty label'),
      expect.stringContaining(
        'the record a.home.arpa A is left out: the data of a record of type A needs an IPv4',
      ),
      'the record b.home.arpa WHAT is left out: its type is unknown',
      'the record www.example.org A is left out: its owner is in none of the zones answered here',
      'the record nas.home.arpa CNAME is left out: the name has other records too',
    ])
    for (const served of ['nas.home.arpa', 'tv.home.arpa']) {
      const name = Name.parse(served)
      expect(zones.find(name)!.lookup(name, TYPE.A).kind).toBe('answer')
    }
  })

  test('comes forth when what stood against it is gone', () => {
    const nas = host('nas.home.arpa', '192.168.1.20')
    const { zones } = load({ hosts: [nas], records: [record('nas.home.arpa', 'CNAME', 'tv.home.arpa.')] })
    const { deltas } = zones.patch({ serial: 2, hosts: [{ id: nas.id, host: null }], owners: [] })
    expect(deltas.map(({ removed, added }) => [removed.map(printRecord), added.map(printRecord)])).toEqual([
      [['nas.home.arpa. 60 IN A 192.168.1.20'], ['nas.home.arpa. 300 IN CNAME tv.home.arpa.']],
      [['20.1.168.192.in-addr.arpa. 60 IN PTR nas.home.arpa.'], []],
    ])
  })
})

test('a public address of a host gets no PTR: its reverse zone is not ours', () => {
  const { zones, problems } = load({ hosts: [host('nas.home.arpa', '9.9.9.9', '2620:fe::fe')] })
  expect(problems).toEqual([])
  expect(zones.find(Name.parse('9.9.9.9.in-addr.arpa'))).toBeNull()
})

test('two devices with one address are both told', () => {
  const { zones } = load({
    hosts: [host('one.home.arpa', '192.168.1.5'), host('two.home.arpa', '192.168.1.5')],
  })
  const name = Name.parse('5.1.168.192.in-addr.arpa')
  const answer = zones.find(name)!.lookup(name, TYPE.PTR)
  expect(answer.kind === 'answer' && answer.records).toHaveLength(2)
})

test('a domain with upstreams of its own is not answered here, though a special domain is above it', () => {
  const { zones } = load({}, { forwarded: ['1.168.192.in-addr.arpa', 'internal'] })
  expect(zones.find(Name.parse('5.1.168.192.in-addr.arpa'))).toBeNull()
  expect(zones.find(Name.parse('5.2.168.192.in-addr.arpa'))).not.toBeNull()
  expect(zones.find(Name.parse('www.internal'))).toBeNull()
})

describe('a patch', () => {
  const nas: ZoneHost = {
    ...host('nas.home.arpa', '192.168.1.20'),
    keys: [{ sha256: 'ab'.repeat(32), until: 1 }],
  }

  test('says what is different in each zone, and only there the serial grows', () => {
    const { zones } = load({ serial: 5, hosts: [nas] })
    const { deltas } = zones.patch({
      serial: 9,
      hosts: [{ id: nas.id, host: { ...nas, addresses: ['192.168.1.20', 'fd00::20'] } }],
      owners: [{ owner: 'tv.home.arpa', records: [record('tv.home.arpa', 'A', '192.168.1.30')] }],
    })
    expect(deltas).toHaveLength(2)
    expect(
      deltas.map(({ apex, fromSerial, toSerial }) => `${apex} ${fromSerial} ${toSerial}`).toSorted(),
    ).toEqual(['d.f.ip6.arpa. 5 9', 'home.arpa. 5 9'])
    const [home] = deltas.filter(({ apex }) => apex.toString() === 'home.arpa.')
    expect(home!.removed).toEqual([])
    expect(home!.added.map(printRecord)).toEqual([
      'nas.home.arpa. 60 IN AAAA fd00::20',
      'tv.home.arpa. 300 IN A 192.168.1.30',
    ])
    const serials = [...zones.all()].map((zone) => `${zone.apex} ${zone.serial}`)
    expect(serials).toContain('home.arpa. 9')
    expect(serials).toContain('168.192.in-addr.arpa. 5')
  })

  test('a renewal with the same key is no change', () => {
    const { zones } = load({ serial: 5, hosts: [nas] })
    const renewed = { ...nas, keys: [{ sha256: 'ab'.repeat(32), until: 2 }] }
    expect(zones.patch({ serial: 6, hosts: [{ id: nas.id, host: renewed }], owners: [] }).deltas).toEqual([])
    expect(zones.find(Name.parse('home.arpa'))!.serial).toBe(5)
  })

  test('a TTL that changes is that of the whole RRset', () => {
    const before = [record('a.home.arpa', 'A', '10.0.0.1'), record('a.home.arpa', 'A', '10.0.0.2')]
    const { zones } = load({ records: before })
    const records = [...before, record('a.home.arpa', 'A', '10.0.0.3', 60)]
    const { deltas } = zones.patch({ serial: 2, hosts: [], owners: [{ owner: 'a.home.arpa', records }] })
    expect(deltas[0]!.removed).toHaveLength(2)
    expect(deltas[0]!.added.map(({ ttl }) => ttl)).toEqual([60, 60, 60])
  })

  test('names that existed for the sake of another are gone with it', () => {
    const { zones } = load({ records: [record('_http._tcp.web.home.arpa', 'SRV', '0 0 80 web.home.arpa.')] })
    const name = Name.parse('_tcp.web.home.arpa')
    const zone = zones.find(name)!
    expect(zone.lookup(name, TYPE.A).kind).toBe('nodata')
    zones.patch({ serial: 2, hosts: [], owners: [{ owner: '_http._tcp.web.home.arpa', records: [] }] })
    expect(zone.lookup(name, TYPE.A).kind).toBe('nxdomain')
  })
})

describe('whatever the order of changes', () => {
  const ids = ['g', 'a', 'b', 'c']
  const owners = ['a.home.arpa', '*.home.arpa', 'x.a.home.arpa', 'nas.example.com', '_443._tcp.a.home.arpa']
  const anyService: fc.Arbitrary<Service> = fc.record({
    instance: fc.constantFrom('Laser printer', 'laser printer', 'A.b'),
    type: fc.constantFrom('_ipp._tcp', '_https._tcp', '_http._tcp'),
    port: fc.constantFrom(443, 631, 8443),
    txt: fc.subarray(['a=1', 'b']),
    alpn: fc.subarray(['h2', 'h3']),
  })
  const anyHost = (id: string): fc.Arbitrary<ZoneHost> =>
    fc.record({
      id: fc.constant(id),
      names: fc.uniqueArray(fc.constantFrom('a.home.arpa', 'b.home.arpa', 'gateway.home.arpa', 'x..y'), {
        minLength: 1,
        maxLength: 2,
      }),
      addresses: fc.subarray(['192.168.1.20', '10.0.0.7', 'fd00::20', '9.9.9.9', 'no address']),
      keys: fc
        .subarray(['ab', 'cd'])
        .map((keys) => keys.map((key) => ({ sha256: key.repeat(32), until: 0 }))),
      services: fc.array(anyService, { maxLength: 3 }),
    })
  const anyRecords = (owner: string): fc.Arbitrary<ZoneRecord[]> =>
    fc.array(
      fc
        .tuple(
          fc.constantFrom(
            'A 10.0.0.1',
            'A 10.0.0.2',
            'CNAME b.home.arpa.',
            'NS b.home.arpa.',
            'A what',
            'TXT "x"',
          ),
          fc.constantFrom(60, 300),
        )
        .map(([text, ttl]) => record(owner, text.split(' ')[0]!, text.slice(text.indexOf(' ') + 1), ttl)),
      { maxLength: 3 },
    )
  const anyPatch: fc.Arbitrary<ZonePatch> = fc.record({
    serial: fc.constant(0),
    hosts: fc.array(
      fc.constantFrom(...ids).chain((id) => fc.option(anyHost(id)).map((changed) => ({ id, host: changed }))),
      { maxLength: 3 },
    ),
    owners: fc.array(
      fc.constantFrom(...owners).chain((owner) => anyRecords(owner).map((records) => ({ owner, records }))),
      { maxLength: 3 },
    ),
  })

  test('patched zones and zones loaded anew are the same, and deltas lead from one state to the next', () => {
    fc.assert(
      fc.property(fc.array(anyPatch, { maxLength: 8 }), (patches) => {
        const { zones } = load({})
        const hosts = new Map<string, ZoneHost>()
        const records = new Map<string, ZoneRecord[]>()
        patches.forEach((patch, index) => {
          for (const { id, host: changed } of patch.hosts) {
            if (changed === null) hosts.delete(id)
            else hosts.set(id, changed)
          }
          for (const each of patch.owners) records.set(each.owner, each.records)
          const before = contents(zones)
          const { deltas } = zones.patch({ ...patch, serial: index + 2 })
          const source = (apex: Name) => [...zones.all()].find((zone) => zone.apex === apex)!.source
          const lines = (which: 'removed' | 'added') =>
            deltas.flatMap((delta) =>
              delta[which].map((each) => `${delta.apex} ${source(delta.apex)}: ${printRecord(each)}`),
            )
          const removed = lines('removed')
          expect(before).toEqual(expect.arrayContaining(removed))
          const followed = [...before.filter((line) => !removed.includes(line)), ...lines('added')].toSorted()
          expect(followed).toEqual(contents(zones))
        })
        const data = { serial: 99, hosts: [...hosts.values()], records: [...records.values()].flat() }
        expect(contents(load(data).zones)).toEqual(contents(zones))
        expect(zones.load(data).deltas).toEqual([])
      }),
      { numRuns: 150 },
    )
  })
})
