import { setTimeout } from 'node:timers/promises'
import { afterEach, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { DAY, MINUTE, SECOND } from '../../base/clock.ts'
import { createLog } from '../../base/log.ts'
import { Recursor, type RecursorOptions } from '../../dns/recursor.ts'
import { SPECIAL_DOMAINS } from '../../dns/special.ts'
import { PATIENCE } from '../../dns/upstream/group.ts'
import { type PlainUpstream, parseUpstream, printUpstream, type Upstream } from '../../dns/upstream.ts'
import { encodeMessage, type Message, type Question } from '../../wire/message.ts'
import { Name } from '../../wire/name.ts'
import { RCODE, TYPE } from '../../wire/registry.ts'
import { freePort } from '../support/ports.ts'
import { TestClock } from '../support/testClock.ts'
import { askUdp, query, type Script, ScriptedUpstream, startServer } from './harness.ts'

const PLAIN = { dnssecOk: false, cd: false, client: '192.168.1.10' }

const addressFor = (asked: Message, ttl: number): Message => ({
  ...asked,
  qr: true,
  answers: [{ name: asked.questions[0]!.name, type: TYPE.A, class: 1, ttl, data: Buffer.of(192, 0, 2, 1) }],
})

const address = (asked: Message): Message => addressFor(asked, 60)

const refused = (asked: Message): Message => ({ ...asked, qr: true, rcode: RCODE.REFUSED })

const question = (name: string): Question => ({ name: Name.parse(name), type: TYPE.A, class: 1 })

let cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups) await cleanup()
  cleanups = []
})

async function scripted(script: Script): Promise<{ upstream: ScriptedUpstream; at: PlainUpstream }> {
  const upstream = new ScriptedUpstream(script)
  cleanups.push(() => upstream.close())
  return { upstream, at: await upstream.start() }
}

function recursor(upstreams: readonly Upstream[], options: Partial<RecursorOptions> = {}): Recursor {
  const made = new Recursor(
    {
      upstreams,
      forward: [],
      bootstrap: [],
      upstreamCa: null,
      cache: { octets: 65536, staleFor: DAY },
      clock: new TestClock(),
      log: createLog('silent'),
      ...options,
    },
    (name) => name.isAtOrBelow(Name.parse('home.arpa')),
  )
  cleanups.unshift(() => made.close())
  return made
}

const ask = (ours: Recursor, name: string, flags: Partial<Parameters<Recursor['answer']>[1]> = {}) =>
  ours.answer(question(name), { ...PLAIN, ...flags }, PATIENCE)

