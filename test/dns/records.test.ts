import { describe, expect, test } from '@jest/globals'
import {
  checkRecord,
  findRecords,
  parseImport,
  printExport,
  RecordError,
  type RecordErrorCode,
  type RecordInput,
} from '../../dns/records.ts'
import type { SourcedRecord, Surroundings, ZoneRecord } from '../../store/records.ts'
import type { ZoneHost } from '../../store/zone.ts'
import { host } from './household.ts'

const OPTIONS = { domain: 'home.arpa', gatewayName: 'gateway.home.arpa', overrides: ['example.com'] }

const withRecords = (...records: SourcedRecord[]): Surroundings => ({
  deviceNames: ['gateway.home.arpa', 'nas.home.arpa'],
  records,
  total: records.length,
  octets: records.reduce((sum, { data }) => sum + data.length, 0),
})
const NOTHING = withRecords()

const WWW: SourcedRecord = {
  owner: 'www.home.arpa',
  type: 'CNAME',
  ttl: 300,
  data: 'nas.home.arpa.',
  source: 'hand',
}
const NOTE: SourcedRecord = { ...WWW, owner: 'note.home.arpa', type: 'TXT', ttl: 900, data: '"hello"' }

describe('a record by hand', () => {
  test.each<[RecordInput, ZoneRecord]>([
    [
      { owner: 'tv', type: 'a', data: '192.168.1.9' },
      { owner: 'tv.home.arpa', type: 'A', ttl: 300, data: '192.168.1.9' },
    ],
    [
      { owner: 'TV.Home.Arpa', type: 'A', data: '192.168.1.9', ttl: 5 },
      { owner: 'tv.home.arpa', type: 'A', ttl: 5, data: '192.168.1.9' },
    ],
    [
      { owner: '*.apps', type: 'CNAME', data: 'nas' },
      { owner: '*.apps.home.arpa', type: 'CNAME', ttl: 300, data: 'nas.home.arpa.' },
    ],
    [
      { owner: 'blog', type: 'CNAME', data: 'pages.Example.net' },
      { owner: 'blog.home.arpa', type: 'CNAME', ttl: 300, data: 'pages.example.net.' },
    ],
    [
      { owner: '@', type: 'MX', data: '10 mail' },
      { owner: 'home.arpa', type: 'MX', ttl: 300, data: '10 mail.home.arpa.' },
    ],
    [
      { owner: '9.1.168.192.in-addr.arpa', type: 'PTR', data: 'tv' },
      { owner: '9.1.168.192.in-addr.arpa', type: 'PTR', ttl: 300, data: 'tv.home.arpa.' },
    ],
    [
      { owner: 'nas', type: 'AAAA', data: 'FD00::0:21' },
      { owner: 'nas.home.arpa', type: 'AAAA', ttl: 300, data: 'fd00::21' },
    ],
    [
      { owner: 'web', type: 'TYPE65', data: '\\# 3 000100' },
      { owner: 'web.home.arpa', type: 'HTTPS', ttl: 300, data: '1 .' },
    ],
    [
      { owner: 'kitchen.tv', type: 'A', data: '192.168.1.5' },
      { owner: 'kitchen.tv.home.arpa', type: 'A', ttl: 300, data: '192.168.1.5' },
    ],
    [
      { owner: '_airplay._tcp.tv', type: 'SRV', data: '0 0 7000 tv' },
      { owner: '_airplay._tcp.tv.home.arpa', type: 'SRV', ttl: 300, data: '0 0 7000 tv.home.arpa.' },
    ],
    [
      { owner: 'NAS.example.com', type: 'A', data: '192.168.1.5' },
      { owner: 'nas.example.com', type: 'A', ttl: 300, data: '192.168.1.5' },
    ],
    [
      { owner: '*.example.com', type: 'CNAME', data: 'nas' },
      { owner: '*.example.com', type: 'CNAME', ttl: 300, data: 'nas.home.arpa.' },
    ],
    [
      { owner: 'example.com', type: 'HTTPS', data: '1 nas alpn=h2' },
      { owner: 'example.com', type: 'HTTPS', ttl: 300, data: '1 nas.home.arpa. alpn="h2"' },
    ],
    [
      { owner: 'lab', type: 'NS', data: 'ns.lab.home.arpa.' },
      { owner: 'lab.home.arpa', type: 'NS', ttl: 300, data: 'ns.lab.home.arpa.' },
    ],
  ])('%j is kept in one form', (input, kept) => {
    expect(checkRecord(input, NOTHING, OPTIONS)).toEqual(kept)
  })

  test('takes over one that a lease or an update brought', () => {
    const known = withRecords({ ...NOTE, source: 'lease' })
    expect(checkRecord({ owner: 'note', type: 'TXT', data: '"hello"' }, known, OPTIONS)).toMatchObject({
      owner: 'note.home.arpa',
    })
  })

  test('takes the TTL of its RRset unless it brings one, and may change that of a record', () => {
    const zone = withRecords(NOTE)
    expect(checkRecord({ owner: 'note', type: 'TXT', data: '"more"' }, zone, OPTIONS).ttl).toBe(900)
    expect(checkRecord({ owner: 'note', type: 'TXT', data: '"hello"', ttl: 60 }, zone, OPTIONS).ttl).toBe(60)
  })

  test.each<[RecordErrorCode, RecordInput, string]>([
    ['OWNER_INVALID', { owner: 'a..b', type: 'A', data: '10.0.0.1' }, 'empty label'],
    [
      'OWNER_OUTSIDE',
      { owner: 'www.example.org.', type: 'A', data: '10.0.0.1' },
      'listed under dns.overrides',
    ],
    ['OWNER_OUTSIDE', { owner: 'nas.example.org', type: 'A', data: '10.0.0.1' }, 'under dns.overrides'],
    ['OWNER_OUTSIDE', { owner: 'nas.example.de', type: 'A', data: '10.0.0.1' }, 'under dns.overrides'],
    ['OWNER_OUTSIDE', { owner: '*.example.dev', type: 'A', data: '10.0.0.1' }, 'under dns.overrides'],
    ['DELEGATION_REFUSED', { owner: 'nas.example.com', type: 'NS', data: 'ns' }, 'only names of that'],
    [
      'OWNER_OUTSIDE',
      { owner: '9.1.168.192.in-addr.arpa', type: 'A', data: '10.0.0.1' },
      'only records it can be given are PTR and DHCID',
    ],
    ['OWNER_OUTSIDE', { owner: '9.9.9.9.in-addr.arpa', type: 'PTR', data: 'nas' }, 'is not in home.arpa'],
    ['TYPE_REFUSED', { owner: 'a', type: 'WHAT', data: 'x' }, 'no record type "WHAT"'],
    ['TYPE_REFUSED', { owner: 'a', type: 'DNAME', data: 'b' }, 'type DNAME cannot be added'],
    ['TYPE_REFUSED', { owner: 'a', type: 'ANY', data: '\\# 0' }, 'type ANY cannot be added'],
    ['DELEGATION_REFUSED', { owner: '*.lab', type: 'NS', data: 'ns' }, 'a wildcard cannot be delegated'],
    ['DELEGATION_REFUSED', { owner: 'nas', type: 'NS', data: 'ns' }, 'would hide the device nas.home.arpa'],
    ['DATA_INVALID', { owner: 'a', type: 'A', data: 'fd00::1' }, 'needs an IPv4 address'],
    ['DATA_INVALID', { owner: 'a', type: 'CNAME', data: '' }, 'ends too early'],
    ['TTL_INVALID', { owner: 'a', type: 'A', data: '10.0.0.1', ttl: -1 }, 'whole seconds from 0'],
    ['TTL_INVALID', { owner: 'a', type: 'A', data: '10.0.0.1', ttl: 2 ** 31 }, 'whole seconds from 0'],
    ['TTL_INVALID', { owner: 'a', type: 'A', data: '10.0.0.1', ttl: 1.5 }, 'whole seconds from 0'],
    ['APEX_FIXED', { owner: '@', type: 'NS', data: 'nas' }, 'made by the gateway'],
    ['APEX_FIXED', { owner: '@', type: 'SOA', data: 'a b 1 2 3 4 5' }, 'made by the gateway'],
    ['GATEWAY_FIXED', { owner: 'gateway', type: 'CNAME', data: 'nas' }, 'gateway.addresses'],
    ['GATEWAY_FIXED', { owner: 'gateway', type: 'A', data: '10.0.0.1' }, 'gateway.addresses'],
    ['CNAME_EXCLUSIVE', { owner: 'nas', type: 'CNAME', data: 'tv' }, "nas.home.arpa is a device's name"],
    ['CNAME_EXCLUSIVE', { owner: '@', type: 'CNAME', data: 'nas' }, "the zone's own name"],
    ['CNAME_EXCLUSIVE', { owner: 'note', type: 'CNAME', data: 'nas' }, 'has a record of type TXT'],
    ['CNAME_EXCLUSIVE', { owner: 'www', type: 'CNAME', data: 'gateway' }, 'has a record of type CNAME'],
    ['CNAME_EXCLUSIVE', { owner: 'www', type: 'TXT', data: 'x' }, 'is a CNAME for nas.home.arpa.'],
    ['DUPLICATE', { owner: 'note', type: 'TXT', data: 'hello' }, 'is already there'],
    ['DUPLICATE', { owner: 'WWW', type: 'CNAME', data: 'NAS.home.arpa.' }, 'is already there'],
    ['TOO_MANY', { owner: 'big', type: 'TXT', data: '"x" '.repeat(9000) }, 'too large for one answer'],
  ])('%s: %j', (code, input, message) => {
    const check = () => checkRecord(input, withRecords(WWW, NOTE), OPTIONS)
    expect(check).toThrow(RecordError)
    expect(check).toThrow(expect.objectContaining({ code }))
    expect(check).toThrow(message)
  })

  test('is one of ten thousand at most', () => {
    const records = Array.from({ length: 10_000 }, (_, index) => ({ ...NOTE, owner: `n${index}.home.arpa` }))
    const add = () =>
      checkRecord({ owner: 'one-more', type: 'A', data: '10.0.0.1' }, withRecords(...records), OPTIONS)
    expect(add).toThrow(expect.objectContaining({ code: 'TOO_MANY' }))
  })

  test('all together have 4 MiB of data at most', () => {
    const data = Array(60)
      .fill(`"${'x'.repeat(250)}"`)
      .join(' ')
    const records = (count: number) =>
      Array.from({ length: count }, (_, index) => ({ ...NOTE, owner: `n${index}.home.arpa`, data }))
    const add = (count: number) =>
      checkRecord({ owner: 'one-more', type: 'TXT', data }, withRecords(...records(count)), OPTIONS)
    expect(add(270).owner).toBe('one-more.home.arpa')
    expect(() => add(277)).toThrow(expect.objectContaining({ code: 'TOO_MANY' }))
    const file = records(100).map(({ owner }) => `more.${owner}. TXT ${data}\n`)
    expect(() => parseImport(file.join(''), withRecords(...records(200)), OPTIONS)).toThrow('line 77: ')
  })
})

