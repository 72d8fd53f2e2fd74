import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { BodyError, readBody } from '../base/body.ts'
import { type Clock, DAY, MINUTE, SECOND } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { Issuer } from '../ca/issuer.ts'
import type { CrlPublisher } from './crlPublisher.ts'
import type { Responder } from './responder.ts'

/** A request about 32 certificates with a nonce fits; anything larger is no OCSP request. */
const MAX_REQUEST = 4096

/** HTTP may keep an answer this long: revocation is to show at once, and nobody is far away. */
const CACHE = MINUTE

/** In front of the path, where a client speaks to us as to a proxy (RFC 9112 section 3.2.2). */
const WHOLE_URL = /^https?:\/\/[^/]*/i

/** An issuer's certificate never changes under its name. */
const ISSUER_CACHE = DAY

export interface RevocationHandlerOptions {
  responder: Responder
  crls: CrlPublisher
  clock: Clock
  log: Log
  findIssuer: (id: string) => Issuer | null
}

/** An HTTP handler for some paths: false if the request is not for one of them, and untouched. */
export type PartialHandler = (request: IncomingMessage, response: ServerResponse) => boolean

/** What is sent; a body goes out whole, with its length. */
interface Reply {
  status: number
  headers: OutgoingHttpHeaders
  body: Buffer | string
}

/**
 * What certificates point to: OCSP (RFC 6960 appendix A), CRLs and issuer certificates (RFC 5280 section
 * 4.2.2.1).
 *
 * Straight on Node's HTTP server, since a framework costs twice what an answer does.
 */
export function revocationHandler(options: RevocationHandlerOptions): PartialHandler {
  const { responder, crls, clock, log, findIssuer } = options

  return (request, response) => {
    const replying = route(request)
    if (replying === null) return false
    replying
      .catch((error: unknown): Reply => {
        if (error instanceof BodyError) return refusal(error)
        log.error({ err: error, url: request.url }, 'a revocation answer failed')
        return plain(500, 'Hearth failed to answer this; its log says more.')
      })
      .then(({ status, headers, body }) => {
        response.writeHead(status, { 'Content-Length': Buffer.byteLength(body), ...headers }).end(body)
      })
    return true
  }

  function route(request: IncomingMessage): Promise<Reply> | null {
    const { method } = request
    const url = (request.url ?? '').replace(WHOLE_URL, '')
    if (method === 'POST') return url === '/ocsp' ? postOcsp(request) : null
    if (method !== 'GET' && method !== 'HEAD') return null
    if (url.startsWith('/ocsp/')) return ocsp(decodePath(url.slice('/ocsp/'.length)), true)
    const [, crlId] = /^\/crl\/([^/?]+)\.crl$/.exec(url) ?? []
    if (crlId !== undefined) return Promise.resolve(crl(crlId))
    const [, issuerId] = /^\/ca\/([^/?]+)\.crt$/.exec(url) ?? []
    return issuerId === undefined ? null : Promise.resolve(issuer(issuerId))
  }

  async function postOcsp(request: IncomingMessage): Promise<Reply> {
    return ocsp(await readBody(request, MAX_REQUEST), false)
  }

  async function ocsp(request: Uint8Array, cacheable: boolean): Promise<Reply> {
    const { der, period } = await responder.respond(request)
    const caching =
      cacheable && period !== null ? cacheHeaders(clock.now(), period) : { 'Cache-Control': 'no-store' }
    return { status: 200, headers: { 'Content-Type': 'application/ocsp-response', ...caching }, body: der }
  }

  function crl(id: string): Reply {
    const found = crls.find(id)
    if (found === null) return plain(404, 'There is no CRL with this name here.')
    const headers = { 'Content-Type': 'application/pkix-crl', ...cacheHeaders(clock.now(), found) }
    return { status: 200, headers, body: found.der }
  }

  function issuer(id: string): Reply {
    const found = findIssuer(id)
    if (found === null) return plain(404, 'There is no issuer with this name here.')
    const headers = {
      'Content-Type': 'application/pkix-cert',
      'Cache-Control': `public, max-age=${ISSUER_CACHE / SECOND}`,
    }
    return { status: 200, headers, body: found.certificate }
  }
}

/**
 * The request in a GET path: base64, which may hold "/" and "//", also unescaped, so it is taken from the URL as
 * it came. What is not base64 decodes to something that is no request, and is answered as such.
 */
function decodePath(encoded: string): Buffer {
  try {
    return Buffer.from(decodeURIComponent(encoded), 'base64')
  } catch {
    return Buffer.alloc(0)
  }
}

/** Cache headers in the manner of RFC 9919, with a life that ends long before `nextUpdate`. */
function cacheHeaders(now: number, period: { thisUpdate: number; nextUpdate: number }): OutgoingHttpHeaders {
  const seconds = Math.max(0, Math.floor(Math.min(CACHE, period.nextUpdate - now) / SECOND))
  return {
    'Cache-Control': `public, max-age=${seconds}, no-transform, must-revalidate`,
    'Last-Modified': new Date(period.thisUpdate).toUTCString(),
    Expires: new Date(now + seconds * SECOND).toUTCString(),
  }
}

function refusal(error: BodyError): Reply {
  return error.code === 'BODY_TOO_LARGE'
    ? { ...plain(413, error.message), headers: { 'Content-Type': 'text/plain', Connection: 'close' } }
    : plain(400, error.message)
}

function plain(status: number, text: string): Reply {
  return { status, headers: { 'Content-Type': 'text/plain' }, body: `${text}\n` }
}
