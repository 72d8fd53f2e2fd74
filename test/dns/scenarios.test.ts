import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { describe, expect, test } from '@jest/globals'
import type { DnsServer, DnsServerOptions } from '../../dns/server.ts'
import type { PlainUpstream } from '../../dns/upstream.ts'
import { decodeMessage, encodeMessage } from '../../wire/message.ts'
import { TYPE, typeName } from '../../wire/registry.ts'
import { freePort } from '../support/ports.ts'
import { TestClock } from '../support/testClock.ts'
import { askTcp, askUdp, query, ScriptedUpstream, startServer } from './harness.ts'
import { host } from './household.ts'
import {
  parseScenarios,
  printReply,
  type Query,
  type Scenario,
  type Step,
  scriptedReply,
  type UpstreamReply,
} from './scenario.ts'

const FOLDER = new URL('../scenarios/dns/', import.meta.url)

/** A question whose answer proves that the server has gone past what was sent before it. */
const PROBE = encodeMessage(query('localhost', 'A', { id: 0xbeef }))

/** Written down once more, so that a domain missing among those that are special is missed here. */
const NEVER_OUTSIDE = [
  ...[
    'home.arpa',
    'localhost',
    'local',
    'test',
    'invalid',
    'onion',
    'resolver.arpa',
    'use-application-dns.net',
    'alt',
    'internal',
    'service.arpa',
    '6tisch.arpa',
    'eap.arpa',
    'eap-noob.arpa',
  ],
  ...['10.in-addr.arpa', '168.192.in-addr.arpa', '254.169.in-addr.arpa', '127.in-addr.arpa', 'd.f.ip6.arpa'],
  ...['16', '20', '31'].map((octet) => `${octet}.172.in-addr.arpa`),
  ...['8', '9', 'a', 'b'].map((nibble) => `${nibble}.e.f.ip6.arpa`),
]

/** Everything that common upstreams were asked, in all scenarios. */
const askedOutside: { name: string; domain: string; forward: string[] }[] = []

for (const file of readdirSync(FOLDER).sort()) {
  for (const udp of ['dgram', 'here'] as const) {
    describe(`${file}, UDP ${udp === 'dgram' ? 'one by one' : 'in batches'}`, () => {
      for (const scenario of parseScenarios(readFileSync(new URL(file, FOLDER), 'utf8'))) {
        test(scenario.title, () => play(scenario, udp))
      }
    })
  }
}

test('no name of a home has reached a common upstream in any of the scenarios', () => {
  expect(askedOutside.length).toBeGreaterThan(100)
  const leaked = askedOutside.filter(({ name, domain, forward }) =>
    [...NEVER_OUTSIDE, domain, ...forward].some((apex) => `.${name}`.toLowerCase().endsWith(`.${apex}.`)),
  )
  expect(leaked).toEqual([])
})

async function play(scenario: Scenario, udp: DnsServerOptions['udp']): Promise<void> {
  const clock = new TestClock()
  const replies: UpstreamReply[] = []
  const asked: string[] = []
  const scripted: ScriptedUpstream[] = []
  const open = async (kind: string, zone: string | null): Promise<PlainUpstream[]> => {
    if (kind === 'none') return []
    if (kind === 'closed') return [{ address: '127.0.0.1', port: await freePort(), transport: 'udp' }]
    const upstream = new ScriptedUpstream((message, transport) => {
      const [question] = message.questions
      const name = question!.name.toString()
      asked.push(`${transport} ${name} ${typeName(question!.type)}${zone === null ? '' : ` of ${zone}`}`)
      const forward = scenario.forward.map((each) => each.zone)
      // The one question about the home that only the outside can answer, and that tells nothing of it.
      const isProof = name === 'home.arpa.' && question!.type === TYPE.DS
      if (zone === null && !isProof) askedOutside.push({ name, domain: scenario.domain, forward })
      const ofZone = replies.filter(({ of }) => of === zone)
      return scriptedReply(ofZone, message, transport)
    })
    scripted.push(upstream)
    return [await upstream.start()]
  }
  const upstreams = await Promise.all(scenario.upstreams.map((kind) => open(kind, null)))
  const forward = await Promise.all(
    scenario.forward.map(async ({ zone, kind }) => ({ zone, upstreams: await open(kind, zone) })),
  )
  const server = await serverFor(scenario, {
    udp,
    clock,
    upstreams: upstreams.flat(),
    forward,
  })
  try {
    let previous: Step | undefined
    let latest: UpstreamReply[] = []
    for (const step of scenario.steps) {
      switch (step.kind) {
        case 'reply':
          // Those that stand together are tried in their order, and before all that stood above.
          if (previous?.kind !== 'reply') latest = []
          replies.splice(latest.length, 0, step.reply)
          latest.push(step.reply)
          break
        case 'query':
          expect(await take(step, server.port)).toBe(step.expected)
          break
        case 'explain': {
          const { source, age } = await server.explain(step.name, step.type)
          expect([source, ...(age === undefined ? [] : [age])].join(' ')).toBe(step.expected)
          break
        }
        case 'pass':
          clock.pass(step.milliseconds)
          break
        case 'asked':
          // What is asked without a client waiting for it comes, and is answered, when it comes.
          await until(() => asked.length >= step.lines.length && isIdle(server))
          expect(asked.splice(0)).toEqual(step.lines)
      }
      previous = step
    }
  } finally {
    await server.close()
    for (const upstream of scripted) await upstream.close()
  }
}

/** Whether every question to an upstream has had its answer. */
function isIdle(server: DnsServer): boolean {
  return server.health().every(({ asked, answered, failed }) => asked === answered + failed)
}

/** Waits for a condition, but not for ever: what is then expected says what is missing. */
async function until(condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 5000; !condition() && Date.now() < end; ) await setTimeout(5)
  await setTimeout(0)
}

function serverFor(
  scenario: Scenario,
  options: Pick<DnsServerOptions, 'udp' | 'clock' | 'upstreams' | 'forward'>,
): Promise<DnsServer> {
  const gatewayName = `gateway.${scenario.domain}`
  return startServer({
    domain: scenario.domain,
    gatewayName,
    overrides: scenario.overrides,
    designated: scenario.designated,
    zone: { ...scenario.zone, hosts: [host(gatewayName, '192.168.1.1'), ...scenario.zone.hosts] },
    rebinding: scenario.rebinding,
    cache: { octets: 1024 * 1024, staleFor: scenario.staleFor },
    ...options,
  })
}

async function take(step: Query, port: number): Promise<string> {
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
