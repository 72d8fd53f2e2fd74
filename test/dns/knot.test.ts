import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { printExport } from '../../dns/records.ts'
import type { DnsServer } from '../../dns/server.ts'
import type { SourcedRecord } from '../../store/records.ts'
import { decodeMessage, encodeMessage } from '../../wire/message.ts'
import { printRecord } from '../../wire/presentation.ts'
import { TYPE } from '../../wire/registry.ts'
import { freePort } from '../support/ports.ts'
import { askTcp, HOUSEHOLD, query, startServer } from './harness.ts'

/**
 * Knot DNS loads what the gateway exports and is asked the same questions: two servers written by
 * different people must say the same of the same zone.
 */
const records: SourcedRecord[] = [
  ['www.home.arpa', 'CNAME', 'web.home.arpa.'],
  ['web.home.arpa', 'CNAME', 'server.home.arpa.'],
  ['server.home.arpa', 'A', '192.168.1.50'],
  ['server.home.arpa', 'TXT', '"a \\"quoted\\" word" "\\195\\188"'],
  ['dangling.home.arpa', 'CNAME', 'gone.home.arpa.'],
  ['*.apps.home.arpa', 'A', '192.168.1.51'],
  ['*.alias.home.arpa', 'CNAME', 'server.home.arpa.'],
  ['deep.one.apps.home.arpa', 'A', '192.168.1.52'],
  ['_http._tcp.web2.home.arpa', 'SRV', '0 0 80 server.home.arpa.'],
  ['front\\.door.home.arpa', 'TXT', '"dot"'],
  ['lab.home.arpa', 'NS', 'ns.lab.home.arpa.'],
  ['ns.lab.home.arpa', 'A', '192.168.1.77'],
  ['home.arpa', 'MX', '10 server.home.arpa.'],
  ['home.arpa', 'CAA', '0 issue "home.arpa"'],
  [
    '_443._tcp.server.home.arpa',
    'TLSA',
    '3 1 1 0b9fa5a59eed715c26c1020c711b4f6ec42d58b0015e14337a39dad301c5afc3',
  ],
  ['9.1.168.192.in-addr.arpa', 'PTR', 'server.home.arpa.'],
].map(([owner, type, data]) => ({ owner: owner!, type: type!, ttl: 300, data: data!, source: 'hand' }))

const zone = { serial: 9, hosts: [HOUSEHOLD.hosts[0]!], records }

let folder: string
let knot: ChildProcess
let knotPort: number
let server: DnsServer

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hearth-knot-'))
  knotPort = await freePort()
  writeFileSync(
    join(folder, 'home.arpa.zone'),
    printExport(zone, { domain: 'home.arpa', gatewayName: 'gateway.home.arpa', overrides: [] }),
  )
  writeFileSync(
    join(folder, 'knot.conf'),
    `
server:
    rundir: "${folder}"
    listen: 127.0.0.1@${knotPort}
    tcp-workers: 1
    udp-workers: 1
    background-workers: 1
database:
    storage: "${folder}"
log:
  - target: stdout
    any: info
zone:
  - domain: home.arpa
    storage: "${folder}"
    file: home.arpa.zone
`,
  )
  knot = spawn('/usr/sbin/knotd', ['-c', join(folder, 'knot.conf')], { stdio: ['ignore', 'pipe', 'pipe'] })
  await loaded(knot)
  server = await startServer({ zone })
})

afterAll(async () => {
  await server?.close()
  knot.kill()
  if (knot.exitCode === null) await once(knot, 'exit')
  rmSync(folder, { recursive: true })
})

describe('the same answer as Knot DNS', () => {
  test.each(
    [
      ['home.arpa', ['SOA', 'NS', 'MX', 'CAA', 'A']],
      ['gateway.home.arpa', ['A', 'AAAA', 'TXT']],
      ['WWW.home.arpa', ['A', 'CNAME', 'TXT', 'AAAA']],
      ['server.home.arpa', ['A', 'TXT', 'SRV', 'TYPE65']],
      ['dangling.home.arpa', ['A', 'CNAME']],
      ['x.apps.home.arpa', ['A', 'TXT']],
      ['a.b.apps.home.arpa', ['A']],
      ['apps.home.arpa', ['A']],
      ['*.apps.home.arpa', ['A']],
      ['one.apps.home.arpa', ['A']],
      ['other.one.apps.home.arpa', ['A']],
      ['x.alias.home.arpa', ['A', 'TXT', 'MX']],
      ['_tcp.web2.home.arpa', ['SRV', 'A']],
      ['_http._tcp.web2.home.arpa', ['SRV']],
      ['front\\.door.home.arpa', ['TXT']],
      ['front.door.home.arpa', ['TXT']],
      ['lab.home.arpa', ['NS', 'A', 'DS']],
      ['x.y.lab.home.arpa', ['A']],
      ['ns.lab.home.arpa', ['A']],
      ['_443._tcp.server.home.arpa', ['TLSA']],
      ['nope.home.arpa', ['A']],
      ['nope.server.home.arpa', ['A']],
    ].flatMap(([name, types]) => (types as string[]).map((type) => [name as string, type])),
  )('%s %s', async (name, type) => {
    expect(await answer(server.port, name!, type!)).toEqual(await answer(knotPort, name!, type!))
  })
})

/** Resolves once Knot has the zone; rejects with its log if it ends instead. */
function loaded(process: ChildProcess): Promise<void> {
  let output = ''
  return new Promise((resolve, reject) => {
    process.on('exit', () => reject(new Error(`knotd ended:\n${output}`)))
    for (const stream of [process.stdout!, process.stderr!]) {
      stream.on('data', (chunk) => {
        output += chunk
        if (/\[home\.arpa\.\] loaded/.test(output)) resolve()
      })
    }
  })
}

/** Without what each server adds of its own accord, and without the case of names in RDATA. */
async function answer(port: number, name: string, type: string) {
  const [reply] = await askTcp(port, [encodeMessage(query(name, type, { rd: false }))])
  const { rcode, aa, answers, authorities, additionals } = decodeMessage(reply!)
  const isReferral = !aa && authorities.some((record) => record.type === TYPE.NS)
  const lines = (list: typeof answers) => list.map(printRecord).sort()
  return {
    rcode,
    aa,
    answers: lines(answers),
    authorities: lines(authorities),
    glue: isReferral ? lines(additionals) : [],
  }
}
