import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { printExport } from '../../dns/records.ts'
import type { DnsServerOptions } from '../../dns/server.ts'
import { parseUpstream } from '../../dns/upstream.ts'
import type { SourcedRecord } from '../../store/records.ts'
import {
  decodeMessage,
  encodeMessage,
  type Message,
  type Question,
  type ResourceRecord,
} from '../../wire/message.ts'
import { printRecord } from '../../wire/presentation.ts'
import { TYPE } from '../../wire/registry.ts'
import { tempDirs } from '../support/tempDir.ts'
import { askTcp, HOUSEHOLD, query, ScriptedUpstream, startServer } from './harness.ts'
import { opensslCa, PEER_NAME, readPem, UnboundPeer } from './unboundPeer.ts'

/**
 * unbound in two roles: as the upstream over each transport, and as the second opinion on what a zone says.
 */
const newDir = tempDirs()

const PUBLIC_ZONE = `$ORIGIN example.com.
$TTL 300
@ SOA ns admin 1 3600 600 604800 120
@ NS ns
@ MX 10 mail
@ TXT "v=spf1 -all"
ns A 192.0.2.53
mail A 192.0.2.25
mail AAAA 2001:db8::25
www CNAME web
web A 192.0.2.80
web A 192.0.2.81
web HTTPS 1 . alpn=h2 ipv4hint=192.0.2.80
*.wild A 192.0.2.90
_sip._udp SRV 1 2 5060 mail
big TXT ${Array.from({ length: 12 }, (_, index) => `"${String.fromCharCode(97 + index).repeat(250)}"`).join(' ')}
`

const household: SourcedRecord[] = [
  ['www.home.arpa', 'CNAME', 'web.home.arpa.'],
  ['web.home.arpa', 'CNAME', 'server.home.arpa.'],
  ['server.home.arpa', 'A', '192.168.1.50'],
  ['server.home.arpa', 'A', '192.168.1.49'],
  ['server.home.arpa', 'TXT', '"a \\"quoted\\" word"'],
  ['dangling.home.arpa', 'CNAME', 'gone.home.arpa.'],
  ['*.apps.home.arpa', 'A', '192.168.1.51'],
  ['deep.one.apps.home.arpa', 'A', '192.168.1.52'],
  ['*.alias.home.arpa', 'CNAME', 'server.home.arpa.'],
  ['_http._tcp.home.arpa', 'SRV', '0 0 80 server.home.arpa.'],
  ['home.arpa', 'MX', '10 server.home.arpa.'],
  ['home.arpa', 'CAA', '0 issue "home.arpa"'],
].map(([owner, type, data]) => ({ owner: owner!, type: type!, ttl: 300, data: data!, source: 'hand' }))

const zone = { serial: 9, hosts: [HOUSEHOLD.hosts[0]!], records: household }

let unbound: UnboundPeer
let ca: string

beforeAll(async () => {
  const folder = newDir()
  const made = await opensslCa(folder)
  ca = readPem(made.ca)
  unbound = await UnboundPeer.start({
    folder,
    tls: made,
    zones: {
      'example.com': PUBLIC_ZONE,
      'home.arpa': printExport(zone, {
        domain: 'home.arpa',
        gatewayName: 'gateway.home.arpa',
        overrides: [],
      }),
    },
    more: ['local-zone: "home.arpa." nodefault'],
  })
})

afterAll(() => unbound?.close())

