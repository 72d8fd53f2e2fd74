import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { freePort } from '../../test/support/ports.ts'
import type { HomeDevice } from '../home.ts'
import type { Session } from '../session.ts'
import { type Peer, resolves, startPeer, written } from './server.ts'
import { unboundServer } from './unbound.ts'

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
${unboundServer(port, cwd)}  interface: 127.0.0.1@${tlsPort}
  interface: 127.0.0.1@${httpsPort}
  tls-port: ${tlsPort}
  https-port: ${httpsPort}
  tls-service-key: "${cwd}/key.pem"
  tls-service-pem: "${cwd}/certificate.pem"
  incoming-num-tcp: 100
  local-zone: "home.arpa." static
${devices.map(({ name, address }) => `  local-data: "${name}. IN A ${address}"`).join('\n')}
`
  const peer = await startPeer(session, {
    name: 'unbound',
    command: 'unbound',
    cwd,
    args: (port) => ['-d', '-c', written(cwd, 'unbound.conf', config(port))],
    ready: resolves(devices[0]!),
  })
  return peer === null ? null : { ...peer, tlsPort, httpsPort }
}
