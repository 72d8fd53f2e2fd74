import type { Command } from 'commander'
import { type Cli, facts, grouped } from '../cli.ts'
import type { StatusReport } from '../status.ts'

export function addStatusCommand(program: Command, cli: Cli): void {
  program
    .command('status')
    .description('how the running gateway is')
    .action(async () => {
      const status = await cli.call<StatusReport>('status')
      cli.print(status, () => describe(status))
    })
}

function describe(status: StatusReport): string {
  const { certificates, devices, dns } = status
  const upstreams = dns.health.map(({ upstream, zone, state, srtt }) => {
    const how = state === 'healthy' ? `${srtt} ms` : state
    return `${upstream} (${zone === null ? '' : `${zone}, `}${how})`
  })
  return facts([
    ['Version', `${status.version}, process ${status.pid}, since ${status.startedAt}`],
    ['Domain', status.domain],
    ['Gateway', `${status.gateway.name} (${status.gateway.addresses.join(', ')})`],
    ['Console', status.listeners.https],
    ['Onboarding', status.listeners.http],
    ['Enrollment', status.listeners.est],
    [
      'DNS',
      `${dns.addresses.join(', ')} port ${dns.port}; ${dns.names} names; upstreams: ${upstreams.join(', ') || 'none'}`,
    ],
    ['DNS over TLS', dns.dotPort === null ? 'off' : `port ${dns.dotPort}`],
    ['DNS over HTTPS', dns.doh],
    ['Root', `${status.root.subject}, until ${status.root.notAfter}`],
    ['Fingerprint', grouped(status.root.sha256)],
    ['Issuer', `${status.issuer.id}, until ${status.issuer.notAfter}`],
    ['Devices', `${devices.active} active, ${devices.suspended} suspended`],
    [
      'Certificates',
      `${certificates.valid} valid, ${certificates.expiringSoon} of them due; ${certificates.revoked} revoked`,
    ],
    ['Clock', status.clock.trusted ? 'believed' : `in doubt: ${status.clock.reason}`],
    ['State', status.dataDir],
  ])
}
