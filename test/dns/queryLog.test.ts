import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { DAY, HOUR, MINUTE } from '../../base/clock.ts'
import { createLog, type Log } from '../../base/log.ts'
import { type LoggedQuery, QueryLog, type QueryLogSettings, readQueryLog } from '../../dns/queryLog.ts'
import type { Response } from '../../dns/respond.ts'
import type { DnsServer } from '../../dns/server.ts'
import { encodeMessage } from '../../wire/message.ts'
import { Name } from '../../wire/name.ts'
import { tempDirs } from '../support/tempDir.ts'
import { TestClock } from '../support/testClock.ts'
import { askTcp, askUdp, query, startServer } from './harness.ts'

const tempDir = tempDirs()
let directory: string
let clock: TestClock
let warnings: string[]
let opened: QueryLog[] = []

beforeEach(() => {
  directory = join(tempDir(), 'queries')
  clock = new TestClock()
  warnings = []
})
afterEach(async () => {
  await Promise.all(opened.map((log) => log.close()))
  opened = []
})

function open(settings: Partial<QueryLogSettings> = {}): QueryLog {
  const tell = (_fields: unknown, message: string) => void warnings.push(message)
  const log = { ...createLog('silent'), warn: tell, info: (message: string) => void warnings.push(message) }
  const queryLog = new QueryLog(
    { directory, enabled: true, keepFor: DAY, octets: 64 * 1024 * 1024, ...settings },
    { clock, log: log as unknown as Log },
  )
  opened.push(queryLog)
  return queryLog
}

function note(log: QueryLog, name: string, part: Partial<Response> = {}, address = '192.168.1.9'): void {
  const response: Response = {
    messages: [],
    question: { name: Name.parse(name), type: 1, class: 1 },
    rcode: 0,
    source: 'zone',
    upstream: null,
    reusableFor: 0,
    ...part,
  }
  log.add({ transport: 'udp', address }, response, 0.123)
}

const files = () => readdirSync(directory).sort()
const names = async (filter: Partial<Parameters<typeof readQueryLog>[1]> = {}) =>
  (await readQueryLog(directory, { limit: 100, ...filter })).map(({ name }) => name)

describe('what is written', () => {
  test('one line of JSON a query, in a file that nobody else may read', async () => {
    const log = open()
    note(log, 'nas.home.arpa')
    note(log, 'example.com', { source: 'forwarder', upstream: 'udp://9.9.9.9', rcode: 3 })
    await log.flush()
    const [file] = files()
    const lines = readFileSync(join(directory, file!), 'utf8').trim().split('\n')
    expect(lines.map((line) => JSON.parse(line) as LoggedQuery)).toEqual([
      {
        at: new Date(clock.now()).toISOString(),
        client: '192.168.1.9',
        transport: 'udp',
        name: 'nas.home.arpa.',
        type: 'A',
        rcode: 'NOERROR',
        source: 'zone',
        ms: 0.1,
      },
      expect.objectContaining({ rcode: 'NXDOMAIN', source: 'forwarder', upstream: 'udp://9.9.9.9' }),
    ])
    expect(statSync(directory).mode & 0o777).toBe(0o700)
    expect(statSync(join(directory, file!)).mode & 0o777).toBe(0o600)
    expect(log.counts).toEqual({ written: 2, dropped: 0 })
  })

  test('nothing while it is turned off, but what is there is still removed in time', async () => {
    const log = open()
    note(log, 'nas.home.arpa')
    await log.close()
    clock.pass(DAY + 1)
    const off = open({ enabled: false })
    note(off, 'nas.home.arpa')
    await off.flush()
    expect(files()).toEqual([])
  })

  test('a name with anything in it stays on its line', async () => {
    const log = open()
    log.add(
      { transport: 'udp', address: '192.168.1.9' },
      {
        messages: [],
        question: { name: Name.parse('a\\010\\"\\\\\\252.x'), type: 1, class: 1 },
        rcode: 0,
        source: null,
        upstream: null,
        reusableFor: 0,
      },
      1,
    )
    await log.flush()
    expect(await readQueryLog(directory, { limit: 9 })).toHaveLength(1)
  })
})

