import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { DAY, HOUR, SECOND } from '../../base/clock.ts'
import { AnswerCache } from '../../dns/cache.ts'
import type { Answer } from '../../dns/scrub.ts'
import type { ResourceRecord } from '../../wire/message.ts'
import { Name } from '../../wire/name.ts'
import { RCODE, TYPE } from '../../wire/registry.ts'
import { run } from '../support/run.ts'
import { TestClock } from '../support/testClock.ts'

/** A type of which any octets are good data. */
const OPAQUE = 65280

const PLAIN = { dnssecOk: false, cd: false }
const MIB = 1024 * 1024

const question = (name: string, type: number = TYPE.A) => ({ name: Name.parse(name), type, class: 1 })

function record(name: string, type: number, ttl: number, data: Uint8Array): ResourceRecord {
  return { name: Name.parse(name), type, class: 1, ttl, data }
}

function positive(name: string, ttl: number, last = 1): Answer {
  const answers = [record(name, TYPE.A, ttl, Buffer.of(192, 0, 2, last))]
  return { rcode: RCODE.NOERROR, answers, authorities: [], additionals: [] }
}

function negative(rcode: number, ttl: number): Answer {
  const soa = record('example.com', TYPE.SOA, ttl, Buffer.alloc(22))
  return { rcode, answers: [], authorities: [soa], additionals: [] }
}

const lastOctet = (cache: AnswerCache, name: string) =>
  cache.find(question(name), PLAIN)?.answer.answers[0]?.data[3]

describe('the ring of answers', () => {
  test('whatever is stored, asked and waited for, nothing comes out that is not the latest of its question', () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('store' as const),
        name: fc.nat(40),
        type: fc.constantFrom(OPAQUE, OPAQUE + 1),
        what: fc.constantFrom('positive', 'nodata', 'nxdomain', 'bare'),
        ttl: fc.nat(50),
        size: fc.nat(400),
      }),
      fc.record({
        kind: fc.constant('find' as const),
        name: fc.nat(40),
        type: fc.constantFrom(OPAQUE, OPAQUE + 1),
      }),
      fc.record({ kind: fc.constant('pass' as const), seconds: fc.nat(10) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), fc.constantFrom(1500, 4000, MIB), (steps, octets) => {
        const clock = new TestClock()
        const cache = new AnswerCache({ octets, staleFor: 20 * SECOND, clock })
        /** What must come out if anything does: by name and type, and by name for what is true of all types. */
        const model = new Map<string, { answer: Answer; ttl: number; at: number }>()
        for (const step of steps) {
          if (step.kind === 'pass') {
            clock.pass(step.seconds * SECOND)
            continue
          }
          const name = `n${step.name}.example.com`
          if (step.kind === 'store') {
            const data = Buffer.alloc(step.size, step.name)
            const answer: Answer = {
              positive: { ...positive(name, step.ttl), answers: [record(name, step.type, step.ttl, data)] },
              nodata: negative(RCODE.NOERROR, step.ttl),
              nxdomain: negative(RCODE.NXDOMAIN, step.ttl),
              bare: { ...negative(RCODE.NXDOMAIN, step.ttl), authorities: [] },
            }[step.what]!
            cache.store(question(name, step.type), PLAIN, answer)
            model.delete(`${name} ${step.type}`)
            model.delete(`${name} *`)
            const key = step.what === 'nxdomain' ? `${name} *` : `${name} ${step.type}`
            if (step.what !== 'bare' && step.ttl > 0)
              model.set(key, { answer, ttl: step.ttl, at: clock.now() })
            continue
          }
          const isAlive = (entry: { ttl: number; at: number } | undefined) =>
            entry !== undefined && clock.now() - entry.at < (entry.ttl + 20) * SECOND
          const candidates = [model.get(`${name} ${step.type}`), model.get(`${name} *`)].filter(isAlive)
          const found = cache.find(question(name, step.type), PLAIN)
          if (octets === MIB) expect(found === null).toBe(candidates.length === 0)
          if (found === null) continue
          const match = candidates.find(
            (entry) =>
              entry!.answer.rcode === found.answer.rcode &&
              entry!.at === clock.now() - (entry!.ttl * SECOND - found.goodFor),
          )
          expect(match).toBeDefined()
          const told = ({ answers, authorities }: Answer) =>
            [...answers, ...authorities].map(({ type, data }) => [type, Buffer.from(data).toString('hex')])
          expect(told(found.answer)).toEqual(told(match!.answer))
        }
      }),
      { numRuns: 400 },
    )
  })

  test('the oldest go first, except those that were asked for since', () => {
    const cache = new AnswerCache({ octets: 4096, staleFor: 0, clock: new TestClock() })
    cache.store(question('used.example.com'), PLAIN, positive('used.example.com', 300, 7))
    cache.store(question('unused.example.com'), PLAIN, positive('unused.example.com', 300, 8))
    for (let index = 0; index < 1000; index += 1) {
      const name = `flood${index}.example.com`
      cache.store(question(name), PLAIN, positive(name, 300))
      expect(lastOctet(cache, 'used.example.com')).toBe(7)
    }
    expect(cache.find(question('unused.example.com'), PLAIN)).toBeNull()
    expect(cache.size).toBeLessThan(80)
  })

  test('what is larger than any honest answer is not kept', () => {
    const cache = new AnswerCache({ octets: MIB, staleFor: 0, clock: new TestClock() })
    const large = record('big.example.com', TYPE.A, 300, Buffer.alloc(20_000))
    cache.store(question('big.example.com'), PLAIN, { ...positive('big.example.com', 300), answers: [large] })
    expect(cache.size).toBe(0)
  })

  test('a hundred thousand names take less than 50 MB', async () => {
    const program = new URL('cacheProgram.ts', import.meta.url).pathname
    const { stdout } = await run(process.execPath, ['--expose-gc', program])
    const { names, grown } = JSON.parse(stdout)
    expect(names).toBe(100_000)
    expect(grown).toBeLessThan(50e6)
  })
})

