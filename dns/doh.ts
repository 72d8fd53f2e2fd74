import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import { BodyError, readBody } from '../base/body.ts'
import { SECOND } from '../base/clock.ts'
import { reasonOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { decodeHeader, decodeMessage } from '../wire/message.ts'
import { OPCODE, RCODE, TYPE } from '../wire/registry.ts'
import { MAX_QUERY } from './payload.ts'
import type { Client } from './respond.ts'

export interface DohOptions {
  answer: (query: Uint8Array, client: Client) => Promise<{ messages: Iterable<Uint8Array> }>
  log: Log
}

const PATH = '/dns-query'
const MEDIA_TYPE = 'application/dns-message'

/** In front of the path, where a client speaks to us as to a proxy (RFC 9112 section 3.2.2). */
const WHOLE_URL = /^https?:\/\/[^/]*/i

/** A query fits in one packet: whoever takes longer to send it holds a place that others need. */
const BODY_TIMEOUT = 5 * SECOND

/** What is sent; a body goes out whole, with its length. */
interface Reply {
  status: number
  headers: OutgoingHttpHeaders
  body: Uint8Array | string
}

/** A request that is no query, and what to tell whoever wrote the client. */
class NotAQuery extends Error {
  readonly status: number
  readonly headers: OutgoingHttpHeaders

  constructor(status: number, sentence: string, headers: OutgoingHttpHeaders = {}) {
    super(sentence)
    this.status = status
    this.headers = headers
  }
}

/**
 * DNS over HTTPS (RFC 8484): answers `/dns-query`; false for any other path, and then nothing is touched.
 *
 * Whatever Host is named: the certificate has proven who answers, and a client may know only an address.
 * Straight on Node's HTTP server, since a framework costs as much as the answer.
 */
export function dohHandler({ answer, log }: DohOptions) {
  return (request: IncomingMessage, response: ServerResponse): boolean => {
    const url = (request.url ?? '').replace(WHOLE_URL, '')
    const [path, parameters = ''] = url.split('?', 2)
    if (path !== PATH) return false
    // At once: of a connection that has closed meanwhile, nobody knows whose it was.
    const client: Client = { transport: 'https', address: request.socket.remoteAddress ?? '' }
    replyTo(request, parameters, client)
      .catch((error: unknown): Reply => {
        if (error instanceof NotAQuery) return plain(error.status, error.message, error.headers)
        log.error({ reason: reasonOf(error) }, 'DNS query over https failed')
        return plain(500, 'Hearth failed to answer this; its log says more.')
      })
      .then((reply) => send(reply, request, response))
      .catch((error: unknown) => log.debug({ reason: reasonOf(error) }, 'DNS response over https not sent'))
    return true
  }

  async function replyTo(request: IncomingMessage, parameters: string, client: Client): Promise<Reply> {
    const query = await readQuery(request, parameters)
    const [message] = (await answer(query, client)).messages
    if (message === undefined) throw new NotAQuery(400, 'This is no DNS query.')
    const seconds = freshness(message)
    return {
      status: 200,
      headers: {
        'Content-Type': MEDIA_TYPE,
        // Not for caches that several clients share: who asks decides what is answered.
        'Cache-Control': seconds > 0 ? `private, max-age=${seconds}` : 'no-store',
      },
      body: message,
    }
  }
}

async function readQuery(request: IncomingMessage, parameters: string): Promise<Uint8Array> {
  switch (request.method) {
    case 'GET':
    case 'HEAD':
      return fromUrl(parameters)
    case 'POST':
      return fromBody(request)
    default:
      throw new NotAQuery(405, 'A DNS query comes by GET or POST.', { Allow: 'GET, HEAD, POST' })
  }
}

function fromUrl(parameters: string): Buffer {
  const [text, ...more] = new URLSearchParams(parameters).getAll('dns')
  if (text === undefined || more.length > 0) {
    throw new NotAQuery(400, 'A GET has the DNS query in its parameter "dns", once.')
  }
  if (!/^[\w-]+$/.test(text) || text.length % 4 === 1) {
    throw new NotAQuery(400, 'The parameter "dns" must be base64url without padding (RFC 8484 section 6).')
  }
  const query = Buffer.from(text, 'base64url')
  if (query.length > MAX_QUERY) throw new NotAQuery(414, `A DNS query has at most ${MAX_QUERY} bytes.`)
  // A link or an image on any page can make a browser send a GET: it may ask, and change nothing.
  if ((decodeHeader(query)?.opcode ?? OPCODE.QUERY) !== OPCODE.QUERY) {
    throw new NotAQuery(405, 'A GET can only ask; send anything else by POST.', { Allow: 'POST' })
  }
  return query
}

async function fromBody(request: IncomingMessage): Promise<Buffer> {
  const [mediaType = ''] = (request.headers['content-type'] ?? '').split(';')
  if (mediaType.trim().toLowerCase() !== MEDIA_TYPE) {
    throw new NotAQuery(415, `The body of a POST must be of type ${MEDIA_TYPE}.`, { Accept: MEDIA_TYPE })
  }
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new NotAQuery(408, 'The query did not come in time.')), BODY_TIMEOUT)
  try {
    return await Promise.race([readBody(request, MAX_QUERY), late])
  } catch (error) {
    if (!(error instanceof BodyError)) throw error
    throw error.code === 'BODY_TOO_LARGE'
      ? new NotAQuery(413, `A DNS query has at most ${MAX_QUERY} bytes.`)
      : new NotAQuery(400, 'The query ended before it was complete.')
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Seconds for which HTTP may keep a response: its smallest TTL, for a denial that of the SOA as far as
 * negative answers may be kept, nothing for errors (RFC 8484 section 5.1, RFC 2308 section 5).
 */
function freshness(message: Uint8Array): number {
  const { rcode, answers, authorities } = decodeMessage(message)
  if (rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN) return 0
  const soa = authorities.find(({ type }) => type === TYPE.SOA)
  const times = answers.map(({ ttl }) => ttl)
  if (soa !== undefined) times.push(soa.ttl, Buffer.from(soa.data).readUInt32BE(soa.data.length - 4))
  return times.length === 0 ? 0 : Math.min(...times)
}

function send({ status, headers, body }: Reply, request: IncomingMessage, response: ServerResponse): void {
  // What is left of a body that was not waited for is cut off, with its connection or its stream.
  const { complete, httpVersionMajor } = request
  if (!complete && httpVersionMajor === 1) response.setHeader('Connection', 'close')
  response.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(body) })
  response.end(request.method === 'HEAD' ? undefined : body, () => {
    if (!complete && httpVersionMajor === 2) (request as unknown as Http2ServerRequest).stream.close()
  })
}

function plain(status: number, text: string, headers: OutgoingHttpHeaders = {}): Reply {
  return { status, headers: { ...headers, 'Content-Type': 'text/plain' }, body: `${text}\n` }
}
