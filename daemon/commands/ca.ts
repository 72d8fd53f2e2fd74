import { type Command, Option } from 'commander'
import { fingerprintWords } from '../../admin-ui/onboarding/fingerprint.ts'
import { mobileconfig } from '../../admin-ui/onboarding/mobileconfig.ts'
import { type Cli, grouped, table } from '../cli.ts'
import type { StatusReport } from '../status.ts'

interface Authority {
  id: string
  kind: string
  current: boolean
  sha256: string
  notBefore: string
  notAfter: string
}

export function addCaCommands(program: Command, cli: Cli): void {
  const ca = program.command('ca').description('root and issuers')

  ca.command('show')
    .description('the hierarchy')
    .action(async () => {
      const all = await cli.call<Authority[]>('ca.show')
      cli.print(all, () =>
        table(
          ['KIND', 'ID', 'FROM', 'UNTIL', 'SHA-256'],
          all.map(({ kind, id, notBefore, notAfter, sha256, current }) => [
            current ? kind : `${kind} (old)`,
            id,
            notBefore,
            notAfter,
            sha256,
          ]),
        ),
      )
    })

  ca.command('fingerprint')
    .description("the root's SHA-256, to compare wherever the root is trusted")
    .action(async () => {
      const { sha256 } = await cli.call<{ sha256: string }>('ca.root')
      const words = fingerprintWords(sha256)
      cli.print({ sha256, words }, `${sha256}\n${grouped(sha256)}\n${words.join(' ')}`)
    })

  ca.command('root')
    .description('the root certificate, to standard output')
    .addOption(new Option('--format <format>').choices(['pem', 'der', 'mobileconfig']).default('pem'))
    .action(async ({ format }: { format: 'pem' | 'der' | 'mobileconfig' }) => {
      const root = await cli.call<{ pem: string; der: string; sha256: string }>('ca.root')
      if (cli.json) return cli.print(root, '')
      const der = Buffer.from(root.der, 'base64')
      if (format === 'pem') return cli.write(root.pem)
      if (format === 'der') return cli.write(der)
      const { domain, root: described } = await cli.call<StatusReport>('status')
      cli.write(mobileconfig({ domain, subject: described.subject, der, sha256: root.sha256 }))
    })
}
