import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createSecureServer, type ServerHttp2Stream } from 'node:http2'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { Writable } from 'node:stream'
import { createServer as createTlsServer } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { FrameReader, frame } from '../../dns/framing.ts'
import { parseUpstream } from '../../dns/upstream.ts'
import { decodeMessage, encodeMessage, type Message, type ResourceRecord } from '../../wire/message.ts'
import { Name } from '../../wire/name.ts'
import { rcodeName, TYPE } from '../../wire/registry.ts'
import { tempDirs } from '../support/tempDir.ts'
import { askTcp, askUdp, query, type Script, ScriptedUpstream, startServer } from './harness.ts'
import { opensslCa } from './unboundPeer.ts'

/**
 * Upstreams that lie, stall or break the rules. Whatever they do, the client hears SERVFAIL or a clean
 * answer before it would give up, and afterwards no socket is left.
 */
const newDir = tempDirs()
let ca: string
let identity: { key: Buffer; cert: Buffer }

beforeAll(async () => {
  const made = await opensslCa(newDir())
  ca = readFileSync(made.ca, 'utf8')
  identity = { key: readFileSync(made.key), cert: readFileSync(made.chain) }
})

let before: string[]
beforeAll(() => {
  before = sockets()
  for (const tell of liars) tell()
})

afterAll(async () => {
  for (const end = Date.now() + 5000; sockets().length > before.length && Date.now() < end; ) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  expect(sockets()).toEqual(before)
})

const sockets = () =>
  process.getActiveResourcesInfo().filter((resource) => /^(TCP|UDP|TLS|Pipe).*Wrap$/.test(resource))

const NAME = 'www.example.com'

/** Starts what the tests wait for: all at once, since most lies only end when patience ends. */
const liars: (() => void)[] = []

/** One test for each habit: an upstream with it must lead to SERVFAIL without any record. */
function lies<Habit>(habits: readonly [string, Habit][], meet: (habit: Habit) => Promise<Message>): void {
  const outcomes = habits.map(([what, habit]) => {
    const { promise, resolve } = Promise.withResolvers<Message>()
    liars.push(() => resolve(meet(habit)))
    return [what, promise] as const
  })
  test.each(outcomes)('an upstream that %s', async (_what, outcome) => {
    const { rcode, answers } = await outcome
    expect([rcodeName(rcode), answers]).toEqual(['SERVFAIL', []])
  })
}

/** The answer to a good client's question with that upstream, and the octets it takes. */
async function answerWith(upstream: string): Promise<Message & { octets: number }> {
  const server = await startServer({ upstreams: [parseUpstream(upstream)], upstreamCa: ca })
  try {
    const [bytes] = await askTcp(server.port, [encodeMessage(query(NAME, 'A'))])
    return { ...decodeMessage(bytes!), octets: bytes!.length }
  } finally {
    await server.close()
  }
}

const answer = (name: Name, ...last: number[]): ResourceRecord[] =>
  last.map((octet) => ({
    name,
    type: TYPE.A,
    class: 1,
    ttl: 60,
    data: Buffer.of(192, 0, octet >> 8, octet & 255),
  }))

const good = (asked: Message): Message => ({
  ...asked,
  qr: true,
  answers: answer(asked.questions[0]!.name, 1),
})