describe('how long it is kept', () => {
  test('a new file every hour, and none older than the household wants', async () => {
    const log = open({ keepFor: 10 * HOUR })
    for (let hour = 0; hour < 24; hour += 1) {
      note(log, `h${hour}.home.arpa`)
      await log.flush()
      clock.pass(HOUR)
    }
    expect(files().length).toBeGreaterThanOrEqual(9)
    const left = await names()
    expect(left.at(-1)).toBe('h23.home.arpa.')
    expect(left).not.toContain('h12.home.arpa.')
    expect(left).toContain('h15.home.arpa.')
  })

  test('no more octets than the household wants; the oldest go', async () => {
    const log = open({ octets: 160_000 })
    for (let round = 0; round < 40; round += 1) {
      for (let count = 0; count < 50; count += 1) note(log, `n${round}.home.arpa`)
      await log.flush()
      clock.pass(MINUTE)
    }
    const total = files().reduce((sum, file) => sum + statSync(join(directory, file)).size, 0)
    expect(total).toBeLessThan(180_000)
    expect(await names({ limit: 1 })).toEqual(['n39.home.arpa.'])
    expect(await names({ limit: 10_000 })).not.toContain('n0.home.arpa.')
  })

  test('a start with a clock that is far back removes nothing but what the amount asks for', async () => {
    const first = open()
    note(first, 'nas.home.arpa')
    await first.close()
    const now = clock.now()
    clock.time = 0
    const back = open()
    note(back, 'early.home.arpa')
    await back.flush()
    expect(await names()).toEqual(['early.home.arpa.', 'nas.home.arpa.'])
    await back.close()
    const small = open({ octets: statSync(join(directory, files()[0]!)).size + 1 })
    await small.close()
    expect(await names()).toEqual(['early.home.arpa.'])
    clock.time = now
    await open().flush()
    expect(await names()).toEqual([])
  })

  test('clearing removes everything, and only what is its own', async () => {
    const log = open()
    note(log, 'nas.home.arpa')
    await log.flush()
    writeFileSync(join(directory, 'notes.txt'), 'mine')
    note(log, 'nas.home.arpa')
    await log.clear()
    expect(files()).toEqual(['notes.txt'])
    note(log, 'after.home.arpa')
    await log.flush()
    expect(await names()).toEqual(['after.home.arpa.'])
  })
})

describe('reading', () => {
  test('the newest last, by client, by name and below it, and by time', async () => {
    const log = open()
    const start = clock.now()
    for (const [minute, name] of [
      'a.example.com',
      'Example.com',
      'notexample.com',
      'nas.home.arpa',
    ].entries()) {
      note(log, name, {}, minute % 2 === 0 ? '192.168.1.9' : '192.168.1.10')
      clock.pass(30 * MINUTE)
    }
    await log.flush()
    expect(await names()).toEqual(['a.example.com.', 'Example.com.', 'notexample.com.', 'nas.home.arpa.'])
    expect(await names({ limit: 2 })).toEqual(['notexample.com.', 'nas.home.arpa.'])
    expect(await names({ client: '192.168.1.10' })).toEqual(['Example.com.', 'nas.home.arpa.'])
    expect(await names({ name: 'example.com.' })).toEqual(['a.example.com.', 'Example.com.'])
    expect(await names({ since: start + HOUR })).toEqual(['notexample.com.', 'nas.home.arpa.'])
  })

  test('across many files, and past lines that were cut off', async () => {
    const log = open()
    for (let hour = 0; hour < 6; hour += 1) {
      for (let count = 0; count < 30; count += 1) note(log, `h${hour}n${count}.home.arpa`)
      await log.flush()
      clock.pass(HOUR)
    }
    writeFileSync(join(directory, files()[2]!), '{"at":"2026-', { flag: 'a' })
    const newest = await names({ limit: 45 })
    expect(newest).toHaveLength(45)
    expect(newest[0]).toBe('h4n15.home.arpa.')
    expect(newest.at(-1)).toBe('h5n29.home.arpa.')
    expect(await names({ limit: 1000 })).toHaveLength(180)
  })

  test('past a file that is removed between being listed and being read', async () => {
    const log = open()
    note(log, 'nas.home.arpa')
    await log.flush()
    symlinkSync('gone', join(directory, '2026-01-01T00-00-00-000Z.jsonl'))
    expect(await names()).toEqual(['nas.home.arpa.'])
  })

  test('nothing where nothing was ever logged', async () => {
    expect(await names()).toEqual([])
  })
})

