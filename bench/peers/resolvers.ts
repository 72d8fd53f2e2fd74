import { userInfo } from 'node:os'
import type { Session } from '../session.ts'
import { type Peer, resolves, startPeer, written } from './server.ts'
import { unboundServer } from './unbound.ts'

/** The one address that every name below example.com has. */
const ADDRESS = '192.0.2.1'

const ready = resolves({ name: 'ready.example.com', address: ADDRESS })

const forwarding = (port: number, cwd: string) => `${unboundServer(port, cwd)}  module-config: "iterator"
  do-not-query-localhost: no
`

/** An unbound that knows every name below example.com, for the others to forward to. */
export function startUpstream(session: Session): Promise<Peer | null> {
  const cwd = session.directory()
  const config = (port: number) =>
    `${forwarding(port, cwd)}  local-zone: "example.com." redirect\n  local-data: "example.com. 3600 IN A ${ADDRESS}"\n`
  return startPeer(session, {
    name: 'upstream',
    command: 'unbound',
    cwd,
    args: (port) => ['-d', '-c', written(cwd, 'unbound.conf', config(port))],
    ready,
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
  const config = (port: number) => `${forwarding(port, cwd)}  msg-cache-size: 64m
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
    ready,
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
    ready,
  })
}
