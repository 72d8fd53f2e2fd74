import { once } from 'node:events'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { FrameReader, frame } from '../../dns/framing.ts'
import { decodeMessage, encodeMessage, type Message, type ResourceRecord } from '../../wire/message.ts'
import { Name } from '../../wire/name.ts'
import { parseRdata, printRecord } from '../../wire/presentation.ts'
import { CLASS, rcodeName, TYPE } from '../../wire/registry.ts'
import { run } from '../support/run.ts'
import { tempDirs } from '../support/tempDir.ts'
import { waitFor } from '../support/waitFor.ts'
import { ChangingZone, KEY, KEY_TEXT, SECRET } from './changingZone.ts'
import { askTcp, askUdp, query } from './harness.ts'
import { TlsHome } from './tlsHome.ts'
import { sign } from './tsigSign.ts'
import { updateMessage } from './updateLines.ts'

const tempDir = tempDirs()

const signed = (message: Message) => sign(encodeMessage(message), { name: KEY.name, secret: SECRET })

/** Asks for what changed since a serial. */
function ixfr(serial: number, zone = 'home.arpa'): Message {
  const data = parseRdata(TYPE.SOA, `a. b. ${serial} 1 1 1 1`, Name.parse)
  const soa: ResourceRecord = { name: Name.parse(zone), type: TYPE.SOA, class: CLASS.IN, ttl: 0, data }
  return query(zone, 'IXFR', { rd: false, authorities: [soa] })
}

/** Lines of a transfer as dig prints them, without its remarks. */
function records(output: string): string[] {
  return output
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith(';') && !/\sTSIG\s/.test(line))
    .map((line) => line.replaceAll(/\s+/g, ' '))
}

