import { once } from 'node:events'
import type { Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Hold } from '../base/connections.ts'
import { reasonOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { IDLE_TIMEOUT } from './edns.ts'
import { FrameReader, frame } from './framing.ts'
import type { Answer, Client } from './respond.ts'

/** Queries answered at the same time on one connection; the next ones wait. */
const MAX_PIPELINED = 64

/**
 * Queries begun on one connection in one turn of the event loop. Everybody else waits for as many of each
 * connection: a chunk can hold thousands.
 */
const MAX_AT_ONCE = 16

/**
 * Messages without an answer, such as fragments of headers, after which a connection is given up. Whoever
 * sends them need not stay to read, and millions of them would wait in the kernel.
 */
const MAX_UNANSWERED = 1000

/** Octets of answers that a client may leave unread before it is cut off. */
const MAX_BACKLOG = 256 * 1024

/**
 * One connection on which DNS messages travel, TCP or TLS.
 *
 * Queries are answered as their answers become ready, in any order (RFC 7766 sections 6.2.1.1 and 7). A
 * client that sends what is no message, sends nothing, or does not read, is cut off; but the parts of a
 * zone transfer wait until the client has read those before.
 */
export class StreamConnection {
  readonly #socket: Socket
  readonly #client: Client
  readonly #answer: Answer
  readonly #hold: Hold
  readonly #log: Log
  /** Of any length: an update may need it. Longer queries of others are refused by `respond`. */
  readonly #frames = new FrameReader()
  readonly #closed = new AbortController()
  readonly #idle: NodeJS.Timeout
  /** Whether there may be whole queries that were not taken yet. */
  #hasMore = false
  #hasTurn = false
  #pending = 0
  #unanswered = 0

  constructor(socket: Socket, options: { transport: 'tcp' | 'tls'; answer: Answer; hold: Hold; log: Log }) {
    this.#socket = socket
    this.#client = { transport: options.transport, address: socket.remoteAddress ?? '' }
    this.#answer = options.answer
    this.#hold = options.hold
    this.#log = options.log
    this.#idle = setTimeout(() => socket.destroy(), IDLE_TIMEOUT[options.transport])
    socket.on('close', () => {
      clearTimeout(this.#idle)
      this.#closed.abort()
    })
    socket.on('error', () => socket.destroy())
    socket.on('data', (chunk) => this.#receive(chunk as Buffer))
    // The client may close its side after its last query and still wait for the answers.
    socket.on('end', () => this.#goOn())
  }

  #receive(chunk: Buffer): void {
    this.#frames.add(chunk)
    this.#hasMore = true
    this.#take()
  }

  #take(): void {
    let free = Math.min(MAX_AT_ONCE, MAX_PIPELINED - this.#pending)
    for (; free > 0 && this.#hasMore; free -= 1) {
      const query = this.#nextQuery()
      if (query === null) break
      this.#idle.refresh()
      this.#hold.begin()
      this.#pending += 1
      this.#serve(query).finally(() => {
        this.#pending -= 1
        this.#hold.end()
        this.#idle.refresh()
        this.#goOn()
      })
    }
    if (this.#hasMore || this.#pending >= MAX_PIPELINED) this.#socket.pause()
    this.#goOn()
  }

  /** Null when there is none that is whole, and none any more on a connection that closes. */
  #nextQuery(): Buffer | null {
    let query: Buffer | null = null
    try {
      if (!this.#socket.destroyed) query = this.#frames.next()
    } catch {
      this.#socket.destroy()
    }
    this.#hasMore = query !== null
    return query
  }

  /** Sees to what comes next: queries that are there, others from the client, or the end. */
  #goOn(): void {
    if (this.#pending >= MAX_PIPELINED) return
    if (!this.#hasMore) {
      if (this.#pending === 0 && this.#socket.readableEnded) this.#socket.end()
      else this.#socket.resume()
    } else if (!this.#hasTurn) {
      this.#hasTurn = true
      setImmediate(() => {
        this.#hasTurn = false
        this.#take()
      })
    }
  }

  async #serve(query: Buffer): Promise<void> {
    try {
      const { messages } = await this.#answer(query, this.#client)
      let isFirst = true
      for (const message of messages) {
        if (!isFirst) await this.#read()
        this.#send(message)
        isFirst = false
      }
      if (!isFirst) return
      this.#unanswered += 1
      if (this.#unanswered > MAX_UNANSWERED) this.#socket.destroy()
    } catch (error) {
      if (this.#closed.signal.aborted) return
      this.#log.error({ reason: reasonOf(error) }, `DNS query over ${this.#client.transport} failed`)
      this.#socket.destroy()
    }
  }

  #send(message: Buffer): void {
    if (!this.#socket.writable) return
    this.#socket.write(frame(message))
    if (this.#socket.writableLength > MAX_BACKLOG) this.#socket.destroy()
  }

  /**
   * Resolves when the client has read most of what was sent to it, and others had their turn; rejects if it
   * never does.
   */
  async #read(): Promise<void> {
    await nextTurn()
    this.#closed.signal.throwIfAborted()
    if (!this.#socket.writableNeedDrain) return
    await once(this.#socket, 'drain', { signal: this.#closed.signal })
    this.#idle.refresh()
  }
}
