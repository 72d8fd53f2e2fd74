import { mkdirSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import type { HomeDevice } from '../home.ts'
import type { Session } from '../session.ts'
import { type Peer, resolves, startPeer, written } from './server.ts'
import { unboundServer } from './unbound.ts'

/** Knot, unbound and dnsmasq, those that are installed, each answering A for the devices of a home. */
export async function startNameServers(session: Session, devices: readonly HomeDevice[]): Promise<Peer[]> {
  const peers: Peer[] = []
  for (const start of [startKnot, startUnbound, startDnsmasq]) {
    const peer = await start(session, devices)
    if (peer !== null) peers.push(peer)
  }
  return peers
}

function startKnot(session: Session, devices: readonly HomeDevice[]): Promise<Peer | null> {
  const cwd = session.directory()
  for (const directory of ['run', 'database']) mkdirSync(join(cwd, directory))
  const records = devices.map(({ name, address }) => `${name}. A ${address}`)
  const zone = [
    '$TTL 300',
    'home.arpa. SOA ns.home.arpa. hostmaster.home.arpa. 1 300 300 300 300',
    'home.arpa. NS ns.home.arpa.',
    'ns.home.arpa. A 127.0.0.1',
    ...records,
  ]
  writeFileSync(join(cwd, 'home.arpa.zone'), `${zone.join('\n')}\n`)
  const config = (port: number) => `
server:
  listen: 127.0.0.1@${port}
  rundir: ${cwd}/run
  udp-workers: 2
database:
  storage: ${cwd}/database
zone:
  - domain: home.arpa
    storage: ${cwd}
    file: home.arpa.zone
`
  return startPeer(session, {
    name: 'Knot',
    command: 'knotd',
    cwd,
    args: (port) => ['-c', written(cwd, 'knot.conf', config(port))],
    ready: resolves(devices[0]!),
  })
}

function startUnbound(session: Session, devices: readonly HomeDevice[]): Promise<Peer | null> {
  const cwd = session.directory()
  const config = (port: number) => `
${unboundServer(port, cwd)}  local-zone: "home.arpa." static
${devices.map(({ name, address }) => `  local-data: "${name}. IN A ${address}"`).join('\n')}
`
  return startPeer(session, {
    name: 'unbound',
    command: 'unbound',
    cwd,
    args: (port) => ['-d', '-c', written(cwd, 'unbound.conf', config(port))],
    ready: resolves(devices[0]!),
  })
}

function startDnsmasq(session: Session, devices: readonly HomeDevice[]): Promise<Peer | null> {
  const cwd = session.directory()
  const config = (port: number) => `
no-resolv
no-hosts
port=${port}
listen-address=127.0.0.1
bind-interfaces
user=${userInfo().username}
pid-file=${cwd}/dnsmasq.pid
${devices.map(({ name, address }) => `host-record=${name},${address}`).join('\n')}
`
  return startPeer(session, {
    name: 'dnsmasq',
    command: 'dnsmasq',
    cwd,
    args: (port) => ['-k', '-C', written(cwd, 'dnsmasq.conf', config(port))],
    ready: resolves(devices[0]!),
  })
}
