import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { DAY, SECOND } from '../../base/clock.ts'
import { readAudit } from '../../store/audit.ts'
import { closeDevice, insertDevice } from '../../store/devices.ts'
import { decodeMessage, encodeMessage, type Message } from '../../wire/message.ts'
import { Name } from '../../wire/name.ts'
import { CLASS, OPCODE, RCODE, rcodeName, TYPE } from '../../wire/registry.ts'
import { putCertificate, putIssuer } from '../store/rows.ts'
import { TestClock } from '../support/testClock.ts'
import { ChangingZone, KEY, KEY_TEXT, SECRET } from './changingZone.ts'
import { askTcp, askUdp } from './harness.ts'
import { type SignOptions, sign } from './tsigSign.ts'
import { updateMessage } from './updateLines.ts'

let zone: ChangingZone
let clock: TestClock

beforeEach(async () => {
  clock = new TestClock()
  zone = await ChangingZone.open({}, clock)
})

afterEach(() => zone.close())

/** The octets of an update, signed well unless told otherwise. */
function request(lines: string, part: Partial<SignOptions> = {}, domain = 'home.arpa'): Buffer {
  const id = randomBytes(2).readUInt16BE()
  return sign(encodeMessage(updateMessage(lines, domain, { id })), {
    name: KEY.name,
    secret: SECRET,
    time: Math.floor(clock.now() / SECOND),
    ...part,
  })
}

async function udp(bytes: Buffer): Promise<string> {
  return rcodeName(decodeMessage(await askUdp(zone.server.port, bytes)).rcode)
}

describe('nsupdate', () => {
  test.each(['UDP', 'TCP'])('adds, sees it at once, and deletes, over %s', async (transport) => {
    const options = ['-y', KEY_TEXT, ...(transport === 'TCP' ? ['-v'] : [])]
    expect(
      await zone.nsupdate(
        `update add printer.home.arpa 300 A 192.168.1.7
         update add printer.home.arpa 300 TXT "by the window"
         update add www.home.arpa 60 CNAME printer.home.arpa.`,
        ...options,
      ),
    ).toEqual({ code: 0, output: '' })
    expect(await zone.dig('+short', 'www.home.arpa')).toBe('printer.home.arpa.\n192.168.1.7\n')
    expect(await zone.kept()).toEqual([
      'update printer.home.arpa 300 A 192.168.1.7',
      'update printer.home.arpa 300 TXT "by the window"',
      'update www.home.arpa 60 CNAME printer.home.arpa.',
    ])

    await zone.nsupdate('update delete printer.home.arpa A\nupdate delete www.home.arpa', ...options)
    expect(await zone.kept()).toEqual(['update printer.home.arpa 300 TXT "by the window"'])
    expect(await zone.dig('www.home.arpa')).toContain('status: NXDOMAIN')
  })

  test('finds the zone by itself, also that of an address', async () => {
    const ptr = 'update add 7.1.168.192.in-addr.arpa 300 PTR printer.home.arpa.'
    expect(await zone.nsupdate(ptr, '-y', KEY_TEXT)).toEqual({ code: 0, output: '' })
    expect(await zone.dig('+short', '-x', '192.168.1.7')).toBe('printer.home.arpa.\n')
  })

  test('its prerequisites hold, or nothing is done', async () => {
    await zone.nsupdate('update add one.home.arpa 60 A 192.168.1.1', '-y', KEY_TEXT)
    const more = 'update add two.home.arpa 60 A 192.168.1.2'
    for (const [prerequisite, said] of [
      ['prereq nxdomain one.home.arpa', 'YXDOMAIN'],
      ['prereq nxdomain nas.home.arpa', 'YXDOMAIN'],
      ['prereq yxdomain two.home.arpa', 'NXDOMAIN'],
      ['prereq nxrrset one.home.arpa A', 'YXRRSET'],
      ['prereq yxrrset one.home.arpa TXT', 'NXRRSET'],
      ['prereq yxrrset one.home.arpa A 192.168.1.9', 'NXRRSET'],
    ]) {
      const { code, output } = await zone.nsupdate(`${prerequisite}\n${more}`, '-y', KEY_TEXT)
      expect({ code, output }).toEqual({ code: 2, output: `update failed: ${said}\n` })
    }
    expect(await zone.kept()).toEqual(['update one.home.arpa 60 A 192.168.1.1'])
    const good = 'prereq yxrrset one.home.arpa A 192.168.1.1\nprereq nxdomain two.home.arpa'
    expect(await zone.nsupdate(`${good}\n${more}`, '-y', KEY_TEXT)).toEqual({ code: 0, output: '' })
  })

  test('the SOA as a prerequisite: read, then changed only if nobody else did (RFC 2136 section 5.7)', async () => {
    const soa = async () => (await zone.dig('+short', 'home.arpa', 'SOA')).trim()
    const first = await soa()
    const change = (seen: string, name: string) =>
      zone.nsupdate(
        `prereq yxrrset home.arpa SOA ${seen}\nupdate add ${name}.home.arpa 60 A 192.168.1.9`,
        '-y',
        KEY_TEXT,
      )
    // A change of another zone in between is none of this one.
    await zone.add('9.1.168.192.in-addr.arpa 60 PTR nas.home.arpa.')
    expect(await change(first, 'one')).toEqual({ code: 0, output: '' })
    expect((await change(first, 'two')).output).toBe('update failed: NXRRSET\n')
    expect(await change(await soa(), 'two')).toEqual({ code: 0, output: '' })
  })

  test('without a key, with one that is not known, and with a wrong one', async () => {
    const change = 'zone home.arpa\nupdate add printer.home.arpa 300 A 192.168.1.7'
    expect((await zone.nsupdate(change)).output).toBe('update failed: REFUSED\n')
    expect(
      (await zone.nsupdate(change, '-y', `hmac-sha256:nobody:${SECRET.toString('base64')}`)).output,
    ).toMatch(/BADKEY/)
    expect((await zone.nsupdate(change, '-y', 'hmac-sha256:test.key:AAAA')).output).toMatch(/BADSIG/)
    expect(await zone.kept()).toEqual([])
  })

  test('a key that may only copy the zone', async () => {
    zone.server.setKeys([{ ...KEY, mayUpdate: false }])
    const change = 'update add printer.home.arpa 300 A 192.168.1.7'
    expect((await zone.nsupdate(change, '-y', KEY_TEXT)).output).toBe('update failed: REFUSED\n')
  })

  test('other zones: NOTAUTH; names of other zones: NOTZONE', async () => {
    const key = ['-y', KEY_TEXT]
    const foreign = 'zone example.com\nupdate add www.example.com 60 A 192.168.1.9'
    expect((await zone.nsupdate(foreign, ...key)).output).toMatch(/NOTAUTH/)
    const special = 'zone localhost\nupdate add localhost 60 A 192.168.1.9'
    expect((await zone.nsupdate(special, ...key)).output).toMatch(/NOTAUTH/)
    const below = 'zone apps.home.arpa\nupdate add www.apps.home.arpa 60 A 192.168.1.9'
    expect((await zone.nsupdate(below, ...key)).output).toMatch(/NOTAUTH/)
    expect(await udp(request('add example.com. 60 A 192.168.1.9'))).toBe('NOTZONE')
  })
})

