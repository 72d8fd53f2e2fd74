import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../test/support/run.ts'
import { cpuMicros } from './measure.ts'
import type { Session } from './session.ts'

/** dnsperf's load: this many sockets, and this many queries under way on all of them together. */
export const LOAD = ['-c', '8', '-q', '200']

/** Where the load goes. */
export interface Target {
  name: string
  pid: number
  port: number
}

export interface Load {
  /** Answers a second. */
  rate: number
  /** Microseconds of processor time for each. */
  cpu: number
  lost: number
}

/** A file of questions for A of these names, for dnsperf. */
export function questionFile(session: Session, names: readonly string[]): string {
  const file = join(session.directory(), 'queries')
  writeFileSync(file, names.map((name) => `${name} A\n`).join(''))
  return file
}

/** One load of the session's length, with the processor time it takes the server. */
export async function loadOnce(
  session: Session,
  questions: string,
  { name, pid, port }: Target,
  options: readonly string[] = LOAD,
): Promise<Load> {
  const before = cpuMicros(pid)
  const { completed, lost, rate } = await dnsperf(questions, port, session.seconds, options)
  if (lost > 0) session.note(`${name} left ${lost} of ${completed + lost} queries unanswered`)
  return { rate, lost, cpu: (cpuMicros(pid) - before) / completed }
}

/** Runs dnsperf once. Throws when anything but NOERROR comes back: then it was no measurement. */
export async function dnsperf(
  questions: string,
  port: number,
  seconds: number,
  options: readonly string[],
): Promise<{ completed: number; lost: number; rate: number }> {
  const { stdout, stderr } = await run('dnsperf', [
    ...['-s', '127.0.0.1', '-p', String(port), '-d', questions, '-l', String(seconds)],
    ...options,
  ])
  const completed = numberAfter(stdout, /Queries completed: +(\d+)/)
  const good = numberAfter(stdout, /NOERROR (\d+)/)
  if (completed === 0 || good !== completed) {
    throw new Error(`dnsperf at port ${port}: ${good} of ${completed} answers were NOERROR\n${stderr}`)
  }
  return {
    completed,
    lost: numberAfter(stdout, /Queries lost: +(\d+)/),
    rate: numberAfter(stdout, /Queries per second: +([\d.]+)/),
  }
}

/**
 * The time within which 99 of 100 answers came, at a steady rate, milliseconds.
 *
 * dnsperf writes a line for each answer; into a file, so that nobody reads along while it measures.
 */
export async function p99(session: Session, questions: string, port: number, rate: number): Promise<number> {
  const file = join(session.directory(), 'answers')
  const seconds = session.quick ? '1' : '2'
  const load = [...LOAD, '-l', seconds, '-Q', String(rate), '-v']
  await run(
    'sh',
    [
      '-c',
      'exec dnsperf "$@" >"$OUT"',
      'sh',
      '-s',
      '127.0.0.1',
      '-p',
      String(port),
      '-d',
      questions,
      ...load,
    ],
    { env: { OUT: file } },
  )
  const lines = readFileSync(file, 'utf8').matchAll(/^> NOERROR \S+ A ([\d.]+)$/gm)
  const delays = [...lines].map((match) => Number(match[1]) * 1000).sort((a, b) => a - b)
  if (delays.length === 0) throw new Error(`dnsperf at port ${port} got no answer`)
  return delays[Math.floor(delays.length * 0.99)]!
}

function numberAfter(text: string, pattern: RegExp): number {
  return Number(pattern.exec(text)?.[1] ?? 0)
}
