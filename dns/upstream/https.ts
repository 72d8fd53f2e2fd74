import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  constants,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
} from 'node:http2'
import { isIP } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { SECOND } from '../../base/clock.ts'
import { decodeMessage, MAX_MESSAGE, type Message, type ResourceRecord } from '../../wire/message.ts'
import type { HttpsUpstream } from '../upstream.ts'
import { answersTo, encodePadded, type Link, settleOnce } from './link.ts'
import type { TrustedRoots } from './trustedRoots.ts'

const MEDIA_TYPE = 'application/dns-message'

/** How long a session without questions is kept. */
const IDLE = 30 * SECOND

/** How long a session may take to be ready. Longer than a try: over a slow line, the next one profits. */
const CONNECT_TIMEOUT = 4 * SECOND

/** Finds the addresses of a host, and forgets them when none of them can be reached. */
export interface HostFinder {
  /** The address to try now. Rejects if the host cannot be found. */
  find(host: string, signal: AbortSignal): Promise<string>
  /** The address did not answer: another one next time. */
  passOver(host: string, address: string): void
}

/**
 * An upstream asked over HTTPS, on one HTTP/2 session for all questions.
 *
 * Always with POST: what is in a URL ends up in logs. The id is 0 and so nothing to guess; what guards a
 * reply is the session it came on.
 *
 * @see RFC 8484 sections 4.1 and 4.2.1.
 */
export class HttpsLink implements Link {
  readonly #upstream: HttpsUpstream
  readonly #roots: TrustedRoots
  readonly #hosts: HostFinder
  #session: Session | null = null
  #closed = false

  constructor(upstream: HttpsUpstream, options: { roots: TrustedRoots; hosts: HostFinder }) {
    this.#upstream = upstream
    this.#roots = options.roots
    this.#hosts = options.hosts
  }

  async ask(asked: Message, signal: AbortSignal): Promise<Message> {
    const query = { ...asked, id: 0 }
    for (;;) {
      const session = await this.#usableSession(signal)
      try {
        return await session.ask(query, signal)
      } catch (error) {
        // The server may end a session whenever it likes; what was under way is asked again on a new one.
        if (signal.aborted || !(session.isOver && session.hasAnswered)) throw error
      }
    }
  }

  close(): void {
    this.#closed = true
    this.#session?.end()
  }

  async #usableSession(signal: AbortSignal): Promise<Session> {
    if (this.#session === null || this.#session.isOver) {
      const { host, address } = this.#upstream
      const found = address ?? (await this.#hosts.find(host, signal))
      if (this.#closed) throw new Error('the connection is closed for good')
      // Another question may have opened one while this one waited for the address.
      if (this.#session === null || this.#session.isOver) {
        this.#session = new Session(this.#upstream, found, this.#roots, () => {
          if (address === null) this.#hosts.passOver(host, found)
        })
      }
    }
    return this.#session
  }
}

class Session {
  readonly #http: ClientHttp2Session
  readonly #path: string
  readonly #idle: NodeJS.Timeout
  readonly #connecting: NodeJS.Timeout
  readonly #waiting = new Set<(reason: unknown) => void>()
  #lastHeard = 0
  isOver = false
  hasAnswered = false

