import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Secondary } from '../../dns/notify.ts'
import { decodeMessage, encodeMessage } from '../../wire/message.ts'
import { printRecord } from '../../wire/presentation.ts'
import { freePort } from '../support/ports.ts'
import { waitFor } from '../support/waitFor.ts'
import { ChangingZone, KEY, KEY_TEXT, SECRET } from './changingZone.ts'
import { askTcp, query } from './harness.ts'

/**
 * NSD and Knot keep copies of the home's zones: told of changes by NOTIFY, they fetch them by AXFR and
 * IXFR, all of it signed, and then say the same as the gateway.
 */

const secret = SECRET.toString('base64')
const ZONES = ['home.arpa', '168.192.in-addr.arpa']

/** A peer, its configuration, and how to see in its log that it loaded or changed a zone. */
interface Peer {
  command: (file: string) => [string, string[]]
  config: (options: { dir: string; port: number; primary: number }) => string
  incremental: RegExp
}

const PEERS: Record<string, Peer> = {
  NSD: {
    command: (file) => ['/usr/sbin/nsd', ['-d', '-c', file]],
    config: ({ dir, port, primary }) => `
server:
  ip-address: 127.0.0.1@${port}
  server-count: 1
  username: ""
  chroot: ""
  zonesdir: "${dir}"
  database: ""
  pidfile: "${dir}/nsd.pid"
  xfrdfile: "${dir}/xfrd.state"
  zonelistfile: "${dir}/zone.list"
  xfrdir: "${dir}"
  verbosity: 2
remote-control:
  control-enable: no
key:
  name: "${KEY.name}"
  algorithm: ${KEY.algorithm}
  secret: "${secret}"
${ZONES.map(
  (zone) => `
zone:
  name: "${zone}"
  zonefile: "${zone}.zone"
  allow-notify: 127.0.0.1 ${KEY.name}
  request-xfr: 127.0.0.1@${primary} ${KEY.name}`,
).join('')}
`,
    // The whole zone has more than a thousand.
    incremental: /zone home\.arpa\. received update .* of \d{3} bytes/,
  },
  Knot: {
    command: (file) => ['/usr/sbin/knotd', ['-c', file]],
    config: ({ dir, port, primary }) => `
server:
  rundir: "${dir}"
  listen: 127.0.0.1@${port}
  tcp-workers: 1
  udp-workers: 1
  background-workers: 1
database:
  storage: "${dir}"
log:
  - target: stdout
    any: info
key:
  - id: ${KEY.name}
    algorithm: ${KEY.algorithm}
    secret: ${secret}
remote:
  - id: gateway
    address: 127.0.0.1@${primary}
    key: ${KEY.name}
acl:
  - id: from-gateway
    address: 127.0.0.1
    key: ${KEY.name}
    action: notify
template:
  - id: default
    storage: "${dir}"
    master: gateway
    acl: from-gateway
zone:
${ZONES.map((zone) => `  - domain: ${zone}\n`).join('')}
`,
    incremental: /IXFR, incoming, .* finished/,
  },
}

describe.each(Object.entries(PEERS))('%s as a secondary', (name, peer) => {
  let zone: ChangingZone
  let child: ChildProcess
  let port: number
  let output = ''

  beforeAll(async () => {
    port = await freePort()
    const secondary: Secondary = { address: '127.0.0.1', port, key: KEY.name }
    zone = await ChangingZone.open({ secondaries: [secondary] })
    await zone.add(
      'www.home.arpa 300 CNAME nas.home.arpa.',
      '*.apps.home.arpa 300 A 192.168.1.51',
      'home.arpa 300 MX 10 nas.home.arpa.',
      'lab.home.arpa 300 NS ns.lab.home.arpa.',
      'ns.lab.home.arpa 300 A 192.168.1.77',
      '_http._tcp.web.home.arpa 300 SRV 0 0 80 nas.home.arpa.',
      ...Array.from({ length: 60 }, (_, index) => `h${index}.home.arpa 300 A 192.168.2.${index}`),
      'nas.home.arpa 300 TXT "a \\"quoted\\" word" "\\195\\188"',
    )
    const dir = join(zone.dir, name)
    mkdirSync(dir)
    const file = join(dir, 'server.conf')
    writeFileSync(file, peer.config({ dir, port, primary: zone.server.port }))
    const [command, args] = peer.command(file)
    child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (chunk) => (output += chunk))
  })

  afterAll(async () => {
    child?.kill()
    if (child?.exitCode === null) await once(child, 'close')
    await zone?.close()
  })

  const QUESTIONS = [
    ['home.arpa', 'SOA'],
    ['home.arpa', 'NS'],
    ['home.arpa', 'MX'],
    ['nas.home.arpa', 'A'],
    ['nas.home.arpa', 'AAAA'],
    ['nas.home.arpa', 'TXT'],
    ['www.home.arpa', 'A'],
    ['x.apps.home.arpa', 'A'],
    ['host.lab.home.arpa', 'A'],
    ['_http._tcp.web.home.arpa', 'SRV'],
    ['tv.home.arpa', 'A'],
    ['b._dns-sd._udp.home.arpa', 'PTR'],
    ['20.1.168.192.in-addr.arpa', 'PTR'],
    ['60.1.168.192.in-addr.arpa', 'PTR'],
  ] as const

  /** What a server says to all of these, its referrals included. */
  async function answers(server: number) {
    const messages = QUESTIONS.map(([owner, type], id) =>
      encodeMessage(query(owner, type, { id, rd: false })),
    )
    const replies = (await askTcp(server, messages)).map(decodeMessage).sort((a, b) => a.id - b.id)
    return replies.map(({ rcode, aa, answers, authorities }) => ({
      rcode,
      aa,
      answers: answers.map(printRecord).sort(),
      // Beside an answer, name servers are a courtesy.
      authorities: answers.length > 0 ? [] : authorities.map(printRecord).sort(),
    }))
  }

  const isSame = async () => {
    if (child.exitCode !== null) throw new Error(`${name} ended:\n${output}`)
    const theirs = await answers(port).catch(() => null)
    return JSON.stringify(theirs) === JSON.stringify(await answers(zone.server.port))
  }

  test('loads the zones, and says the same', async () => {
    await waitFor(isSame, 20)
    expect(await answers(port)).toEqual(await answers(zone.server.port))
  })

  test('hears of each change, and fetches the difference', async () => {
    await zone.nsupdate(
      `update add tv.home.arpa 60 A 192.168.1.60
       update delete www.home.arpa`,
      '-y',
      KEY_TEXT,
    )
    await zone.nsupdate('update add 60.1.168.192.in-addr.arpa 60 PTR tv.home.arpa.', '-y', KEY_TEXT)
    await waitFor(isSame)
    await zone.add('tv.home.arpa 300 TXT "on the wall"')
    await zone.nsupdate('update delete tv.home.arpa A', '-y', KEY_TEXT)
    await waitFor(isSame)
    expect(await answers(port)).toEqual(await answers(zone.server.port))
    expect(output).toMatch(peer.incremental)
    expect(zone.log).toEqual([])
  })
})
