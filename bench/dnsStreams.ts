import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { query } from '../test/dns/harness.ts'
import { run } from '../test/support/run.ts'
import { encodeMessage } from '../wire/message.ts'
import { underLoad } from './dns.ts'
import { questionFile } from './dnsperf.ts'
import { Home, homeDevices } from './home.ts'
import { beside, cpuMicros, type Figure, OURS, takeTurns } from './measure.ts'
import { startEncryptedUnbound } from './peers/encryptedUnbound.ts'
import type { Session } from './session.ts'

const DEVICES = 200

/** Over each connection go many queries, as a resolver sends them. */
const DOT_LOAD = ['-m', 'dot', '-c', '4', '-q', '100']
const DOH_LOAD = ['-t', '1', '-c', '8', '-m', '16']

/** A of 200 devices over TLS, and of one over HTTPS, in turns with unbound. */
export async function measureDnsStreams(session: Session): Promise<Figure[]> {
  const devices = homeDevices(DEVICES)
  const home = await Home.start(session)
  for (const device of devices) await home.add(device)
  const peer = await startEncryptedUnbound(session, devices)
  const questions = questionFile(
    session,
    devices.map(({ name }) => name),
  )
  const { dns, listeners } = home.gateway.status
  const ours = { name: OURS, pid: home.pid }
  const overTls = [
    { ...ours, port: dns.dotPort! },
    ...(peer === null ? [] : [{ ...peer, port: peer.tlsPort }]),
  ]
  const overHttps = [
    { ...ours, port: Number(new URL(listeners.https).port) },
    ...(peer === null ? [] : [{ ...peer, port: peer.httpsPort }]),
  ]
  const message = join(session.directory(), 'query')
  writeFileSync(message, encodeMessage(query(devices[0]!.name, 'A', { id: 0 })))
  for (const { port } of overHttps) await h2load(message, port, 1)
  const loads = await takeTurns(
    session.rounds,
    new Map(
      overHttps.map(({ name, pid, port }) => [
        name,
        async () => {
          const before = cpuMicros(pid)
          const { rate, answered } = await h2load(message, port, session.seconds)
          return { rate, cpu: (cpuMicros(pid) - before) / answered }
        },
      ]),
    ),
  )
  return [
    ...(await underLoad(session, 'dot', overTls, questions, DOT_LOAD)),
    ...beside('doh-rate', 'queries/s', loads, ({ rate }) => rate),
    ...beside('doh-cpu', 'us CPU/query', loads, ({ cpu }) => cpu),
  ]
}

/** Posts one query over and over. Throws when anything but 200 comes back: then it was no measurement. */
async function h2load(
  message: string,
  port: number,
  seconds: number,
): Promise<{ rate: number; answered: number }> {
  const { stdout } = await run('h2load', [
    ...DOH_LOAD,
    ...['-D', String(seconds), '-d', message, '-H', 'content-type: application/dns-message'],
    `https://127.0.0.1:${port}/dns-query`,
  ])
  const rate = Number(/finished in \S+, ([\d.]+) req\/s/.exec(stdout)?.[1] ?? 0)
  const [, done, failed] = (/(\d+) succeeded, (\d+) failed/.exec(stdout) ?? []).map(Number)
  if (done === undefined || done === 0 || failed !== 0 || !/ 0 3xx, 0 4xx, 0 5xx/.test(stdout)) {
    throw new Error(`h2load at port ${port} did not get what it asked for:\n${stdout}`)
  }
  return { rate, answered: done }
}
