import type { Command } from 'commander'
import type { ClockState } from '../../ca/clockGuard.ts'
import type { Cli } from '../cli.ts'

export function addClockCommands(program: Command, cli: Cli): void {
  program
    .command('clock')
    .description("the gateway's clock")
    .command('accept')
    .description('the clock is right as it is now: issue certificates again')
    .action(async () => {
      const result = await cli.call<{ clock: ClockState }>('clock.accept')
      cli.print(
        result,
        result.clock.trusted ? 'the clock is believed' : `still in doubt: ${result.clock.reason}`,
      )
    })
}
