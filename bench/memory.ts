import { setTimeout as sleep } from 'node:timers/promises'
import { Home, homeDevices } from './home.ts'
import { alone, beside, type Figure, OURS, residentMegabytes, takeTurns } from './measure.ts'
import { startNameServers } from './peers/nameServers.ts'
import type { Session } from './session.ts'

/** Resident memory at rest, started anew with enrolled devices; beside name servers with their names. */
export async function measureMemory(session: Session): Promise<Figure[]> {
  return [...(await withDevices(session, 1)), ...(await withDevices(session, 200))]
}

async function withDevices(session: Session, count: number): Promise<Figure[]> {
  const devices = homeDevices(count)
  const home = await Home.start(session)
  for (const device of devices) await home.enroll(device)
  const atRest = async () => {
    await home.gateway.stop()
    await home.gateway.start()
    await sleep(session.seconds * 1000)
    return residentMegabytes(home.pid)
  }
  const results = await takeTurns(session.rounds, new Map([[OURS, atRest]]))
  const name = `memory-${count === 1 ? '1-device' : '200-devices'}`
  if (count === 1) return [alone(name, 'MB', results.get(OURS)!)]
  const peers = await startNameServers(session, devices)
  await sleep(session.seconds * 1000)
  for (const peer of peers) results.set(peer.name, [residentMegabytes(peer.pid)])
  return beside(name, 'MB', results, (megabytes) => megabytes)
}
