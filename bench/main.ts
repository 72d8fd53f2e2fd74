import { parseArgs } from 'node:util'
import { measureDns } from './dns.ts'
import { measureDnsCache, measureDnsMemory } from './dnsCache.ts'
import { measureDnsScale } from './dnsScale.ts'
import { measureDnsStreams } from './dnsStreams.ts'
import { measureEnroll } from './enroll.ts'
import { measureFlood } from './flood.ts'
import { measureIssue } from './issue.ts'
import { machine } from './machine.ts'
import { type Figure, median } from './measure.ts'
import { measureMemory } from './memory.ts'
import { measureOcsp } from './ocsp.ts'
import { measureRevocation } from './revocation.ts'
import { Session } from './session.ts'
import { measureStart } from './start.ts'
import { table } from './table.ts'
import { measureWire } from './wire.ts'

const SUBJECTS: Record<string, (session: Session) => Promise<Figure[]>> = {
  start: measureStart,
  memory: measureMemory,
  issue: measureIssue,
  enroll: measureEnroll,
  ocsp: measureOcsp,
  revocation: measureRevocation,
  wire: measureWire,
  dns: measureDns,
  'dns-cache': measureDnsCache,
  'dns-streams': measureDnsStreams,
  'dns-scale': measureDnsScale,
  'dns-memory': measureDnsMemory,
  flood: measureFlood,
}

const USAGE = `Measures the gateway, beside other programs in the same run: see docs/performance.md.

  npm run bench -- [--only SUBJECT,...] [--rounds N] [--quick] [--json]

  --only     of: ${Object.keys(SUBJECTS).join(', ')}
  --rounds   how often each is measured; medians are shown (3)
  --quick    one short round: shows that it works, not how fast
  --json     an array of {name, value, unit, peer, peerValue, ratio}; an entry for each figure and peer
`

process.exitCode = await main()

/** 0 done, 1 a subject failed (the others are shown), 2 bad usage. */
async function main(): Promise<number> {
  const options = readArguments()
  if (options === null) {
    process.stderr.write(USAGE)
    return 2
  }
  const { json, quick, rounds, subjects } = options
  if (!json) process.stdout.write(`${machine()}\n`)
  const figures: Figure[] = []
  let failed = false
  for (const subject of subjects) {
    const session = new Session({ quick, rounds })
    const stop = (signal: NodeJS.Signals) => {
      session.note(`stopping on ${signal}`)
      session.close().finally(() => process.exit(1))
    }
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop)
    try {
      const measured = await SUBJECTS[subject]!(session)
      figures.push(...measured)
      if (!json) process.stdout.write(`\n${table(measured)}\n`)
    } catch (error) {
      failed = true
      session.note(`${subject} could not be measured: ${error instanceof Error ? error.stack : error}`)
    } finally {
      await session.close()
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, stop)
    }
  }
  if (json) process.stdout.write(`${JSON.stringify(figures.map(asEntry), null, 2)}\n`)
  return failed ? 1 : 0
}

interface Options {
  json: boolean
  quick: boolean
  rounds: number
  subjects: string[]
}

/** Null for a usage error, or where help is asked for. */
function readArguments(): Options | null {
  try {
    const { values } = parseArgs({
      options: {
        json: { type: 'boolean', default: false },
        quick: { type: 'boolean', default: false },
        only: { type: 'string', default: Object.keys(SUBJECTS).join() },
        rounds: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    })
    const subjects = values.only.split(',')
    const rounds = Number(values.rounds ?? (values.quick ? 1 : 3))
    const known = subjects.every((subject) => Object.hasOwn(SUBJECTS, subject))
    if (values.help || !known || !Number.isInteger(rounds) || rounds < 1 || rounds > 20) return null
    return { json: values.json, quick: values.quick, rounds, subjects }
  } catch {
    return null
  }
}

/** The entry of a figure in `--json`; `ratio` is ours divided by the peer's. */
function asEntry({ name, unit, values, peer, peerValues }: Figure) {
  const value = median(values)
  const peerValue = peer === null ? null : median(peerValues)
  return {
    name,
    value: rounded(value),
    unit,
    peer,
    peerValue: peerValue === null ? null : rounded(peerValue),
    ratio: peerValue ? rounded(value / peerValue) : null,
  }
}

/** Three digits that count: more would claim a precision that no round repeats. */
function rounded(value: number): number {
  return Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toPrecision(3))
}
