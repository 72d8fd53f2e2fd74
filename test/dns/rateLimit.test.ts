import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { afterEach, describe, expect, test } from '@jest/globals'
import { SECOND } from '../../base/clock.ts'
import { ResponseRateLimiter } from '../../dns/rateLimit.ts'
import type { Response } from '../../dns/respond.ts'
import type { DnsServer } from '../../dns/server.ts'
import { decodeMessage, encodeMessage, type Message } from '../../wire/message.ts'
import { RCODE } from '../../wire/registry.ts'
import { TestClock } from '../support/testClock.ts'
import { askTcp, query, ScriptedUpstream, startServer } from './harness.ts'

const message = (rcode: number) =>
  encodeMessage(
    query('nas.home.arpa', 'A', {
      qr: true,
      rcode,
      edns: { udpSize: 1232, version: 0, dnssecOk: false, options: [] },
    }),
  )

function response(rcode: number = RCODE.REFUSED): Response {
  return { messages: [message(rcode)], question: null, rcode, source: null, upstream: null, reusableFor: 0 }
}

describe('the allowance of a network outside', () => {
  const clock = new TestClock()
  const become = (limiter: ResponseRateLimiter, address: string, count: number, rcode?: number) =>
    Array.from({ length: count }, () => {
      const [sent] = limiter.limit(response(rcode), address).messages
      return sent === undefined ? 'dropped' : decodeMessage(sent).tc ? 'truncated' : 'whole'
    })

  test('a burst goes out, then every second response is dropped and the others say: by TCP', () => {
    const limiter = new ResponseRateLimiter(clock)
    expect(become(limiter, '203.0.113.1', 15)).toEqual(Array(15).fill('whole'))
    expect(become(limiter, '203.0.113.1', 4)).toEqual(['dropped', 'truncated', 'dropped', 'truncated'])
    expect(limiter.counts).toEqual({ dropped: 2, truncated: 2 })
    clock.pass(SECOND)
    expect(become(limiter, '203.0.113.1', 6)).toEqual([...Array(5).fill('whole'), 'dropped'])
  })

  test('what says "by TCP" is the question and nothing more', () => {
    const limiter = new ResponseRateLimiter(clock)
    become(limiter, '203.0.113.1', 16)
    const [sent] = limiter.limit(response(), '203.0.113.1').messages
    expect(decodeMessage(sent!)).toMatchObject({ id: 0x1234, qr: true, tc: true, answers: [], edns: null })
    expect(sent!.length).toBeLessThan(message(0).length)
  })

  test('neighbours share it, other networks and other kinds of response have their own', () => {
    const limiter = new ResponseRateLimiter(clock)
    become(limiter, '203.0.113.1', 15)
    expect(become(limiter, '203.0.113.250', 1)).toEqual(['dropped'])
    expect(become(limiter, '203.0.114.1', 1)).toEqual(['whole'])
    expect(become(limiter, '203.0.113.1', 1, RCODE.NXDOMAIN)).toEqual(['whole'])
    become(limiter, '2001:db8::1', 15)
    expect(become(limiter, '2001:db8:0:ff::1', 1)).toEqual(['dropped'])
    expect(become(limiter, '2001:db8:0:100::1', 1)).toEqual(['whole'])
  })

  test('networks without end are forgotten, the oldest first', () => {
    const limiter = new ResponseRateLimiter(clock)
    become(limiter, '203.0.113.1', 16)
    for (let count = 0; count < 10_000; count += 1)
      limiter.limit(response(), `10.${count >> 8}.${count & 255}.1`)
    expect(become(limiter, '203.0.113.1', 1)).toEqual(['whole'])
  })
})

describe('over UDP', () => {
  let server: DnsServer
  let client: Socket | undefined
  afterEach(async () => {
    client?.close()
    client = undefined
    await server.close()
  })

  const NAS = encodeMessage(query('nas.home.arpa', 'A'))

  /** Asks many times and collects what comes, until all are counted and a moment more. */
  async function flood(count: number): Promise<Message[]> {
    const socket = createSocket('udp4')
    client = socket
    const replies: Message[] = []
    socket.on('message', (octets) => replies.push(decodeMessage(octets)))
    for (let sent = 0; sent < count; sent += 1) {
      await new Promise((resolve) => socket.send(NAS, server.port, '127.0.0.1', resolve))
    }
    const pause = () => new Promise((resolve) => setTimeout(resolve, 50))
    while ((server.figures().queries['udp A'] ?? 0) < count) await pause()
    await pause()
    return replies
  }

  test.each(['dgram', 'here', 'thread'] as const)(
    'by %s: a flood from outside gets few responses, and TCP is open',
    async (udp) => {
      // Time stands still, however long the flood takes.
      server = await startServer({ udp, outside: ['127.0.0.0/8'], clock: new TestClock() })
      const replies = await flood(200)
      const whole = replies.filter(({ tc }) => !tc)
      expect([whole.length, replies.length]).toEqual([15, 15 + Math.floor(185 / 2)])
      const [overTcp] = await askTcp(server.port, [NAS])
      expect(decodeMessage(overTcp!)).toMatchObject({ rcode: RCODE.REFUSED, tc: false })
      const { limited, outside } = server.figures()
      expect(limited).toEqual({ dropped: 93, truncated: 92 })
      expect(outside).toBe(201)
    },
  )

  test('a client of the home is not limited', async () => {
    server = await startServer()
    expect(await flood(200)).toHaveLength(200)
    expect(server.figures().limited).toEqual({ dropped: 0, truncated: 0 })
  })
})

test('one client that asks for everything at once leaves others their places with the upstreams', async () => {
  const upstream = new ScriptedUpstream((asked) =>
    asked.questions[0]!.name.toString().startsWith('slow') ? 'silence' : { ...asked, qr: true },
  )
  const server = await startServer({ upstreams: [await upstream.start()] })
  const greedy = createSocket('udp4')
  let busy = 0
  greedy.on('message', () => {
    busy += 1
  })
  for (let count = 0; count < 600; count += 1) {
    const octets = encodeMessage(query(`slow${count}.example.com`, 'A'))
    await new Promise((resolve) => greedy.send(octets, server.port, '127.0.0.1', resolve))
  }
  while (busy < 300) await new Promise((resolve) => setTimeout(resolve, 10))
  const other = createSocket('udp4')
  await new Promise<void>((resolve) => other.bind(0, '127.0.0.2', resolve))
  other.send(encodeMessage(query('quick.example.com', 'A')), server.port, '127.0.0.1')
  const [reply] = await once(other, 'message')
  expect(decodeMessage(reply)).toMatchObject({ rcode: 0 })
  greedy.close()
  other.close()
  await server.close()
  await upstream.close()
})
