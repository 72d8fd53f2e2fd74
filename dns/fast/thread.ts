import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { systemClock } from '../../base/clock.ts'
import { Access } from '../access.ts'
import { openLibc } from './libc.ts'
import { type Finding, type Hit, type Miss, UdpLoop } from './loop.ts'
import { LoopState } from './state.ts'

/** What the thread is started with. */
export interface UdpThreadData {
  sockets: readonly number[]
  wakeUp: number
  state: SharedArrayBuffer
  clients: readonly string[]
  outside: readonly string[]
  /** Whether each query that is answered here is to be told of. */
  tellsHits: boolean
}

/** What the thread hands out. */
export interface UdpThreadMessage {
  misses?: Miss[]
  hits?: Hit[]
}

/** Milliseconds. Whoever ends the process before it was told how to wake this thread waits no longer than that. */
const LONGEST_WAIT = 1000

/**
 * The thread that answers UDP. It waits in `poll` and has no event loop to speak of: messages are fetched
 * when the wake-up descriptor says that there are some.
 */
const { sockets, wakeUp, state: memory, clients, outside, tellsHits } = workerData as UdpThreadData
const port = parentPort!
const state = new LoopState(memory)
const access = new Access({ clients, outside, clock: systemClock })
const loop = new UdpLoop({
  libc: openLibc()!,
  sockets,
  wakeUp,
  state,
  clock: systemClock,
  isLocal: (octets, at, length) => access.isLocal(octets, at, length),
  onMisses: (misses) => port.postMessage({ misses } satisfies UdpThreadMessage),
  onHits: tellsHits ? (hits) => port.postMessage({ hits } satisfies UdpThreadMessage) : null,
})
while (!state.isStopped) {
  loop.turn(LONGEST_WAIT)
  for (
    let message = receiveMessageOnPort(port);
    message !== undefined;
    message = receiveMessageOnPort(port)
  ) {
    loop.take(message.message as Finding[])
  }
}
