import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { enroll } from '../../agent/enroll.ts'
import type { CertificateFacts } from '../../agent/facts.ts'
import { realWait, type Wait } from '../../agent/wait.ts'
import { type WatchOptions, watch } from '../../agent/watch.ts'
import { DAY, HOUR, MINUTE } from '../../base/clock.ts'
import { TestCa } from './testCa.ts'
import { TestGateway } from './testGateway.ts'
import { TestTime } from './testTime.ts'

let folder: string
let ca: TestCa
let gateway: TestGateway
let out: string
let time: TestTime
let said: string[]
let first: CertificateFacts

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hearth-agent-'))
  ca = new TestCa(folder, 'Home')
})
afterAll(() => rmSync(folder, { recursive: true }))

beforeEach(async () => {
  gateway = await new TestGateway({ ca }).start()
  out = join(mkdtempSync(join(folder, 'device-')), 'tls')
  time = new TestTime()
  said = []
  const { url, fingerprint, token } = gateway
  first = await enroll({ gateway: url, fingerprint, token, out, clock: time })
  gateway.requests.length = 0
})
afterEach(() => gateway.stop())

const run = (options: Partial<WatchOptions> & { signal: AbortSignal }) =>
  watch({ out, clock: time, wait: time.wait, random: () => 0.5, log: (line) => said.push(line), ...options })

/** Waits as the test's time does, and stops the watch as soon as `reached` holds. */
function waitUntil(stop: AbortController, reached: () => boolean): Wait {
  return async (milliseconds, signal) => {
    await time.wait(milliseconds, signal)
    if (reached()) stop.abort()
  }
}

const serial = () => JSON.parse(readFileSync(join(out, 'hearth.json'), 'utf8')).serial as string

test('renews after two thirds of the life and a little more, having looked at the clock every hour', async () => {
  const stop = new AbortController()
  gateway.days = 60
  await run({ signal: stop.signal, wait: waitUntil(stop, () => serial() !== first.serial) })
  expect(gateway.operations.filter((operation) => operation === 'simplereenroll')).toHaveLength(1)
  expect(Math.max(...time.waits)).toBe(HOUR)
  const passed = time.waits.slice(0, -1).reduce((sum, each) => sum + each, 0)
  const life = first.notAfter - first.notBefore
  expect(passed / life).toBeCloseTo(2 / 3 + 0.025, 3)
})

test('a gateway that is off is asked again after minutes, then hours; the hook runs once it is back', async () => {
  const stop = new AbortController()
  gateway.days = 60
  time.pass(first.renewAt - time.now())
  let down = 9
  gateway.fault = (_, response) => {
    if (down === 0) return false
    down -= 1
    response.writeHead(503, { 'Content-Type': 'text/plain' }).end('starting')
    return true
  }
  const hook = 'touch "$HEARTH_OUT/../ran"'
  await run({ signal: stop.signal, hook, wait: waitUntil(stop, () => serial() !== first.serial) })
  expect(said.filter((line) => line.includes('Trying again at'))).toHaveLength(9)
  expect(said[0]).toContain('starting')
  const total = [2, 4, 8, 16, 32, 64, 128, 240, 240].reduce((sum, minutes) => sum + minutes * MINUTE, 0)
  const passed = time.waits.slice(0, -1).reduce((sum, each) => sum + each, 0)
  expect(Math.abs(passed - total)).toBeLessThan(MINUTE)
  expect(existsSync(join(out, '../ran'))).toBe(true)
})

test('a hook that fails is tried again without renewing again', async () => {
  const stop = new AbortController()
  gateway.days = 60
  time.pass(first.renewAt - time.now())
  const hook = 'echo . >> "$HEARTH_OUT/../ran"; test "$(wc -l < "$HEARTH_OUT/../ran")" -ge 3'
  const ran = () =>
    existsSync(join(out, '../ran')) && readFileSync(join(out, '../ran'), 'utf8') === '.\n.\n.\n'
  await run({ signal: stop.signal, hook, wait: waitUntil(stop, ran) })
  expect(gateway.operations.filter((operation) => operation === 'simplereenroll')).toHaveLength(1)
})

test('certificates that are due as soon as they are issued do not make it race', async () => {
  const stop = new AbortController()
  time.pass(first.notAfter + 10 * DAY - time.now())
  gateway.days = 41
  let renewals = 0
  const honest = gateway.issue
  gateway.issue = (csr) => {
    renewals += 1
    return honest(csr)
  }
  await run({ signal: stop.signal, wait: waitUntil(stop, () => renewals === 3) })
  expect(Math.min(...time.waits)).toBeGreaterThanOrEqual(MINUTE - 1000)
})

test('ends with a clear error when the certificate is too old to renew', async () => {
  time.pass(first.notAfter + 31 * DAY - time.now())
  await expect(run({ signal: new AbortController().signal })).rejects.toMatchObject({ code: 'EXPIRED' })
})

test('ends with a clear error where nothing was enrolled', async () => {
  const signal = new AbortController().signal
  await expect(run({ signal, out: join(folder, 'nothing') })).rejects.toMatchObject({ code: 'NOT_ENROLLED' })
})

test('stops at once: while it waits, while it asks, and before it begins', async () => {
  const waiting = new AbortController()
  const stopped = run({
    signal: waiting.signal,
    wait: (milliseconds, signal) => {
      setImmediate(() => waiting.abort())
      return realWait(milliseconds, signal)
    },
  })
  await stopped

  time.pass(first.renewAt - time.now())
  const asking = new AbortController()
  gateway.fault = () => {
    asking.abort()
    return true
  }
  await run({ signal: asking.signal })

  gateway.requests.length = 0
  await run({ signal: AbortSignal.abort() })
  expect(gateway.requests).toEqual([])
})
