import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../test/support/run.ts'
import { Home, homeDevices } from './home.ts'
import { alone, cpuMicros, type Figure, takeTurns } from './measure.ts'
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

  const servers = [{ name: 'hearth', pid: home.pid, port: home.gateway.status.dns.port }, ...peers]
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
    new Map(servers.map(({ name, port }) => [name, () => p99(queries, port, session.quick ? 1 : 2)])),
  )

  const ours = loads.get('hearth')!
  const figures: Figure[] = []
  for (const [name, unit, field] of [
    ['dns-rate', 'queries/s', 'rate'],
    ['dns-cpu', 'us CPU/query', 'cpu'],
    ['dns-lost', 'queries', 'lost'],
  ] as const) {
    const values = ours.map((load) => load[field])
    if (peers.length === 0) figures.push(alone(name, unit, values))
    for (const { name: peer } of peers) {
      figures.push({ name, unit, values, peer, peerValues: loads.get(peer)!.map((load) => load[field]) })
    }
  }
  const values = delays.get('hearth')!
  if (peers.length === 0) figures.push(alone('dns-p99', 'ms', values))
  for (const { name: peer } of peers) {
    figures.push({ name: 'dns-p99', unit: 'ms', values, peer, peerValues: delays.get(peer)! })
  }
  return figures
}

/** Runs dnsperf once. Throws when anything but NOERROR comes back: then it was no measurement. */
async function dnsperf(
  queries: string,
  port: number,
  seconds: number,
  load: readonly string[],
): Promise<{ completed: number; lost: number; rate: number; output: string }> {
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
    output: stdout,
  }
}

/** The time within which 99 of 100 answers came, at a steady rate, milliseconds. */
async function p99(queries: string, port: number, seconds: number): Promise<number> {
  const { output } = await dnsperf(queries, port, seconds, [...LOAD, '-Q', String(CALM_RATE), '-v'])
  const delays = [...output.matchAll(/^> NOERROR \S+ A ([\d.]+)$/gm)].map((match) => Number(match[1]) * 1000)
  delays.sort((a, b) => a - b)
  return delays[Math.floor(delays.length * 0.99)] ?? Number.NaN
}

function numberAfter(text: string, pattern: RegExp): number {
  return Number(pattern.exec(text)?.[1] ?? 0)
}
