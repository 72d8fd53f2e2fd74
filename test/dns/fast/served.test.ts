import { createSocket } from 'node:dgram'
import { afterEach, expect, test } from '@jest/globals'
import type { DnsServer } from '../../../dns/server.ts'
import { decodeMessage, encodeMessage } from '../../../wire/message.ts'
import { printRecord } from '../../../wire/presentation.ts'
import { askUdp, HOUSEHOLD, query, ScriptedUpstream, startServer } from '../harness.ts'
import { host } from '../household.ts'

let server: DnsServer
const upstreams: ScriptedUpstream[] = []

afterEach(async () => {
  await server.close()
  for (const upstream of upstreams.splice(0)) await upstream.close()
})

test.each(['here', 'thread'] as const)(
  'what an upstream said is given again without asking the resolver, by %s',
  async (udp) => {
    const upstream = new ScriptedUpstream((asked) => {
      const [{ name, type }] = asked.questions as [(typeof asked.questions)[number]]
      return {
        ...asked,
        qr: true,
        answers: [{ name, type, class: 1, ttl: 300, data: Buffer.of(192, 0, 2, 1) }],
      }
    })
    upstreams.push(upstream)
    server = await startServer({ udp, upstreams: [await upstream.start()] })
    for (let times = 0; times < 5; times += 1) {
      const reply = decodeMessage(await askUdp(server.port, encodeMessage(query('www.example.com', 'A'))))
      expect(reply.answers).toHaveLength(1)
    }
    const { sources, latency } = server.figures()
    expect(sources).toEqual({ forwarder: 1, cache: 4 })
    // Only what the resolver has answered has a time that was taken.
    expect(Object.keys(latency)).toEqual(['forwarder'])
  },
)

test.each(['here', 'thread'] as const)(
  'while the zone changes on and on, no query is lost and none gets an answer that never was, by %s',
  async (udp) => {
    server = await startServer({ udp })
    const socket = createSocket('udp4')
    const answers: string[] = []
    let left = 3000
    let { serial } = HOUSEHOLD
    const { promise: done, resolve } = Promise.withResolvers<void>()
    const ask = () => socket.send(encodeMessage(query('nas.home.arpa', 'A')), server.port, '127.0.0.1')
    const change = () => {
      serial += 1
      const nas = { ...host('nas.home.arpa', `192.168.2.${serial}`), id: 'nas.home.arpa' }
      server.patchZone({ serial, hosts: [{ id: nas.id, host: nas }], owners: [] })
    }
    socket.on('message', (octets) => {
      answers.push(...decodeMessage(octets).answers.map(printRecord))
      left -= 1
      if (left === 0) resolve()
      if (left % 50 === 0) change()
      // Twenty are under way at any time, so that some meet each change.
      if (left >= 20) ask()
    })
    for (let count = 0; count < 20; count += 1) ask()
    await done
    socket.close()
    expect(answers).toHaveLength(3000)
    const known = /^nas\.home\.arpa\. 60 IN A 192\.168\.(1\.20|2\.\d+)$/
    expect(answers.filter((line) => !known.test(line))).toEqual([])
  },
)
