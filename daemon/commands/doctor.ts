import type { Command } from 'commander'
import { type Cli, table } from '../cli.ts'
import type { StatusReport } from '../status.ts'

export function addDoctorCommand(program: Command, cli: Cli): void {
  program
    .command('doctor')
    .description('look at the running gateway from outside: DNS, chain, OCSP, CRL, clock, disk')
    .action(async () => {
      const status = await cli.call<StatusReport>('status')
      const root = await cli.call<{ der: string }>('ca.root')
      const { examine } = await import('../doctor.ts')
      const findings = await examine(status, { der: Buffer.from(root.der, 'base64') })
      const sound = findings.every(({ ok }) => ok)
      cli.print({ sound, findings }, () =>
        table(
          ['CHECK', '', 'DETAIL'],
          findings.map(({ check, ok, detail }) => [check, ok ? 'good' : 'BAD', detail]),
        ),
      )
      if (!sound) cli.exitCode = 1
    })
}
