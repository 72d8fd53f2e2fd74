import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { SECOND } from '../../base/clock.ts'
import type { DnsServer } from '../../dns/server.ts'
import { Keyring, Signer, TSIG_ALGORITHMS, type TsigKey } from '../../dns/tsig.ts'
import { decodeMessage, encodeMessage } from '../../wire/message.ts'
import { RCODE, TSIG_ERROR } from '../../wire/registry.ts'
import { TestClock } from '../support/testClock.ts'
import { askTcp, askUdp, query, startServer } from './harness.ts'
import { readTsig, type SignOptions, sign } from './tsigSign.ts'

const run = promisify(execFile)

const SECRET = Buffer.from('0123456789abcdef0123456789abcdef')
const NOW = 1795523613

const key = (part: Partial<TsigKey> = {}): TsigKey => ({
  name: 'test.key',
  algorithm: 'hmac-sha256',
  secret: SECRET,
  mayUpdate: false,
  mayTransfer: false,
  ...part,
})

/** Requests as BIND's dig 9.18 and Knot's kdig 3.2 signed them at the time NOW. */
const BY_DIG = Buffer.from(
  '123401200001000000000002036e617304686f6d650461727061000001000100002904d00000000000000474657374036b65790000fa00ff00000000003d0b686d61632d7368613235360000006b05841d012c0020d3989f8b52db07c7329c1cd9ef7a8414d11b305b31855e63d3347cb3c85abe84123400000000',
  'hex',
)
const BY_KDIG = Buffer.from(
  'b54701200001000000000001036e617304686f6d65046172706100000100010474657374036b65790000fa00ff00000000005d0b686d61632d7368613531320000006b058420012c0040ed77d12373d4db71de1fe754e87396d99e0fda7c789c25fa255e4a28be93f879afc5fd9dfbe41e64506d361204d0378e3d8496131f0588e3a505131b3084f678b54700000000',
  'hex',
)

function check(bytes: Buffer, keys: TsigKey[] = [key()], now = NOW) {
  return new Keyring(keys, new TestClock(now * SECOND)).check(bytes)
}

const request = encodeMessage(query('nas.home.arpa', 'A'))

function signed(part: Partial<SignOptions> = {}, message = request): Buffer {
  return sign(message, { name: 'test.key', secret: SECRET, time: NOW, ...part })
}

describe('what others signed', () => {
  test('by dig, with SHA-256', () => {
    const checked = check(BY_DIG)
    expect(checked).toMatchObject({ outcome: 'good', key: { name: 'test.key' } })
    if (checked.outcome !== 'good') return
    expect(decodeMessage(checked.message).questions[0]!.name.toString()).toBe('nas.home.arpa.')
    expect(decodeMessage(checked.message).additionals).toEqual([])
  })

  test('by kdig, with SHA-512', () => {
    expect(check(BY_KDIG, [key({ algorithm: 'hmac-sha512' })]).outcome).toBe('good')
  })

  test('with any bit of it changed it is not good any more', () => {
    // The id is the one field that may change on the way (RFC 8945 section 4.2); names have no case.
    const isName = (at: number) => (at >= 42 && at < 52) || (at >= 62 && at < 74)
    const survivors: string[] = []
    for (let at = 2; at < BY_DIG.length; at += 1) {
      for (let bit = 0; bit < 8; bit += 1) {
        const changed = Buffer.from(BY_DIG)
        changed[at]! ^= 1 << bit
        if (check(changed).outcome === 'good' && !(isName(at) && bit === 5)) survivors.push(`${at}.${bit}`)
      }
    }
    expect(survivors).toEqual([])
  })

  test('the name of the key has no case', () => {
    expect(check(BY_DIG, [key({ name: 'Test.KEY' })]).outcome).toBe('good')
  })

  test('with another id than it was signed with, as Kea sends it: the answer goes to the one it has', () => {
    const sent = signed()
    sent.writeUInt16BE(0x4321, 0)
    const checked = check(sent)
    expect(checked.outcome).toBe('good')
    if (checked.outcome === 'good') expect(decodeMessage(checked.message).id).toBe(0x4321)
  })
})

