import { Worker } from 'node:worker_threads'
import type { Clock } from '../../base/clock.ts'
import { reasonOf } from '../../base/errors.ts'
import { addressText } from '../../base/ip.ts'
import type { Log } from '../../base/log.ts'
import type { Question } from '../../wire/message.ts'
import { Name } from '../../wire/name.ts'
import type { Answer, Client, Response } from '../respond.ts'
import type { Udp } from '../udp.ts'

import type { EntrySource } from './answerTable.ts'
import type { Libc } from './libc.ts'
import { type Finding, type Hit, type Miss, UdpLoop } from './loop.ts'
import { openUdpSocket } from './sockets.ts'
import { LoopState, type StopHandle, stopLoop, wake } from './state.ts'
import type { UdpThreadData, UdpThreadMessage } from './thread.ts'

/** Octets of queries that wait in the kernel: the usual 200 kB drop some of a burst of 200. */
const RECEIVE_BUFFER = 1024 * 1024

/** EFD_CLOEXEC and EFD_NONBLOCK. */
const EVENTFD_FLAGS = 0o2004000

/** The thread has little to keep: what it hands out and takes back, and nothing for the answers it knows. */
const THREAD_LIMITS = { maxYoungGenerationSizeMb: 3, maxOldGenerationSizeMb: 64 }

/** How often the loop has a turn where it has no thread, milliseconds. */
const TURN_EVERY = 1

export interface BatchedUdpOptions {
  libc: Libc
  /** `thread` in one of its own; `here` between this thread's other work. */
  mode: 'thread' | 'here'
  answer: Answer
  /** Networks that count as local besides those that are. */
  clients: readonly string[]
  /** Networks that do not, though their addresses are private. */
  outside: readonly string[]
  isLocal: (octets: Uint8Array, at: number, length: number) => boolean
  /** Is told of each query that the loop has answered by itself; null for nobody. */
  onHit: ((client: Client, hit: { question: Question; rcode: number; source: EntrySource }) => void) | null
  clock: Clock
  log: Log
  /** The thread ended by itself, which it never should. */
  onFailure: (error: Error) => void
}

/**
 * DNS over UDP through batched system calls.
 *
 * The loop that takes and sends datagrams answers by itself what was answered before; everything else
 * comes here, is answered as any query is, and goes back.
 */
export class BatchedUdp implements Udp {
  readonly #options: BatchedUdpOptions
  readonly #state = new LoopState()
  readonly #wakeUp: number
  readonly #sockets: number[] = []
  #worker: Worker | null = null
  #here: { loop: UdpLoop; timer: NodeJS.Timeout } | null = null
  #findings: Finding[] = []
  #ended: Promise<void> = Promise.resolve()
  #closing = false

  constructor(options: BatchedUdpOptions) {
    this.#options = options
    this.#wakeUp = options.libc.eventfd(0, EVENTFD_FLAGS)
    if (this.#wakeUp < 0) throw new Error(`eventfd failed: errno ${options.libc.errno()}`)
  }

  async listen(address: string, port: number): Promise<number> {
    const socket = openUdpSocket(this.#options.libc, address, port, RECEIVE_BUFFER)
    this.#sockets.push(socket.fd)
    return socket.port
  }

  start(): void {
    const { libc, mode, clients, outside, clock, isLocal, onHit } = this.#options
    if (mode === 'thread') {
      this.#startThread({
        sockets: this.#sockets,
        wakeUp: this.#wakeUp,
        state: this.#state.memory,
        clients,
        outside,
        tellsHits: onHit !== null,
      })
      return
    }
    const loop = new UdpLoop({
      libc,
      sockets: this.#sockets,
      wakeUp: this.#wakeUp,
      state: this.#state,
      clock,
      isLocal,
      onMisses: (misses) => this.#answerAll(misses),
      onHits: onHit && ((hits) => this.#tell(hits)),
    })
    this.#here = { loop, timer: setInterval(() => loop.turn(0), TURN_EVERY) }
  }

  forget(): void {
    this.#state.nextGeneration()
  }

  counters() {
    return this.#state.snapshot()
  }

  get stopHandle(): StopHandle | null {
    return this.#worker === null ? null : { state: this.#state.memory, wakeUp: this.#wakeUp }
  }

  async close(): Promise<void> {
    this.#closing = true
    if (this.#worker !== null) stopLoop({ state: this.#state.memory, wakeUp: this.#wakeUp })
    if (this.#here !== null) clearInterval(this.#here.timer)
    await this.#ended
    for (const fd of [...this.#sockets.splice(0), this.#wakeUp]) this.#options.libc.close(fd)
  }

  #startThread(data: UdpThreadData): void {
    const worker = new Worker(new URL('./thread.ts', import.meta.url), {
      name: 'dns-udp',
      workerData: data,
      resourceLimits: THREAD_LIMITS,
    })
    this.#worker = worker
    worker.on('message', ({ misses = [], hits = [] }: UdpThreadMessage) => {
      this.#answerAll(misses)
      this.#tell(hits)
    })
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#ended = promise
    let failure = new Error('the DNS thread for UDP ended')
    worker.on('error', (error) => {
      failure = error as Error
    })
    worker.on('exit', () => {
      this.#worker = null
      resolve()
      if (!this.#closing) this.#options.onFailure(failure)
    })
  }

  #answerAll(misses: readonly Miss[]): void {
    for (const miss of misses) void this.#answer(miss)
  }

  #tell(hits: readonly Hit[]): void {
    this.#state.addUntold(-hits.length)
    for (const { question, client, ...rest } of hits) {
      this.#options.onHit?.(
        { transport: 'udp', address: addressText(client), isLocal: true },
        { question: readQuestion(question), ...rest },
      )
    }
  }

  async #answer({ id, query, client }: Miss): Promise<void> {
    let finding: Finding = { id, responses: [], reuse: null }
    try {
      const response = await this.#options.answer(query, { transport: 'udp', address: addressText(client) })
      // Copies: with what Node cuts small buffers from, 64 KiB would go to the other thread each time.
      const responses = Array.from(response.messages, (message) => new Uint8Array(message))
      finding = { id, responses, reuse: reuseOf(response) }
    } catch (error) {
      this.#options.log.error({ reason: reasonOf(error) }, 'DNS query over UDP failed')
    }
    this.#findings.push(finding)
    // Those that become ready in the same turn of the event loop go back together.
    if (this.#findings.length === 1) setImmediate(() => this.#handBack())
  }

  #handBack(): void {
    const findings = this.#findings
    this.#findings = []
    if (this.#closing) return
    this.#here?.loop.take(findings)
    if (this.#worker === null) return
    this.#worker.postMessage(findings)
    wake(this.#wakeUp)
  }
}

/** A question whose form the loop has checked. */
function readQuestion(octets: Uint8Array): Question {
  const buffer = Buffer.from(octets)
  const nameEnd = buffer.length - 4
  return {
    name: Name.fromWire(buffer.toString('latin1', 0, nameEnd)),
    type: buffer.readUInt16BE(nameEnd),
    class: buffer.readUInt16BE(nameEnd + 2),
  }
}

/** Sources whose records have the same TTL whenever they are asked for; the others' TTLs run. */
const STANDING: readonly string[] = ['special', 'zone', 'override'] satisfies EntrySource[]

function reuseOf({ reusableFor, source }: Response): Finding['reuse'] {
  if (reusableFor <= 0 || source === null) return null
  return { for: reusableFor, source: STANDING.includes(source) ? (source as EntrySource) : 'cache' }
}