describe('a disk in trouble', () => {
  test('a full one: one warning, lines are dropped and counted, and it goes on when there is room', async () => {
    const file = `${new Date(clock.now()).toISOString().replace(/[:.]/g, '-')}.jsonl`
    mkdirSync(directory, { mode: 0o700 })
    symlinkSync('/dev/full', join(directory, file))
    const log = open()
    for (let times = 0; times < 3; times += 1) {
      note(log, 'nas.home.arpa')
      await log.flush()
    }
    expect(log.counts).toEqual({ written: 0, dropped: 3 })
    expect(warnings).toHaveLength(1)
    rmSync(join(directory, file))
    note(log, 'nas.home.arpa')
    await log.flush()
    expect(log.counts).toEqual({ written: 1, dropped: 3 })
    expect(warnings).toEqual([expect.stringContaining('cannot be logged'), 'queries are logged again'])
  })

  test('no directory, because a file is in its place', async () => {
    writeFileSync(directory, '')
    const log = open()
    note(log, 'nas.home.arpa')
    await log.flush()
    expect(log.counts).toEqual({ written: 0, dropped: 1 })
    rmSync(directory)
    note(log, 'nas.home.arpa')
    await log.flush()
    expect(log.counts).toEqual({ written: 1, dropped: 1 })
  })

  test('lines that nobody writes in time are dropped, not heaped up', () => {
    const log = open()
    for (let count = 0; count < 20_000; count += 1) note(log, 'nas.home.arpa')
    expect(log.counts.dropped).toBeGreaterThan(5000)
  })
})

describe('with a server', () => {
  let server: DnsServer
  afterEach(() => server.close())
  const NAS = encodeMessage(query('nas.home.arpa', 'A'))

  test.each(['dgram', 'here', 'thread'] as const)(
    'every query is logged, also over UDP by %s, where answers are kept ready',
    async (udp) => {
      const queryLog = { directory, enabled: true, keepFor: DAY, octets: 1024 * 1024 }
      server = await startServer({ udp, queryLog })
      for (let times = 0; times < 5; times += 1) await askUdp(server.port, NAS)
      await askTcp(server.port, [NAS])
      // What is answered from the table of ready responses is told a moment later.
      while (server.figures().queryLog!.written < 6) {
        await new Promise((resolve) => setTimeout(resolve, 10))
        await server.flushQueryLog()
      }
      const logged = await readQueryLog(directory, { limit: 100 })
      expect(logged.map(({ client, transport }) => `${client} ${transport}`).sort()).toEqual([
        '127.0.0.1 tcp',
        ...Array(5).fill('127.0.0.1 udp'),
      ])
      await server.clearQueryLog()
      expect(await readQueryLog(directory, { limit: 100 })).toEqual([])
    },
  )

  test('a disk that takes nothing keeps nobody from answers', async () => {
    writeFileSync(directory, 'a file where the directory should be')
    server = await startServer({ queryLog: { directory, enabled: true, keepFor: DAY, octets: 1024 * 1024 } })
    for (let times = 0; times < 20; times += 1) {
      await askUdp(server.port, NAS)
      await server.flushQueryLog()
    }
    expect(server.figures().queryLog).toEqual({ written: 0, dropped: 20 })
  })
})
