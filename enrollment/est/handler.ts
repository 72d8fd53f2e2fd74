import type { TLSSocket } from 'node:tls'
import { Router } from '@koa/router'
import type { Context, Middleware } from 'koa'
import { BodyError, type BodyErrorCode, readBody } from '../../base/body.ts'
import type { Clock } from '../../base/clock.ts'
import { HearthError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { type Authority, AuthorityError, type AuthorityErrorCode } from '../../ca/authority.ts'
import type { Hierarchy } from '../../ca/hierarchy.ts'
import { findCertificate } from '../../store/certificates.ts'
import type { Store } from '../../store/database.ts'
import { certsOnly } from '../../x509/cms.ts'
import { CsrError, type CsrErrorCode, type ProvenCsr, proveCsr } from '../../x509/csr.ts'
import { KeyError, type KeyErrorCode, sha256 } from '../../x509/spki.ts'
import {
  AuthorizationError,
  type AuthorizationErrorCode,
  type Authorized,
  authorizeCertificate,
  authorizeCredential,
  credentialUsed,
  refuseForeignNames,
} from '../authorize.ts'
import { readBasic } from '../credential.ts'
import type { RefusalAudit } from '../refusalAudit.ts'
import { csrAttributes } from './csrattrs.ts'
import { bodyDer, replyBase64 } from './transport.ts'

type EstErrorCode = 'AUTHENTICATION_REQUIRED' | 'NOT_BASE64' | 'LABEL_UNKNOWN' | 'OPERATION_UNSUPPORTED'

class EstError extends HearthError<EstErrorCode> {}

type FailureCode =
  | EstErrorCode
  | BodyErrorCode
  | CsrErrorCode
  | KeyErrorCode
  | AuthorizationErrorCode
  | AuthorityErrorCode

/** Every failure that a client can meet, and its HTTP status. */
const STATUS: Record<FailureCode, number> = {
  AUTHENTICATION_REQUIRED: 401,
  CREDENTIAL_WRONG: 401,
  CREDENTIAL_EXPIRED: 401,
  CREDENTIAL_USED: 403,
  CERTIFICATE_REFUSED: 403,
  CERTIFICATE_REVOKED: 403,
  CERTIFICATE_TOO_OLD: 403,
  DEVICE_INACTIVE: 403,
  NAME_REFUSED: 403,
  CSR_UNREADABLE: 400,
  CSR_UNSIGNED: 400,
  KEY_UNREADABLE: 400,
  KEY_UNSUPPORTED: 400,
  NOT_BASE64: 400,
  BODY_INCOMPLETE: 400,
  BODY_TOO_LARGE: 413,
  LABEL_UNKNOWN: 404,
  OPERATION_UNSUPPORTED: 501,
  PROFILE_UNKNOWN: 500,
  CERTIFICATE_FAULTY: 500,
  CLAIM_LOST: 403,
  CLOCK_UNTRUSTED: 503,
  ISSUER_ENDS_FIRST: 503,
}

/** Requests with an RSA 4096 key and many names stay far below. */
const MAX_REQUEST = 16_384

/** Clock and issuer troubles are mended by people or by time, not within seconds. */
const RETRY_AFTER = '300'

const PKCS7 = 'application/pkcs7-mime'

export interface EstRoutesOptions {
  store: Store
  clock: Clock
  log: Log
  authority: Authority
  hierarchy: Hierarchy
  profiles: readonly string[]
  refusals: RefusalAudit
}

/**
 * Enrollment over Secure Transport (RFC 7030, RFC 8951): CA certificates, first enrolment by credential,
 * renewal by client certificate.
 *
 * Needs a TLS listener that asks for client certificates and lets connections without one through.
 */
export function estRoutes(options: EstRoutesOptions): Router {
  const { store, clock, hierarchy } = options
  const router = new Router({ prefix: '/.well-known/est' })

  /** Each operation with and without a label; a label must be the name of a profile. */
  const on = (method: 'get' | 'post', operation: string, handle: (ctx: Context) => void | Promise<void>) => {
    for (const path of [`/${operation}`, `/:label/${operation}`]) {
      router[method](path, failures(options), async (ctx) => {
        refuseUnknownLabel(ctx.params.label, options.profiles)
        await handle(ctx)
      })
    }
  }

  on('get', 'cacerts', (ctx) => {
    const certificates = hierarchy.all.map((issuer) => issuer.certificate)
    replyBase64(ctx, PKCS7, certsOnly(certificates))
  })

  on('get', 'csrattrs', async (ctx) => {
    const { device } = peerCertificate(ctx) === null ? await byCredential(ctx) : await byCertificate(ctx)
    replyBase64(ctx, 'application/csrattrs', csrAttributes(device))
  })

  on('post', 'simpleenroll', async (ctx) => {
    const authorized = await byCredential(ctx)
    const csr = await readCsr(ctx)
    const repeated = await earlierCertificate(authorized, csr)
    replyCertificate(ctx, repeated ?? (await issueOnce(ctx, authorized, csr)))
  })

  on('post', 'simplereenroll', async (ctx) => {
    const authorized = await byCertificate(ctx)
    replyCertificate(ctx, await issue(ctx, authorized, await readCsr(ctx)))
  })

  for (const operation of ['serverkeygen', 'fullcmc']) {
    on('post', operation, () => {
      throw new EstError(
        'OPERATION_UNSUPPORTED',
        `${operation} is not offered: a private key never leaves the device that made it. Use simpleenroll with a key of the device's own`,
      )
    })
  }

  async function byCredential(ctx: Context): Promise<Authorized> {
    const credential = readBasic(ctx.get('Authorization'))
    if (credential === null) {
      throw new EstError(
        'AUTHENTICATION_REQUIRED',
        'a credential is needed: send its id and token as user name and password (HTTP Basic). Get one on the gateway: hearth device add NAME',
      )
    }
    return authorizeCredential(store.db, clock.now(), credential)
  }

  async function byCertificate(ctx: Context): Promise<Authorized> {
    const certificate = peerCertificate(ctx)
    if (certificate === null) {
      throw new EstError(
        'AUTHENTICATION_REQUIRED',
        'a client certificate is needed: present the one that is to be renewed. A device without one uses simpleenroll',
      )
    }
    return authorizeCertificate(store.db, clock.now(), certificate, hierarchy.issuers)
  }

  /** The certificate of an earlier, lost answer: same credential, same key. */
  async function earlierCertificate(authorized: Authorized, csr: ProvenCsr): Promise<Buffer | null> {
    if (authorized.spent === null) return null
    if (!authorized.spent.spkiSha256.equals(sha256(csr.spki))) throw credentialUsed()
    const recorded = await findCertificate(store.db, authorized.spent.serial)
    if (recorded === null || recorded.revoked_at !== null) throw credentialUsed()
    return recorded.certificate
  }

  /** Issues; when another request spent the credential meanwhile, what that one got is the answer, or the refusal. */
  async function issueOnce(ctx: Context, authorized: Authorized, csr: ProvenCsr): Promise<Buffer> {
    try {
      return await issue(ctx, authorized, csr)
    } catch (error) {
      if (!(error instanceof AuthorityError && error.code === 'CLAIM_LOST')) throw error
      const repeated = await earlierCertificate(await byCredential(ctx), csr)
      if (repeated === null) throw error
      return repeated
    }
  }

  async function issue(ctx: Context, { device, claim }: Authorized, csr: ProvenCsr): Promise<Buffer> {
    refuseForeignNames(csr, device)
    const issued = await options.authority.issue({
      deviceId: device.id,
      profile: ctx.params.label ?? device.profile,
      names: device.names,
      addresses: device.addresses,
      key: csr.key,
      spki: csr.spki,
      actor: `est ${ctx.req.socket.remoteAddress ?? 'unknown'}`,
      claim,
    })
    return issued.certificate
  }

  return router
}

async function readCsr(ctx: Context): Promise<ProvenCsr> {
  const der = bodyDer(await readBody(ctx.req, MAX_REQUEST))
  if (der === null) {
    throw new EstError(
      'NOT_BASE64',
      'the body is not base64. Send a PKCS #10 request: the base64 of its DER, without PEM lines',
    )
  }
  return proveCsr(der)
}

/** The leaf alone, as RFC 7030 section 4.2.3 says; issuers come from cacerts. */
function replyCertificate(ctx: Context, certificate: Buffer): void {
  replyBase64(ctx, `${PKCS7}; smime-type=certs-only`, certsOnly([certificate]))
}

function peerCertificate(ctx: Context): Buffer | null {
  return (ctx.req.socket as TLSSocket).getPeerX509Certificate()?.raw ?? null
}

function refuseUnknownLabel(label: string | undefined, profiles: readonly string[]): void {
  if (label === undefined || profiles.includes(label)) return
  throw new EstError(
    'LABEL_UNKNOWN',
    `there is no profile "${label.slice(0, 40)}"; use no label, or one of: ${profiles.join(', ')}`,
  )
}

/** Turns every failure into its status and a sentence; what is nobody's fault but ours is logged, not told. */
function failures(options: EstRoutesOptions): Middleware {
  return async (ctx, next) => {
    try {
      await next()
    } catch (error) {
      const failure = clientFailure(error)
      if (failure === null) throw error
      const status = STATUS[failure.code]
      ctx.status = status
      ctx.type = 'text/plain'
      ctx.body = `${failure.message}\n`
      if (status === 401) ctx.set('WWW-Authenticate', 'Basic realm="Hearth enrollment"')
      if (status === 503) ctx.set('Retry-After', RETRY_AFTER)
      if (status === 413) ctx.set('Connection', 'close')
      if (status >= 500) options.log.error({ code: failure.code, path: ctx.path }, failure.message)
      await options.refusals.record({
        actor: `est ${ctx.req.socket.remoteAddress ?? 'unknown'}`,
        action: 'certificate.refuse',
        subject: ctx.path,
        detail: `${failure.code}: ${failure.message}`,
      })
    }
  }
}

function clientFailure(error: unknown): HearthError<FailureCode> | null {
  const known =
    error instanceof EstError ||
    error instanceof BodyError ||
    error instanceof CsrError ||
    error instanceof KeyError ||
    error instanceof AuthorizationError ||
    error instanceof AuthorityError
  return known ? error : null
}
