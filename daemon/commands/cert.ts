import { type Command, Option } from 'commander'
import { REVOCATION_REASONS } from '../../ca/reasons.ts'
import { type Cli, facts, table } from '../cli.ts'

export interface Certificate {
  serial: string
  names: string[]
  addresses: string[]
  device: string
  profile: string
  notBefore: string
  notAfter: string
  status: string
  reason?: string
}

export function addCertCommands(program: Command, cli: Cli): void {
  const cert = program.command('cert').description('certificates of devices')

  cert
    .command('list')
    .description('all certificates, newest first')
    .action(async () => {
      const certificates = await cli.call<Certificate[]>('cert.list')
      cli.print(certificates, () => certificateTable(certificates))
    })

  cert
    .command('show')
    .description('one certificate')
    .argument('<serial>')
    .action(async (serial: string) => {
      const shown = await cli.call<
        Certificate & { sha256: string; requestedBy: string; issuedAt: string; pem: string }
      >('cert.show', { serial })
      cli.print(
        shown,
        () =>
          `${facts([
            ['Serial', shown.serial],
            ['Names', shown.names.join(', ') || 'none'],
            ['Addresses', shown.addresses.join(', ') || 'none'],
            ['Device', shown.device],
            ['Profile', shown.profile],
            ['Valid', `${shown.notBefore} to ${shown.notAfter}`],
            ['Status', shown.reason === undefined ? shown.status : `${shown.status} (${shown.reason})`],
            ['Issued', `${shown.issuedAt}, asked for by ${shown.requestedBy}`],
            ['SHA-256', shown.sha256],
          ])}\n\n${shown.pem}`,
      )
    })

  cert
    .command('revoke')
    .description('revoke one certificate, or all of a name; OCSP and CRL say so at once')
    .argument('<which>', 'a serial, or a name')
    .addOption(
      new Option('--reason <reason>').choices(Object.keys(REVOCATION_REASONS)).default('unspecified'),
    )
    .action(async (which: string, { reason }: { reason: string }) => {
      const result = await cli.call<{ revoked: string[] }>('cert.revoke', { which, reason })
      cli.print(result, `revoked: ${result.revoked.join(', ')}`)
    })
}

export function certificateTable(certificates: readonly Certificate[]): string {
  return table(
    ['SERIAL', 'NAMES', 'STATUS', 'UNTIL', 'PROFILE'],
    certificates.map(({ serial, names, addresses, status, notAfter, profile }) => [
      serial,
      names.join(', ') || addresses.join(', '),
      status,
      notAfter,
      profile,
    ]),
  )
}