describe('unbound as the upstream', () => {
  const ways: [string, () => string][] = [
    ['UDP', () => `udp://127.0.0.1:${unbound.port}`],
    ['TCP', () => `tcp://127.0.0.1:${unbound.port}`],
    ['TLS, by name', () => `tls://127.0.0.1:${unbound.dotPort}#${PEER_NAME}`],
    ['TLS, by address', () => `tls://127.0.0.1:${unbound.dotPort}`],
    ['HTTPS, by address', () => `https://127.0.0.1:${unbound.dohPort}/dns-query`],
    ['HTTPS, by name with a hint', () => `https://${PEER_NAME}:${unbound.dohPort}/dns-query#127.0.0.1`],
  ]

  test.each(ways)('over %s it answers what it answers itself', async (_way, upstream) => {
    const server = await startServer({ upstreams: [parseUpstream(upstream())], upstreamCa: ca })
    try {
      const questions = [
        ...[TYPE.SOA, TYPE.NS, TYPE.MX, TYPE.TXT].map((type) => ['example.com', type] as const),
        ...[TYPE.A, TYPE.AAAA, TYPE.HTTPS].map((type) => ['www.example.com', type] as const),
        ['a.wild.example.com', TYPE.A] as const,
        ['_sip._udp.example.com', TYPE.SRV] as const,
        ['big.example.com', TYPE.TXT] as const,
        ['nope.example.com', TYPE.A] as const,
      ]
      for (const [name, type] of questions) {
        const [ours, theirs] = await Promise.all(
          [server.port, unbound.port].map((port) => ask(port, name, type)),
        )
        expect([name, type, ours]).toEqual([name, type, theirs])
      }
      expect(server.health()).toMatchObject([{ state: 'healthy', failed: 0 }])
    } finally {
      await server.close()
    }
  })

  test.each(ways.slice(2))('over %s, two hundred questions at a time', async (_way, upstream) => {
    const server = await startServer({ upstreams: [parseUpstream(upstream())], upstreamCa: ca })
    try {
      const names = Array.from({ length: 200 }, (_, index) => `n${index}.wild.example.com`)
      const answers = await Promise.all(names.map((name) => server.explain(name, 'A')))
      expect(answers.map(({ answers }) => answers.join().replace(/ \d+ IN/, ''))).toEqual(
        names.map((name) => `${name}. A 192.0.2.90`),
      )
    } finally {
      await server.close()
    }
  })

  test.each([
    [
      'TLS: another name than the certificate has',
      () => `tls://127.0.0.1:${unbound.dotPort}#dns.example.org`,
    ],
    ['HTTPS: another name', () => `https://dns.example.org:${unbound.dohPort}/dns-query#127.0.0.1`],
  ])('%s is not believed', async (_what, upstream) => {
    const server = await startServer({ upstreams: [parseUpstream(upstream())], upstreamCa: ca })
    try {
      const { rcode, reason } = await server.explain('www.example.com', 'A')
      expect(rcode).toBe('SERVFAIL')
      expect(reason).toMatch(/altname|certificate/i)
    } finally {
      await server.close()
    }
  })

  test.each(ways.slice(2))(
    'over %s, a certificate of an unknown authority is not believed',
    async (_way, upstream) => {
      const server = await startServer({ upstreams: [parseUpstream(upstream())], upstreamCa: null })
      try {
        const { rcode, reason } = await server.explain('www.example.com', 'A')
        expect(rcode).toBe('SERVFAIL')
        expect(reason).toMatch(/certificate/i)
      } finally {
        await server.close()
      }
    },
  )

  test('over HTTPS, by a name that is looked up once', async () => {
    const names = new ScriptedUpstream((asked) => {
      const [{ name, type }] = asked.questions as [Question]
      const answers = type === TYPE.A ? [{ name, type, class: 1, ttl: 0, data: Buffer.of(127, 0, 0, 1) }] : []
      return { ...asked, qr: true, answers }
    })
    const bootstrap = [await names.start()]
    const upstreams = [parseUpstream(`https://${PEER_NAME}:${unbound.dohPort}/dns-query`)]
    const server = await startServer({ upstreams, bootstrap, upstreamCa: ca })
    try {
      const labels = ['a', 'b', 'c']
      const answers = await Promise.all(
        labels.map((label) => server.explain(`${label}.wild.example.com`, 'A')),
      )
      expect(answers.map(({ rcode }) => rcode)).toEqual(['NOERROR', 'NOERROR', 'NOERROR'])
      expect(names.asked.sort()).toEqual([`udp ${PEER_NAME}. A`, `udp ${PEER_NAME}. AAAA`])
    } finally {
      await server.close()
      await names.close()
    }
  })

  test('a path that is not there', async () => {
    const upstream = parseUpstream(`https://127.0.0.1:${unbound.dohPort}/wrong`)
    const server = await startServer({ upstreams: [upstream], upstreamCa: ca })
    try {
      const { rcode, reason } = await server.explain('www.example.com', 'A')
      expect([rcode, reason]).toEqual(['SERVFAIL', expect.stringContaining('HTTP 404')])
      expect(reason).not.toContain('wrong')
    } finally {
      await server.close()
    }
  })
})

