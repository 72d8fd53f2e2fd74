import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { SECOND } from '../base/clock.ts'
import { reasonOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { FrameReader, frame } from './framing.ts'
import { type Answer, MAX_QUERY } from './respond.ts'

/** What one household can need, and what a small gateway can bear. */
const MAX_CONNECTIONS = 256
const MAX_CONNECTIONS_PER_CLIENT = 24

/** Without a whole query for that long, or with answers unread, a connection is given up. */
const IDLE_TIMEOUT = 10 * SECOND

/** Queries answered at the same time on one connection; the next ones wait in the kernel. */
const MAX_PIPELINED = 64

/** Octets of answers that a client may leave unread before it is cut off. */
const MAX_BACKLOG = 256 * 1024

/**
 * DNS over TCP on one address.
 *
 * Queries of a connection are answered as they become ready, in any order (RFC 7766 section 6.2.1.1 and
 * section 7). A client that sends what is no message, sends nothing, or does not read, is cut off.
 */
export class TcpListener {
  readonly #address: string
  readonly #server: Server
  readonly #connections = new Set<Socket>()
  readonly #answer: Answer
  readonly #log: Log

  constructor(address: string, options: { answer: Answer; log: Log }) {
    this.#address = address
    this.#answer = options.answer
    this.#log = options.log
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket))
  }

  /** Binds; rejects with the system's error. */
  async listen(port: number): Promise<void> {
    const listening = once(this.#server, 'listening')
    this.#server.listen({ host: this.#address, port, ipv6Only: this.#address.includes(':'), exclusive: true })
    await listening
    this.#server.on('error', (error) => this.#log.warn({ reason: error.message }, 'TCP listener error'))
  }

  close(): Promise<void> {
    for (const connection of this.#connections) connection.destroy()
    return new Promise((closed) => this.#server.close(() => closed()))
  }

  #accept(socket: Socket): void {
    const client = socket.remoteAddress
    const fromClient = [...this.#connections].filter(({ remoteAddress }) => remoteAddress === client).length
    if (this.#connections.size >= MAX_CONNECTIONS || fromClient >= MAX_CONNECTIONS_PER_CLIENT) {
      socket.destroy()
      return
    }
    this.#connections.add(socket)
    socket.on('close', () => this.#connections.delete(socket))
    socket.on('error', () => socket.destroy())
    this.#serve(socket)
  }

  #serve(socket: Socket): void {
    const frames = new FrameReader(MAX_QUERY)
    let pending = 0
    const idle = setTimeout(() => socket.destroy(), IDLE_TIMEOUT)
    socket.on('close', () => clearTimeout(idle))

    const answer = async (query: Buffer) => {
      const { messages } = await this.#answer(query, {
        transport: 'tcp',
        address: socket.remoteAddress ?? '',
      })
      for (const message of messages) {
        if (!socket.writable) return
        socket.write(frame(message))
        if (socket.writableLength > MAX_BACKLOG) socket.destroy()
      }
    }
    const settled = () => {
      pending -= 1
      idle.refresh()
      if (pending < MAX_PIPELINED) socket.resume()
      if (pending === 0 && socket.readableEnded) socket.end()
    }

    socket.on('data', (chunk) => {
      let queries: Buffer[]
      try {
        queries = frames.push(chunk as Buffer)
      } catch {
        socket.destroy()
        return
      }
      for (const query of queries) {
        idle.refresh()
        pending += 1
        answer(query)
          .catch((error) => {
            this.#log.error({ reason: reasonOf(error) }, 'DNS query over TCP failed')
            socket.destroy()
          })
          .finally(settled)
      }
      if (pending >= MAX_PIPELINED) socket.pause()
    })
    // The client may close its side after its last query and still wait for the answers.
    socket.on('end', () => {
      if (pending === 0) socket.end()
    })
  }
}
