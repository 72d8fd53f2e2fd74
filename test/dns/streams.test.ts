import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { Connections } from '../../base/connections.ts'
import { createLog } from '../../base/log.ts'
import { FrameReader, frame } from '../../dns/framing.ts'
import type { DnsServer } from '../../dns/server.ts'
import { TcpListener } from '../../dns/tcp.ts'
import { decodeMessage, encodeMessage, type Message } from '../../wire/message.ts'
import { tempDirs } from '../support/tempDir.ts'
import { HOUSEHOLD, query, ScriptedUpstream, startServer } from './harness.ts'
import { TlsHome } from './tlsHome.ts'

const NAS = encodeMessage(query('nas.home.arpa', 'A'))
const BIG = frame(encodeMessage(query('big.home.arpa', 'TXT')))

const ask = (option?: { code: number; data: Buffer }) =>
  encodeMessage(
    query('nas.home.arpa', 'A', {
      edns: { udpSize: 1232, version: 0, dnssecOk: false, options: option === undefined ? [] : [option] },
    }),
  )

const tempDir = tempDirs()
let home: TlsHome

beforeAll(async () => {
  home = await TlsHome.open(tempDir())
})
afterAll(() => home.close())

describe.each(['tcp', 'tls'] as const)('over %s', (transport) => {
  let server: DnsServer
  let upstream: ScriptedUpstream
  let sockets: Socket[] = []

  beforeEach(async () => {
    upstream = new ScriptedUpstream(() => 'silence')
    const records = Array.from({ length: 60 }, (_, index) => ({
      owner: 'big.home.arpa',
      type: 'TXT',
      ttl: 300,
      data: `"${String(index).padEnd(250, 'x')}"`,
      source: 'hand' as const,
    }))
    server = await startServer({
      zone: { ...HOUSEHOLD, records },
      upstreams: [await upstream.start()],
      dot: {
        addresses: ['127.0.0.1'],
        port: 0,
        minVersion: 'TLSv1.3',
        certificate: await home.certificate(),
      },
    })
  })

  afterEach(async () => {
    for (const socket of sockets) socket.destroy()
    sockets = []
    await server.close()
    await upstream.close()
  })

  const port = () => (transport === 'tcp' ? server.port : server.dotPort!)

  /** A connection, ready to write to; from 127.0.0.`host`, so that each host is a client of its own. */
  async function open(host = 1): Promise<Socket> {
    const plain = connect({ port: port(), host: '127.0.0.1', localAddress: `127.0.0.${host}` })
    plain.on('error', () => plain.destroy())
    sockets.push(plain)
    if (transport === 'tcp') {
      await once(plain, 'connect')
      return plain
    }
    const socket = connectTls({
      socket: plain,
      servername: 'gateway.home.arpa',
      ca: home.root,
      ALPNProtocols: ['dot'],
    })
    socket.on('error', () => socket.destroy())
    await once(socket, 'secureConnect')
    return socket
  }

  async function replies(socket: Socket, count: number): Promise<Message[]> {
    const frames = new FrameReader()
    const messages: Message[] = []
    while (messages.length < count) {
      const [chunk] = await once(socket, 'data', { signal: AbortSignal.timeout(10_000) })
      messages.push(...frames.push(chunk).map(decodeMessage))
    }
    return messages
  }

  async function stillAnswers(host = 1): Promise<void> {
    const socket = await open(host)
    socket.write(frame(NAS))
    expect((await replies(socket, 1))[0]!.answers).toHaveLength(1)
    socket.destroy()
  }

  test('queries in one segment, and cut anywhere, are all answered', async () => {
    const socket = await open()
    const names = ['nas', 'gateway', 'nope', 'big']
    socket.write(
      Buffer.concat(names.map((name, id) => frame(encodeMessage(query(`${name}.home.arpa`, 'TXT', { id }))))),
    )
    expect((await replies(socket, 4)).map(({ id }) => id).sort()).toEqual([0, 1, 2, 3])
    for (const octet of frame(NAS)) socket.write(Uint8Array.of(octet))
    expect((await replies(socket, 1))[0]!.answers).toHaveLength(1)
  })

  test('answers come as they are ready: a slow upstream holds nobody up (RFC 7766 section 6.2.1.1)', async () => {
    const socket = await open()
    socket.write(Buffer.concat([frame(encodeMessage(query('slow.example.com', 'A', { id: 1 }))), frame(NAS)]))
    expect((await replies(socket, 1))[0]!.id).toBe(0x1234)
  })

  test('more queries than are answered at a time wait their turn, thousands in one segment', async () => {
    const socket = await open()
    socket.write(Buffer.concat(Array(4000).fill(frame(NAS))))
    expect(await replies(socket, 4000)).toHaveLength(4000)
  })

  test('a client that closes its side after its query still gets the answer', async () => {
    const socket = await open()
    socket.end(frame(NAS))
    expect((await replies(socket, 1))[0]!.answers).toHaveLength(1)
    if (!socket.destroyed) await once(socket, 'close')
  })

  test('a length of 0 ends the connection', async () => {
    const socket = await open()
    const closed = new Promise((resolve) => socket.resume().on('close', resolve))
    socket.write(Buffer.from('0000', 'hex'))
    await closed
    await stillAnswers()
  })

  test('a query larger than any has to be gets FORMERR, and the next one its answer', async () => {
    const socket = await open()
    socket.write(Buffer.concat([frame(Buffer.concat([NAS, Buffer.alloc(60_000)])), frame(NAS)]))
    expect((await replies(socket, 2)).map(({ rcode }) => rcode)).toEqual([1, 0])
  })

  test('garbage of a believable length gets FORMERR, and the next query its answer', async () => {
    const socket = await open()
    const garbage = Buffer.from('123401000001000000000000c00c00010001', 'hex')
    socket.write(Buffer.concat([frame(garbage), frame(NAS)]))
    expect((await replies(socket, 2)).map(({ rcode }) => rcode)).toEqual([1, 0])
  })

  test('random octets, framed as messages, leave the connection answering', async () => {
    const socket = await open()
    const octets = fc.sample(fc.uint8Array({ minLength: 1, maxLength: 600 }), 300)
    socket.write(Buffer.concat(octets.map(frame)))
    socket.write(frame(encodeMessage(query('nas.home.arpa', 'A', { id: 0xabcd }))))
    const frames = new FrameReader()
    for (let answered = false; !answered; ) {
      const [chunk] = await once(socket, 'data', { signal: AbortSignal.timeout(10_000) })
      answered = frames
        .push(chunk)
        .map(decodeMessage)
        .some(({ id, rcode }) => id === 0xabcd && rcode === 0)
    }
  })

  test('a client that asks on and on without reading is cut off', async () => {
    const socket = await open()
    socket.pause()
    const closed = new Promise((resolve) => socket.on('close', resolve))
    const burst = Buffer.concat(Array(64).fill(BIG))
    while (!socket.destroyed) {
      socket.write(burst)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await closed
    await stillAnswers()
  })

  test('a client with all the connections it may have loses an idle one to the next', async () => {
    const many: Socket[] = []
    for (let count = 0; count < 128; count += 1) many.push(await open())
    const busy = many[0]!
    busy.write(frame(encodeMessage(query('slow.example.com', 'A'))))
    while (upstream.asked.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    const idle = new Promise((resolve) => many[1]!.resume().on('close', resolve))
    await stillAnswers()
    await idle
    expect(busy.destroyed).toBe(false)
  })

  // The idle time-out of TLS is the same code, and thirty seconds long.
  if (transport === 'tcp') {
    test('a client that never finishes its query is cut off', async () => {
      const socket = await open()
      socket.write(frame(NAS).subarray(0, 9))
      await new Promise((resolve) => socket.resume().on('close', resolve))
      await stillAnswers()
    })
  }

  test('a flood of connections keeps no other client out', async () => {
    const flood = Array.from({ length: 700 }, (_, index) => {
      const socket = connect({ port: port(), host: '127.0.0.1', localAddress: `127.0.1.${index % 7}` })
      socket.on('error', () => socket.destroy())
      sockets.push(socket)
      return once(socket, 'connect').catch(() => {})
    })
    await Promise.all(flood)
    for (let host = 2; host < 10; host += 1) await stillAnswers(host)
  })

  test('the idle time-out is told to a client that asks (RFC 7828)', async () => {
    const socket = await open()
    socket.write(frame(ask({ code: 11, data: Buffer.alloc(0) })))
    const [reply] = await replies(socket, 1)
    expect(reply!.edns!.options).toEqual([
      {
        code: 11,
        data: Buffer.from([(transport === 'tcp' ? 100 : 300) >> 8, (transport === 'tcp' ? 100 : 300) & 0xff]),
      },
    ])
    socket.write(frame(ask({ code: 11, data: Buffer.from([0, 1]) })))
    expect((await replies(socket, 1))[0]).toMatchObject({ rcode: 1 })
  })

  test('a padded query has a padded response where it is encrypted, and only there (RFC 7830)', async () => {
    const socket = await open()
    const frames = new FrameReader()
    socket.write(frame(ask({ code: 12, data: Buffer.alloc(40) })))
    const [chunk] = await once(socket, 'data')
    const [octets] = frames.push(chunk)
    expect(decodeMessage(octets!).answers).toHaveLength(1)
    if (transport === 'tls') expect(octets).toHaveLength(468)
    else expect(octets!.length).toBeLessThan(100)
    socket.write(frame(ask()))
    expect((await replies(socket, 1))[0]!.edns!.options).toEqual([])
  })
})

test('the parts of a zone transfer are made as the client reads them, and it is not cut off', async () => {
  const PARTS = 400
  const part = Buffer.alloc(60_000, 1)
  let made = 0
  function* parts() {
    for (; made < PARTS; made += 1) yield part
  }
  const listener = new TcpListener('127.0.0.1', {
    connections: new Connections({ total: 10, perClient: 10 }),
    log: createLog('silent'),
    answer: async () => ({
      messages: parts(),
      question: null,
      rcode: 0,
      source: null,
      upstream: null,
      reusableFor: 0,
    }),
  })
  const socket = connect({ port: await listener.listen(0), host: '127.0.0.1' })
  socket.write(frame(NAS))
  let unread = -1
  while (made > unread || made === 0) {
    unread = made
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  expect(made).toBeLessThan(PARTS)

  const frames = new FrameReader()
  let received = 0
  for await (const chunk of socket) {
    received += frames.push(chunk).length
    if (received === PARTS) break
  }
  expect(received).toBe(PARTS)
  await listener.close()
})

/** Octets that arrive in one chunk, each message answered at once. */
async function answerAll(
  octets: Buffer,
  messages: Buffer[],
): Promise<{ answered: number; inOneTurn: number }> {
  let answered = 0
  const listener = new TcpListener('127.0.0.1', {
    connections: new Connections({ total: 10, perClient: 10 }),
    log: createLog('silent'),
    answer: async () => {
      answered += 1
      return { messages, question: null, rcode: 0, source: null, upstream: null, reusableFor: 0 }
    },
  })
  const socket = connect({ port: await listener.listen(0), host: '127.0.0.1' }).resume()
  socket.on('error', () => socket.destroy())
  const closed = new Promise((resolve) => socket.on('close', resolve))
  socket.end(octets)
  let inOneTurn = 0
  for (let before = 0; !socket.destroyed; before = answered) {
    await new Promise((resolve) => setImmediate(resolve))
    inOneTurn = Math.max(inOneTurn, answered - before)
  }
  await closed
  await listener.close()
  return { answered, inOneTurn }
}

test('a segment full of queries is answered bit by bit, so that others have their turn', async () => {
  const { answered, inOneTurn } = await answerAll(Buffer.concat(Array(4000).fill(frame(NAS))), [NAS])
  expect(answered).toBe(4000)
  expect(inOneTurn).toBeLessThanOrEqual(64)
})

test('a client that sends only what has no answer is cut off', async () => {
  const { answered } = await answerAll(Buffer.concat(Array(20_000).fill(frame(Buffer.of(1)))), [])
  expect(answered).toBeLessThan(2000)
})
