import { setTimeout as sleep } from 'node:timers/promises'
import { underLoad } from './dns.ts'
import { dnsperf, questionFile } from './dnsperf.ts'
import { Home } from './home.ts'
import { beside, type Figure, OURS, residentMegabytes, takeTurns } from './measure.ts'
import { startResolvers, startUpstream } from './peers/resolvers.ts'
import type { Session } from './session.ts'

const POPULAR = 200
const MANY = 100_000

/** Answers from the cache, in turns with unbound and dnsmasq that forward to the same upstream. */
export async function measureDnsCache(session: Session): Promise<Figure[]> {
  const upstream = await startUpstream(session)
  if (upstream === null) return []
  const home = await Home.start(session, { dns: { upstreams: [`udp://127.0.0.1:${upstream.port}`] } })
  const peers = await startResolvers(session, upstream.port)
  const servers = [{ name: OURS, pid: home.pid, port: home.gateway.status.dns.port }, ...peers]
  return underLoad(session, 'dns-cache', servers, questionFile(session, names(POPULAR)))
}

/** Resident memory of the whole process once it has 100,000 names of others in its cache. */
export async function measureDnsMemory(session: Session): Promise<Figure[]> {
  const upstream = await startUpstream(session)
  if (upstream === null) return []
  const questions = questionFile(session, names(session.quick ? 1000 : MANY))
  const fill = async ({ pid, port }: { pid: number; port: number }) => {
    // Each name once, by as few at a time as an upstream bears.
    await dnsperf(questions, port, 60, ['-c', '4', '-q', '50', '-n', '1'])
    await sleep(2000)
    return residentMegabytes(pid)
  }
  const home = await Home.start(session, { dns: { upstreams: [`udp://127.0.0.1:${upstream.port}`] } })
  // As on every day but the first: making the root leaves garbage behind.
  await home.gateway.stop()
  await home.gateway.start()
  const results = await takeTurns(
    1,
    new Map([[OURS, () => fill({ pid: home.pid, port: home.gateway.status.dns.port })]]),
  )
  for (const peer of await startResolvers(session, upstream.port)) results.set(peer.name, [await fill(peer)])
  return beside(`memory-${MANY}-cached-names`, 'MB', results, (megabytes) => megabytes)
}

const names = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `host-${index + 1}.example.com`)
