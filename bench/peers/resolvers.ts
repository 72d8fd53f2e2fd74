import { Resolver } from 'node:dns/promises'
import { userInfo } from 'node:os'
import type { Session } from '../session.ts'
import { type Peer, startPeer, written } from './server.ts'

/** The one address that every name below example.com has. */
const ADDRESS = '192.0.2.1'

const answers = async (port: number): Promise<boolean> => {
  const resolver = new Resolver({ timeout: 200, tries: 1 })
  resolver.setServers([`127.0.0.1:${port}`])
  try {
    return (await resolver.resolve4('ready.example.com')).includes(ADDRESS)
  } catch {
    return false
  }
}

const UNBOUND = (port: number, cwd: string) => `
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
  module-config: "iterator"
  do-not-query-localhost: no
`

/** An unbound that knows every name below example.com, for the others to forward to. */
export function startUpstream(session: Session): Promise<Peer | null> {
  const cwd = session.directory()
  const config = (port: number) =>
    `${UNBOUND(port, cwd)}  local-zone: "example.com." redirect\n  local-data: "example.com. 3600 IN A ${ADDRESS}"\n`
  return startPeer(session, {
    name: 'upstream',
    command: 'unbound',
    cwd,
    args: (port) => ['-d', '-c', written(cwd, 'unbound.conf', config(port))],
    ready: answers,
  })
}

/** unbound and dnsmasq, those that are installed, forwarding to an upstream and keeping what it says. */
export async function startResolvers(session: Session, upstream: number): Promise<Peer[]> {
  const peers: Peer[] = []
  for (const start of [startUnbound, startDnsmasq]) {
    const peer = await start(session, upstream)
    if (peer !== null) peers.push(peer)
  }
  return peers
}

function startUnbound(session: Session, upstream: number): Promise<Peer | null> {
  const cwd = session.directory()
  const config = (port: number) => `${UNBOUND(port, cwd)}  msg-cache-size: 64m
  rrset-cache-size: 64m
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@${upstream}
`
  return startPeer(session, {
    name: 'unbound',
    command: 'unbound',
    cwd,
    args: (port) => ['-d', '-c', written(cwd, 'unbound.conf', config(port))],
    ready: answers,
  })
}

function startDnsmasq(session: Session, upstream: number): Promise<Peer | null> {
  const cwd = session.directory()
  const config = (port: number) => `
no-resolv
no-hosts
server=127.0.0.1#${upstream}
cache-size=150000
dns-forward-max=1000
port=${port}
listen-address=127.0.0.1
bind-interfaces
user=${userInfo().username}
pid-file=${cwd}/dnsmasq.pid
`
  return startPeer(session, {
    name: 'dnsmasq',
    command: 'dnsmasq',
    cwd,
    args: (port) => ['-k', '-C', written(cwd, 'dnsmasq.conf', config(port))],
    ready: answers,
  })
}
