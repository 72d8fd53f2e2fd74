import type { GatewayStatus } from '../admin-ui/status/findings.ts'
import { DAY, rfc3339 } from '../base/clock.ts'
import type { ClockState } from '../ca/clockGuard.ts'
import type { Hierarchy } from '../ca/hierarchy.ts'
import type { Issuer } from '../ca/issuer.ts'
import type { UpstreamHealth } from '../dns/upstream/peer.ts'
import { countDeviceCertificates } from '../store/certificates.ts'
import type { Store } from '../store/database.ts'
import { listDevices } from '../store/devices.ts'
import { readCertificate } from '../x509/certificate.ts'
import { readCommonNames } from '../x509/name.ts'
import { sha256 } from '../x509/spki.ts'
import type { Config } from './config.ts'
import type { GatewayCertificate } from './gatewayIdentity.ts'
import { VERSION } from './version.ts'

/** What `hearth status --json` prints and `hearth doctor` checks from outside. Times are RFC 3339. */
export interface StatusReport {
  version: string
  pid: number
  startedAt: string
  dataDir: string
  domain: string
  gateway: { name: string; addresses: string[] }
  root: { subject: string; sha256: string; notAfter: string }
  issuer: { id: string; notAfter: string; baseUrl: string }
  certificate: { serial: string; notAfter: string }
  clock: { trusted: boolean; reason?: string }
  devices: { active: number; suspended: number }
  certificates: { valid: number; revoked: number; expiringSoon: number }
  dns: {
    addresses: string[]
    port: number
    dotPort: number | null
    /** URL of DNS over HTTPS. */
    doh: string
    names: number
    upstreams: string[]
    health: UpstreamHealth[]
  }
  listeners: Origins
}

interface Origins {
  http: string
  https: string
  est: string
}

/** What the page shows, and beyond that what only commands on this machine may see. */
export interface Gathered extends GatewayStatus {
  config: Config
  hierarchy: Hierarchy
  gatewayAddresses: string[]
  origins: Origins
  dns: GatewayStatus['dns'] & Pick<StatusReport['dns'], 'dotPort' | 'health'>
}

/** Gathers how the gateway is at this moment. */
export async function gatherStatus(sources: {
  config: Config
  startedAt: number
  now: number
  store: Store
  clock: ClockState
  hierarchy: Hierarchy
  certificate: GatewayCertificate
  dns: { port: number; dotPort: number | null; upstreams: string[]; health: UpstreamHealth[] }
  listeners: Origins
}): Promise<Gathered> {
  const { config, hierarchy, store, now, certificate, listeners } = sources
  const { root, current } = hierarchy
  const all = await listDevices(store.db)
  const inState = (state: string) =>
    all.filter((device) => device.kind === 'device' && device.state === state).length
  return {
    config,
    hierarchy,
    gatewayAddresses: all.find((device) => device.kind === 'gateway')?.addresses ?? [],
    origins: listeners,
    version: VERSION,
    now,
    startedAt: sources.startedAt,
    domain: config.domain,
    root: { subject: subjectOf(root), sha256: fingerprint(root), notAfter: root.notAfter },
    issuer: { subject: subjectOf(current), notAfter: current.notAfter },
    gatewayCertificate: { serial: certificate.serial, notAfter: certificate.notAfter },
    clock: sources.clock,
    devices: { active: inState('active'), suspended: inState('suspended') },
    certificates: await countDeviceCertificates(store.db, now, now + DAY),
    dns: {
      ...sources.dns,
      failing: sources.dns.health
        .filter(({ zone, state }) => zone === null && state === 'failing')
        .map(({ upstream }) => upstream),
      names: all.filter((device) => device.state === 'active').flatMap((device) => device.names).length,
    },
    listeners: Object.entries(listeners).map(([name, url]) => ({ name, url })),
  }
}

/** The same for commands. */
export function statusReport(gathered: Gathered): StatusReport {
  const { config, hierarchy, root, gatewayCertificate, dns } = gathered
  const { current } = hierarchy
  return {
    version: gathered.version,
    pid: process.pid,
    startedAt: rfc3339(gathered.startedAt),
    dataDir: config.dataDir,
    domain: gathered.domain,
    gateway: { name: config.gateway.name, addresses: gathered.gatewayAddresses },
    root: { ...root, notAfter: rfc3339(root.notAfter) },
    issuer: { id: current.id, notAfter: rfc3339(current.notAfter), baseUrl: current.baseUrl },
    certificate: { serial: gatewayCertificate.serial, notAfter: rfc3339(gatewayCertificate.notAfter) },
    clock: gathered.clock,
    devices: gathered.devices,
    certificates: gathered.certificates,
    dns: {
      addresses: config.listen.dns.addresses,
      port: dns.port,
      dotPort: dns.dotPort,
      doh: `${gathered.origins.https}/dns-query`,
      names: dns.names,
      upstreams: dns.upstreams,
      health: dns.health,
    },
    listeners: gathered.origins,
  }
}

export function subjectOf(issuer: Issuer): string {
  return readCommonNames(readCertificate(issuer.certificate).subject)[0] ?? ''
}

/** SHA-256 in upper-case hexadecimal, as fingerprints are shown everywhere. */
export function fingerprint({ certificate }: { certificate: Buffer }): string {
  return sha256(certificate).toString('hex').toUpperCase()
}