describe('a small zone', () => {
  let zone: ChangingZone
  beforeEach(async () => {
    zone = await ChangingZone.open()
    await zone.add(
      'www.home.arpa 300 CNAME nas.home.arpa.',
      '*.apps.home.arpa 300 A 192.168.1.51',
      'lab.home.arpa 300 NS ns.lab.home.arpa.',
      'ns.lab.home.arpa 300 A 192.168.1.77',
    )
  })
  afterEach(() => zone.close())

  const serial = async () => Number((await zone.dig('+short', 'home.arpa', 'SOA')).split(' ')[2])
  const soa = (at: number) =>
    `home.arpa. 60 IN SOA gateway.home.arpa. hostmaster.home.arpa. ${at} 3600 600 604800 60`

  test('AXFR, to dig and kdig: everything, glue and what is delegated too, the SOA first and last', async () => {
    const output = await zone.dig('-y', KEY_TEXT, 'home.arpa', 'AXFR')
    expect(output).not.toContain("Couldn't verify")
    const lines = records(output)
    const now = await serial()
    expect([lines.at(0), lines.at(-1)]).toEqual([soa(now), soa(now)])
    expect(lines.slice(1, -1).sort()).toEqual(
      [
        'home.arpa. 60 IN NS gateway.home.arpa.',
        'gateway.home.arpa. 60 IN A 192.168.1.1',
        'nas.home.arpa. 60 IN A 192.168.1.20',
        'nas.home.arpa. 60 IN AAAA fd00::20',
        'www.home.arpa. 300 IN CNAME nas.home.arpa.',
        '*.apps.home.arpa. 300 IN A 192.168.1.51',
        'lab.home.arpa. 300 IN NS ns.lab.home.arpa.',
        'ns.lab.home.arpa. 300 IN A 192.168.1.77',
        ...lines.filter((line) => line.includes('_dns-sd')),
      ].sort(),
    )
    const kdig = await run('kdig', [
      ...['@127.0.0.1', '-p', String(zone.server.port), '-y', KEY_TEXT, 'home.arpa', 'AXFR'],
    ])
    expect(kdig.output).not.toMatch(/WARNING|; ERROR/)
    expect(records(kdig.stdout).map((line) => line.replace(/^(\S+) (\d+) IN/, '$1 $2 IN'))).toHaveLength(
      lines.length,
    )
  })

  test('a reverse zone', async () => {
    const lines = records(await zone.dig('-y', KEY_TEXT, '168.192.in-addr.arpa', 'AXFR'))
    expect(lines).toContain('20.1.168.192.in-addr.arpa. 60 IN PTR nas.home.arpa.')
  })

  test('IXFR: what changed, as one difference, without what came and went', async () => {
    const before = await serial()
    await zone.add('tv.home.arpa 60 A 192.168.1.60')
    await zone.add('radio.home.arpa 60 A 192.168.1.61')
    await zone.nsupdate('update delete tv.home.arpa\nupdate delete www.home.arpa', '-y', KEY_TEXT)
    const now = await serial()
    const output = await zone.dig('-y', KEY_TEXT, 'home.arpa', `IXFR=${before}`)
    expect(records(output)).toEqual([
      soa(now),
      soa(before),
      'www.home.arpa. 300 IN CNAME nas.home.arpa.',
      soa(now),
      'radio.home.arpa. 60 IN A 192.168.1.61',
      soa(now),
    ])
  })

  test('IXFR for who is up to date, or ahead: the SOA alone', async () => {
    const now = await serial()
    for (const at of [now, now + 1]) {
      expect(records(await zone.dig('-y', KEY_TEXT, 'home.arpa', `IXFR=${at}`))).toEqual([soa(now)])
    }
  })

  test('IXFR from a serial that nobody remembers: the whole zone', async () => {
    const lines = records(await zone.dig('-y', KEY_TEXT, 'home.arpa', 'IXFR=0'))
    expect(lines).toContain('nas.home.arpa. 60 IN A 192.168.1.20')
    expect([lines.at(0), lines.at(-1)]).toEqual([soa(await serial()), soa(await serial())])
  })

  test('IXFR over UDP: the SOA alone, so that the client comes over TCP (RFC 1995 section 2)', async () => {
    const reply = decodeMessage(await askUdp(zone.server.port, signed(ixfr(1))))
    expect(reply.tc).toBe(false)
    expect(reply.answers.map(printRecord)).toEqual([soa(await serial())])
  })

  test('after more than there are records, the whole zone is shorter', async () => {
    const before = await serial()
    await zone.nsupdate(
      Array.from({ length: 20 }, (_, index) => `update add h${index}.home.arpa 60 A 10.0.0.${index}`).join(
        '\n',
      ),
      '-y',
      KEY_TEXT,
    )
    const middle = await serial()
    await zone.nsupdate(
      Array.from({ length: 19 }, (_, index) => `update delete h${index}.home.arpa`).join('\n'),
      '-y',
      KEY_TEXT,
    )
    expect(records(await zone.dig('-y', KEY_TEXT, 'home.arpa', `IXFR=${middle}`))[1]).not.toBe(soa(middle))
    expect(records(await zone.dig('-y', KEY_TEXT, 'home.arpa', `IXFR=${before}`))[1]).toBe(soa(before))
  })

  test.each<[string, () => Buffer, string]>([
    ['AXFR without a key', () => encodeMessage(query('home.arpa', 'AXFR')), 'REFUSED'],
    ['IXFR without a key', () => encodeMessage(ixfr(1)), 'REFUSED'],
    ['a zone that is not ours', () => signed(query('example.com', 'AXFR')), 'NOTAUTH'],
    ['a name in the zone', () => signed(query('nas.home.arpa', 'AXFR')), 'NOTAUTH'],
    ['a special zone', () => signed(query('localhost', 'AXFR')), 'NOTAUTH'],
    [
      'a reverse zone that is the same everywhere',
      () => signed(query('127.in-addr.arpa', 'AXFR')),
      'NOTAUTH',
    ],
    ['the root', () => signed(query('.', 'AXFR')), 'NOTAUTH'],
    ['IXFR without a serial', () => signed(query('home.arpa', 'IXFR')), 'FORMERR'],
    [
      'IXFR with the serial of another zone',
      () => signed({ ...ixfr(1, 'example.com'), questions: query('home.arpa', 'IXFR').questions }),
      'FORMERR',
    ],
  ])('%s: no record', async (_, bytes, rcode) => {
    const [reply] = await askTcp(zone.server.port, [bytes()])
    const { answers, ...header } = decodeMessage(reply!)
    expect(rcodeName(header.rcode)).toBe(rcode)
    expect(answers).toEqual([])
  })

  test('AXFR over UDP is refused (RFC 5936 section 4.2 has none)', async () => {
    const reply = decodeMessage(await askUdp(zone.server.port, signed(query('home.arpa', 'AXFR'))))
    expect(rcodeName(reply.rcode)).toBe('REFUSED')
    expect(reply.answers).toEqual([])
  })

  test('a key that may only update copies nothing', async () => {
    zone.server.setKeys([{ ...KEY, mayTransfer: false }])
    expect(await zone.dig('-y', KEY_TEXT, 'home.arpa', 'AXFR')).toContain('Transfer failed')
  })
})

