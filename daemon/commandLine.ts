import { Command, CommanderError } from 'commander'
import { HearthError, reasonOf } from '../base/errors.ts'
import { Cli } from './cli.ts'
import { addAgentCommands } from './commands/agent.ts'
import { addAuditCommand } from './commands/audit.ts'
import { addCaCommands } from './commands/ca.ts'
import { addCertCommands } from './commands/cert.ts'
import { addClockCommands } from './commands/clock.ts'
import { addConfigCommands } from './commands/config.ts'
import { addDeviceCommands } from './commands/device.ts'
import { addDnsCommands } from './commands/dns.ts'
import { addDoctorCommand } from './commands/doctor.ts'
import { addServeCommand } from './commands/serve.ts'
import { addServiceCommands } from './commands/service.ts'
import { addStatusCommand } from './commands/status.ts'
import { VERSION } from './version.ts'

/** Exit codes that scripts may rely on. */
const EXIT = { done: 0, refused: 1, usage: 2 } as const

/** Runs one command and returns its exit code: 0 done, 1 refused or failed, 2 bad usage. */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  const program = new Command('hearth')
    .description("A home's own CA, DNS and device enrollment")
    .version(VERSION)
    .option(
      '--config <file>',
      'configuration file (else $HEARTH_CONFIG, /etc/hearth/hearth.yaml, ./hearth.yaml)',
    )
    .option('--json', 'print one JSON value on standard output')
    .exitOverride()
    .showHelpAfterError('(hearth --help shows the commands)')
  const cli = new Cli(() => program.opts<{ config?: string; json?: boolean }>())
  for (const add of [
    addServeCommand,
    addStatusCommand,
    addDoctorCommand,
    addCaCommands,
    addDeviceCommands,
    addServiceCommands,
    addCertCommands,
    addDnsCommands,
    addConfigCommands,
    addClockCommands,
    addAuditCommand,
    addAgentCommands,
  ]) {
    add(program, cli)
  }
  try {
    await program.parseAsync(argv)
    return cli.exitCode
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT.done
      if (argv.includes('--json'))
        cli.write(`${JSON.stringify({ error: { code: 'USAGE', message: error.message } }, null, 2)}\n`)
      return EXIT.usage
    }
    if ((error as Error).name === 'AbortError') {
      cli.printFailure('STOPPED', 'stopped before it was done')
      return EXIT.refused
    }
    const code = error instanceof HearthError ? error.code : 'INTERNAL'
    const message = error instanceof HearthError ? error.message : `something went wrong: ${reasonOf(error)}`
    cli.printFailure(code, message)
    return EXIT.refused
  }
}