describe('removing', () => {
  const zone = withRecords(WWW, NOTE, { ...NOTE, data: '"bye"' })

  test('finds all of an owner, of a type, or one', () => {
    expect(findRecords({ owner: 'note' }, zone, OPTIONS)).toHaveLength(2)
    expect(findRecords({ owner: 'note.home.arpa', type: 'txt' }, zone, OPTIONS)).toHaveLength(2)
    expect(findRecords({ owner: 'note', type: 'TXT', data: 'bye' }, zone, OPTIONS)).toHaveLength(1)
  })

  test('leaves what follows a lease file', () => {
    const leased = withRecords({ ...NOTE, source: 'lease' }, { ...NOTE, data: '"bye"', source: 'update' })
    expect(findRecords({ owner: 'note' }, leased, OPTIONS)).toHaveLength(1)
    expect(() => findRecords({ owner: 'note', data: 'hello', type: 'TXT' }, leased, OPTIONS)).toThrow(
      'note.home.arpa TXT "hello" follows the DHCP server\'s lease file',
    )
  })

  test('says what else to do where there is nothing', () => {
    expect(() => findRecords({ owner: 'note', type: 'A' }, zone, OPTIONS)).toThrow('hearth dns list')
    expect(() => findRecords({ owner: 'nas' }, zone, OPTIONS)).toThrow('change them with hearth device')
  })
})

