import { describe, expect, test } from '@jest/globals'
import { rfc3339 } from '../../base/clock.ts'
import { HearthError, reasonOf } from '../../base/errors.ts'
import { run } from '../support/run.ts'

/** Runs a line of code with `log` in a process of its own, since the log writes to standard error itself. */
const logged = (line: string) =>
  run(process.execPath, [
    '--input-type=module',
    '-e',
    `import { createLog } from ${JSON.stringify(new URL('../../base/log.ts', import.meta.url).href)}
     const log = createLog('info'); ${line}`,
  ])

describe('the log', () => {
  test('is one JSON object a line on standard error; standard output stays free', async () => {
    const { code, stdout, stderr } = await logged("log.info({ port: 53 }, 'ready'); log.debug('not told')")
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' })
    expect(JSON.parse(stderr)).toEqual({
      level: 30,
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      port: 53,
      msg: 'ready',
    })
  })

  test('a secret in a field does not come out', async () => {
    const { stderr } = await logged(
      "log.info({ token: 'hush', request: { authorization: 'hush', path: '/' }, pin: 'hush' }, 'asked')",
    )
    expect(stderr).not.toContain('hush')
    expect(JSON.parse(stderr)).toMatchObject({ token: '[Redacted]', request: { path: '/' } })
  })

  test('the last line before a crash is there', async () => {
    const { stderr } = await logged("log.error('about to fall'); process.kill(process.pid, 'SIGKILL')")
    expect(stderr).toContain('about to fall')
  })
})

test('errors carry a stable code, and the name of their class', () => {
  class DoorError extends HearthError<'DOOR_SHUT'> {}
  const error = new DoorError('DOOR_SHUT', 'the door is shut; open it', { cause: 'wind' })
  expect(error).toMatchObject({ name: 'DoorError', code: 'DOOR_SHUT', cause: 'wind' })
  expect(reasonOf(error)).toBe('the door is shut; open it')
  expect(reasonOf('plain text')).toBe('plain text')
})

test('times are shown in UTC with whole seconds', () => {
  expect(rfc3339(Date.UTC(2026, 10, 24, 9, 8, 7) + 654)).toBe('2026-11-24T09:08:07Z')
})
