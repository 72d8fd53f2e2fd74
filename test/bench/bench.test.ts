import { expect, test } from '@jest/globals'
import { run } from '../support/run.ts'

/** What `npm run bench` prints is read by programs; how fast anything is does not matter here. */

const MAIN = new URL('../../bench/main.ts', import.meta.url).pathname

test('bench --json prints the figures of a subject in the shape that programs read', async () => {
  const { code, stdout, stderr } = await run(process.execPath, [
    ...[MAIN, '--json', '--quick', '--only', 'issue,revocation'],
  ])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const figures = JSON.parse(stdout) as Record<string, unknown>[]
  const figure = (name: string, unit: string, peer: string | null) => ({
    name,
    unit,
    peer,
    value: expect.any(Number),
    peerValue: peer === null ? null : expect.any(Number),
    ratio: peer === null ? null : expect.any(Number),
  })
  expect(figures).toEqual([
    figure('issue-rate', 'certificates/s', 'openssl ca'),
    figure('issue-durable-rate', 'certificates/s', 'openssl ca'),
    figure('revocation-to-ocsp', 'ms', null),
  ])
})

test('an unknown subject is a usage error that names those there are', async () => {
  const { code, stderr } = await run(process.execPath, [MAIN, '--only', 'nothing'])
  expect(code).toBe(2)
  expect(stderr).toContain('start, memory, issue, enroll, ocsp, revocation, wire, dns')
})
