import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { createLog } from '../../base/log.ts'
import type { DnsServer } from '../../dns/server.ts'
import { UdpListener } from '../../dns/udp.ts'
import { decodeMessage, encodeMessage } from '../../wire/message.ts'
import { corpus } from '../wire/corpus.ts'
import { askTcp, askUdp, query, ScriptedUpstream, startServer } from './harness.ts'

const NAS = encodeMessage(query('nas.home.arpa', 'A'))

async function stillAnswers(server: DnsServer): Promise<void> {
  expect(decodeMessage(await askUdp(server.port, NAS)).answers).toHaveLength(1)
  const [reply] = await askTcp(server.port, [NAS])
  expect(decodeMessage(reply!).answers).toHaveLength(1)
}

describe.each(['dgram', 'here', 'thread'] as const)('over UDP, by %s', (udp) => {
  let server: DnsServer
  beforeEach(async () => {
    server = await startServer({ udp })
  })
  afterEach(() => server.close())
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
    await stillAnswers(server)
  })

  test('a query larger than any has to be gets FORMERR without being read', async () => {
    const record = Buffer.from('c00c00ff00ff000000000000', 'hex')
    const octets = Buffer.concat([NAS, ...Array(400).fill(record)])
    octets.writeUInt16BE(400, 10)
    const reply = decodeMessage(await askUdp(server.port, octets))
    expect(reply).toMatchObject({ rcode: 1, questions: [] })
  })
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
