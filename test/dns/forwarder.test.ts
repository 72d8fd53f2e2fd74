import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { createLog } from '../../base/log.ts'
import { Forwarder } from '../../dns/forwarder.ts'
import { SPECIAL_DOMAINS } from '../../dns/special.ts'
import {
  parseUpstream,
  printUpstream,
  systemUpstreams,
  type Upstream,
  UpstreamError,
} from '../../dns/upstream.ts'
import { encodeMessage, type Message, type Question } from '../../wire/message.ts'
import { Name } from '../../wire/name.ts'
import { TYPE } from '../../wire/registry.ts'
import { freePort } from '../support/ports.ts'
import { askUdp, query, type Script, ScriptedUpstream, startServer } from './harness.ts'

const log = createLog('silent')
const PLAIN = { dnssecOk: false, cd: false }
const address = (asked: Message): Message => ({
  ...asked,
  qr: true,
  answers: [
    { name: asked.questions[0]!.name, type: TYPE.A, class: 1, ttl: 60, data: Buffer.of(192, 0, 2, 1) },
  ],
})

const question = (name: string): Question => ({ name: Name.parse(name), type: TYPE.A, class: 1 })

let cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups) await cleanup()
  cleanups = []
})

async function scripted(script: Script): Promise<{ upstream: ScriptedUpstream; at: Upstream }> {
  const upstream = new ScriptedUpstream(script)
  cleanups.push(() => upstream.close())
  return { upstream, at: await upstream.start() }
}

function forwarder(...upstreams: Upstream[]): Forwarder {
  const made = new Forwarder({ upstreams, log })
  cleanups.push(() => made.close())
  return made
}

describe('the forwarder', () => {
  test('asks once for many clients with the same question, whatever its case', async () => {
    const { upstream, at } = await scripted(address)
    const ours = forwarder(at)
    const names = ['www.example.com', 'WWW.example.com', 'www.EXAMPLE.com']
    const replies = await Promise.all(names.map((name) => ours.forward(question(name), PLAIN)))
    expect(replies).toHaveLength(3)
    expect(upstream.asked).toHaveLength(1)
    // What differs in what the client wants to know of DNSSEC is another question.
    await Promise.all([
      ours.forward(question('a.example.com'), PLAIN),
      ours.forward(question('a.example.com'), { dnssecOk: true, cd: true }),
    ])
    expect(upstream.asked).toHaveLength(3)
    expect(upstream.queries.at(-1)).toMatchObject({
      cd: true,
      rd: true,
      edns: { dnssecOk: true, udpSize: 1232 },
    })
  })

  test('uses a new id for every query', async () => {
    const { upstream, at } = await scripted(address)
    const ours = forwarder(at)
    for (let index = 0; index < 20; index += 1) await ours.forward(question(`n${index}.example.com`), PLAIN)
    expect(new Set(upstream.queries.map(({ id }) => id)).size).toBeGreaterThan(15)
  })

  test('asks the upstream that answered last first, and comes back to others when it fails', async () => {
    let firstWorks = false
    const refuse = (asked: Message): Message => ({ ...asked, qr: true, rcode: 5 })
    const first = await scripted((asked) => (firstWorks ? address(asked) : refuse(asked)))
    const second = await scripted((asked) => (firstWorks ? refuse(asked) : address(asked)))
    const ours = forwarder(first.at, second.at)
    const upstreamOf = async (name: string) => (await ours.forward(question(name), PLAIN)).upstream

    expect(await upstreamOf('a.example.com')).toBe(printUpstream(second.at))
    expect(await upstreamOf('b.example.com')).toBe(printUpstream(second.at))
    expect(first.upstream.asked).toHaveLength(1)
    firstWorks = true
    expect(await upstreamOf('c.example.com')).toBe(printUpstream(first.at))
    expect(await upstreamOf('d.example.com')).toBe(printUpstream(first.at))
  })

  test('tries a silent upstream again and goes on to the next', async () => {
    const silent = await scripted(() => 'silence')
    const working = await scripted(address)
    const { upstream } = await forwarder(silent.at, working.at).forward(question('www.example.com'), PLAIN)
    expect(upstream).toBe(printUpstream(working.at))
  })

  test('gives up on silence with a reason', async () => {
    const { upstream, at } = await scripted(() => 'silence')
    const waiting = forwarder(at).forward(question('www.example.com'), PLAIN)
    await expect(waiting).rejects.toThrow(expect.objectContaining({ code: 'NO_ANSWER' }))
    await expect(waiting).rejects.toThrow('no answer in time')
    expect(upstream.asked).toHaveLength(3)
  })

  test('gives up at once where nothing listens, over UDP and TCP', async () => {
    const port = await freePort()
    const at = (transport: 'udp' | 'tcp'): Upstream => ({ address: '127.0.0.1', port, transport })
    for (const transport of ['udp', 'tcp'] as const) {
      const waiting = forwarder(at(transport)).forward(question('www.example.com'), PLAIN)
      await expect(waiting).rejects.toThrow('ECONNREFUSED')
    }
  })

  test('gives up at once where the system refuses to send', async () => {
    const broadcast: Upstream = { address: '255.255.255.255', port: 53, transport: 'udp' }
    const waiting = forwarder(broadcast).forward(question('www.example.com'), PLAIN)
    await expect(waiting).rejects.toThrow('EACCES')
  })

  test('can ask over TCP only', async () => {
    const { upstream, at } = await scripted(address)
    await forwarder({ ...at, transport: 'tcp' }).forward(question('www.example.com'), PLAIN)
    expect(upstream.asked).toEqual(['tcp www.example.com. A'])
  })

  test('passes over replies to other questions and believes the right one', async () => {
    const { at } = await scripted((asked) => ({
      ...address(asked),
      questions: [{ ...asked.questions[0]!, name: Name.parse('other.example.com') }],
    }))
    await expect(forwarder(at).forward(question('www.example.com'), PLAIN)).rejects.toThrow(
      'no answer in time',
    )
  })

  test('leaves out records of another class', async () => {
    const { at } = await scripted((asked) => ({
      ...address(asked),
      additionals: [{ name: Name.root, type: TYPE.TXT, class: 3, ttl: 0, data: Buffer.from('\x01x') }],
    }))
    const { reply } = await forwarder(at).forward(question('www.example.com'), PLAIN)
    expect(reply.answers).toHaveLength(1)
    expect(reply.additionals).toHaveLength(0)
  })

  test('takes an error that only EDNS can carry for a failure: a client without EDNS would read NOERROR', async () => {
    const { at } = await scripted((asked) => ({ ...asked, qr: true, rcode: 16 }))
    const waiting = forwarder(at).forward(question('www.example.com'), PLAIN)
    await expect(waiting).rejects.toThrow('said BADVERS')
  })

  test('keeps only so many questions waiting', async () => {
    const { at } = await scripted(() => 'silence')
    const ours = forwarder(at)
    const outcomes = Array.from({ length: 600 }, (_, index) =>
      ours.forward(question(`n${index}.example.com`), PLAIN).catch((error) => error.code),
    )
    expect(await outcomes.at(-1)).toBe('TOO_BUSY')
    ours.close()
    expect((await Promise.all(outcomes)).filter((code) => code === 'TOO_BUSY')).toHaveLength(600 - 512)
  })
})

