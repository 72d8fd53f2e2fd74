import { execFileSync } from 'node:child_process'
import { Resolver } from 'node:dns/promises'
import { join } from 'node:path'
import { freePort } from '../../test/support/ports.ts'
import type { HomeDevice } from '../home.ts'
import type { Session } from '../session.ts'
import { type Peer, startPeer, written } from './server.ts'

/** unbound that answers A for the devices of a home over TLS and HTTPS too. */
export async function startEncryptedUnbound(
  session: Session,
  devices: readonly HomeDevice[],
): Promise<(Peer & { tlsPort: number; httpsPort: number }) | null> {
  const cwd = session.directory()
  const [tlsPort, httpsPort] = [await freePort(), await freePort()]
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
      ...['-subj', '/CN=localhost', '-keyout', join(cwd, 'key.pem'), '-out', join(cwd, 'certificate.pem')],
    ],
    { stdio: 'ignore' },
  )
  const config = (port: number) => `
server:
  port: ${port}
  interface: 127.0.0.1
  interface: 127.0.0.1@${tlsPort}
  interface: 127.0.0.1@${httpsPort}
  tls-port: ${tlsPort}
  https-port: ${httpsPort}
  tls-service-key: "${cwd}/key.pem"
  tls-service-pem: "${cwd}/certificate.pem"
  num-threads: 2
  so-reuseport: yes
  chroot: ""
  directory: "${cwd}"
  username: ""
  pidfile: "${cwd}/unbound.pid"
  use-syslog: no
  do-daemonize: no
  incoming-num-tcp: 100
  local-zone: "home.arpa." static
${devices.map(({ name, address }) => `  local-data: "${name}. IN A ${address}"`).join('\n')}
`
  const peer = await startPeer(session, {
    name: 'unbound',
    command: 'unbound',
    cwd,
    args: (port) => ['-d', '-c', written(cwd, 'unbound.conf', config(port))],
    ready: async (port) => {
      const resolver = new Resolver({ timeout: 200, tries: 1 })
      resolver.setServers([`127.0.0.1:${port}`])
      return resolver.resolve4(devices[0]!.name).then(
        () => true,
        () => false,
      )
    },
  })
  return peer === null ? null : { ...peer, tlsPort, httpsPort }
}
