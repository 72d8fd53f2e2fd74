import { type Command, Option } from 'commander'
import { TSIG_ALGORITHMS } from '../../dns/tsig.ts'
import { type Cli, table } from '../cli.ts'
import type { ShownDnsKey } from '../dnsKeys.ts'

interface MadeKey {
  name: string
  algorithm: string
  update: boolean
  transfer: boolean
  secret: string
}

/** @param dns The command `hearth dns`. */
export function addDnsKeyCommands(dns: Command, cli: Cli): void {
  const key = dns.command('key').description('keys (TSIG) of programs that change or copy the zone')

  key
    .command('add')
    .description('make a key and print its secret, once')
    .argument('<name>', 'such as kea, or secondary.home.arpa')
    .option('--update', 'may change the zone by dynamic updates (RFC 2136)')
    .option('--transfer', 'may copy the zone (AXFR, IXFR)')
    .addOption(
      new Option('--algorithm <algorithm>', 'how it signs')
        .choices(TSIG_ALGORITHMS)
        .default(TSIG_ALGORITHMS[0]),
    )
    .action(async (name: string, options: { update?: true; transfer?: true; algorithm: string }) => {
      const made = await cli.call<MadeKey>('dns.key.add', {
        name,
        algorithm: options.algorithm,
        update: options.update ?? false,
        transfer: options.transfer ?? false,
      })
      cli.print(made, () => handOver(made))
    })

  key
    .command('list')
    .description('the keys, without their secrets')
    .action(async () => {
      const keys = await cli.call<ShownDnsKey[]>('dns.key.list')
      cli.print(keys, () =>
        table(
          ['NAME', 'ALGORITHM', 'MAY', 'ADDED'],
          keys.map(({ name, algorithm, added, ...rights }) => [name, algorithm, rightsOf(rights), added]),
        ),
      )
    })

  key
    .command('remove')
    .description('end a key: what is signed with it is refused from now on')
    .argument('<name>')
    .action(async (name: string) => {
      const removed = await cli.call<{ name: string }>('dns.key.remove', { name })
      cli.print(removed, `the key ${removed.name} was removed`)
    })
}

function rightsOf({ update, transfer }: { update: boolean; transfer: boolean }): string {
  return [update ? 'update' : [], transfer ? 'transfer' : []].flat().join(', ')
}

/** The key in the words of the programs that will use it. */
function handOver({ name, algorithm, secret, ...rights }: MadeKey): string {
  return `The key ${name} may ${rightsOf(rights).replace(', ', ' and ')}. Its secret is not shown again:

  ${algorithm}:${name}:${secret}

That is the form of dig -y, kdig -y and nsupdate -y. As a file for nsupdate -k (mode 600), and in named.conf:

  key "${name}" { algorithm ${algorithm}; secret "${secret}"; };

NSD (nsd.conf):

  key:
    name: "${name}"
    algorithm: ${algorithm}
    secret: "${secret}"

Knot (knot.conf):

  key:
    - id: ${name}
      algorithm: ${algorithm}
      secret: ${secret}`
}
