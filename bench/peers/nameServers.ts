import { Resolver } from 'node:dns/promises'
import { mkdirSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import type { HomeDevice } from '../home.ts'
import type { Session } from '../session.ts'
import { type Peer, startPeer, written } from './server.ts'

/** Knot, unbound and dnsmasq, those that are installed, each answering A for the devices of a home. */
export async function startNameServers(session: Session, devices: readonly HomeDevice[]): Promise<Peer[]> {
  const peers: Peer[] = []
  for (const start of [startKnot, startUnbound, startDnsmasq]) {
    const peer = await start(session, devices)
    if (peer !== null) peers.push(peer)
  }
  return peers
}

const answers = (device: HomeDevice) => async (port: number) => {
  const resolver = new Resolver({ timeout: 200, tries: 1 })
  resolver.setServers([`127.0.0.1:${port}`])
  try {
    return (await resolver.resolve4(device.name)).includes(device.address)
  } catch {
    return false
  }
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
    ready: answers(devices[0]!),
  })
}

function startUnbound(session: Session, devices: readonly HomeDevice[]): Promise<Peer | null> {
  const cwd = session.directory()
  const config = (port: number) => `
server:
  port: ${port}
  interface: 127.0.0.1
  num-threads: 2
  so-reuseport: yes
  chroot: ""
  directory: "${cwd}"
  username: ""
  pidfile: "${cwd}/unbound.pid"
  use-syslog: no
  do-daemonize: no
  local-zone: "home.arpa." static
${devices.map(({ name, address }) => `  local-data: "${name}. IN A ${address}"`).join('\n')}
`
  return startPeer(session, {
    name: 'unbound',
    command: 'unbound',
    cwd,
    args: (port) => ['-d', '-c', written(cwd, 'unbound.conf', config(port))],
    ready: answers(devices[0]!),
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
    ready: answers(devices[0]!),
  })
}
