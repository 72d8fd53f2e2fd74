import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { TestGateway } from '../support/gateway.ts'

/**
 * Commands and what they print, as text files beside this one.
 *
 * A line `$ hearth ...` is run; the lines below it are its output, standard output and error together, and
 * a last line `= N` is its exit code where it is not 0. `<...>` stands for anything within a line, a line
 * of `...` for any lines. `> FILE` at the end of a command writes to a file, as a shell would.
 * Each file has a gateway of its own.
 */

interface Step {
  command: string
  expected: string[]
  code: number
}

function readTranscript(text: string): Step[] {
  const steps: Step[] = []
  for (const line of text.split('\n')) {
    if (line.startsWith('#')) continue
    if (line.startsWith('$ ')) steps.push({ command: line.slice(2), expected: [], code: 0 })
    else if (/^= \d+$/.test(line)) steps.at(-1)!.code = Number(line.slice(2))
    else steps.at(-1)?.expected.push(line)
  }
  for (const { expected } of steps) while (expected.at(-1) === '') expected.pop()
  return steps
}

/** Words as a shell splits them: blanks part, single and double quotes hold together. */
function words(command: string): string[] {
  return [...command.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? match[2] ?? match[3]!)
}

function pattern(expected: string[]): RegExp {
  const lines = expected.map((line) =>
    line === '...'
      ? '(?:.*\\n)*?.*'
      : line
          .split(/<[^>]*>/)
          .map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
          .join('.*'),
  )
  return new RegExp(`^${lines.join('\\n')}$`)
}

const directory = new URL('.', import.meta.url).pathname

describe.each(readdirSync(directory).filter((name) => name.endsWith('.transcript')))('%s', (name) => {
  const steps = readTranscript(readFileSync(`${directory}${name}`, 'utf8'))
  let gateway: TestGateway

  beforeAll(async () => {
    gateway = await new TestGateway().start()
  })

  afterAll(() => gateway.dispose())

  test.each(steps.map((step, index) => ({ index: index + 1, ...step })))(
    '$index: $command',
    async ({ command, expected, code }) => {
      const [program, ...args] = words(command)
      expect(program).toBe('hearth')
      const redirect = args.indexOf('>')
      const outcome = await gateway.hearth(...(redirect < 0 ? args : args.slice(0, redirect)))
      if (redirect >= 0) writeFileSync(gateway.path(args[redirect + 1]!), outcome.stdout)
      const shown = redirect < 0 ? outcome.output : outcome.stderr
      expect(shown.replace(/\n+$/, '').replaceAll(/[ \t]+$/gm, '')).toMatch(pattern(expected))
      expect(outcome.code).toBe(code)
    },
  )
})
