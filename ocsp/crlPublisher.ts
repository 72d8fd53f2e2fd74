import { type Clock, HOUR, MINUTE, SECOND } from '../base/clock.ts'
import type { Issuer } from '../ca/issuer.ts'
import type { Ledger } from '../ca/ledger.ts'
import { signCrl } from '../x509/crl.ts'
import { authorityKeyIdentifier, cRLNumber, issuingDistributionPoint } from '../x509/extensions.ts'

/** How long a CRL may be used. */
const LIFE = 48 * HOUR
/** A new one is made when the last is this old, though nothing was revoked: well before its end. */
const REFRESH_AFTER = 12 * HOUR
const BACKDATE = 5 * MINUTE
/** An expired certificate stays listed until one CRL has outlived it. */
const KEEP_EXPIRED = LIFE

export interface PublishedCrl {
  der: Buffer
  thisUpdate: number
  nextUpdate: number
}

export interface CrlPublisherOptions {
  ledger: Ledger
  clock: Clock
  /** Root and every issuer that has not expired. */
  issuers: () => readonly Issuer[]
}

/**
 * Keeps one full CRL per issuer, always ready, even when nothing is revoked.
 *
 * An entry is kept until one CRL past the certificate's end, as RFC 5280 section 3.3 asks.
 */
export class CrlPublisher {
  readonly #options: CrlPublisherOptions
  readonly #published = new Map<string, PublishedCrl>()
  #publishing: Promise<void> = Promise.resolve()
  /** Something was revoked that is not on every list yet. */
  #behind = false

  constructor(options: CrlPublisherOptions) {
    this.#options = options
  }

  /** The CRL of an issuer by its id; null if there is no such issuer. */
  find(issuerId: string): PublishedCrl | null {
    return this.#published.get(issuerId) ?? null
  }

  /** Makes every CRL anew; calls follow one another, so that a later number never has older contents. */
  publish(): Promise<void> {
    this.#behind = true
    return this.#enqueue(() => true)
  }

  /** Makes those anew that are missing or old, and all if the last `publish` failed. */
  refresh(): Promise<void> {
    return this.#enqueue(
      (crl, now) => this.#behind || crl === undefined || now >= crl.thisUpdate + REFRESH_AFTER,
    )
  }

  #enqueue(due: (crl: PublishedCrl | undefined, now: number) => boolean): Promise<void> {
    const run = async () => {
      const issuers = this.#options.issuers()
      for (const id of this.#published.keys()) {
        if (!issuers.some((issuer) => issuer.id === id)) this.#published.delete(id)
      }
      for (const issuer of issuers) {
        if (due(this.#published.get(issuer.id), this.#options.clock.now())) {
          this.#published.set(issuer.id, await this.#make(issuer))
        }
      }
      this.#behind = false
    }
    this.#publishing = this.#publishing.then(run, run)
    return this.#publishing
  }

  async #make(issuer: Issuer): Promise<PublishedCrl> {
    const { ledger, clock } = this.#options
    const number = await ledger.nextCrlNumber(issuer.id)
    const now = Math.floor(clock.now() / SECOND) * SECOND
    const revoked = await ledger.revoked(issuer.id, now - KEEP_EXPIRED)
    const latest = revoked.reduce((time, status) => Math.max(time, status.revoked_at ?? 0), 0)
    const thisUpdate = Math.max(now - BACKDATE, Math.min(latest, now))
    const nextUpdate = now + LIFE
    const der = signCrl(
      {
        issuer: issuer.name,
        thisUpdate,
        nextUpdate,
        revoked: revoked.map((status) => ({
          serial: Buffer.from(status.serial, 'hex'),
          revokedAt: status.revoked_at ?? now,
          reason: status.revocation_reason ?? 0,
        })),
        extensions: [
          authorityKeyIdentifier(issuer.keyId),
          cRLNumber(number),
          // Not on the root's: OpenSSL looks there for the root itself too, which points nowhere.
          ...(issuer.kind === 'root' ? [] : [issuingDistributionPoint(issuer.urls.crl)]),
        ],
      },
      issuer.signer,
    )
    return { der, thisUpdate, nextUpdate }
  }
}