  constructor(
    { host, port, path }: HttpsUpstream,
    address: string,
    roots: TrustedRoots,
    onUnreachable: () => void,
  ) {
    this.#path = path
    const socket = connectTls({
      host: address,
      port,
      ALPNProtocols: ['h2'],
      ...(isIP(host) === 0 && { servername: host }),
      ...roots.options,
    })
    socket.setNoDelay()
    socket.on('secureConnect', () => {
      if (socket.alpnProtocol !== 'h2') this.#fail(new Error('the server does not speak HTTP/2'))
    })
    const authority = `https://${isIP(host) === 6 ? `[${host}]` : host}:${port}`
    this.#http = connectHttp2(authority, { createConnection: () => socket, settings: { enablePush: false } })
    const late = () => this.#fail(new Error('the connection takes too long'))
    this.#connecting = setTimeout(late, CONNECT_TIMEOUT).unref()
    this.#http.on('connect', () => clearTimeout(this.#connecting))
    this.#http.on('error', (error) => this.#fail(error))
    this.#http.on('goaway', () => {
      this.isOver = true
    })
    this.#http.on('close', () => {
      if (!this.hasAnswered) onUnreachable()
      this.#fail(new Error('the server ended the session'))
    })
    this.#idle = setTimeout(() => this.#endIfIdle(), IDLE).unref()
  }

  async ask(query: Message, signal: AbortSignal): Promise<Message> {
    const since = performance.now()
    let stream: ClientHttp2Stream | undefined
    let giveUp = (_reason: unknown) => {}
    try {
      return await settleOnce<Message>(
        signal,
        (resolve, reject) => {
          giveUp = reject
          this.#waiting.add(giveUp)
          const body = encodePadded(query)
          stream = this.#http.request({
            [constants.HTTP2_HEADER_METHOD]: 'POST',
            [constants.HTTP2_HEADER_PATH]: this.#path,
            [constants.HTTP2_HEADER_ACCEPT]: MEDIA_TYPE,
            [constants.HTTP2_HEADER_CONTENT_TYPE]: MEDIA_TYPE,
            [constants.HTTP2_HEADER_CONTENT_LENGTH]: body.length,
          })
          this.#collect(stream, query, resolve, reject)
          stream.end(body)
        },
        () => stream?.close(constants.NGHTTP2_CANCEL),
      )
    } finally {
      this.#waiting.delete(giveUp)
      if (this.#waiting.size === 0) this.#idle.refresh()
      const isSilent = !this.#http.connecting && this.#lastHeard < since
      if (signal.aborted && isSilent) this.#fail(new Error('the connection went silent'))
    }
  }

  end(): void {
    this.#fail(new Error('the gateway is closing'))
  }

  #fail(reason: Error): void {
    this.isOver = true
    clearTimeout(this.#idle)
    clearTimeout(this.#connecting)
    for (const giveUp of this.#waiting) giveUp(reason)
    this.#http.destroy()
  }

  #endIfIdle(): void {
    if (this.#waiting.size > 0) this.#idle.refresh()
    else this.#fail(new Error('the connection was idle'))
  }

  #collect(
    stream: ClientHttp2Stream,
    query: Message,
    resolve: (reply: Message) => void,
    reject: (reason: unknown) => void,
  ): void {
    const chunks: Buffer[] = []
    let size = 0
    let age = 0
    stream.on('response', (headers) => {
      this.#lastHeard = performance.now()
      const fault = faultOf(headers)
      if (fault !== null) reject(new Error(fault))
      age = Number(headers.age ?? 0) || 0
    })
    stream.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > MAX_MESSAGE) reject(new Error('the reply is larger than a DNS message can be'))
      else chunks.push(chunk)
    })
    stream.on('error', reject)
    stream.on('close', () => reject(new Error('the server gave no reply')))
    stream.on('end', () => {
      try {
        const reply = decodeMessage(Buffer.concat(chunks))
        if (reply.id !== query.id || !answersTo(query, reply))
          throw new Error('the reply is to another question')
        this.hasAnswered = true
        resolve(grownOlder(reply, age))
      } catch (error) {
        reject(error)
      }
    })
  }
}

function faultOf(headers: IncomingHttpHeaders & IncomingHttpStatusHeader): string | null {
  const status = headers[':status']
  if (status !== 200) return `the server said HTTP ${status}`
  const type = headers['content-type']?.split(';')[0]?.trim().toLowerCase()
  return type === MEDIA_TYPE
    ? null
    : `the server sent ${JSON.stringify(type?.slice(0, 60))} and no DNS message`
}

/** An HTTP cache on the way may have kept the reply: its age comes off the TTLs (RFC 8484 section 5.1). */
function grownOlder(reply: Message, age: number): Message {
  if (age <= 0) return reply
  const older = (records: readonly ResourceRecord[]) =>
    records.map((record) => ({ ...record, ttl: Math.max(0, record.ttl - Math.ceil(age)) }))
  return {
    ...reply,
    answers: older(reply.answers),
    authorities: older(reply.authorities),
    additionals: older(reply.additionals),
  }
}