describe('whose records these are', () => {
  test.each([
    ["a device's address", 'update delete nas.home.arpa A'],
    ["one more for a device's name", 'update add nas.home.arpa 60 A 192.168.1.66'],
    ["the way back from a device's address", 'update delete 20.1.168.192.in-addr.arpa PTR'],
    ['another way back', 'update add 20.1.168.192.in-addr.arpa 60 PTR evil.home.arpa.'],
    ['also of IPv6', `update delete ${reverse('fd000000000000000000000000000020')} PTR`],
    ["anything of the gateway's own name", 'update add gateway.home.arpa 60 TXT "x"'],
    ['what browsers ask for by themselves', 'update add wpad.home.arpa 60 A 192.168.1.66'],
    ['another name server', 'update add home.arpa 60 NS evil.home.arpa.'],
    ['signatures', 'update add x.home.arpa 60 DNAME nas.home.arpa.'],
    ['a delegation that hides a device', 'update add nas.home.arpa 60 NS ns.nas.home.arpa.'],
    ['other records than PTR of an address', 'update add 9.1.168.192.in-addr.arpa 60 A 192.168.1.9'],
  ])('refused: %s', async (_, change) => {
    await zone.add('www.home.arpa 60 A 192.168.1.9')
    const { output } = await zone.nsupdate(change, '-y', KEY_TEXT)
    expect(output).toBe('update failed: REFUSED\n')
    expect(await zone.kept()).toEqual(['hand www.home.arpa 60 A 192.168.1.9'])
    expect(zone.log.at(-1)).toContain('"tsigKey":"test.key"')
  })

  test("a device's name, though the device has no address, is suspended, or was removed", async () => {
    await putIssuer(zone.store, 'I')
    await zone.store.transaction(async (tx) => {
      const add = (name: string) =>
        insertDevice(tx, { kind: 'device', profile: 'server', names: [name], addresses: [] })
      await add('lamp.home.arpa')
      const suspended = await add('camera.home.arpa')
      await tx.db.updateTable('devices').set({ state: 'suspended' }).where('id', '=', suspended).execute()
      const removed = await add('old.home.arpa')
      await putCertificate(tx, 'AA', { names: ['old.home.arpa'], deviceId: removed })
      await closeDevice(tx, removed)
    })
    for (const name of ['lamp', 'camera', 'old']) {
      expect(await udp(request(`add ${name} 60 A 192.168.1.66`))).toBe('REFUSED')
      expect(await udp(request(`add ${name} 60 CNAME www`))).toBe('REFUSED')
      expect(await udp(request(`add ${name} 60 TXT "x"`))).toBe('NOERROR')
    }
    clock.pass(8 * DAY)
    expect(await udp(request('delete old\nadd old 60 A 192.168.1.66'))).toBe('NOERROR')
  })

  test('records by hand can be changed, and records beside those of a device', async () => {
    await zone.add('www.home.arpa 60 A 192.168.1.9', 'nas.home.arpa 60 TXT "cellar"')
    await zone.nsupdate(
      'update delete www.home.arpa\nupdate add nas.home.arpa 60 TXT "attic"',
      '-y',
      KEY_TEXT,
    )
    expect(await zone.kept()).toEqual([
      'update nas.home.arpa 60 TXT "attic"',
      'hand nas.home.arpa 60 TXT "cellar"',
    ])
  })

  test('each update is in the audit, with its key', async () => {
    await udp(request('add www 60 A 192.168.1.9\nadd mail 60 A 192.168.1.9'))
    await udp(request('delete mail'))
    const rows = (await readAudit(zone.store.db, 0, 10)).map(({ actor, action, subject, detail }) => ({
      actor,
      action,
      subject,
      detail,
    }))
    const actor = 'key test.key (127.0.0.1)'
    expect(rows).toEqual([
      {
        actor,
        action: 'dns.update',
        subject: 'home.arpa',
        detail: '+www.home.arpa A 192.168.1.9; +mail.home.arpa A 192.168.1.9',
      },
      { actor, action: 'dns.update', subject: 'mail.home.arpa', detail: '-mail.home.arpa A 192.168.1.9' },
    ])
  })
})