describe('asking upstreams', () => {
  test('asks once for many clients with the same question, whatever its case', async () => {
    const { upstream, at } = await scripted(address)
    const ours = recursor([at])
    const names = ['www.example.com', 'WWW.example.com', 'www.EXAMPLE.com']
    const replies = await Promise.all(names.map((name) => ask(ours, name)))
    expect(replies.map(({ rcode }) => rcode)).toEqual([0, 0, 0])
    expect(upstream.asked).toHaveLength(1)
    // What differs in what the client wants to know of DNSSEC is another question.
    await Promise.all([ask(ours, 'a.example.com'), ask(ours, 'a.example.com', { dnssecOk: true, cd: true })])
    expect(upstream.asked).toHaveLength(3)
    expect(upstream.queries.at(-1)).toMatchObject({
      cd: true,
      rd: true,
      edns: { dnssecOk: true, udpSize: 1232 },
    })
  })

  test('uses a new id for every query', async () => {
    const { upstream, at } = await scripted(address)
    const ours = recursor([at])
    for (let index = 0; index < 20; index += 1) await ask(ours, `n${index}.example.com`)
    expect(new Set(upstream.queries.map(({ id }) => id)).size).toBeGreaterThan(15)
  })

  test('measures every upstream, and then asks the fastest', async () => {
    const slow = await scripted(async (asked) => {
      await setTimeout(100)
      return address(asked)
    })
    const fast = await scripted(address)
    const ours = recursor([slow.at, fast.at])
    for (let index = 0; index < 12; index += 1) await ask(ours, `n${index}.example.com`)
    expect(slow.upstream.asked).toHaveLength(1)
    expect(fast.upstream.asked).toHaveLength(11)
    expect(ours.health()).toMatchObject([
      { upstream: printUpstream(slow.at), zone: null, state: 'healthy', asked: 1, answered: 1, failed: 0 },
      { upstream: printUpstream(fast.at), zone: null, state: 'healthy', asked: 11, answered: 11, failed: 0 },
    ])
  })

  test('asks the next one too when the first lets it wait', async () => {
    const silent = await scripted(() => 'silence')
    const working = await scripted(address)
    const ours = recursor([silent.at, working.at])
    const { upstream } = await ask(ours, 'www.example.com')
    expect(upstream).toBe(printUpstream(working.at))
    expect(silent.upstream.asked).toHaveLength(1)
  })

  test('a failing upstream is asked last, and never left out for good', async () => {
    let works = false
    const clock = new TestClock()
    const first = await scripted((asked) => (works ? address(asked) : refused(asked)))
    const second = await scripted((asked) => (works ? refused(asked) : address(asked)))
    const ours = recursor([first.at, second.at], { clock })
    const upstreamOf = async (name: string) => (await ask(ours, name)).upstream

    expect(await upstreamOf('a.example.com')).toBe(printUpstream(second.at))
    expect(await upstreamOf('b.example.com')).toBe(printUpstream(second.at))
    expect(first.upstream.asked).toHaveLength(1)
    expect(ours.health().map(({ state }) => state)).toEqual(['failing', 'healthy'])
    // The one that worked fails: the other is asked although it has not rested enough.
    works = true
    expect(await upstreamOf('c.example.com')).toBe(printUpstream(first.at))
    expect(ours.health().map(({ state }) => state)).toEqual(['healthy', 'failing'])
    // Each failure makes the rest longer, but never longer than a minute.
    for (let times = 0; times < 10; times += 1) {
      clock.pass(MINUTE)
      works = times % 2 === 0
      await upstreamOf(`t${times}.example.com`)
    }
    clock.pass(MINUTE)
    works = false
    expect(await upstreamOf('d.example.com')).toBe(printUpstream(second.at))
    // A clock that goes back does not make it longer either.
    clock.pass(-DAY)
    works = true
    expect(await upstreamOf('e.example.com')).toBe(printUpstream(first.at))
  })

  test('asks again where a datagram was lost', async () => {
    let lost = 1
    const { upstream, at } = await scripted((asked) => (lost-- > 0 ? 'silence' : address(asked)))
    expect(await ask(recursor([at]), 'www.example.com')).toMatchObject({ rcode: 0, source: 'forwarder' })
    expect(upstream.asked).toHaveLength(2)
  })

  test('gives up on silence with a reason', async () => {
    const { upstream, at } = await scripted(() => 'silence')
    const { rcode, extendedError } = await ask(recursor([at]), 'www.example.com')
    expect(rcode).toBe(RCODE.SERVFAIL)
    expect(extendedError).toEqual({ code: 22, text: expect.stringContaining('no answer in time') })
    expect(upstream.asked).toHaveLength(3)
  })

  test('gives up at once where nothing listens, over every transport', async () => {
    const port = await freePort()
    for (const text of ['udp://127.0.0.1', 'tcp://127.0.0.1', 'tls://127.0.0.1', 'https://127.0.0.1']) {
      const upstream = parseUpstream(`${text}:${port}${text.startsWith('https') ? '/dns-query' : ''}`)
      const { extendedError } = await ask(recursor([upstream]), 'www.example.com')
      expect(extendedError?.text).toContain('ECONNREFUSED')
    }
  })

  test('gives up at once where the system refuses to send', async () => {
    const broadcast = parseUpstream('255.255.255.255')
    const { extendedError } = await ask(recursor([broadcast]), 'www.example.com')
    expect(extendedError?.text).toContain('EACCES')
  })

  test('keeps one connection over TCP, and opens another where the upstream has closed it', async () => {
    const { upstream, at } = await scripted(address)
    const ours = recursor([{ ...at, transport: 'tcp' }])
    await Promise.all(['a', 'b', 'c'].map((label) => ask(ours, `${label}.example.com`)))
    expect(upstream.connections).toBe(1)
    upstream.cutConnections()
    expect(await ask(ours, 'd.example.com')).toMatchObject({ rcode: 0 })
    expect(upstream.connections).toBe(2)
    expect(upstream.asked.every((line) => line.startsWith('tcp'))).toBe(true)
  })

  test('takes an error that only EDNS can carry for a failure: a client without EDNS would read NOERROR', async () => {
    const { at } = await scripted((asked) => ({ ...asked, qr: true, rcode: 16 }))
    const { rcode, extendedError } = await ask(recursor([at]), 'www.example.com')
    expect([rcode, extendedError?.text]).toEqual([RCODE.SERVFAIL, expect.stringContaining('said BADVERS')])
  })

  test('keeps only so many questions waiting', async () => {
    const { at } = await scripted(() => 'silence')
    const ours = recursor([at])
    const names = Array.from({ length: 600 }, (_, index) => `n${index}.example.com`)
    const outcomes = names.map((name, index) => ask(ours, name, { client: `192.168.1.${index % 3}` }))
    const tooMany = 'too many questions wait for the upstreams'
    expect((await outcomes.at(-1))?.extendedError?.text).toBe(tooMany)
    ours.close()
    const reasons = (await Promise.all(outcomes)).map(({ extendedError }) => extendedError?.text)
    expect(reasons.filter((reason) => reason === tooMany)).toHaveLength(600 - 512)
  })

  test('who waits no longer has not asked in vain: the answer is kept when it comes', async () => {
    const { promise: allowed, resolve: allow } = Promise.withResolvers<void>()
    const { upstream, at } = await scripted(async (asked) => {
      await allowed
      return address(asked)
    })
    const ours = recursor([at])
    expect(await ours.answer(question('www.example.com'), PLAIN, 20)).toMatchObject({ rcode: RCODE.SERVFAIL })
    allow()
    expect(await ask(ours, 'www.example.com')).toMatchObject({ rcode: 0 })
    expect(upstream.asked).toHaveLength(1)
    expect(await ask(ours, 'www.example.com')).toMatchObject({ source: 'cache' })
  })

  test('tells for how long an answer may be given again', async () => {
    const clock = new TestClock()
    const { at } = await scripted((asked) => addressFor(asked, 100))
    const ours = recursor([at], { clock })
    const reusable = async () => (await ask(ours, 'www.example.com')).reusableFor
    expect(await reusable()).toBe(90 * SECOND)
    clock.pass(30 * SECOND)
    expect(await reusable()).toBe(60 * SECOND)
    clock.pass(65 * SECOND)
    expect(await reusable()).toBe(0)
  })
})