describe('the same answers as unbound', () => {
  const owners = [...household.map(({ owner }) => owner), ...zone.hosts.flatMap(({ names }) => names)]
  const outside = ['', 'www.', 'web.', 'mail.', '*.wild.', '_sip._udp.'].map((label) => `${label}example.com`)

  test('to five thousand questions about the zone of the home', async () => {
    await compare(makeQuestions(5000, 'home.arpa', owners), { zone })
  })

  test('to two thousand questions that we ask it ourselves', async () => {
    const upstreams = [parseUpstream(`udp://127.0.0.1:${unbound.port}`)]
    await compare(makeQuestions(2000, 'example.com', outside), { upstreams })
  })
})

async function compare(questions: [string, number][], options: Partial<DnsServerOptions>): Promise<void> {
  const server = await startServer(options)
  try {
    const [ours, theirs] = await Promise.all(
      [server.port, unbound.port].map((port) => askAll(port, questions)),
    )
    const different = questions
      .map(([name, type], index) => ({ name, type, ours: ours![index], theirs: theirs![index] }))
      .filter(({ ours, theirs }) => JSON.stringify(ours) !== JSON.stringify(theirs))
    expect(different.slice(0, 5)).toEqual([])
  } finally {
    await server.close()
  }
}

/**
 * Questions about names that are there, names that nearly are, and names that are not; always the same ones.
 *
 * Where both differ on purpose, nothing is asked: unbound goes on to the servers of a name that is delegated
 * away, and gives all it knows for ANY, to which we give one small record (RFC 8482 section 4.2).
 */
function makeQuestions(count: number, apex: string, owners: readonly string[]): [string, number][] {
  let state = 1
  const random = (below: number) => {
    state = (state * 48271) % 0x7fffffff
    return state % below
  }
  const pick = <T>(list: readonly T[]): T => list[random(list.length)]!
  const { A, AAAA, TXT, MX, SRV, CNAME, CAA, HTTPS, PTR } = TYPE
  const types = [A, AAAA, TXT, MX, SRV, CNAME, CAA, HTTPS, PTR, 65280]
  const shapes: ((owner: string) => string)[] = [
    (owner) => owner,
    (owner) => owner.toUpperCase(),
    (owner) => `x.${owner}`,
    (owner) => `a.b.${owner}`,
    (owner) => owner.replace(/^\*/, `w${random(1000)}`),
    (owner) => owner.replace(/^\*/, 'deep.er'),
    (owner) => (owner === apex ? apex : owner.slice(owner.indexOf('.') + 1)),
    () => `n${random(5000)}.${apex}`,
  ]
  return Array.from({ length: count }, () => [pick(shapes)(pick(owners)), pick(types)])
}

/** The answers to many questions, over one connection for each hundred of them. */
async function askAll(port: number, questions: readonly (readonly [string, number])[]) {
  const answers: Answer[] = []
  for (let start = 0; start < questions.length; start += 100) {
    const some = questions.slice(start, start + 100)
    const messages = some.map(([name, type], id) => encodeMessage(query(name, `TYPE${type}`, { id })))
    for (const bytes of await askTcp(port, messages)) {
      const reply = decodeMessage(bytes)
      answers[start + reply.id] = compared(reply)
    }
  }
  return answers
}

async function ask(port: number, name: string, type: number): Promise<Answer> {
  const [answer] = await askAll(port, [[name, type]])
  return answer!
}

type Answer = ReturnType<typeof compared>

/**
 * rcode and RRsets, in an order of their own and without the case of names; of a denial, the SOA. Without
 * TTLs: unbound counts them down, and leaves that of a denial's SOA as it is, where RFC 2308 section 5 has
 * the smaller one of it and MINIMUM.
 */
function compared({ rcode, answers, authorities }: Message) {
  const lines = (records: readonly ResourceRecord[]) =>
    records.map((record) => printRecord({ ...record, ttl: 0 }).toLowerCase()).sort()
  const soa = lines(authorities.filter((record) => record.type === TYPE.SOA))
  return { rcode, answers: lines(answers), soa }
}
