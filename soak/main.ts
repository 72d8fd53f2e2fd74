import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { type FuzzResult, fuzzDns, startOf } from '../test/fuzz/dnsFuzz.ts'

const USAGE = `Runs what is too long for npm test.

  npm run soak -- [--packets N] [--seed N]

  --packets  damaged DNS messages (20000000)
  --seed     the same messages as the run that printed it (random)
`

process.exitCode = await main()

/** 0 all was handled well, 1 something was not, 2 bad usage. */
async function main(): Promise<number> {
  const options = readArguments()
  if (options === null) {
    process.stderr.write(USAGE)
    return 2
  }
  const { packets, seed } = options
  process.stdout.write(`${packets} damaged DNS messages, seed ${seed}\n`)
  const start = performance.now()
  const report = (done: number, { slowest }: FuzzResult) => {
    const seconds = Math.round((performance.now() - start) / 1000)
    process.stdout.write(`${done} in ${seconds} s, the slowest took ${slowest.milliseconds.toFixed(1)} ms\n`)
  }
  try {
    const result = await fuzzDns({
      packets,
      seed,
      onProgress: (done, result) => done % 1_000_000 === 0 && report(done, result),
    })
    report(packets, result)
    process.stdout.write(`${JSON.stringify(result.outcomes)}\nslowest: ${startOf(result.slowest.octets)}\n`)
    return 0
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? `${error.stack}\n${error.cause}` : error}\n`)
    return 1
  }
}

/** Null for a usage error, or where help is asked for. */
function readArguments(): { packets: number; seed: number } | null {
  try {
    const { values } = parseArgs({
      options: {
        packets: { type: 'string', default: '20000000' },
        seed: { type: 'string', default: String(randomInt(2 ** 32)) },
        help: { type: 'boolean', default: false },
      },
    })
    const [packets, seed] = [Number(values.packets), Number(values.seed)]
    const usable = Number.isSafeInteger(packets) && packets > 0 && Number.isSafeInteger(seed) && seed >= 0
    return usable && !values.help ? { packets, seed } : null
  } catch {
    return null
  }
}