describe('over UDP', () => {
  const scripts: [string, Script][] = [
    ['says nothing', () => 'silence'],
    ['has another id', (asked) => ({ ...good(asked), id: asked.id ^ 1 })],
    ['sends the question back', (asked) => asked],
    [
      'answers another question',
      (asked) => ({ ...good(asked), questions: query('a.example', 'A').questions }),
    ],
    ['answers no question', (asked) => ({ ...good(asked), questions: [] })],
    [
      'sends octets that are no message',
      (asked) => Buffer.from([asked.id >> 8, asked.id & 255, 0x81, 0x80, 9, 9, 9, 9, 9, 9, 9, 9, 9]),
    ],
    ['sends one octet', () => Buffer.of(0)],
    ['truncates without end', (asked) => ({ ...asked, qr: true, tc: true })],
    [
      'answers with aliases in a circle',
      (asked) => ({ ...asked, qr: true, answers: aliases(asked, (at) => at % 3) }),
    ],
    [
      'answers with aliases without end',
      (asked) => ({ ...asked, qr: true, answers: aliases(asked, (at) => at + 1) }),
    ],
    ['points to itself', (asked) => ({ ...asked, qr: true, answers: aliases(asked, () => 0).slice(0, 1) })],
  ]

  lies(scripts, async (script) => {
    const upstream = new ScriptedUpstream(script)
    const { port } = await upstream.start()
    try {
      return await answerWith(`udp://127.0.0.1:${port}`)
    } finally {
      await upstream.close()
    }
  })

  test('an answer as large as a message can be is passed on whole', async () => {
    const many = Array.from({ length: 4000 }, (_, index) => index)
    const upstream = new ScriptedUpstream((asked, transport) =>
      transport === 'udp'
        ? { ...asked, qr: true, tc: true }
        : { ...asked, qr: true, answers: answer(asked.questions[0]!.name, ...many) },
    )
    const { port } = await upstream.start()
    try {
      const { rcode, answers, octets } = await answerWith(`udp://127.0.0.1:${port}`)
      expect([rcode, answers.length]).toEqual([0, 4000])
      expect(octets).toBeLessThan(65536)
    } finally {
      await upstream.close()
    }
  })

  test('a reason longer than a response may be is cut, between two letters', async () => {
    const name = `${`${'x'.repeat(49)}.`.repeat(4)}example.com`
    const upstream = new ScriptedUpstream((asked) => ({
      ...asked,
      qr: true,
      rcode: 5,
      edns: {
        ...asked.edns!,
        options: [{ code: 15, data: Buffer.concat([Buffer.of(0, 15), Buffer.from('€'.repeat(300))]) }],
      },
    }))
    const server = await startServer({ upstreams: [await upstream.start()] })
    try {
      const edns = { udpSize: 512, version: 0, dnssecOk: false, options: [] }
      const reply = decodeMessage(await askUdp(server.port, encodeMessage(query(name, 'A', { edns }))))
      expect(rcodeName(reply.rcode)).toBe('REFUSED')
      expect(reply.edns!.options.map(({ data }) => Buffer.from(data).toString('utf8', 2))).toEqual([
        '€'.repeat(40),
      ])
    } finally {
      await server.close()
      await upstream.close()
    }
  })

  /** A hundred aliases from the question on, each to the one at the index that `next` tells. */
  function aliases(asked: Message, next: (at: number) => number): ResourceRecord[] {
    const owner = (at: number) => (at === 0 ? asked.questions[0]!.name : Name.parse(`n${at}.example.com`))
    return Array.from({ length: 100 }, (_, at) => ({
      name: owner(at),
      type: TYPE.CNAME,
      class: 1,
      ttl: 60,
      data: Buffer.from(owner(next(at)).wire, 'latin1'),
    }))
  }
})

/** What is done with a connection whose first query has been read. */
const streamHabits: [string, (socket: Socket, asked: Message) => void][] = [
  ['says nothing', () => {}],
  ['closes', (socket) => socket.end()],
  ['cuts the connection', (socket) => socket.destroy()],
  ['sends a length and nothing after it', (socket) => socket.write(Buffer.of(0x20, 0))],
  ['sends a length of 0', (socket) => socket.write(Buffer.of(0, 0))],
  [
    'sends what is no message',
    (socket, { id }) => socket.write(frame(Buffer.of(id >> 8, id & 255, ...Array(20).fill(255)))),
  ],
  ['drips one octet at a time', (socket, asked) => drip(socket, frame(encodeMessage(good(asked))))],
  [
    'never stops talking',
    (socket, asked) => flood(socket, frame(encodeMessage({ ...good(asked), id: asked.id ^ 1 }))),
  ],
]

describe.each([
  ['tcp', () => createServer()],
  ['tls', () => createTlsServer(identity)],
] as const)('over %s', (scheme, make) => {
  lies(streamHabits, async (habit) => {
    const server = make()
    const port = await listen(server, scheme === 'tls' ? 'secureConnection' : 'connection', (socket) => {
      const frames = new FrameReader()
      socket.on('data', (chunk: Buffer) => {
        for (const bytes of frames.push(chunk)) habit(socket, decodeMessage(bytes))
      })
    })
    try {
      return await answerWith(`${scheme}://127.0.0.1:${port}`)
    } finally {
      await closed(server)
    }
  })

  test('an upstream that closes after every answer is asked on a new connection', async () => {
    const server = make()
    const port = await listen(server, scheme === 'tls' ? 'secureConnection' : 'connection', (socket) => {
      const frames = new FrameReader()
      socket.on('data', (chunk: Buffer) => {
        const [bytes] = frames.push(chunk)
        if (bytes !== undefined) socket.end(frame(encodeMessage(good(decodeMessage(bytes)))))
      })
    })
    const upstreams = [parseUpstream(`${scheme}://127.0.0.1:${port}`)]
    const ours = await startServer({ upstreams, upstreamCa: ca })
    try {
      const names = ['a', 'b', 'c', 'd', 'e'].map((label) => `${label}.example.com`)
      const answers = await Promise.all(names.map((name) => ours.explain(name, 'A')))
      expect(answers.map(({ rcode }) => rcode)).toEqual(names.map(() => 'NOERROR'))
    } finally {
      await ours.close()
      await closed(server)
    }
  })
})

describe('over TLS, from the start', () => {
  const servers: [string, () => [Server, string]][] = [
    ['does not shake hands', () => [createServer(), 'tls://127.0.0.1:PORT']],
    ['does not shake hands for HTTPS', () => [createServer(), 'https://127.0.0.1:PORT/dns-query']],
    ['speaks no HTTP/2', () => [createTlsServer(identity), 'https://127.0.0.1:PORT/dns-query']],
    [
      'knows nothing newer than TLS 1.1',
      () => {
        const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' } as const
        return [createTlsServer({ ...identity, ...old }), 'tls://127.0.0.1:PORT']
      },
    ],
  ]

  lies(servers, async (make) => {
    const [server, upstream] = make()
    const port = await listen(server, 'connection', () => {})
    try {
      return await answerWith(upstream.replace('PORT', String(port)))
    } finally {
      await closed(server)
    }
  })
})

