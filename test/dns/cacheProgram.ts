import { systemClock } from '../../base/clock.ts'
import { AnswerCache } from '../../dns/cache.ts'
import { Name } from '../../wire/name.ts'
import { TYPE } from '../../wire/registry.ts'

/** A program that prints by how many octets it grows when its cache holds a hundred thousand names. */
const NAMES = 100_000

function fill(megabytes: number): AnswerCache {
  const cache = new AnswerCache({ octets: megabytes * 1024 * 1024, staleFor: 0, clock: systemClock })
  for (let index = 0; index < NAMES; index += 1) {
    const name = Name.parse(`host${index}.domain${index % 977}.example.com`)
    const addresses = [1, 2].map((last) => Buffer.of(192, 0, 2, last))
    cache.store(
      { name, type: TYPE.A, class: 1 },
      { dnssecOk: false, cd: false },
      {
        rcode: 0,
        answers: addresses.map((data) => ({ name, type: TYPE.A, class: 1, ttl: 300, data })),
        authorities: [],
        additionals: [],
      },
    )
  }
  globalThis.gc!()
  return cache
}

// Once with hardly any room, so that what is measured is the answers and not the work.
fill(1)
const before = process.memoryUsage().rss
const cache = fill(16)
const grown = process.memoryUsage().rss - before
process.stdout.write(JSON.stringify({ names: cache.size, grown }))
