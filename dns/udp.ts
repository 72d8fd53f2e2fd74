import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { reasonOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { LoopState, StopHandle } from './fast/state.ts'
import type { Answer } from './respond.ts'

/** The ways DNS over UDP is done: one socket an address either way. */
export interface Udp {
  readonly stopHandle: StopHandle | null
  /** Binds one more address; rejects with the system's error. Returns the port, which is chosen if 0 is asked for. */
  listen(address: string, port: number): Promise<number>
  /** Answers from now on. */
  start(): void
  /** What was answered before may be answered otherwise from now on. */
  forget(): void
  /** What was answered without asking for it; null where that never happens. */
  counters(): ReturnType<LoopState['snapshot']> | null
  close(): Promise<void>
}

/** DNS over UDP through Node's own sockets: works everywhere, at three times the cost. */
export class DgramUdp implements Udp {
  readonly stopHandle = null
  readonly #options: { answer: Answer; log: Log }
  readonly #listeners: UdpListener[] = []

  constructor(options: { answer: Answer; log: Log }) {
    this.#options = options
  }

  listen(address: string, port: number): Promise<number> {
    const listener = new UdpListener(address, this.#options)
    this.#listeners.push(listener)
    return listener.listen(port)
  }

  /** A socket here answers from the moment it is bound. */
  start(): void {}

  /** Nothing is kept here. */
  forget(): void {}

  counters(): null {
    return null
  }

  async close(): Promise<void> {
    await Promise.all(this.#listeners.splice(0).map((listener) => listener.close()))
  }
}

/** Octets of queries that wait in the kernel: the usual 200 kB drop some of a burst of 200. */
const RECEIVE_BUFFER = 1024 * 1024

/**
 * DNS over UDP on one address.
 *
 * The response leaves from the socket the query came in on, and so from the address that was asked.
 */
export class UdpListener {
  readonly #address: string
  readonly #socket: Socket
  readonly #answer: Answer
  readonly #log: Log

  constructor(address: string, options: { answer: Answer; log: Log }) {
    this.#address = address
    this.#answer = options.answer
    this.#log = options.log
    const type = address.includes(':') ? 'udp6' : 'udp4'
    this.#socket = createSocket({ type, ipv6Only: type === 'udp6', recvBufferSize: RECEIVE_BUFFER })
    this.#socket.on('message', (query, { address: client, port }) => this.receive(query, client, port))
  }

  /** Answers one datagram, or drops it. From port 0 comes nothing honest, and no answer can be sent to it. */
  receive(query: Buffer, client: string, port: number): void {
    if (port === 0) return
    this.#answer(query, { transport: 'udp', address: client })
      .then(({ messages }) => {
        for (const message of messages) this.#send(message, client, port)
      })
      .catch((error) => this.#log.error({ reason: reasonOf(error) }, 'DNS query over UDP failed'))
  }

  /** Binds; rejects with the system's error. Returns the port, which is chosen if 0 is asked for. */
  async listen(port: number): Promise<number> {
    const listening = once(this.#socket, 'listening')
    this.#socket.bind({ address: this.#address, port, exclusive: true })
    await listening
    this.#socket.on('error', (error) => this.#log.warn({ reason: error.message }, 'UDP socket error'))
    return this.#socket.address().port
  }

  close(): Promise<void> {
    return new Promise((closed) => this.#socket.close(closed))
  }

  #send(response: Buffer, client: string, port: number): void {
    try {
      this.#socket.send(response, port, client, (error) => {
        if (error !== null) this.#log.debug({ client, reason: error.message }, 'UDP response not sent')
      })
    } catch (error) {
      // The listener was closed while the answer was on its way.
      this.#log.debug({ client, reason: reasonOf(error) }, 'UDP response not sent')
    }
  }
}
