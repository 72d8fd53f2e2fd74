import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../test/support/run.ts'
import { Home, homeDevices } from './home.ts'
import { beside, cpuMicros, type Figure, OURS, takeTurns } from './measure.ts'
import { startNameServers } from './peers/nameServers.ts'
import type { Session } from './session.ts'

const DEVICES = 200
/** dnsperf's load: this many sockets, and this many queries under way on all of them together. */
const LOAD = ['-c', '8', '-q', '200']
/** The calm load at which the time to the answer is taken. */
const CALM_RATE = 20_000

interface Load {
  rate: number
  cpu: number
  lost: number
}

/** Queries for A of 200 devices, in turns with Knot, unbound and dnsmasq answering the same names. */
export async function measureDns(session: Session): Promise<Figure[]> {
  const devices = homeDevices(DEVICES)
  const home = await Home.start(session)
  for (const device of devices) await home.add(device)
  const peers = await startNameServers(session, devices)
  const queries = join(session.directory(), 'queries')
  writeFileSync(queries, devices.map(({ name }) => `${name} A\n`).join(''))

  const servers = [{ name: OURS, pid: home.pid, port: home.gateway.status.dns.port }, ...peers]
  for (const { port } of servers) await dnsperf(queries, port, 1, LOAD)
  const loads = await takeTurns<Load>(
    session.rounds,
    new Map(
      servers.map(({ name, pid, port }) => [
        name,
        async () => {
          const before = cpuMicros(pid)
          const { completed, lost, rate } = await dnsperf(queries, port, session.seconds, LOAD)
          if (lost > 0) session.note(`${name} left ${lost} of ${completed + lost} queries unanswered`)
          return { rate, lost, cpu: (cpuMicros(pid) - before) / completed }
        },
      ]),
    ),
  )
  const delays = await takeTurns<number>(
    session.rounds,
    new Map(servers.map(({ name, port }) => [name, () => p99(session, queries, port)])),
  )

  return [
    ...beside('dns-rate', 'queries/s', loads, (load) => load.rate),
    ...beside('dns-cpu', 'us CPU/query', loads, (load) => load.cpu),
    ...beside('dns-lost', 'queries', loads, (load) => load.lost),
    ...beside('dns-p99', 'ms', delays, (delay) => delay),
  ]
}

/** Runs dnsperf once. Throws when anything but NOERROR comes back: then it was no measurement. */
async function dnsperf(
  queries: string,
  port: number,
  seconds: number,
  load: readonly string[],
): Promise<{ completed: number; lost: number; rate: number }> {
  const { stdout, stderr } = await run('dnsperf', [
    ...['-s', '127.0.0.1', '-p', String(port), '-d', queries, '-l', String(seconds)],
    ...load,
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
async function p99(session: Session, queries: string, port: number): Promise<number> {
  const file = join(session.directory(), 'answers')
  const [seconds, rate] = [session.quick ? 1 : 2, CALM_RATE].map(String)
  const load = [...LOAD, '-l', seconds!, '-Q', rate!, '-v']
  await run(
    'sh',
    ['-c', 'exec dnsperf "$@" >"$OUT"', 'sh', '-s', '127.0.0.1', '-p', String(port), '-d', queries, ...load],
    {
      env: { OUT: file },
    },
  )
  const lines = readFileSync(file, 'utf8').matchAll(/^> NOERROR \S+ A ([\d.]+)$/gm)
  const delays = [...lines].map((match) => Number(match[1]) * 1000).sort((a, b) => a - b)
  if (delays.length === 0) throw new Error(`dnsperf at port ${port} got no answer`)
  return delays[Math.floor(delays.length * 0.99)]!
}

function numberAfter(text: string, pattern: RegExp): number {
  return Number(pattern.exec(text)?.[1] ?? 0)
}
