import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import type { CertificateFacts } from '../../agent/facts.ts'
import { rfc3339, systemClock } from '../../base/clock.ts'
import { HearthError } from '../../base/errors.ts'
import type { Cli } from '../cli.ts'

class EnrollUsageError extends HearthError<'INPUT_MISSING'> {}

interface EnrollFlags {
  gateway?: string
  fingerprint?: string
  qr?: string
  token?: string
  name?: string
  out: string
}

/**
 * The device's side: these two run on devices, without a gateway and without its configuration.
 *
 * They tell a person how it goes on standard error; a result on standard output is for `--json`.
 */
export function addAgentCommands(program: Command, cli: Cli): void {
  program
    .command('enroll')
    .description('on a device: get its first certificate from a gateway')
    .option('--gateway <url>', 'such as https://gateway.home.arpa:9443')
    .option('--fingerprint <hex>', "SHA-256 of the home's root")
    .option('--qr <text>', 'gateway, fingerprint and token in one, as a QR code of the gateway holds them')
    .option(
      '--token <id:token>',
      'the credential; "-" reads it from standard input, and HEARTH_TOKEN may hold it',
    )
    .option('--name <name>', 'a name that the certificate must carry')
    .requiredOption('--out <dir>', 'where key and certificate go')
    .action(async (flags: EnrollFlags) => {
      const { name, out } = flags
      const { gateway, fingerprint, token } = await whatToUse(flags)
      hideArguments('hearth enroll')
      const { enroll } = await import('../../agent/enroll.ts')
      const certificate = await enroll({
        gateway,
        fingerprint,
        token,
        out,
        clock: systemClock,
        log: (line) => cli.note(line),
        signal: stopSignal(),
        ...(name === undefined ? {} : { name }),
      })
      if (cli.json) cli.print(describe(certificate), '')
    })

  program
    .command('renew')
    .description('on a device: renew its certificate when it is time')
    .requiredOption('--out <dir>', 'the directory of the enrolment')
    .option('--hook <command>', 'run after a renewal, such as "systemctl reload nginx"')
    .option('--force', 'renew now')
    .option('--watch', 'stay, and renew on time')
    .action(
      async ({
        out,
        hook,
        force,
        watch: stay,
      }: {
        out: string
        hook?: string
        force?: boolean
        watch?: boolean
      }) => {
        const options = {
          out,
          clock: systemClock,
          log: (line: string) => cli.note(line),
          ...(hook === undefined ? {} : { hook }),
        }
        if (stay === true) {
          const { watch } = await import('../../agent/watch.ts')
          return watch({ ...options, signal: stopSignal() })
        }
        const { renew } = await import('../../agent/renew.ts')
        const { renewed, certificate } = await renew({ ...options, force: force === true })
        if (cli.json) cli.print({ renewed, ...describe(certificate) }, '')
      },
    )
}

async function whatToUse(
  flags: EnrollFlags,
): Promise<{ gateway: string; fingerprint: string; token: string }> {
  if (flags.qr !== undefined) {
    const { parseQr } = await import('../../agent/qr.ts')
    return parseQr(flags.qr)
  }
  const missing = (what: string, example: string) =>
    new EnrollUsageError('INPUT_MISSING', `${what} is missing. Give ${example}, as the gateway printed it`)
  if (flags.gateway === undefined) throw missing("the gateway's address", '--gateway https://HOST:PORT')
  if (flags.fingerprint === undefined) throw missing("the root's fingerprint", '--fingerprint HEX')
  const token =
    flags.token === '-' ? readFileSync(0, 'utf8').trim() : (flags.token ?? process.env.HEARTH_TOKEN)
  if (token === undefined || token === '')
    throw missing('the credential', '--token ID:TOKEN, or HEARTH_TOKEN')
  return { gateway: flags.gateway, fingerprint: flags.fingerprint, token }
}

/** The process list shows arguments to everyone on the machine: from here on it shows no token. */
function hideArguments(title: string): void {
  process.title = title
}

function stopSignal(): AbortSignal {
  const controller = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => controller.abort())
  return controller.signal
}

function describe({ names, addresses, serial, notAfter, renewAt }: CertificateFacts) {
  return { names, addresses, serial, notAfter: rfc3339(notAfter), renewAt: rfc3339(renewAt) }
}
