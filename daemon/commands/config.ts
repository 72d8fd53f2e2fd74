import type { Command } from 'commander'
import { type Cli, table } from '../cli.ts'

export function addConfigCommands(program: Command, cli: Cli): void {
  const config = program.command('config').description('the configuration')

  config
    .command('check')
    .description('check a configuration file')
    .argument('[file]')
    .action(async (named: string | undefined) => {
      const { file } = await cli.loadConfig(named)
      cli.print(
        { file, valid: true },
        file === null ? 'no configuration file; defaults are used' : `${file}: good`,
      )
    })

  config
    .command('show')
    .description('the effective configuration, and where each value comes from')
    .action(async () => {
      const { file, values } = await cli.loadConfig()
      cli.print({ file, values }, () =>
        table(
          ['KEY', 'VALUE', 'FROM'],
          values.map(({ key, value, source }) => [key, JSON.stringify(value), source]),
        ),
      )
    })
}
