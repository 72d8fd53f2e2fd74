import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { Agent, type RequestOptions, request } from 'node:https'
import { reasonOf } from '../base/errors.ts'
import { pem } from '../x509/certificate.ts'
import { AgentError, type AgentErrorCode } from './errors.ts'
import { decodeBody, type Names, readCertsOnly, readCsrAttributes } from './estReply.ts'

export interface EstClientOptions {
  /** `https://host:port`, no path. */
  gateway: URL
  /**
   * DER of the only trust anchors. `null`: whoever answers is listened to; good for nothing but to
   * fetch CA certificates that are then compared with a pin.
   */
  roots: readonly Buffer[] | null
  /** `ID:TOKEN`, sent as user name and password. */
  token?: string
  /** PEM of the client's key, and of its certificate with the issuers. */
  certificate?: { key: string; chain: string }
  signal: AbortSignal | undefined
}

/** The gateway has not decided yet; ask again with the same request (RFC 7030 section 4.2.3). */
export interface NotYet {
  /** As the header `Retry-After` says it: seconds or a date; empty if it says nothing. */
  retryAfter: string
}

interface Reply {
  status: number
  type: string
  retryAfter: string
  body: Buffer
}

/** Enough for a hundred certificates. */
const MAX_BODY = 256 * 1024

const REQUEST_MILLISECONDS = 30_000

const REASON_LENGTH = 600

/** TLS failures by which the other side is not the pinned gateway. */
const UNTRUSTED = /^(CERT_|SELF_SIGNED_|DEPTH_ZERO_|UNABLE_TO_|ERR_TLS_CERT_|INVALID_PURPOSE|INVALID_CA)/

/**
 * A client of one gateway's EST server (RFC 7030) over one kept connection, TLS 1.3 only.
 *
 * No redirect is followed, no reply is longer than 256 KiB, no request takes longer than 30 seconds.
 */
export class EstClient {
  readonly #options: EstClientOptions
  readonly #agent: Agent

