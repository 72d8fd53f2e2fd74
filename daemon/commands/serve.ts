import type { Command } from 'commander'
import { fingerprintWords } from '../../admin-ui/onboarding/fingerprint.ts'
import { systemClock } from '../../base/clock.ts'
import { type Cli, facts, grouped } from '../cli.ts'
import type { StatusReport } from '../status.ts'

export function addServeCommand(program: Command, cli: Cli): void {
  program
    .command('serve')
    .description('run the gateway')
    .action(async () => {
      const [{ config }, { startGateway }, { createLog }] = await Promise.all([
        cli.loadConfig(),
        import('../gateway.ts'),
        import('../../base/log.ts'),
      ])
      const log = createLog(config.log.level)
      const stopped = stopSignal()
      const gateway = await startGateway(config, { clock: systemClock, log })
      const status = await gateway.status()
      cli.print(status, () => greeting(status, gateway.first, config.listen.https.port < 1024))
      log.info({ pid: process.pid, listeners: status.listeners, dns: status.dns.port }, 'ready')
      log.info(`stopping on ${await stopped}`)
      await gateway.close()
      log.info('stopped')
    })
}

function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal))
  })
}

/** What a person sees: where everything is, and the next thing to do, ready to copy. */
function greeting(status: StatusReport, first: boolean, packaged: boolean): string {
  const { gateway, listeners, root, dns, domain } = status
  const address = gateway.addresses[0] ?? '127.0.0.1'
  const hearth = packaged ? 'hearth' : 'bin/hearth'
  const httpPort = new URL(listeners.http).port || '80'
  const rules = `MAP *.${domain} ${address.includes(':') ? `[${address}]` : address}`
  return `
Hearth ${status.version} is running.${first ? ' This was its first start: it made the root certificate of this home.' : ''}

${facts([
  ['  Console', `${listeners.https}/`],
  ['  Trust this home', `${listeners.http}/   (or, by address: http://${hostOf(address)}:${httpPort}/)`],
  ['  Enrollment (EST)', listeners.est],
  ['  DNS', `${dns.addresses.map(hostOf).join(', ')} port ${dns.port}, for ${domain}`],
  ['  State', status.dataDir],
])}

  Fingerprint of the root (SHA-256); compare it wherever you trust the root:
    ${grouped(root.sha256.slice(0, 32))}
    ${grouped(root.sha256.slice(32))}
    ${fingerprintWords(root.sha256).join(' ')}

Next, in another terminal:

  1. Add a device, and enroll it (here: on this machine, into ./printer)
       ${hearth} device add printer --address ${address}
       ${hearth} enroll --gateway https://${hostOf(address)}:${new URL(listeners.est).port || '443'} \\
         --fingerprint ${root.sha256} \\
         --token ID:TOKEN --out ./printer

  2. See its name
       dig @${dns.addresses[0]} -p ${dns.port} printer.${domain} +short

  3. Trust the root in Chromium, and open a page of this home
       ${hearth} ca root > root.pem
       mkdir -p ~/.pki/nssdb && certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n "${root.subject}" -i root.pem
       chromium --host-resolver-rules="${rules}" ${listeners.https}/

Stop with Ctrl-C.`
}

function hostOf(address: string): string {
  return address.includes(':') ? `[${address}]` : address
}
