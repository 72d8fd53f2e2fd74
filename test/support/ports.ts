import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * Below the range from which Linux takes the ports of clients and of `port 0` (from 32768 on): nothing
 * takes such a port by chance between the moment it is found free and the moment a peer binds it.
 */
const FIRST = 16_000
const PORTS_PER_WORKER = 1_000

/** Each Jest worker has ports of its own, so that two test files never give the same one to their peers. */
const worker = Number(process.env.JEST_WORKER_ID ?? 1) % 16
let next = Math.floor(Math.random() * PORTS_PER_WORKER)

/** A port on loopback that is free for UDP and TCP: for a peer that must be told its port, or to leave closed. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < PORTS_PER_WORKER; tries += 1) {
    next = (next + 1) % PORTS_PER_WORKER
    const port = FIRST + worker * PORTS_PER_WORKER + next
    if (await isFree(port)) return port
  }
  throw new Error('no free port')
}

async function isFree(port: number): Promise<boolean> {
  const udp = createSocket('udp4')
  const tcp = createServer()
  try {
    udp.bind({ port, address: '127.0.0.1', exclusive: true })
    await once(udp, 'listening')
    tcp.listen({ port, host: '127.0.0.1', exclusive: true })
    await once(tcp, 'listening')
    return true
  } catch {
    return false
  } finally {
    await new Promise<void>((closed) => udp.close(closed))
    await new Promise((closed) => tcp.close(closed))
  }
}