  constructor(options: EstClientOptions) {
    this.#options = options
    this.#agent = new Agent({
      keepAlive: true,
      maxSockets: 1,
      // A resumed session would be believed without looking at the certificate again.
      maxCachedSessions: 0,
      minVersion: 'TLSv1.3',
      ...(options.roots === null
        ? { rejectUnauthorized: false }
        : { rejectUnauthorized: true, ca: options.roots.map((root) => pem(root, 'CERTIFICATE')) }),
      ...(options.certificate && { key: options.certificate.key, cert: options.certificate.chain }),
    })
  }

  /** The roots, issuers and cross-certificates that the gateway publishes, each as DER. */
  async caCertificates(): Promise<Buffer[]> {
    const reply = await this.#ask('GET', 'cacerts')
    if (reply.status !== 200) throw this.#failure(reply)
    return readCertsOnly(decodeBody(reply.body))
  }

  /** The names assigned to whoever asks; null if the gateway says nothing of names. */
  async csrAttributes(): Promise<Names | null> {
    const reply = await this.#ask('GET', 'csrattrs')
    if (reply.status === 204) return null
    if (reply.status !== 200) throw this.#failure(reply)
    return readCsrAttributes(decodeBody(reply.body))
  }

  /** Hands in a request; the DER of the certificate, or that it takes longer. */
  async enroll(operation: 'simpleenroll' | 'simplereenroll', csr: Buffer): Promise<Buffer | NotYet> {
    const reply = await this.#ask('POST', operation, csr)
    if (reply.status === 202) return { retryAfter: reply.retryAfter }
    if (reply.status !== 200) throw this.#failure(reply)
    const [leaf] = await readCertsOnly(decodeBody(reply.body))
    return leaf!
  }

  close(): void {
    this.#agent.destroy()
  }

  async #ask(method: 'GET' | 'POST', operation: string, csr?: Buffer): Promise<Reply> {
    const { gateway, token, signal } = this.#options
    const limit = AbortSignal.timeout(REQUEST_MILLISECONDS)
    const body = csr?.toString('base64')
    const options: RequestOptions = {
      agent: this.#agent,
      host: gateway.hostname.replace(/^\[|\]$/g, ''),
      port: gateway.port || 443,
      method,
      path: `/.well-known/est/${operation}`,
      headers: {
        'User-Agent': 'hearth-agent',
        ...(token !== undefined && { Authorization: `Basic ${Buffer.from(token).toString('base64')}` }),
        ...(body !== undefined && {
          'Content-Type': 'application/pkcs10',
          'Content-Length': Buffer.byteLength(body),
        }),
      },
      signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
    }
    try {
      return await exchange(options, body, true)
    } catch (error) {
      signal?.throwIfAborted()
      throw limit.aborted
        ? new AgentError('UNREACHABLE', `${this.#where} did not answer within 30 seconds; is it busy or off?`)
        : this.#broken(error)
    }
  }

  get #where(): string {
    return `the gateway at ${this.#options.gateway.host}`
  }

  #broken(error: unknown): unknown {
    if (error instanceof AgentError) return error
    const code = (error as NodeJS.ErrnoException).code ?? ''
    if (code === 'CERT_NOT_YET_VALID' || code === 'CERT_HAS_EXPIRED') {
      return new AgentError(
        'GATEWAY_UNTRUSTED',
        `${this.#where} shows a certificate that is not valid by the clock of this device; set the clock, or see "hearth doctor" on the gateway`,
      )
    }
    if (UNTRUSTED.test(code)) {
      return new AgentError(
        'GATEWAY_UNTRUSTED',
        `${this.#where} does not prove to be the pinned gateway (${reasonOf(error)}). Somebody may be in between, or the address is one that the gateway's certificate does not name; no credential was sent`,
      )
    }
    return new AgentError(
      'UNREACHABLE',
      `${this.#where} cannot be reached (${reasonOf(error) || code}); check the address, the port and whether it is on`,
      { cause: error },
    )
  }

  #failure(reply: Reply): AgentError {
    const reason = this.#reason(reply)
    const fail = (code: AgentErrorCode, what: string) =>
      new AgentError(code, `${this.#where} ${what}${reason === '' ? '' : `: ${reason}`}`)
    if (reply.status === 401) {
      return this.#options.token === undefined
        ? fail('UNAUTHORIZED', 'does not accept the certificate of this device')
        : fail('UNAUTHORIZED', 'does not accept the token; get a new one with "hearth device token NAME"')
    }
    if (reply.status === 404) return fail('REPLY_INVALID', 'has no EST service at this address (404)')
    if (reply.status >= 500) return fail('GATEWAY_FAILED', `has a problem (${reply.status}); try again later`)
    if (reply.status >= 400) return fail('REFUSED', `refused (${reply.status})`)
    return fail('REPLY_INVALID', `answered ${reply.status} where EST has no such answer; it is not followed`)
  }

  /** What a text/plain reply says, fit for a terminal: one line, no control characters, no token. */
  #reason(reply: Reply): string {
    if (!reply.type.startsWith('text/plain')) return ''
    const secret = this.#options.token?.slice(this.#options.token.indexOf(':') + 1)
    const text = reply.body
      .toString('utf8')
      .replace(/[\p{C}\s]+/gu, ' ')
      .trim()
    return (secret === undefined ? text : text.replaceAll(secret, '(token)')).slice(0, REASON_LENGTH)
  }
}

/** One request and its reply. A kept connection that the server closed meanwhile is replaced once. */
async function exchange(options: RequestOptions, body: string | undefined, again: boolean): Promise<Reply> {
  const sent = request(options)
  // What goes wrong before the reply rejects `once`, what goes wrong in it ends the loop; later is too late to matter.
  sent.on('error', () => {})
  sent.end(body)
  try {
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    return {
      status: response.statusCode ?? 0,
      type: response.headers['content-type'] ?? '',
      retryAfter: response.headers['retry-after'] ?? '',
      body: await readBody(response),
    }
  } catch (error) {
    const stale = sent.reusedSocket && (error as NodeJS.ErrnoException).code === 'ECONNRESET'
    if (stale && again) return exchange(options, body, false)
    throw error
  }
}

async function readBody(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_BODY) {
      throw new AgentError(
        'REPLY_INVALID',
        'the reply is longer than 256 KiB; no EST reply is, so it was cut off',
      )
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