describe('over HTTPS', () => {
  const type = { ':status': 200, 'content-type': 'application/dns-message' }
  const habits: [string, (stream: ServerHttp2Stream, asked: Message) => void][] = [
    ['says nothing', () => {}],
    ['closes the session', (stream) => stream.session?.destroy()],
    ['says that it goes away', (stream) => stream.session?.goaway(0)],
    ['resets the stream', (stream) => stream.close(2)],
    ['has trouble', (stream) => stream.respond({ ':status': 503 }, { endStream: true })],
    [
      'leads elsewhere',
      (stream) => stream.respond({ ':status': 302, location: 'https://192.0.2.1/' }, { endStream: true }),
    ],
    ['shows a page', (stream) => page(stream)],
    ['sends nothing', (stream) => stream.respond(type, { endStream: true })],
    ['sends what is no message', (stream) => send(stream, Buffer.alloc(40, 255))],
    ['sends more than a message', (stream) => send(stream, Buffer.alloc(200_000))],
    [
      'answers another question',
      (stream, asked) =>
        send(stream, encodeMessage({ ...good(asked), questions: query('a.example', 'A').questions })),
    ],
    ['answers with another id', (stream, asked) => send(stream, encodeMessage({ ...good(asked), id: 7 }))],
    [
      'drips one octet at a time',
      (stream, asked) => {
        stream.respond(type)
        drip(stream, encodeMessage(good(asked)))
      },
    ],
  ]

  lies(habits, async (habit) => {
    const { port, close } = await httpsServer(habit)
    try {
      return await answerWith(`https://127.0.0.1:${port}/dns-query`)
    } finally {
      await close()
    }
  })

  test('an upstream that ends the session after every answer is asked on a new one', async () => {
    const { port, close } = await httpsServer((stream, asked) => {
      send(stream, encodeMessage(good(asked)))
      stream.session?.close()
    })
    const ours = await startServer({
      upstreams: [parseUpstream(`https://127.0.0.1:${port}/dns-query`)],
      upstreamCa: ca,
    })
    try {
      for (const label of ['a', 'b', 'c']) {
        expect(await ours.explain(`${label}.example.com`, 'A')).toMatchObject({ rcode: 'NOERROR' })
      }
    } finally {
      await ours.close()
      await close()
    }
  })

  test('what a cache on the way has kept is as old as it says (RFC 8484 section 5.1)', async () => {
    const { port, close } = await httpsServer((stream, asked) => {
      stream.respond({ ...type, age: '50' })
      stream.end(encodeMessage(good(asked)))
    })
    try {
      const { answers } = await answerWith(`https://127.0.0.1:${port}/dns-query`)
      expect(answers.map(({ ttl }) => ttl)).toEqual([10])
    } finally {
      await close()
    }
  })

  function send(stream: ServerHttp2Stream, body: Buffer): void {
    stream.on('error', () => {})
    stream.respond(type)
    stream.end(body)
  }

  function page(stream: ServerHttp2Stream): void {
    stream.respond({ ':status': 200, 'content-type': 'text/html' })
    stream.end('<p>Sign in to the hotel network</p>')
  }

  async function httpsServer(habit: (stream: ServerHttp2Stream, asked: Message) => void) {
    const server = createSecureServer({ ...identity, allowHTTP1: false })
    const sessions = new Set<{ destroy(): void }>()
    server.on('session', (session) => sessions.add(session))
    server.on('sessionError', () => {})
    server.on('stream', (stream: ServerHttp2Stream) => {
      const chunks: Buffer[] = []
      stream.on('error', () => {})
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => habit(stream, decodeMessage(Buffer.concat(chunks))))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return {
      port: (server.address() as AddressInfo).port,
      close: async () => {
        for (const session of sessions) session.destroy()
        await new Promise((done) => server.close(done))
      },
    }
  }
})

/** Octet by octet, so slowly that nobody waits for the end. */
function drip(socket: Writable, bytes: Buffer): void {
  let at = 0
  const timer = setInterval(() => socket.write(bytes.subarray(at, ++at)), 200)
  socket.on('close', () => clearInterval(timer))
}

function flood(socket: Socket, bytes: Buffer): void {
  const timer = setInterval(() => socket.write(bytes), 1)
  socket.on('close', () => clearInterval(timer))
}

const open = new WeakMap<Server, Set<Socket>>()

async function listen(
  server: Server,
  event: 'connection' | 'secureConnection',
  serve: (socket: Socket) => void,
): Promise<number> {
  const connections = new Set<Socket>()
  open.set(server, connections)
  server.on('connection', (socket: Socket) => {
    connections.add(socket)
    socket.on('error', () => {})
  })
  server.on('tlsClientError', () => {})
  server.on(event, (socket: Socket) => {
    socket.on('error', () => {})
    serve(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function closed(server: Server): Promise<void> {
  for (const socket of open.get(server)!) socket.destroy()
  await new Promise((done) => server.close(done))
}