describe('over TLS', () => {
  let home: TlsHome
  let zone: ChangingZone
  beforeAll(async () => {
    home = await TlsHome.open(tempDir())
    const certificate = await home.certificate()
    zone = await ChangingZone.open({
      dot: { addresses: ['127.0.0.1'], port: 0, minVersion: 'TLSv1.3', certificate },
    })
  })
  afterAll(async () => {
    await zone.close()
    await home.close()
  })

  test('kdig copies the zone, signed (RFC 9103)', async () => {
    const { output } = await run('kdig', [
      ...['@127.0.0.1', '-p', String(zone.server.dotPort), '+tls', '-y', KEY_TEXT, 'home.arpa', 'AXFR'],
    ])
    expect(output).not.toMatch(/WARNING|; ERROR/)
    expect(records(output)).toContain('nas.home.arpa. 60 IN A 192.168.1.20')
  })

  test('an update, signed', async () => {
    const update = signed(updateMessage('add tv 60 A 192.168.1.60'))
    const socket = connectTls({ port: zone.server.dotPort!, host: '127.0.0.1', rejectUnauthorized: false })
    socket.write(frame(update))
    const [chunk] = await once(socket, 'data')
    socket.destroy()
    const [reply] = new FrameReader().push(chunk)
    expect(rcodeName(decodeMessage(reply!).rcode)).toBe('NOERROR')
    expect(await zone.dig('+short', 'tv.home.arpa')).toBe('192.168.1.60\n')
  })
})

describe('a zone of 20,000 records', () => {
  let zone: ChangingZone
  beforeAll(async () => {
    zone = await ChangingZone.open()
    const hosts = Array.from({ length: 10_000 }, (_, index) => ({
      id: `h${index}`,
      names: [`h${index}.home.arpa`],
      addresses: [`10.1.${index >> 8}.${index & 255}`, `fd00::1:${index.toString(16)}`],
      keys: [],
      services: [],
    }))
    zone.server.replaceZone({ serial: 1000, hosts, records: [] })
  })
  afterAll(() => zone.close())

  test('dig gets all of it, in many messages, each signed', async () => {
    const output = await zone.dig('-y', KEY_TEXT, 'home.arpa', 'AXFR')
    expect(output).not.toContain("Couldn't verify")
    expect(Number(/XFR size: \d+ records \(messages (\d+)/.exec(output)![1])).toBeGreaterThan(20)
    expect(records(output).filter((line) => / IN (A|AAAA) /.test(line))).toHaveLength(20_000)
  })

  test('the journal ends somewhere: who is further behind gets everything', async () => {
    const change = (serial: number) =>
      zone.server.patchZone({
        serial,
        hosts: [],
        owners: [
          {
            owner: 't.home.arpa',
            records: [{ owner: 't.home.arpa', type: 'TXT', ttl: 60, data: `"${serial}"` }],
          },
        ],
      })
    for (let serial = 2000; serial <= 2200; serial += 1) change(serial)
    const second = async (since: number) => {
      const [reply] = await askTcp(zone.server.port, [signed(ixfr(since))])
      return printRecord(decodeMessage(reply!).answers[1]!)
    }
    expect(await second(2000)).toContain(' 2000 3600 ')
    change(2201)
    expect(await second(2001)).toContain(' 2001 3600 ')
    expect(await second(2000)).not.toContain('SOA')
  })

  test('a slow secondary gets one serial, whatever changes meanwhile, and others are answered', async () => {
    const socket = connect(zone.server.port, '127.0.0.1')
    socket.write(frame(signed(query('home.arpa', 'AXFR'))))
    await new Promise((read) => socket.once('readable', read))
    zone.server.patchZone({
      serial: 3001,
      hosts: Array.from({ length: 5000 }, (_, index) => ({ id: `h${index * 2}`, host: null })),
      owners: [],
    })
    expect(await zone.dig('+short', 'h9999.home.arpa')).toBe('10.1.39.15\n')

    const frames = new FrameReader()
    const answers: ResourceRecord[] = []
    socket.on('data', (chunk) => {
      for (const message of frames.push(chunk as Buffer)) answers.push(...decodeMessage(message).answers)
    })
    await waitFor(() => answers.filter(({ type }) => type === TYPE.SOA).length === 2)
    socket.destroy()
    expect(answers.filter(({ type }) => type === TYPE.A || type === TYPE.AAAA)).toHaveLength(20_000)
    expect(answers.filter(({ type }) => type === TYPE.SOA).map(printRecord)).toEqual(
      Array(2).fill(expect.stringContaining(' 2201 3600 ')),
    )
  })

  test('a secondary that breaks off, and twenty that ask at once', async () => {
    for (let round = 0; round < 5; round += 1) {
      const socket = connect(zone.server.port, '127.0.0.1')
      socket.write(frame(signed(query('home.arpa', 'AXFR'))))
      await new Promise((read) => socket.once('data', read))
      socket.destroy()
    }
    const socket = connect(zone.server.port, '127.0.0.1')
    const frames = new FrameReader()
    let ends = 0
    socket.on('data', (chunk) => {
      for (const message of frames.push(chunk as Buffer)) {
        ends += decodeMessage(message).answers.filter(({ type }) => type === TYPE.SOA).length
      }
    })
    for (let id = 0; id < 20; id += 1) socket.write(frame(signed(query('home.arpa', 'AXFR', { id }))))
    await waitFor(() => ends === 40)
    socket.destroy()
    expect(await zone.dig('+short', 'h9999.home.arpa')).toBe('10.1.39.15\n')
    expect(zone.log).toEqual([])
  })
})
