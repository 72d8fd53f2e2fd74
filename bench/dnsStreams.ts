import { underLoad } from './dns.ts'
import { questionFile } from './dnsperf.ts'
import { Home, homeDevices } from './home.ts'
import { type Figure, OURS } from './measure.ts'
import { startEncryptedUnbound } from './peers/encryptedUnbound.ts'
import type { Session } from './session.ts'

const DEVICES = 200

/** Over each connection go many queries, as a resolver or a browser sends them. */
const LOAD = ['-c', '4', '-q', '100']

/** A of 200 devices over TLS and over HTTPS, in turns with unbound. */
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
  const httpsPort = Number(new URL(listeners.https).port)
  const over = (figure: string, mode: string, ours: number, theirs: number | undefined) =>
    underLoad(
      session,
      figure,
      [
        { name: OURS, pid: home.pid, port: ours },
        ...(peer === null ? [] : [{ name: peer.name, pid: peer.pid, port: theirs! }]),
      ],
      questions,
      ['-m', mode, ...LOAD, ...(mode === 'doh' ? ['-O', 'doh-method=POST'] : [])],
    )
  return [
    ...(await over('dot', 'dot', dns.dotPort!, peer?.tlsPort)),
    ...(await over('doh', 'doh', httpsPort, peer?.httpsPort)),
  ]
}
