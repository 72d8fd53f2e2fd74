import { dnsperf, LOAD, type Load, loadOnce, p99, questionFile, type Target } from './dnsperf.ts'
import { Home, homeDevices } from './home.ts'
import { beside, type Figure, OURS, takeTurns } from './measure.ts'
import { startNameServers } from './peers/nameServers.ts'
import type { Session } from './session.ts'

const DEVICES = 200
/** The calm load at which the time to the answer is taken. */
const CALM_RATE = 20_000

/** Queries for A of 200 devices, in turns with Knot, unbound and dnsmasq answering the same names. */
export async function measureDns(session: Session): Promise<Figure[]> {
  const devices = homeDevices(DEVICES)
  const home = await Home.start(session)
  for (const device of devices) await home.add(device)
  const peers = await startNameServers(session, devices)
  const questions = questionFile(
    session,
    devices.map(({ name }) => name),
  )
  const servers = [{ name: OURS, pid: home.pid, port: home.gateway.status.dns.port }, ...peers]
  return [
    ...(await underLoad(session, 'dns', servers, questions)),
    ...beside(
      'dns-p99',
      'ms',
      await takeTurns(
        session.rounds,
        new Map(servers.map(({ name, port }) => [name, () => p99(session, questions, port, CALM_RATE)])),
      ),
      (delay) => delay,
    ),
  ]
}

/** What servers do under as much load as they take, in turns: figures `X-rate`, `X-cpu` and `X-lost`. */
export async function underLoad(
  session: Session,
  figure: string,
  servers: readonly Target[],
  questions: string,
  options: readonly string[] = LOAD,
): Promise<Figure[]> {
  for (const { port } of servers) await dnsperf(questions, port, 1, options)
  const loads = await takeTurns<Load>(
    session.rounds,
    new Map(servers.map((server) => [server.name, () => loadOnce(session, questions, server, options)])),
  )
  return [
    ...beside(`${figure}-rate`, 'queries/s', loads, (load) => load.rate),
    ...beside(`${figure}-cpu`, 'us CPU/query', loads, (load) => load.cpu),
    ...beside(`${figure}-lost`, 'queries', loads, (load) => load.lost),
  ]
}