test('no question for a special or private name reaches an upstream', async () => {
  const { upstream, at } = await scripted(address)
  const server = await startServer({ upstreams: [at] })
  cleanups.push(() => server.close())
  const apexes = [...SPECIAL_DOMAINS.map(({ apex }) => apex), 'printer', 'nas', 'router']
  const label = fc.stringMatching(/^[a-z0-9_-]{1,12}$/)
  const type = fc.constantFrom(
    'A',
    'AAAA',
    'HTTPS',
    'SVCB',
    'PTR',
    'SRV',
    'TXT',
    'MX',
    'ANY',
    'CNAME',
    'TYPE65280',
  )
  for (const apex of apexes) {
    const below = apex.includes('.') || SPECIAL_DOMAINS.some((domain) => domain.apex === apex)
    const [[labels, asked]] = fc.sample(fc.tuple(fc.array(label, { maxLength: 3 }), type), 1) as [
      [string[], string],
    ]
    const names = below ? [apex, [...labels, apex].join('.'), `x.${apex}`.toUpperCase()] : [apex]
    for (const name of names) {
      for (const rd of [true, false]) await askUdp(server.port, encodeMessage(query(name, asked, { rd })))
    }
  }
  expect(upstream.asked).toEqual([])
})

describe('an upstream as written', () => {
  test.each<[string, Upstream]>([
    ['9.9.9.9', { address: '9.9.9.9', port: 53, transport: 'udp' }],
    ['2620:FE::fe', { address: '2620:fe::fe', port: 53, transport: 'udp' }],
    ['udp://9.9.9.9', { address: '9.9.9.9', port: 53, transport: 'udp' }],
    ['udp://[2620:fe::fe]:53', { address: '2620:fe::fe', port: 53, transport: 'udp' }],
    ['TCP://192.168.1.1:5353', { address: '192.168.1.1', port: 5353, transport: 'tcp' }],
  ])('%s', (text, upstream) => {
    expect(parseUpstream(text)).toEqual(upstream)
    expect(parseUpstream(printUpstream(upstream))).toEqual(upstream)
  })

  test.each([
    ['tls://9.9.9.9#dns.quad9.net', 'not yet supported in this version'],
    ['https://dns.quad9.net/dns-query', 'not yet supported in this version'],
    ['udp://dns.quad9.net', 'its host is no IP address'],
    ['quic://9.9.9.9', 'it has no known form'],
    ['9.9.9.9:53', 'it has no known form'],
    ['udp://9.9.9.9:0', 'there is no port 0'],
    ['udp://9.9.9.9:70000', 'there is no port 70000'],
    ['', 'it has no known form'],
  ])('%j is refused', (text, reason) => {
    expect(() => parseUpstream(text)).toThrow(UpstreamError)
    expect(() => parseUpstream(text)).toThrow(reason)
    expect(() => parseUpstream(text)).toThrow('write an IP address, or udp:// or tcp:// and one')
  })

  test("the system's name servers, each once, without our own", () => {
    const folder = mkdtempSync(join(tmpdir(), 'hearth-resolv-'))
    cleanups.push(() => rmSync(folder, { recursive: true }))
    const path = join(folder, 'resolv.conf')
    writeFileSync(
      path,
      '# made by hand\nsearch home.arpa\nnameserver 127.0.0.1\nnameserver 192.168.1.1\n nameserver fd00::0:1 \nnameserver 192.168.1.1\nnameserver fe80::1%eth0\nnameserver\n',
    )
    expect(systemUpstreams({ own: ['127.0.0.1', '::1'], path }).map(printUpstream)).toEqual([
      'udp://192.168.1.1',
      'udp://[fd00::1]',
    ])
    expect(systemUpstreams({ own: [], path: join(folder, 'absent') })).toEqual([])
  })
})
