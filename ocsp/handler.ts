import { Router } from '@koa/router'
import type { Context } from 'koa'
import { BodyError, readBody } from '../base/body.ts'
import { type Clock, MINUTE, SECOND } from '../base/clock.ts'
import type { Issuer } from '../ca/issuer.ts'
import type { CrlPublisher } from './crlPublisher.ts'
import type { Responder } from './responder.ts'

/** A request about 32 certificates with a nonce fits; anything larger is no OCSP request. */
const MAX_REQUEST = 4096

/** HTTP may keep an answer this long: revocation is to show at once, and nobody is far away. */
const CACHE = MINUTE

export interface RevocationRoutesOptions {
  responder: Responder
  crls: CrlPublisher
  clock: Clock
  findIssuer: (id: string) => Issuer | null
}

/** What certificates point to: OCSP (RFC 6960 appendix A), CRLs and issuer certificates (RFC 5280 section 4.2.2.1). */
export function revocationRoutes(options: RevocationRoutesOptions): Router {
  const { responder, crls, clock, findIssuer } = options
  const router = new Router()

  router.post('/ocsp', async (ctx) => {
    ctx.set('Cache-Control', 'no-store')
    try {
      await answer(ctx, await readBody(ctx.req, MAX_REQUEST))
    } catch (error) {
      if (!(error instanceof BodyError)) throw error
      if (error.code === 'BODY_TOO_LARGE') ctx.set('Connection', 'close')
      ctx.status = error.code === 'BODY_TOO_LARGE' ? 413 : 400
      ctx.body = `${error.message}\n`
    }
  })

  // The base64 may hold "/" and "//", also unescaped, so it is taken from the path as it came.
  router.get(/^\/ocsp\/.+/, async (ctx) => {
    await answer(ctx, decodePath(ctx.path.slice('/ocsp/'.length)))
  })

  router.get('/crl/:name.crl', (ctx) => {
    const crl = crls.find(ctx.params.name!)
    if (crl === null) return notFound(ctx, 'CRL')
    ctx.type = 'application/pkix-crl'
    cacheFor(ctx, clock.now(), crl)
    ctx.body = crl.der
  })

  router.get('/ca/:name.crt', (ctx) => {
    const issuer = findIssuer(ctx.params.name!)
    if (issuer === null) return notFound(ctx, 'issuer')
    ctx.type = 'application/pkix-cert'
    ctx.set('Cache-Control', 'public, max-age=86400')
    ctx.body = issuer.certificate
  })

  async function answer(ctx: Context, request: Uint8Array): Promise<void> {
    const { der, period } = await responder.respond(request)
    ctx.type = 'application/ocsp-response'
    if (period === null) ctx.set('Cache-Control', 'no-store')
    else if (ctx.method !== 'POST') cacheFor(ctx, clock.now(), period)
    ctx.body = der
  }

  return router
}

/** What is not base64 decodes to something that is no request, and is answered as such. */
function decodePath(encoded: string): Buffer {
  try {
    return Buffer.from(decodeURIComponent(encoded), 'base64')
  } catch {
    return Buffer.alloc(0)
  }
}

/** Cache headers in the manner of RFC 9919, with a life that ends long before `nextUpdate`. */
function cacheFor(ctx: Context, now: number, period: { thisUpdate: number; nextUpdate: number }): void {
  const seconds = Math.max(0, Math.floor(Math.min(CACHE, period.nextUpdate - now) / SECOND))
  ctx.set('Cache-Control', `public, max-age=${seconds}, no-transform, must-revalidate`)
  ctx.set('Last-Modified', new Date(period.thisUpdate).toUTCString())
  ctx.set('Expires', new Date(now + seconds * SECOND).toUTCString())
}

function notFound(ctx: Context, what: string): void {
  ctx.status = 404
  ctx.body = `There is no ${what} with this name here.\n`
}
