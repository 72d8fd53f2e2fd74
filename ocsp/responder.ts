import { createHash } from 'node:crypto'
import { type Clock, HOUR, MINUTE, SECOND } from '../base/clock.ts'
import type { Issuer } from '../ca/issuer.ts'
import type { Ledger } from '../ca/ledger.ts'
import type { OcspSigner } from '../ca/ocspSigner.ts'
import { serialText } from '../x509/certificate.ts'
import { nullValue, octetString, oid, sequence, unsignedInteger } from '../x509/der.ts'
import { OID } from '../x509/oids.ts'
import { subjectPublicKey } from '../x509/spki.ts'
import { type CertId, type OcspRequest, OcspRequestError, readOcspRequest } from './request.ts'
import { type CertStatus, OCSP_ERROR, ocspError, type SingleAnswer, signOcspResponse } from './response.ts'

/** How long an answer may be used: the real cut-off where it is stapled. */
const ANSWER_LIFE = 4 * HOUR
/** An answer is signed anew when half of its life is over. */
const RESIGN_AFTER = ANSWER_LIFE / 2
/** Clients' clocks may be a little behind; but no answer is older than the revocation it tells. */
const BACKDATE = 5 * MINUTE
/** Signed answers that are kept: a bound on memory, far above what a home has. */
const MAX_KEPT = 20_000

/** An answer in DER, and how long HTTP may keep it; null for errors, which nobody should keep. */
export interface OcspAnswer {
  der: Buffer
  period: { thisUpdate: number; nextUpdate: number } | null
  /** Whether every certificate asked about is on record; guesses are not worth keeping. */
  allKnown: boolean
}

export interface ResponderOptions {
  ledger: Ledger
  clock: Clock
  /** The signer of each issuer that has not expired. */
  signers: () => readonly OcspSigner[]
}

/**
 * Answers whether certificates of our issuers are revoked.
 *
 * Answers without a nonce are signed once and kept until half of their life is over, or until
 * `forget` is called because something was revoked.
 */
export class Responder {
  readonly #options: ResponderOptions
  readonly #kept = new Map<string, OcspAnswer>()
  /** Grows when kept answers are dropped: what was being signed meanwhile must not be kept. */
  #generation = 0

  constructor(options: ResponderOptions) {
    this.#options = options
  }

  /** Drops every kept answer: the next one comes from the ledger. */
  forget(): void {
    this.#generation++
    this.#kept.clear()
  }

  /** The answer to one request in DER. Never throws for what a client sent: errors are answers too. */
  async respond(der: Uint8Array): Promise<OcspAnswer> {
    let request: OcspRequest
    try {
      request = readOcspRequest(der)
    } catch (error) {
      if (error instanceof OcspRequestError) return refusal(OCSP_ERROR.malformedRequest)
      throw error
    }
    if (request.nonce !== null) return this.#sign(request)
    const key = request.certIds.map((certId) => certId.encoded.toString('latin1')).join()
    const kept = this.#kept.get(key)
    if (kept?.period && this.#options.clock.now() < kept.period.thisUpdate + RESIGN_AFTER) return kept
    const generation = this.#generation
    const answer = await this.#sign(request)
    if (answer.period !== null && answer.allKnown && generation === this.#generation) this.#keep(key, answer)
    return answer
  }

  /** The answer about one certificate, to be stapled to TLS handshakes; null if its issuer is gone. */
  async staple(issuer: Issuer, serial: Uint8Array): Promise<Buffer | null> {
    const answer = await this.respond(requestFor(issuer, serial))
    return answer.period === null ? null : answer.der
  }

  async #sign(request: OcspRequest): Promise<OcspAnswer> {
    const signers = this.#options.signers()
    const responder = signers.find((signer) => isOf(signer.issuer, request.certIds[0]!))
    if (responder === undefined) return refusal(OCSP_ERROR.unauthorized)
    const answers: SingleAnswer[] = []
    for (const certId of request.certIds) {
      answers.push({ certId: certId.encoded, status: await this.#status(responder.issuer, certId) })
    }
    const now = Math.floor(this.#options.clock.now() / SECOND) * SECOND
    const revocations = answers.map(({ status }) => (status.kind === 'revoked' ? status.revokedAt : 0))
    const period = {
      thisUpdate: Math.max(now - BACKDATE, Math.min(now, Math.max(...revocations))),
      nextUpdate: Math.min(now + ANSWER_LIFE, responder.notAfter),
    }
    return {
      der: signOcspResponse(answers, period, request.nonce, responder),
      period,
      allKnown: answers.every((answer) => answer.status.kind !== 'unknown'),
    }
  }

  async #status(issuer: Issuer, certId: CertId): Promise<CertStatus> {
    if (!isOf(issuer, certId)) return { kind: 'unknown' }
    const status = await this.#options.ledger.status(issuer.id, serialText(certId.serial))
    if (status === null) return { kind: 'unknown' }
    if (status.revoked_at === null) return { kind: 'good' }
    return { kind: 'revoked', revokedAt: status.revoked_at, reason: status.revocation_reason ?? 0 }
  }

  #keep(key: string, answer: OcspAnswer): void {
    if (this.#kept.size >= MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value!)
    this.#kept.set(key, answer)
  }
}

function refusal(status: (typeof OCSP_ERROR)[keyof typeof OCSP_ERROR]): OcspAnswer {
  return { der: ocspError(status), period: null, allKnown: false }
}

const HASHES: Record<string, string> = { [OID.sha1]: 'sha1', [OID.sha256]: 'sha256' }

function isOf(issuer: Issuer, certId: CertId): boolean {
  const hash = HASHES[certId.hash]
  if (hash === undefined) return false
  const { nameHash, keyHash } = hashesOf(issuer, hash)
  return certId.issuerNameHash.equals(nameHash) && certId.issuerKeyHash.equals(keyHash)
}

const hashes = new WeakMap<Issuer, Map<string, { nameHash: Buffer; keyHash: Buffer }>>()

/** An issuer's name and key under a hash, computed once. */
function hashesOf(issuer: Issuer, hash: string): { nameHash: Buffer; keyHash: Buffer } {
  let known = hashes.get(issuer)
  if (known === undefined) {
    known = new Map()
    hashes.set(issuer, known)
  }
  let pair = known.get(hash)
  if (pair === undefined) {
    const digest = (bytes: Uint8Array): Buffer => createHash(hash).update(bytes).digest()
    pair = { nameHash: digest(issuer.name), keyHash: digest(subjectPublicKey(issuer.spki)) }
    known.set(hash, pair)
  }
  return pair
}

/** A request about one certificate, by SHA-1 as every client asks, without a nonce. */
function requestFor(issuer: Issuer, serial: Uint8Array): Buffer {
  const { nameHash, keyHash } = hashesOf(issuer, 'sha1')
  const certId = sequence(
    sequence(oid(OID.sha1), nullValue),
    octetString(nameHash),
    octetString(keyHash),
    unsignedInteger(serial),
  )
  return sequence(sequence(sequence(sequence(certId))))
}
