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
  #waiting: Buffer[] = []
  #pending = 0

  constructor(socket: Socket, options: { transport: 'tcp' | 'tls'; answer: Answer; hold: Hold; log: Log }) {
    this.#socket = socket
    this.#client = { transport: options.transport, address: socket.remoteAddress ?? '' }
    this.#answer = options.answer
    this.#hold = options.hold
    this.#log = options.log
    this.#idle = setTimeout(() => socket.destroy(), IDLE_TIMEOUT[options.transport])
    socket.on('close', () => {
      clearTimeout(this.#idle)
      this.#waiting = []
      this.#closed.abort()
    })
    socket.on('error', () => socket.destroy())
    socket.on('data', (chunk) => this.#receive(chunk as Buffer))
    // The client may close its side after its last query and still wait for the answers.
    socket.on('end', () => this.#endIfDone())
  }

  #receive(chunk: Buffer): void {
    try {
      this.#waiting.push(...this.#frames.push(chunk))
    } catch {
      this.#socket.destroy()
      return
    }
    this.#take()
  }

  #take(): void {
    const queries = this.#waiting.splice(0, MAX_PIPELINED - this.#pending)
    for (const query of queries) {
      this.#idle.refresh()
      this.#hold.begin()
      this.#pending += 1
      this.#serve(query).finally(() => {
        this.#pending -= 1
        this.#hold.end()
        this.#idle.refresh()
        // In a turn of its own: a chunk can hold thousands of queries, and others wait for theirs.
        if (this.#waiting.length > 0) setImmediate(() => this.#take())
        else this.#endIfDone()
      })
    }
    if (this.#waiting.length > 0 || this.#pending >= MAX_PIPELINED) this.#socket.pause()
    else this.#socket.resume()
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

  #endIfDone(): void {
    if (this.#pending === 0 && this.#waiting.length === 0 && this.#socket.readableEnded) this.#socket.end()
    else if (this.#pending < MAX_PIPELINED) this.#socket.resume()
  }
}
