import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import type { Upstream } from '../../dns/upstream.ts'
import { decodeMessage, encodeMessage } from '../../wire/message.ts'
import { freePort } from '../support/ports.ts'
import { askTcp, askUdp, query, ScriptedUpstream, startServer } from './harness.ts'
import { parseScenarios, printReply, type Scenario, type Step, scriptedReply } from './scenario.ts'

const FOLDER = new URL('../scenarios/dns/', import.meta.url)

/** A question whose answer proves that the server has gone past what was sent before it. */
const PROBE = encodeMessage(query('localhost', 'A', { id: 0xbeef }))

for (const file of readdirSync(FOLDER).sort()) {
  describe(file, () => {
    for (const scenario of parseScenarios(readFileSync(new URL(file, FOLDER), 'utf8'))) {
      test(scenario.title, () => play(scenario))
    }
  })
}

async function play(scenario: Scenario): Promise<void> {
  const upstream = new ScriptedUpstream((asked, transport) =>
    scriptedReply(scenario.replies, asked, transport),
  )
  const scripted = await upstream.start()
  const upstreams: Upstream[] = []
  for (const kind of scenario.upstreams) {
    if (kind === 'scripted') upstreams.push(scripted)
    if (kind === 'closed') upstreams.push({ ...scripted, port: await freePort() })
  }
  const gatewayName = `gateway.${scenario.domain}`
  const gateway = { name: gatewayName, addresses: ['192.168.1.1'] }
  const zone = { ...scenario.zone, hosts: [gateway, ...scenario.zone.hosts] }
  const server = await startServer({ domain: scenario.domain, gatewayName, zone, upstreams })
  try {
    for (const step of scenario.steps) expect(await take(step, server.port)).toBe(step.expected)
    if (scenario.asked !== null) expect(upstream.asked).toEqual(scenario.asked)
  } finally {
    await server.close()
    await upstream.close()
  }
}

async function take(step: Step, port: number): Promise<string> {
  const octets = step.octets ?? encodeMessage(step.message!)
  if (step.expected === 'silence') {
    const [first] = await askUdpBoth(port, octets)
    return first
  }
  const reply = step.transport === 'tcp' ? (await askTcp(port, [octets]))[0]! : await askUdp(port, octets)
  const decoded = decodeMessage(reply)
  expect(decoded.id).toBe(octets.readUInt16BE(0))
  return printReply(decoded)
}

/** Sends the octets and then the probe: if the probe's answer is the first to come, the octets had none. */
async function askUdpBoth(port: number, octets: Buffer): Promise<[string]> {
  const { createSocket } = await import('node:dgram')
  const socket = createSocket('udp4')
  try {
    const reply = await new Promise<Buffer>((resolve) => {
      socket.on('message', resolve)
      socket.send(octets, port, '127.0.0.1', () => socket.send(PROBE, port, '127.0.0.1'))
    })
    return [reply.readUInt16BE(0) === 0xbeef ? 'silence' : printReply(decodeMessage(reply))]
  } finally {
    socket.close()
  }
}