describe('hostile and unlucky', () => {
  const ADD = 'prereq nxdomain printer\nadd printer 60 A 192.168.1.7'

  test('sent again, because the answer was lost: the same answer, nothing done twice', async () => {
    const bytes = request(ADD)
    expect([await udp(bytes), await udp(bytes), await udp(bytes)]).toEqual(['NOERROR', 'NOERROR', 'NOERROR'])
    expect(await udp(request(ADD))).toBe('YXDOMAIN')
  })

  test('recorded and sent again later: an old update cannot undo a newer one', async () => {
    const old = request('delete printer\nadd printer 60 A 192.168.1.66')
    await udp(old)
    clock.pass(SECOND)
    await udp(request('delete printer\nadd printer 60 A 192.168.1.7'))
    for (const later of [SECOND, 200 * SECOND, 200 * SECOND, 300 * SECOND]) {
      clock.pass(later)
      await udp(old)
      expect(await zone.kept()).toEqual(['update printer.home.arpa 60 A 192.168.1.7'])
    }
    expect(await udp(old)).toBe('NOTAUTH')
  })

  test('signed at another time', async () => {
    const time = Math.floor(clock.now() / SECOND) - 301
    expect(await udp(request(ADD, { time }))).toBe('NOTAUTH')
    expect(await zone.kept()).toEqual([])
  })

  test('changed on the way', async () => {
    const bytes = request(ADD)
    bytes[bytes.indexOf(Buffer.of(192, 168, 1, 7)) + 3]! ^= 1
    expect(await udp(bytes)).toBe('NOTAUTH')
    expect(await zone.kept()).toEqual([])
  })

  test('many at a time follow one another', async () => {
    const replies = await Promise.all(Array.from({ length: 20 }, () => udp(request(ADD))))
    expect(replies.filter((rcode) => rcode === 'NOERROR')).toHaveLength(1)
    expect(replies.filter((rcode) => rcode === 'YXDOMAIN')).toHaveLength(19)
  })

  test.each<[string, Partial<Message>, number]>([
    ['no zone', { questions: [] }, RCODE.FORMERR],
    [
      'two zones',
      { questions: [question('home.arpa', TYPE.SOA), question('home.arpa', TYPE.SOA)] },
      RCODE.FORMERR,
    ],
    ['a zone by another type', { questions: [question('home.arpa', TYPE.A)] }, RCODE.FORMERR],
    ['a zone of another class', { questions: [question('home.arpa', TYPE.SOA, CLASS.CH)] }, RCODE.NOTAUTH],
    [
      'an unknown EDNS version',
      { edns: { udpSize: 1232, version: 1, dnssecOk: false, options: [] } },
      RCODE.BADVERS,
    ],
  ])('%s', async (_, part, rcode) => {
    const bytes = sign(encodeMessage(updateMessage(ADD, 'home.arpa', part)), {
      name: KEY.name,
      secret: SECRET,
      time: Math.floor(clock.now() / SECOND),
    })
    const reply = decodeMessage(await askUdp(zone.server.port, bytes))
    expect(rcodeName(reply.rcode)).toBe(rcodeName(rcode))
    expect(reply.opcode).toBe(OPCODE.UPDATE)
    expect(await zone.kept()).toEqual([])
  })

  test('garbage in signed updates is FORMERR, and changes nothing', async () => {
    const message = encodeMessage(updateMessage(ADD))
    for (let round = 0; round < 200; round += 1) {
      const broken = Buffer.from(message)
      for (const at of randomBytes(3)) broken[12 + (at % (broken.length - 12))] = randomBytes(1)[0]!
      const bytes = sign(broken, { name: KEY.name, secret: SECRET, time: Math.floor(clock.now() / SECOND) })
      expect([
        'NOERROR',
        'FORMERR',
        'NOTAUTH',
        'NOTZONE',
        'NXRRSET',
        'NXDOMAIN',
        'YXDOMAIN',
        'YXRRSET',
        'REFUSED',
      ]).toContain(await udp(bytes))
    }
    expect(await zone.dig('+short', 'nas.home.arpa')).toBe('192.168.1.20\n')
  })

  test('64 KiB over TCP with a key are read; without one they are refused unread', async () => {
    const lines = Array.from(
      { length: 2000 },
      (_, index) => `add h${index} 60 A 10.1.${index >> 8}.${index & 255}`,
    )
    const large = request(lines.join('\n'))
    expect(large.length).toBeGreaterThan(40_000)
    const [reply] = await askTcp(zone.server.port, [large])
    expect(rcodeName(decodeMessage(reply!).rcode)).toBe('NOERROR')
    expect(await zone.dig('+short', 'h1999.home.arpa')).toBe('10.1.7.207\n')
    const [unsigned] = await askTcp(zone.server.port, [encodeMessage(updateMessage(lines.join('\n')))])
    expect(rcodeName(decodeMessage(unsigned!).rcode)).toBe('REFUSED')
  })

  test('more names above its owners than one statement of the database takes', async () => {
    const dots = '\\.'.repeat(40)
    const large = (zone: string) =>
      request(Array.from({ length: 1100 }, (_, index) => `delete ${dots}h${index}.${zone} TXT`).join('\n'))
    for (const [bytes, rcode] of [
      [large('home.arpa.'), 'NOERROR'],
      [large('example.'), 'NOTZONE'],
    ] as const) {
      const [reply] = await askTcp(zone.server.port, [bytes])
      expect(rcodeName(decodeMessage(reply!).rcode)).toBe(rcode)
    }
  })

  test('more than an RRset may hold, all or nothing', async () => {
    const lines = Array.from(
      { length: 100 },
      (_, index) => `add big 60 TXT ${String(index).padStart(200, 'x')}`,
    )
    const [reply] = await askTcp(zone.server.port, [request(lines.join('\n'))])
    expect(rcodeName(decodeMessage(reply!).rcode)).toBe('REFUSED')
    expect(await zone.kept()).toEqual([])
  })

  test('a database that fails is SERVFAIL, and the next update works', async () => {
    const broken = await ChangingZone.open({
      update: async () => {
        throw new Error('disk full')
      },
    })
    const reply = decodeMessage(await askUdp(broken.server.port, request(ADD)))
    expect(rcodeName(reply.rcode)).toBe('SERVFAIL')
    expect(broken.log.join()).toContain('disk full')
    await broken.close()
  })

  function question(name: string, type: number, kind: number = CLASS.IN) {
    return { name: Name.parse(name), type, class: kind }
  }
})

function reverse(hex: string): string {
  return `${hex.split('').reverse().join('.')}.ip6.arpa`
}