describe('what is wrong, in this order (RFC 8945 section 5.2)', () => {
  const late = { time: NOW - 301 }
  const wrong = { secret: Buffer.alloc(32, 1) }
  test.each<[string, Partial<SignOptions>, number]>([
    ['a key that is not known', { name: 'other.key', ...wrong, ...late }, TSIG_ERROR.BADKEY],
    ['a key under another algorithm', { algorithm: 'hmac-sha512', ...late }, TSIG_ERROR.BADKEY],
    ['an algorithm that is not known', { algorithm: 'hmac-md5' }, TSIG_ERROR.BADKEY],
    ['another secret', { ...wrong, ...late, macOctets: 16 }, TSIG_ERROR.BADSIG],
    ['too old', { ...late, macOctets: 16 }, TSIG_ERROR.BADTIME],
    ['from the future', { time: NOW + 301 }, TSIG_ERROR.BADTIME],
    ['too old by its own word', { time: NOW - 11, fudge: 10 }, TSIG_ERROR.BADTIME],
    ['too old, though it asks for an hour', { ...late, fudge: 3600 }, TSIG_ERROR.BADTIME],
    ['half a MAC', { macOctets: 16 }, TSIG_ERROR.BADTRUNC],
  ])('%s', (_, part, error) => {
    expect(check(signed(part))).toMatchObject({ outcome: 'failed', error })
  })

  test.each([NOW - 300, NOW, NOW + 300])('in time: signed at %d', (time) => {
    expect(check(signed({ time })).outcome).toBe('good')
  })

  test.each<[string, Buffer]>([
    ['less than half a MAC', signed({ macOctets: 15 })],
    ['a TSIG that is not the last record', sign(signed(), { name: 'test.key', secret: SECRET })],
    ['a TSIG in the answer section', move(signed(), 6)],
    ['a TSIG in the authority section', move(signed(), 8)],
    ['octets after it', Buffer.concat([signed(), Buffer.of(0)])],
    ['a TSIG that ends too early', cut(signed(), 3)],
    ['a message that ends too early', signed().subarray(0, -1)],
  ])('malformed: %s', (_, bytes) => {
    expect(check(bytes).outcome).toBe('malformed')
  })

  test('a MAC that is longer than there is', () => {
    const longer = signed({ algorithm: 'hmac-sha512' })
    const name = Buffer.from('\x0bhmac-sha512\0', 'latin1')
    name.write('hmac-sha256', 1, 'latin1')
    name.copy(longer, longer.indexOf('\x0bhmac-sha512', 0, 'latin1'))
    expect(check(longer).outcome).toBe('malformed')
  })

  /** The last record counted in the section at an offset instead of the additional one. */
  function move(bytes: Buffer, section: number): Buffer {
    bytes.writeUInt16BE(0, 10)
    bytes.writeUInt16BE(1, section)
    return bytes
  }

  function cut(bytes: Buffer, octets: number): Buffer {
    const at = bytes.indexOf(Buffer.from('00fa00ff00000000', 'hex')) + 8
    bytes.writeUInt16BE(bytes.readUInt16BE(at) - octets, at)
    return bytes.subarray(0, -octets)
  }
})