describe('the host of an upstream over HTTPS', () => {
  test('is looked up among plain upstreams, and the reason is told where that fails', async () => {
    const { upstream, at } = await scripted(refused)
    const ours = recursor([parseUpstream('https://dns.example.net/dns-query')], { bootstrap: [at] })
    const { extendedError } = await ask(ours, 'www.example.com')
    expect(extendedError?.text).toContain('the address of dns.example.net cannot be found')
    expect(extendedError?.text).toContain('https://dns.example.net/dns-query#192.0.2.1')
    expect(upstream.asked.sort()).toEqual(['udp dns.example.net. A', 'udp dns.example.net. AAAA'])
  })

  test('is never looked up outside if it is of the home', async () => {
    const { upstream, at } = await scripted(address)
    const ours = recursor([parseUpstream('https://filter.home.arpa/dns-query')], { bootstrap: [at] })
    const { extendedError } = await ask(ours, 'www.example.com')
    expect(extendedError?.text).toContain('filter.home.arpa is a name of the home')
    expect(upstream.asked).toEqual([])
  })

  test('is never asked of others if it is in a zone with upstreams of its own', async () => {
    const { upstream, at } = await scripted(address)
    const own = parseUpstream('https://dns.corp.example/dns-query')
    const forward = [{ zone: 'corp.example', upstreams: [own] }]
    const ours = recursor([at], { forward, bootstrap: [at] })
    const { extendedError } = await ask(ours, 'wiki.corp.example')
    expect(extendedError?.text).toContain('https://dns.corp.example/dns-query#192.0.2.1')
    expect(upstream.asked).toEqual([])
  })
})

test('no question for a special or private name reaches an upstream', async () => {
  const { upstream, at } = await scripted(address)
  const server = await startServer({ upstreams: [at] })
  cleanups.unshift(() => server.close())
  const apexes = [...SPECIAL_DOMAINS.map(({ apex }) => apex), 'printer', 'nas', 'router']
  const label = fc.stringMatching(/^[a-z0-9_-]{1,12}$/)
  const types = ['A', 'AAAA', 'HTTPS', 'SVCB', 'PTR', 'SRV', 'TXT', 'MX', 'ANY', 'CNAME', 'TYPE65280']
  for (const apex of apexes) {
    const below = apex.includes('.') || SPECIAL_DOMAINS.some((domain) => domain.apex === apex)
    const [[labels, asked]] = fc.sample(
      fc.tuple(fc.array(label, { maxLength: 3 }), fc.constantFrom(...types)),
      1,
    ) as [[string[], string]]
    const names = below ? [apex, [...labels, apex].join('.'), `x.${apex}`.toUpperCase()] : [apex]
    for (const name of names) {
      for (const rd of [true, false]) await askUdp(server.port, encodeMessage(query(name, asked, { rd })))
    }
  }
  expect(upstream.asked).toEqual([])
})
