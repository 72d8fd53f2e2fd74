import type { Clock } from '../../base/clock.ts'
import { UDP_PAYLOAD } from '../payload.ts'
import { AnswerTable, ENTRY_SOURCES, type EntrySource } from './answerTable.ts'
import { BATCH, DatagramBatch } from './datagrams.ts'
import type { Libc } from './libc.ts'
import { PlainQuery } from './plainQuery.ts'
import { addressIn } from './sockets.ts'
import type { LoopState } from './state.ts'

/** Octets of the answers that are kept: some twenty thousand. */
const TABLE_SIZE = 4 * 1024 * 1024

/** Batches taken from one socket before the others have their turn. */
const TURNS_AT_SOCKET = 8

/** Queries that wait for their answers. Beyond that the newest are dropped, and asked again by who needs them. */
const MAX_WAITING = 4096

/** How many of those may be of clients outside, whose flood is not to hold up the home. */
const MAX_WAITING_OUTSIDE = 256

/** Milliseconds after which nobody waits for an answer any more, and its place goes to another query. */
const LONGEST_WAIT = 10_000

/** Hits that nobody was told of yet; while there are so many, further ones are not told of at all. */
const MAX_UNTOLD = 8192

/** `struct pollfd`: a descriptor in 32 bits, then what is waited for and what has come, 16 bits each. */
const POLLFD = 8
const POLLIN = 1
const POLLNVAL = 0x20

/** A query that the table could not answer. */
export interface Miss {
  id: number
  query: Uint8Array
  /** The client's address, 4 or 16 octets. */
  client: Uint8Array
}

/** A query that the table has answered, for the query log. */
export interface Hit {
  /** Name, type and class, as they were asked. */
  question: Uint8Array
  /** The client's address, 4 or 16 octets. */
  client: Uint8Array
  rcode: number
  source: EntrySource
}

/** What became of a miss. */
export interface Finding {
  id: number
  /** Empty where there is to be no response. */
  responses: readonly Uint8Array[]
  /** How it may be given again; null for not at all. */
  reuse: { for: number; source: EntrySource } | null
}

export interface UdpLoopOptions {
  libc: Libc
  /** Descriptors of bound sockets. */
  sockets: readonly number[]
  /** Of an eventfd: readable when findings wait, or when the loop is to stop. */
  wakeUp: number
  state: LoopState
  clock: Clock
  /** Whether a client's address, `length` octets from `at`, is one that any answer may be given to at once. */
  isLocal: (octets: Uint8Array, at: number, length: number) => boolean
  /** Takes what the table could not answer; called once a batch. */
  onMisses: (misses: Miss[]) => void
  /** Takes what the table has answered; called once a batch. Null where nobody wants to know. */
  onHits: ((hits: Hit[]) => void) | null
}

/** A query that is being answered elsewhere, and the way back. */
interface Waiting {
  fd: number
  isLocal: boolean
  query: Uint8Array
  envelope: Uint8Array
  /** The state's generation when it was asked: an answer from before a change is not kept. */
  generation: number
  /** Milliseconds since 1970. */
  since: number
}

/**
 * DNS over UDP, dozens of datagrams with each system call.
 *
 * What was answered before and may be answered the same again is, from a table of responses; the rest is
 * handed out and comes back as findings. A datagram that is answered here costs no allocation.
 */
export class UdpLoop {
  readonly #libc: Libc
  readonly #options: UdpLoopOptions
  readonly #batch: DatagramBatch
  readonly #table: AnswerTable
  readonly #query = new PlainQuery()
  readonly #memory: Uint8Array
  readonly #polled: Int32Array
  readonly #polledAddress: number
  readonly #counterAddress: number
  readonly #waiting = new Map<number, Waiting>()
  #waitingOutside = 0
  #misses: Miss[] = []
  #hits: Hit[] = []
  #nextId = 0
  #generation = 0

  constructor(options: UdpLoopOptions) {
    const { libc, sockets, wakeUp } = options
    this.#libc = libc
    this.#options = options
    // The first 8 octets are nobody's, and offset 0 so no entry's.
    const tableAt = 8 + DatagramBatch.size
    this.#memory = new Uint8Array(new ArrayBuffer(tableAt + TABLE_SIZE))
    this.#batch = new DatagramBatch(libc, this.#memory, 8)
    this.#table = new AnswerTable(this.#memory, tableAt, tableAt + TABLE_SIZE)
    const descriptors = [...sockets, wakeUp]
    this.#polled = new Int32Array(new ArrayBuffer(descriptors.length * POLLFD + 8))
    descriptors.forEach((fd, index) => {
      this.#polled[2 * index] = fd
      this.#polled[2 * index + 1] = POLLIN
    })
    this.#polledAddress = libc.addressOf(new Uint8Array(this.#polled.buffer))
    this.#counterAddress = this.#polledAddress + descriptors.length * POLLFD
    this.#generation = options.state.generation
  }

