import { type Clock, DAY } from '../base/clock.ts'
import { findNewestOfProfile, insertCertificate } from '../store/certificates.ts'
import type { Store } from '../store/database.ts'
import { deleteReplacedKeys } from '../store/keys.ts'
import { encodeTbsCertificate, readCertificate, serialText, signCertificate } from '../x509/certificate.ts'
import { commonNameOnly } from '../x509/name.ts'
import { type Signer, signerOf } from '../x509/signature.ts'
import { keyIdentifier } from '../x509/spki.ts'
import type { ClockGuard } from './clockGuard.ts'
import type { Issuer } from './issuer.ts'
import { type KeyStore, makeKeyPair } from './keys.ts'
import { ledgerRow } from './ledger.ts'
import { ocspSignerExtensions, validity } from './profile.ts'
import { newSerial } from './serial.ts'

const SIGNER_DAYS = 14
const ROLL_BEFORE_END = 7 * DAY

/** Signs OCSP answers for one issuer: a key that can do nothing else, and its certificate. */
export interface OcspSigner {
  issuer: Issuer
  /** DER. */
  certificate: Buffer
  /** SHA-1 of its key: the responder id (RFC 6960 section 4.2.1). */
  keyId: Buffer
  notBefore: number
  notAfter: number
  signer: Signer
}

export interface OcspSignersOptions {
  store: Store
  keys: KeyStore
  clock: Clock
  guard: ClockGuard
  /** The issuers that have not expired: each gets a signer of its own. */
  issuers: () => readonly Issuer[]
}

/** The signers of all issuers, each made and rolled over in time. */
export class OcspSigners {
  readonly #options: OcspSignersOptions
  #current: OcspSigner[] = []

  constructor(options: OcspSignersOptions) {
    this.#options = options
  }

  /** One for each issuer there was at the last `refresh`. */
  get current(): readonly OcspSigner[] {
    return this.#current
  }

  /** Makes what is missing or due. While the clock is not believed, the signers there are go on. */
  async refresh(): Promise<void> {
    const refreshed: OcspSigner[] = []
    for (const issuer of this.#options.issuers()) {
      const known = this.#current.find((signer) => signer.issuer === issuer)
      refreshed.push(known !== undefined && !this.#isDue(known, issuer) ? known : await this.#open(issuer))
    }
    this.#current = refreshed
  }

  async #open(issuer: Issuer): Promise<OcspSigner> {
    const { store, keys, clock, guard } = this.#options
    const newest = await findNewestOfProfile(store.db, issuer.id, 'ocsp', clock.now())
    const mustMake =
      newest === null ||
      (this.#isDue({ notBefore: newest.not_before, notAfter: newest.not_after }, issuer) &&
        guard.state().trusted)
    if (mustMake) return makeOcspSigner({ store, keys, issuer })
    const { privateKey } = await keys.open(store.db, newest.serial)
    return assemble(issuer, newest.certificate, signerOf(privateKey))
  }

  #isDue({ notBefore, notAfter }: { notBefore: number; notAfter: number }, issuer: Issuer): boolean {
    const now = this.#options.clock.now()
    return notBefore > now || notAfter < Math.min(now + ROLL_BEFORE_END, issuer.notAfter)
  }
}

async function makeOcspSigner(options: {
  store: Store
  keys: KeyStore
  issuer: Issuer
}): Promise<OcspSigner> {
  const { store, keys, issuer } = options
  const pair = makeKeyPair('P-256')
  return store.transaction(async (tx) => {
    const serial = newSerial()
    const id = serialText(serial)
    const subject = `Hearth OCSP ${issuer.id.slice(-6)}`
    const period = validity(tx.now, SIGNER_DAYS)
    const tbs = encodeTbsCertificate(
      {
        serial,
        issuer: issuer.name,
        notBefore: Math.max(period.notBefore, issuer.notBefore),
        notAfter: Math.min(period.notAfter, issuer.notAfter),
        subject: commonNameOnly(subject),
        spki: pair.spki,
        extensions: ocspSignerExtensions(pair.spki, issuer),
      },
      issuer.signer,
    )
    const certificate = signCertificate(tbs, issuer.signer)
    await insertCertificate(
      tx,
      ledgerRow(certificate, { issuerId: issuer.id, profile: 'ocsp', actor: 'gateway' }),
      [],
    )
    await keys.put(tx, id, 'ocsp', pair)
    await deleteReplacedKeys(tx, { purpose: 'ocsp', keep: id, issuerId: issuer.id })
    return assemble(issuer, certificate, signerOf(pair.privateKey))
  })
}

function assemble(issuer: Issuer, certificate: Buffer, signer: Signer): OcspSigner {
  const { spki, notBefore, notAfter } = readCertificate(certificate)
  return { issuer, certificate, keyId: keyIdentifier(spki), notBefore, notAfter, signer }
}
