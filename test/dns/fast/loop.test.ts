import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { networkInterfaces } from 'node:os'
import { afterEach, describe, expect, test } from '@jest/globals'
import { type Clock, systemClock } from '../../../base/clock.ts'
import { openLibc } from '../../../dns/fast/libc.ts'
import { type Finding, type Hit, type Miss, UdpLoop } from '../../../dns/fast/loop.ts'
import { openUdpSocket } from '../../../dns/fast/sockets.ts'
import { LoopState } from '../../../dns/fast/state.ts'
import { decodeMessage, encodeMessage } from '../../../wire/message.ts'
import { TestClock } from '../../support/testClock.ts'
import { query } from '../harness.ts'

const libc = openLibc()!
const opened: (() => void)[] = []

afterEach(() => {
  for (const close of opened.splice(0)) close()
})

/** A loop on a real socket, whose misses are collected. */
function loopOn(address: string, isLocal = true, clock: Clock = systemClock) {
  const { fd, port } = openUdpSocket(libc, address, 0, 1 << 20)
  const wakeUp = libc.eventfd(0, 0o2004000)
  opened.push(
    () => libc.close(fd),
    () => libc.close(wakeUp),
  )
  const misses: Miss[] = []
  const hits: Hit[] = []
  const state = new LoopState()
  const loop = new UdpLoop({
    libc,
    sockets: [fd],
    wakeUp,
    state,
    clock,
    isLocal: () => isLocal,
    onMisses: (list) => misses.push(...list),
    onHits: (list) => hits.push(...list),
  })
  return { loop, port, state, misses, hits }
}

/** A client whose socket takes answers from the address it asked and from no other. */
async function client(port: number, address: string): Promise<{ socket: Socket; replies: Buffer[] }> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
  opened.push(() => socket.close())
  const replies: Buffer[] = []
  socket.on('message', (reply) => replies.push(reply))
  socket.connect(port, address)
  await once(socket, 'connect')
  return { socket, replies }
}

/** Gives the loop its turns until something has come about. */
async function until(loop: UdpLoop, condition: () => boolean): Promise<void> {
  while (!condition()) {
    await new Promise(setImmediate)
    loop.turn(1)
  }
}

const echoed = ({ id, query: octets }: Miss, part: Partial<Finding> = {}): Finding => ({
  id,
  responses: [encodeMessage({ ...decodeMessage(octets), qr: true })],
  reuse: { for: 60_000, source: 'zone' },
  ...part,
})

const NAS = encodeMessage(query('nas.home.arpa', 'A', { id: 1 }))

const hasIpv6 = Object.values(networkInterfaces())
  .flat()
  .some((at) => at?.address === '::1')

describe('an answer leaves from the address that was asked', () => {
  test.each([
    ['127.0.0.1', '127.0.0.1'],
    ['0.0.0.0', '127.0.0.5'],
    ...(hasIpv6
      ? [
          ['::1', '::1'],
          ['::', '::1'],
        ]
      : []),
  ])('listening on %s, asked at %s', async (listening, asked) => {
    const { loop, port, misses } = loopOn(listening!)
    const { socket, replies } = await client(port, asked!)
    socket.send(NAS)
    await until(loop, () => misses.length > 0)
    loop.take(misses.map((miss) => echoed(miss)))
    // The second one is answered by the loop itself.
    socket.send(encodeMessage(query('nas.home.arpa', 'A', { id: 2 })))
    await until(loop, () => replies.length === 2)
    expect(replies.map((reply) => decodeMessage(reply).id)).toEqual([1, 2])
    expect(misses).toHaveLength(1)
  })
})

test('more than a batch at once is answered, each query by itself', async () => {
  const { loop, port, misses, state } = loopOn('127.0.0.1')
  const { socket, replies } = await client(port, '127.0.0.1')
  socket.send(NAS)
  await until(loop, () => misses.length > 0)
  loop.take(misses.map((miss) => echoed(miss)))
  for (let id = 100; id < 300; id += 1) socket.send(encodeMessage(query('nas.home.arpa', 'A', { id })))
  await until(loop, () => replies.length === 201)
  expect(new Set(replies.map((reply) => decodeMessage(reply).id)).size).toBe(201)
  const { entries, rcodes, sources, types } = state.snapshot()
  expect({ entries, noerror: rcodes[0], zone: sources[1], a: types[1] }).toEqual({
    entries: 1,
    noerror: 200,
    zone: 200,
    a: 200,
  })
})

