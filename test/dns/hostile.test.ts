import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { createLog } from '../../base/log.ts'
import { frame } from '../../dns/framing.ts'
import type { DnsServer } from '../../dns/server.ts'
import { UdpListener } from '../../dns/udp.ts'
import { decodeMessage, encodeMessage } from '../../wire/message.ts'
import { corpus } from '../wire/corpus.ts'
import { askTcp, askUdp, HOUSEHOLD, query, ScriptedUpstream, startServer } from './harness.ts'

const NAS = encodeMessage(query('nas.home.arpa', 'A'))

let server: DnsServer
let sockets: Socket[] = []

beforeEach(async () => {
  const records = Array.from({ length: 60 }, (_, index) => ({
    owner: 'big.home.arpa',
    type: 'TXT',
    ttl: 300,
    data: `"${String(index).padEnd(250, 'x')}"`,
  }))
  server = await startServer({ zone: { ...HOUSEHOLD, records } })
})

afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  sockets = []
  await server.close()
})

async function tcp(): Promise<Socket> {
  const socket = connect(server.port, '127.0.0.1')
  socket.on('error', () => socket.destroy())
  sockets.push(socket)
  await once(socket, 'connect')
  return socket
}

async function stillAnswers(): Promise<void> {
  expect(decodeMessage(await askUdp(server.port, NAS)).answers).toHaveLength(1)
  const [reply] = await askTcp(server.port, [NAS])
  expect(decodeMessage(reply!).answers).toHaveLength(1)
}

describe('over UDP', () => {
  test('garbage, truncated and oversized datagrams leave the server answering', async () => {
    const socket = createSocket('udp4')
    const send = (octets: Uint8Array) =>
      // The server lives in this process: without a turn for it, the kernel's buffer would overflow.
      new Promise<void>((sent) => socket.send(octets, server.port, '127.0.0.1', () => setImmediate(sent)))
    for (const octets of fc.sample(fc.uint8Array({ maxLength: 2000 }), 300)) await send(octets)
    for (const { octets } of corpus) await send(octets)
    for (let length = 0; length < NAS.length; length += 1) await send(NAS.subarray(0, length))
    await send(Buffer.concat([NAS, Buffer.alloc(60_000)]))
    socket.close()
    await stillAnswers()
  })

  test('a query larger than any has to be gets FORMERR without being read', async () => {
    const record = Buffer.from('c00c00ff00ff000000000000', 'hex')
    const octets = Buffer.concat([NAS, ...Array(400).fill(record)])
    octets.writeUInt16BE(400, 10)
    const reply = decodeMessage(await askUdp(server.port, octets))
    expect(reply).toMatchObject({ rcode: 1, questions: [] })
  })

  test('a datagram from port 0 is dropped', async () => {
    let asked = 0
    const listener = new UdpListener('127.0.0.1', {
      log: createLog('silent'),
      answer: () => {
        asked += 1
        throw new Error('must not be asked')
      },
    })
    await listener.listen(0)
    // No socket of an ordinary program can send from port 0, so the datagram is put in by hand.
    listener.receive(NAS, '127.0.0.1', 0)
    expect(asked).toBe(0)
    await listener.close()
  })
})

describe('over TCP', () => {
  test('queries in one segment, and cut anywhere, are all answered', async () => {
    const questions = ['nas', 'gateway', 'nope', 'big'].map((name, id) =>
      encodeMessage(query(`${name}.home.arpa`, 'TXT', { id })),
    )
    const replies = await askTcp(server.port, questions)
    expect(replies.map((reply) => decodeMessage(reply).id).sort()).toEqual([0, 1, 2, 3])

    const socket = await tcp()
    for (const octet of frame(NAS)) socket.write(Uint8Array.of(octet))
    const [reply] = await once(socket, 'data')
    expect(decodeMessage(reply.subarray(2)).answers).toHaveLength(1)
  })

  test('answers come as they are ready: a slow upstream holds nobody up (RFC 7766 section 6.2.1.1)', async () => {
    const upstream = new ScriptedUpstream(() => 'silence')
    const slow = await startServer({ upstreams: [await upstream.start()] })
    const socket = connect(slow.port, '127.0.0.1')
    socket.write(Buffer.concat([frame(encodeMessage(query('slow.example.com', 'A', { id: 1 }))), frame(NAS)]))
    const [first] = await once(socket, 'data')
    expect(decodeMessage(first.subarray(2)).id).toBe(0x1234)
    socket.destroy()
    await slow.close()
    await upstream.close()
  })

  test('a client that closes its side after its query still gets the answer', async () => {
    const socket = await tcp()
    socket.end(frame(NAS))
    const [reply] = await once(socket, 'data')
    expect(decodeMessage(reply.subarray(2)).answers).toHaveLength(1)
    await once(socket, 'close')
  })

  test.each([
    ['a length of 0', Buffer.from('0000', 'hex')],
    ['a length above what a query needs', Buffer.from('ffff1234', 'hex')],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: gateway.home.arpa\r\n\r\n')],
  ])('%s ends the connection', async (_what, octets) => {
    const socket = await tcp()
    const closed = once(socket, 'close')
    socket.write(octets)
    await closed
    await stillAnswers()
  })

  test('garbage of a believable length gets FORMERR, and the next query its answer', async () => {
    const garbage = Buffer.from('123401000001000000000000c00c00010001', 'hex')
    const replies = await askTcp(server.port, [garbage, NAS])
    expect(replies.map((reply) => decodeMessage(reply).rcode)).toEqual([1, 0])
  })

  test('a client that asks on and on without reading is cut off', async () => {
    const socket = await tcp()
    socket.pause()
    const closed = new Promise((resolve) => socket.on('close', resolve))
    const question = frame(encodeMessage(query('big.home.arpa', 'TXT')))
    const burst = Buffer.concat(Array(64).fill(question))
    while (!socket.destroyed) {
      socket.write(burst)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await closed
    await stillAnswers()
  })

  test('one client has a limited number of connections; others still get theirs', async () => {
    const many = await Promise.all(Array.from({ length: 24 }, tcp))
    const extra = await tcp()
    await once(extra, 'close')
    many[0]!.write(frame(NAS))
    const [reply] = await once(many[0]!, 'data')
    expect(decodeMessage(reply.subarray(2)).answers).toHaveLength(1)

    const other = connect({ port: server.port, host: '127.0.0.1', localAddress: '127.0.0.2' })
    sockets.push(other)
    other.write(frame(NAS))
    await once(other, 'data')
  })
})

describe('closing', () => {
  test('ends connections and questions under way', async () => {
    const upstream = new ScriptedUpstream(() => 'silence')
    const closing = await startServer({ upstreams: [await upstream.start()] })
    const explanation = closing.explain('slow.example.com', 'A')
    const socket = connect(closing.port, '127.0.0.1')
    await once(socket, 'connect')
    const closed = once(socket, 'close')
    socket.on('error', () => socket.destroy())
    socket.resume()
    await closing.close()
    await closed
    expect(await explanation).toMatchObject({ rcode: 'SERVFAIL' })
    await upstream.close()
  })
})
