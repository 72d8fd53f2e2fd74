import type { Command } from 'commander'
import { systemClock } from '../../base/clock.ts'
import type { Cli } from '../cli.ts'

export function addServeCommand(program: Command, cli: Cli): void {
  program
    .command('serve')
    .description('run the gateway')
    .action(async () => {
      const [{ config }, { startGateway }, { greeting }, { createLog }] = await Promise.all([
        cli.loadConfig(),
        import('../gateway.ts'),
        import('../greeting.ts'),
        import('../../base/log.ts'),
      ])
      const log = createLog(config.log.level)
      const stopped = stopSignal()
      const gateway = await startGateway(config, { clock: systemClock, log })
      const status = await gateway.status()
      cli.print(status, () => greeting(status, gateway.first))
      log.info({ pid: process.pid, listeners: status.listeners, dns: status.dns.port }, 'ready')
      const failed = gateway.failed.then((error) => {
        log.error({ err: error }, 'a part of the gateway ended by itself; stopping')
        cli.exitCode = 1
      })
      await Promise.race([stopped.then((signal) => log.info(`stopping on ${signal}`)), failed])
      await gateway.close()
      log.info('stopped')
    })
}

function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal))
  })
}