test('each query that is answered at once is told of, until too many wait to be heard', async () => {
  const { loop, port, misses, hits, state } = loopOn('127.0.0.1')
  const { socket } = await client(port, '127.0.0.1')
  const ask = async (expected: number) => {
    socket.send(encodeMessage(query('NAS.home.arpa', 'A')))
    await until(loop, () => state.snapshot().rcodes[0] === expected)
  }
  socket.send(NAS)
  await until(loop, () => misses.length > 0)
  loop.take(misses.map((miss) => echoed(miss)))
  await ask(1)
  expect(hits).toEqual([
    {
      question: new Uint8Array(Buffer.from('\x03NAS\x04home\x04arpa\0\0\x01\0\x01', 'latin1')),
      client: Uint8Array.of(127, 0, 0, 1),
      rcode: 0,
      source: 'zone',
    },
  ])
  expect(state.untold).toBe(1)
  state.addUntold(10_000)
  await ask(2)
  expect(hits).toHaveLength(1)
})

test('queries that are never answered do not keep the places of others for ever', async () => {
  const clock = new TestClock()
  const { loop, port, misses, state } = loopOn('127.0.0.1', true, clock)
  const { socket } = await client(port, '127.0.0.1')
  const seen = () => misses.length + state.snapshot().dropped
  for (let sent = 0; sent < 4200; ) {
    for (let burst = 0; burst < 50; burst += 1, sent += 1) socket.send(NAS)
    await until(loop, () => seen() === sent)
  }
  expect(misses).toHaveLength(4096)
  clock.pass(11_000)
  socket.send(NAS)
  await until(loop, () => misses.length === 4097)
})

test('what was answered before a change is not answered so after it', async () => {
  const { loop, port, misses, state } = loopOn('127.0.0.1')
  const { socket } = await client(port, '127.0.0.1')
  const missed = async () => {
    const before = misses.length
    const answered = state.snapshot().rcodes[0]!
    socket.send(NAS)
    await until(loop, () => misses.length > before || state.snapshot().rcodes[0]! > answered)
    return misses.slice(before)
  }
  const [first] = await missed()
  // The answer was found before the change, and arrives after it.
  state.nextGeneration()
  loop.take([echoed(first!)])
  const [second] = await missed()
  loop.take([echoed(second!)])
  expect(await missed()).toEqual([])
  state.nextGeneration()
  expect(await missed()).toHaveLength(1)
})

test.each<[string, { isLocal?: boolean; octets?: Buffer; finding?: Partial<Finding> }]>([
  ['of clients that are not local', { isLocal: false }],
  ['that are not plain', { octets: Buffer.concat([NAS, Buffer.alloc(1)]) }],
  ['whose answer is not for use again', { finding: { reuse: null } }],
  ['that get no response', { finding: { responses: [] } }],
])('queries %s are handed out every time', async (_, { isLocal = true, octets = NAS, finding = {} }) => {
  const { loop, port, misses } = loopOn('127.0.0.1', isLocal)
  const { socket } = await client(port, '127.0.0.1')
  for (let count = 1; count <= 3; count += 1) {
    socket.send(octets)
    await until(loop, () => misses.length === count)
    loop.take([
      { id: misses.at(-1)!.id, responses: [NAS], reuse: { for: 60_000, source: 'zone' }, ...finding },
    ])
  }
  expect(misses[0]!.query).toEqual(new Uint8Array(octets))
  expect(misses[0]!.client).toEqual(Uint8Array.of(127, 0, 0, 1))
})

test('a query that is too long is handed out cut, and longer than any may be', async () => {
  const { loop, port, misses } = loopOn('127.0.0.1')
  const { socket } = await client(port, '127.0.0.1')
  socket.send(Buffer.concat([NAS, Buffer.alloc(9000)]))
  await until(loop, () => misses.length > 0)
  expect(misses[0]!.query).toHaveLength(4097)
})

test('an address that is not here, or taken, is refused as Node refuses it', () => {
  expect(() => openUdpSocket(libc, '192.0.2.1', 0, 65536)).toThrow(
    expect.objectContaining({ code: 'EADDRNOTAVAIL' }),
  )
  const { port } = loopOn('127.0.0.1')
  expect(() => openUdpSocket(libc, '127.0.0.1', port, 65536)).toThrow(
    expect.objectContaining({ code: 'EADDRINUSE' }),
  )
})
