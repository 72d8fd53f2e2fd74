import { randomInt } from 'node:crypto'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { SECOND } from '../../base/clock.ts'
import { decodeHeader, decodeMessage, encodeMessage, type Message } from '../../wire/message.ts'
import { FrameReader, frame } from '../framing.ts'
import type { PlainUpstream, TlsUpstream } from '../upstream.ts'
import { answersTo, encodePadded, type Link } from './link.ts'
import type { TrustedRoots } from './trustedRoots.ts'

/** How long a connection without questions is kept: setting TLS up costs more than leaving it open. */
const IDLE = { tcp: 10 * SECOND, tls: 30 * SECOND } as const

/** How long a connection may take to be ready. Longer than a try: over a slow line, the next one profits. */
const CONNECT_TIMEOUT = 4 * SECOND

/** Messages nobody asked for, after which a connection is given up. Late replies are of that kind too. */
const MAX_UNSOLICITED = 64

/**
 * An upstream asked over one connection, TCP or TLS, on which many questions are under way at a time.
 *
 * The upstream may close a connection whenever it likes, and so may anything in between without a word.
 * What was under way on a connection that had answered before is asked again on a new one; a connection on
 * which nothing came for as long as a question waits is given up with it.
 *
 * @see RFC 7766 section 6.2.1 for the one connection; RFC 7858 sections 3.3 and 3.4.
 */
export class StreamLink implements Link {
  readonly #open: () => Connection
  #connection: Connection | null = null
  #closed = false

  private constructor(open: () => Connection) {
    this.#open = open
  }

  static overTcp({ address, port }: PlainUpstream): StreamLink {
    return new StreamLink(() => {
      const socket = connectTcp({ host: address, port, noDelay: true })
      return new Connection(socket, { ready: 'connect', idle: IDLE.tcp, encode: encodeMessage })
    })
  }

  /**
   * The certificate must be for the upstream's name, or for its address if it has none, and lead to one of
   * `roots`. No question is sent before that is proven.
   */
  static overTls({ address, port, name }: TlsUpstream, roots: TrustedRoots): StreamLink {
    let session: Buffer | undefined
    return new StreamLink(() => {
      const socket = connectTls({
        host: address,
        port,
        ...(name !== null && { servername: name }),
        ...(session !== undefined && { session }),
        ...roots.options,
      })
      socket.setNoDelay()
      socket.on('session', (latest) => {
        session = latest
      })
      // A ticket that the upstream does not like any more must not stand in the way of the next try.
      socket.on('error', () => {
        session = undefined
      })
      return new Connection(socket, { ready: 'secureConnect', idle: IDLE.tls, encode: encodePadded })
    })
  }

  async ask(query: Message, signal: AbortSignal): Promise<Message> {
    for (;;) {
      if (this.#closed) throw new Error('the connection is closed for good')
      if (this.#connection === null || this.#connection.isOver) this.#connection = this.#open()
      const connection = this.#connection
      try {
        return await connection.ask(query, signal)
      } catch (error) {
        if (signal.aborted || !(connection.isOver && connection.hasAnswered)) throw error
      }
    }
  }

  close(): void {
    this.#closed = true
    this.#connection?.end(new Error('the gateway is closing'))
  }
}

interface Waiting {
  query: Message
  since: number
  resolve: (reply: Message) => void
  reject: (reason: unknown) => void
}

class Connection {
  readonly #socket: Socket | TLSSocket
  readonly #encode: (query: Message) => Buffer
  readonly #frames = new FrameReader()
  readonly #waiting = new Map<number, Waiting>()
  readonly #idle: NodeJS.Timeout
  readonly #connecting: NodeJS.Timeout
  /** What was asked before the connection was ready; null once it is. */
  #unsent: Buffer[] | null = []
  #lastHeard = 0
  #unsolicited = 0
  isOver = false
  hasAnswered = false

  constructor(
    socket: Socket | TLSSocket,
    options: { ready: 'connect' | 'secureConnect'; idle: number; encode: (query: Message) => Buffer },
  ) {
    this.#socket = socket
    this.#encode = options.encode
    this.#idle = setTimeout(() => this.#endIfIdle(), options.idle).unref()
    const late = () => this.end(new Error('the connection takes too long'))
    this.#connecting = setTimeout(late, CONNECT_TIMEOUT).unref()
    socket.on(options.ready, () => {
      clearTimeout(this.#connecting)
      for (const bytes of this.#unsent ?? []) socket.write(bytes)
      this.#unsent = null
    })
    socket.on('data', (chunk) => this.#receive(chunk as Buffer))
    socket.on('error', (error) => this.end(error))
    socket.on('end', () => this.end(new Error('the upstream closed the connection')))
    socket.on('close', () => this.end(new Error('the upstream closed the connection')))
  }

  async ask(asked: Message, signal: AbortSignal): Promise<Message> {
    signal.throwIfAborted()
    const id = this.#freeId()
    const query = { ...asked, id }
    const { promise, resolve, reject } = Promise.withResolvers<Message>()
    const waiting = { query, since: performance.now(), resolve, reject }
    const onAbort = () => {
      reject(signal.reason)
      if (this.#unsent === null && this.#lastHeard < waiting.since)
        this.end(new Error('the connection went silent'))
    }
    this.#waiting.set(id, waiting)
    signal.addEventListener('abort', onAbort)
    const bytes = frame(this.#encode(query))
    if (this.#unsent === null) this.#socket.write(bytes)
    else this.#unsent.push(bytes)
    try {
      return await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.#waiting.delete(id)
      if (this.#waiting.size === 0) this.#idle.refresh()
    }
  }

  /** Ends the connection, and with it whatever is under way on it. */
  end(reason: Error): void {
    if (this.isOver) return
    this.isOver = true
    clearTimeout(this.#idle)
    clearTimeout(this.#connecting)
    this.#socket.destroy()
    for (const { reject } of this.#waiting.values()) reject(reason)
  }

  #endIfIdle(): void {
    if (this.#waiting.size > 0) this.#idle.refresh()
    else this.end(new Error('the connection was idle'))
  }

  #receive(chunk: Buffer): void {
    try {
      for (const bytes of this.#frames.push(chunk)) this.#take(bytes)
    } catch (error) {
      this.end(error as Error)
    }
  }

  #take(bytes: Buffer): void {
    this.#lastHeard = performance.now()
    const header = decodeHeader(bytes)
    const waiting = header === null ? undefined : this.#waiting.get(header.id)
    const reply = waiting && decodeMessage(bytes)
    if (reply !== undefined && answersTo(waiting!.query, reply)) {
      this.hasAnswered = true
      waiting!.resolve(reply)
      return
    }
    this.#unsolicited += 1
    if (this.#unsolicited > MAX_UNSOLICITED) this.end(new Error('the upstream sends what nobody asked for'))
  }

  #freeId(): number {
    for (;;) {
      const id = randomInt(0x10000)
      if (!this.#waiting.has(id)) return id
    }
  }
}
