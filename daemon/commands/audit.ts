import { type Command, InvalidArgumentError } from 'commander'
import { DAY, HOUR, MINUTE } from '../../base/clock.ts'
import { type Cli, table } from '../cli.ts'

interface AuditRow {
  at: string
  actor: string
  action: string
  subject: string
  outcome: string
  detail: string
}

export function addAuditCommand(program: Command, cli: Cli): void {
  program
    .command('audit')
    .description('what was done and refused')
    .option(
      '--since <time>',
      'a date (2026-11-24, 2026-11-24T08:00:00Z) or an age (90m, 24h, 7d)',
      readTime,
      0,
    )
    .action(async ({ since }: { since: number }) => {
      const rows = await cli.call<AuditRow[]>('audit', { since })
      cli.print(rows, () =>
        table(
          ['TIME', 'WHO', 'WHAT', 'OUTCOME', 'SUBJECT', 'DETAIL'],
          rows.map(({ at, actor, action, outcome, subject, detail }) => [
            at,
            actor,
            action,
            outcome,
            subject,
            detail,
          ]),
        ),
      )
    })
}

const UNITS: Record<string, number> = { m: MINUTE, h: HOUR, d: DAY }

/** A date, or how long ago, as milliseconds since 1970. */
export function readTime(text: string): number {
  const age = /^(\d{1,6})([mhd])$/.exec(text)
  const time = age === null ? Date.parse(text) : Date.now() - Number(age[1]) * UNITS[age[2]!]!
  if (Number.isNaN(time))
    throw new InvalidArgumentError('write a date such as 2026-11-24, or an age such as 24h')
  return Math.max(0, Math.floor(time))
}