  /** Waits at most `timeout` milliseconds, -1 for as long as it takes, and answers what has come by then. */
  turn(timeout: number): void {
    const { sockets, state } = this.#options
    const count = sockets.length + 1
    for (let index = 0; index < count; index += 1) this.#polled[2 * index + 1] = POLLIN
    if (this.#libc.poll(this.#polledAddress, count, timeout) <= 0) return
    for (let index = 0; index < sockets.length; index += 1) {
      const events = this.#polled[2 * index + 1]! >> 16
      if ((events & POLLNVAL) !== 0) throw new Error('a socket was closed while the DNS listened on it')
      if (events !== 0) this.#serve(sockets[index]!)
    }
    if (this.#polled[2 * sockets.length + 1]! >> 16 !== 0) {
      this.#libc.read(this.#options.wakeUp, this.#counterAddress, 8)
    }
    state.entries = this.#table.count
  }

  /** Sends what was found for earlier misses, and keeps what may be given again. */
  take(findings: readonly Finding[]): void {
    let fd = -1
    for (const { id, responses, reuse } of findings) {
      const waiting = this.#waiting.get(id)
      if (waiting === undefined) continue
      this.#giveUpPlace(id, waiting)
      if (fd !== waiting.fd && fd !== -1) this.#batch.send(fd)
      fd = waiting.fd
      for (const response of responses) {
        if (response.length <= UDP_PAYLOAD) this.#batch.post(fd, waiting.envelope, response)
      }
      const [response] = responses
      if (reuse === null || response === undefined || waiting.generation !== this.#options.state.generation)
        continue
      this.#table.learn(
        waiting.query,
        { response, reusableFor: reuse.for, source: reuse.source },
        this.#options.clock.now(),
      )
    }
    if (fd !== -1) this.#batch.send(fd)
  }

  #serve(fd: number): void {
    const { clock, state, onMisses, onHits } = this.#options
    for (let turns = 0; turns < TURNS_AT_SOCKET; turns += 1) {
      const count = this.#batch.receive(fd)
      // After the datagrams: whoever was told of a change and asks then gets no answer from before it.
      if (state.generation !== this.#generation) {
        this.#generation = state.generation
        this.#table.clear()
      }
      const now = clock.now()
      for (let slot = 0; slot < count; slot += 1) this.#answer(fd, slot, now)
      this.#batch.send(fd)
      if (this.#misses.length > 0) {
        const misses = this.#misses
        this.#misses = []
        onMisses(misses)
      }
      if (onHits !== null && this.#hits.length > 0) {
        const hits = this.#hits
        this.#hits = []
        state.addUntold(hits.length)
        onHits(hits)
      }
      if (count < BATCH) return
    }
  }

  #answer(fd: number, slot: number, now: number): void {
    const { state, isLocal } = this.#options
    const batch = this.#batch
    const memory = this.#memory
    const sender = batch.senderAt(slot)
    // From port 0 comes nothing honest, and no answer can be sent to it.
    if (memory[sender + 2] === 0 && memory[sender + 3] === 0) return
    const length = batch.queryLength(slot)
    const queryAt = batch.queryAt(slot)
    const client = addressIn(memory[sender]!)
    const query = this.#query
    const isOurs = isLocal(memory, sender + client.at, client.length)
    if (isOurs && query.read(memory, queryAt, length)) {
      const table = this.#table
      const entry = table.find(query, now)
      if (entry !== 0) {
        const replyLength = table.write(entry, query, batch.replyAt(slot), now)
        if (replyLength !== 0) {
          batch.reply(slot, replyLength)
          state.countHit(query.type, table.rcodeOf(entry), table.sourceOf(entry))
          if (this.#options.onHits !== null) this.#note(entry, sender + client.at, client.length)
          return
        }
      }
    }
    this.#miss(fd, slot, isOurs)
  }

  #note(entry: number, clientAt: number, clientLength: number): void {
    if (this.#options.state.untold >= MAX_UNTOLD) return
    const { questionAt, questionLength } = this.#query
    this.#hits.push({
      question: this.#memory.slice(questionAt, questionAt + questionLength),
      client: this.#memory.slice(clientAt, clientAt + clientLength),
      rcode: this.#table.rcodeOf(entry),
      source: ENTRY_SOURCES[this.#table.sourceOf(entry)]!,
    })
  }

  #giveUpPlace(id: number, { isLocal }: Waiting): void {
    this.#waiting.delete(id)
    if (!isLocal) this.#waitingOutside -= 1
  }

  /** Makes room where the one that waits longest waits in vain. */
  #expireOldest(now: number): void {
    const [oldest] = this.#waiting
    if (oldest === undefined) return
    const [id, waiting] = oldest
    if (Math.abs(now - waiting.since) > LONGEST_WAIT) this.#giveUpPlace(id, waiting)
  }

  #miss(fd: number, slot: number, isLocal: boolean): void {
    const now = this.#options.clock.now()
    if (this.#waiting.size >= MAX_WAITING) this.#expireOldest(now)
    const isFull = !isLocal && this.#waitingOutside >= MAX_WAITING_OUTSIDE
    if (isFull || this.#waiting.size >= MAX_WAITING) {
      this.#options.state.countDropped()
      return
    }
    const memory = this.#memory
    const queryAt = this.#batch.queryAt(slot)
    const sender = this.#batch.senderAt(slot)
    const client = addressIn(memory[sender]!)
    const clientAt = sender + client.at
    const id = this.#nextId
    this.#nextId = (id + 1) % 2 ** 31
    const query = memory.slice(queryAt, queryAt + this.#batch.queryLength(slot))
    const envelope = this.#batch.envelope(slot)
    if (!isLocal) this.#waitingOutside += 1
    this.#waiting.set(id, { fd, isLocal, query, envelope, generation: this.#generation, since: now })
    this.#misses.push({ id, query, client: memory.slice(clientAt, clientAt + client.length) })
  }
}