describe('import and export', () => {
  const byHand = (owner: string, type: string, data: string, ttl = 300): SourcedRecord => ({
    owner,
    type,
    ttl,
    data,
    source: 'hand',
  })
  const records: SourcedRecord[] = [
    byHand('*.apps.home.arpa', 'A', '192.168.1.20'),
    byHand('9.1.168.192.in-addr.arpa', 'PTR', 'tv.home.arpa.'),
    byHand('*.example.com', 'A', '192.168.1.20'),
    byHand('front\\.door._ipp.home.arpa', 'TXT', '"a \\"b\\"" "c"'),
    byHand('home.arpa', 'MX', '10 mail.example.com.'),
    byHand('web.home.arpa', 'HTTPS', '1 . alpn="h2,h3" port=8443', 60),
    byHand('odd.home.arpa', 'HTTPS', '\\# 7 00010000010000', 60),
    WWW,
  ]
  const lease: SourcedRecord = { ...byHand('tv.home.arpa', 'A', '192.168.1.9'), source: 'lease' }
  const device: ZoneHost = {
    ...host('nas.home.arpa', '192.168.1.20'),
    keys: [{ sha256: 'ab'.repeat(32), until: 0 }],
    services: [{ instance: 'Files', type: '_smb._tcp', port: 445, txt: [], alpn: [] }],
  }
  const exported = printExport(
    {
      serial: 7,
      hosts: [host('gateway.home.arpa', '192.168.1.1', 'fd00::1'), device],
      records: [...records, lease],
    },
    OPTIONS,
  )
  const kept = records.map(({ source: _, ...record }) => record)

  test('what follows from devices is a comment, and what others put there is left out', () => {
    expect(exported.split('\n').slice(0, 20)).toEqual([
      '$ORIGIN home.arpa.',
      '$TTL 300',
      '',
      '; Made by the gateway; passed over by hearth dns import.',
      '@ 60 IN SOA gateway.home.arpa. hostmaster.home.arpa. 7 3600 600 604800 60',
      '@ 60 IN NS gateway.home.arpa.',
      'gateway.home.arpa. 60 IN A 192.168.1.1',
      'gateway.home.arpa. 60 IN AAAA fd00::1',
      '',
      '; Devices: what follows from hearth device and hearth service.',
      '; nas.home.arpa. 60 IN A 192.168.1.20',
      `; _443._tcp.nas.home.arpa. 60 IN TLSA 3 1 1 ${'ab'.repeat(32)}`,
      '; _services._dns-sd._udp.home.arpa. 60 IN PTR _smb._tcp.home.arpa.',
      '; _smb._tcp.home.arpa. 60 IN PTR Files._smb._tcp.home.arpa.',
      '; Files._smb._tcp.home.arpa. 60 IN SRV 0 0 445 nas.home.arpa.',
      '; Files._smb._tcp.home.arpa. 60 IN TXT ""',
      '',
      '; Added by hand.',
      '*.apps.home.arpa. 300 IN A 192.168.1.20',
      '9.1.168.192.in-addr.arpa. 300 IN PTR tv.home.arpa.',
    ])
    expect(exported).not.toContain('tv.home.arpa. 300 IN A')
  })

  test('an export read by an empty gateway gives the same records by hand', () => {
    const empty = { deviceNames: ['gateway.home.arpa'], records: [], total: 0, octets: 0 }
    expect(parseImport(exported, empty, OPTIONS)).toEqual(kept)
  })

  test('an export read by the gateway it comes from changes nothing', () => {
    expect(parseImport(exported, withRecords(...records), OPTIONS)).toEqual(kept)
  })

  test('relative names are of the zone, and the last TTL of an RRset wins', () => {
    expect(parseImport('tv 60 A 10.0.0.1\ntv 90 A 10.0.0.2\nTV 90 A 10.0.0.2', NOTHING, OPTIONS)).toEqual([
      { owner: 'tv.home.arpa', type: 'A', ttl: 90, data: '10.0.0.1' },
      { owner: 'tv.home.arpa', type: 'A', ttl: 90, data: '10.0.0.2' },
    ])
  })

  test.each([
    ['FILE_INVALID', 'tv A 10.0.0.1\ntv A nonsense', 'line 2: the data of a record of type A'],
    ['CNAME_EXCLUSIVE', 'tv A 10.0.0.1\ntv CNAME nas', 'line 2: tv.home.arpa has a record of type A'],
    ['CNAME_EXCLUSIVE', 'nas CNAME tv', "line 1: nas.home.arpa is a device's name"],
    ['OWNER_OUTSIDE', 'www.example.org. A 10.0.0.1', 'line 1: www.example.org. is not in home.arpa'],
    ['APEX_FIXED', 'sub SOA a b 1 2 3 4 5', 'line 1: the SOA of a zone'],
  ])('%s stops all of it: %j', (code, text, message) => {
    const read = () => parseImport(text, NOTHING, OPTIONS)
    expect(read).toThrow(expect.objectContaining({ code }))
    expect(read).toThrow(message)
  })
})