describe('answers', () => {
  let server: DnsServer
  beforeAll(async () => {
    const clock = new TestClock()
    server = await startServer({
      keys: TSIG_ALGORITHMS.map((algorithm) => key({ name: `${algorithm}.key`, algorithm })),
      clock,
    })
  })
  afterAll(() => server.close())

  const dig = async (...words: string[]): Promise<string> =>
    (await run('dig', ['@127.0.0.1', '-p', String(server.port), '+tries=1', '+time=5', ...words])).stdout
  const kdig = async (...words: string[]): Promise<string> => {
    const { stdout, stderr } = await run('kdig', [
      '@127.0.0.1',
      '-p',
      String(server.port),
      '+retry=0',
      ...words,
    ])
    return stdout + stderr
  }
  const secret = SECRET.toString('base64')

  test.each(TSIG_ALGORITHMS)('dig and kdig believe an answer signed with %s', async (algorithm) => {
    for (const transport of ['+notcp', '+tcp']) {
      const byDig = await dig('-y', `${algorithm}:${algorithm}.key:${secret}`, transport, 'nas.home.arpa')
      expect(byDig).toContain('status: NOERROR')
      expect(byDig).toContain('192.168.1.20')
      expect(byDig).toMatch(/TSIG PSEUDOSECTION:\n.*NOERROR 0/)
      expect(byDig).not.toContain("Couldn't verify")
      const byKdig = await kdig('-y', `${algorithm}:${algorithm}.key:${secret}`, transport, 'nas.home.arpa')
      expect(byKdig).toContain('192.168.1.20')
      expect(byKdig).not.toMatch(/WARNING|ERROR:/)
    }
  })

  test('dig reads why a key is refused, unsigned', async () => {
    const unknown = await dig('-y', `hmac-sha256:nobody:${secret}`, 'nas.home.arpa')
    expect(unknown).toContain('status: NOTAUTH')
    expect(unknown).toMatch(/nobody\.\s+0\s+ANY\s+TSIG\s+hmac-sha256\. \d+ 300 0\s+\d+ BADKEY 0/)
    const wrong = await dig('-y', 'hmac-sha256:hmac-sha256.key:AAAA', 'nas.home.arpa')
    expect(wrong).toContain('status: NOTAUTH')
    expect(wrong).toMatch(/TSIG\s+hmac-sha256\. \d+ 300 0\s+\d+ BADSIG 0/)
  })

  test('whose clock is wrong is told the time, signed (RFC 8945 section 5.2.3)', async () => {
    const now = Math.floor(Date.now() / SECOND)
    const bytes = sign(request, { name: 'hmac-sha256.key', secret: SECRET, time: now - 1000 })
    const reply = decodeMessage(await askUdp(server.port, bytes))
    expect(reply.rcode).toBe(RCODE.NOTAUTH)
    expect(reply.answers).toEqual([])
    const { error, mac, other, time } = readTsig(reply.additionals.at(-1)!)
    expect({ error, octets: mac.length, time }).toEqual({
      error: TSIG_ERROR.BADTIME,
      octets: 32,
      time: now - 1000,
    })
    expect(Math.abs(other.readUIntBE(0, 6) - now)).toBeLessThan(60)
  })

  test('a bad signature gets nothing signed and nothing told', async () => {
    const bytes = sign(request, { name: 'hmac-sha256.key', secret: Buffer.alloc(32) })
    const reply = decodeMessage(await askUdp(server.port, bytes))
    expect(reply.answers).toEqual([])
    expect(readTsig(reply.additionals.at(-1)!).mac).toHaveLength(0)
  })

  test('a signature that stands elsewhere: FORMERR', async () => {
    const twice = sign(sign(request, { name: 'hmac-sha256.key', secret: SECRET }), {
      name: 'x',
      secret: SECRET,
    })
    expect(decodeMessage(await askUdp(server.port, twice)).rcode).toBe(RCODE.FORMERR)
  })

  test('several on one connection, each with its own signature', async () => {
    const options = { name: 'hmac-sha256.key', secret: SECRET }
    const replies = await askTcp(server.port, [sign(request, options), request, sign(request, options)])
    const lengths = replies.map((reply) => decodeMessage(reply).additionals.length).sort()
    expect(lengths).toEqual([0, 1, 1])
  })

  test('a signature has its place in a datagram too: else the answer is truncated', async () => {
    const bytes = sign(encodeMessage(query('nas.home.arpa', 'A', { edns: null })), {
      name: 'hmac-sha256.key',
      secret: SECRET,
    })
    expect((await askUdp(server.port, bytes)).length).toBeLessThanOrEqual(512)
  })

  test.each([
    ['without EDNS', null],
    ['with EDNS', { udpSize: 512, version: 0, dnssecOk: false, options: [] }],
  ])('a key and a question whose names leave no room in a datagram, %s', async (_, edns) => {
    const name = `${'k'.repeat(60)}.${'k'.repeat(60)}.${'k'.repeat(60)}`
    const long = await startServer({ keys: [key({ name, algorithm: 'hmac-sha512' })] })
    const options = { name, secret: SECRET, algorithm: 'hmac-sha512' }
    const owner = `${`${'x'.repeat(59)}.`.repeat(4)}home.arpa`
    const bytes = sign(encodeMessage(query(owner, 'A', { edns })), options)
    const reply = decodeMessage(await askUdp(long.port, bytes))
    expect(reply).toMatchObject({ rcode: RCODE.NXDOMAIN, tc: true, answers: [], authorities: [] })
    expect(reply.questions[0]!.name.toString()).toBe(`${owner}.`)
    expect(reply.edns === null).toBe(edns === null)
    const [whole] = await askTcp(long.port, [bytes])
    expect(decodeMessage(whole!)).toMatchObject({ rcode: RCODE.NXDOMAIN, tc: false })
    await long.close()
  })

  test('other keys from the next message on', async () => {
    const other = await startServer({ keys: [key()] })
    const bytes = sign(request, { name: 'test.key', secret: SECRET })
    expect(decodeMessage(await askUdp(other.port, bytes)).rcode).toBe(RCODE.NOERROR)
    other.setKeys([])
    expect(decodeMessage(await askUdp(other.port, bytes)).rcode).toBe(RCODE.NOTAUTH)
    await other.close()
  })
})

test('each message of an answer is bound to the one before (RFC 8945 section 5.3.1)', () => {
  const clock = new TestClock(NOW * SECOND)
  const signs = (messages: Buffer[]) => {
    const signer = new Signer(key(), clock, Buffer.alloc(32, 9))
    return messages.map((message) => signer.sign(message).toString('hex'))
  }
  const [one, two] = [encodeMessage(query('a', 'A')), encodeMessage(query('b', 'A'))]
  expect(signs([one, two])[1]).not.toBe(signs([two, two])[1])
  expect(signs([one, two])[0]).toBe(signs([one])[0])
})