describe('time', () => {
  test('a clock that goes back ends what it no longer can tell the age of', () => {
    const clock = new TestClock()
    const cache = new AnswerCache({ octets: MIB, staleFor: DAY, clock })
    cache.store(question('www.example.com'), PLAIN, positive('www.example.com', 300))
    clock.pass(-HOUR)
    expect(cache.find(question('www.example.com'), PLAIN)).toBeNull()
    clock.pass(HOUR)
    expect(cache.find(question('www.example.com'), PLAIN)).toBeNull()
  })

  test('a clock that jumps ahead ends everything', () => {
    const clock = new TestClock()
    const cache = new AnswerCache({ octets: MIB, staleFor: DAY, clock })
    cache.store(question('www.example.com'), PLAIN, positive('www.example.com', 300))
    clock.pass(400 * DAY)
    expect(cache.find(question('www.example.com'), PLAIN)).toBeNull()
  })

  test('tells how long an answer is good and when to fetch it anew', () => {
    const clock = new TestClock()
    const cache = new AnswerCache({ octets: MIB, staleFor: DAY, clock })
    expect(cache.store(question('www.example.com'), PLAIN, positive('www.example.com', 100))).toEqual({
      goodFor: 100 * SECOND,
      restsFor: 90 * SECOND,
    })
    clock.pass(30_500)
    expect(cache.find(question('www.example.com'), PLAIN)).toMatchObject({
      age: 30,
      goodFor: 69_500,
      restsFor: 59_500,
      answer: { answers: [{ ttl: 70 }] },
    })
    clock.pass(100 * SECOND)
    expect(cache.find(question('www.example.com'), PLAIN)).toMatchObject({ goodFor: -30_500 })
  })

  test('fresh before stale: a name that appeared elsewhere is not denied by what is old', () => {
    const clock = new TestClock()
    const cache = new AnswerCache({ octets: MIB, staleFor: DAY, clock })
    cache.store(question('www.example.com'), PLAIN, negative(RCODE.NXDOMAIN, 10))
    clock.pass(20 * SECOND)
    cache.store(question('www.example.com', TYPE.AAAA), PLAIN, negative(RCODE.NXDOMAIN, 10))
    expect(cache.find(question('www.example.com'), PLAIN)).toMatchObject({ goodFor: 10 * SECOND })
  })
})
