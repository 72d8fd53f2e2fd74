import type { KeyObject } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import { HearthError } from '../base/errors.ts'
import type { Tx } from '../store/database.ts'
import { encodeTbsCertificate, serialText, signCertificate } from '../x509/certificate.ts'
import { commonNameOnly } from '../x509/name.ts'
import { sha256 } from '../x509/spki.ts'
import { faultsOf } from './check.ts'
import type { ClockGuard } from './clockGuard.ts'
import { type Hierarchy, permittedNames } from './hierarchy.ts'
import { type Ledger, ledgerRow } from './ledger.ts'
import { type Profile, serverExtensions, serverSubject, validity } from './profile.ts'
import { newSerial } from './serial.ts'

export type AuthorityErrorCode =
  | 'CLOCK_UNTRUSTED'
  | 'PROFILE_UNKNOWN'
  | 'ISSUER_ENDS_FIRST'
  | 'CERTIFICATE_FAULTY'
  | 'CLAIM_LOST'

export class AuthorityError extends HearthError<AuthorityErrorCode> {}

/** A certificate to be issued. Names and addresses come from the device's record, never from its request. */
export interface IssueRequest {
  deviceId: string
  profile: string
  names: readonly string[]
  addresses: readonly string[]
  /** The proven public key, and its SubjectPublicKeyInfo in DER. */
  key: KeyObject
  spki: Buffer
  /** For the audit: which door, which device. */
  actor: string
  /** What must hold at the moment of recording, and is written with it: see `LedgerEntry.claim`. */
  claim: (tx: Tx, issued: { serial: string; spkiSha256: Buffer }) => Promise<boolean>
}

/** A certificate that is on record and may be handed out. */
export interface IssuedCertificate {
  serial: string
  /** DER. */
  certificate: Buffer
  notBefore: number
  notAfter: number
}

export interface AuthorityOptions {
  hierarchy: Hierarchy
  ledger: Ledger
  guard: ClockGuard
  clock: Clock
  domain: string
  profiles: readonly Profile[]
}

/** The one place that signs certificates for devices. */
export class Authority {
  readonly #options: AuthorityOptions

  constructor(options: AuthorityOptions) {
    this.#options = options
  }

  /**
   * Issues one certificate for a public key whose possession is already proven.
   *
   * It is checked before the key signs, and durably on record before this resolves: a power cut at
   * any moment leaves no certificate that nobody can revoke. Calling twice issues two.
   *
   * @throws {AuthorityError} `CLOCK_UNTRUSTED` while the clock is in doubt; `PROFILE_UNKNOWN`;
   *   `ISSUER_ENDS_FIRST` if the profile outlives the issuer; `CERTIFICATE_FAULTY` if the check finds
   *   anything; `CLAIM_LOST` if the claim did not hold.
   */
  async issue(request: IssueRequest): Promise<IssuedCertificate> {
    const { hierarchy, ledger, guard, clock, domain } = this.#options

    // 1. May anything be issued now, and under which rules?
    const clockState = guard.state()
    if (!clockState.trusted) {
      throw new AuthorityError('CLOCK_UNTRUSTED', `no certificate is issued now: ${clockState.reason}`)
    }
    const profile = this.#profile(request.profile)
    const issuer = hierarchy.current
    const { notBefore, notAfter } = validity(clock.now(), profile.days)
    // A clock that was set back a little may lie before the issuer's first second.
    const period = { notBefore: Math.max(notBefore, issuer.notBefore), notAfter }
    if (notAfter > issuer.notAfter) {
      throw new AuthorityError(
        'ISSUER_ENDS_FIRST',
        `a certificate of profile ${profile.name} would outlive the issuer; make a new issuer first, or shorten the profile`,
      )
    }

    // 2. What exactly would be signed, and is it sound?
    const serial = newSerial()
    const names = { dns: request.names, ip: request.addresses }
    const subject = serverSubject(request.names)
    const tbs = encodeTbsCertificate(
      {
        serial,
        issuer: issuer.name,
        ...period,
        subject: commonNameOnly(subject),
        spki: request.spki,
        extensions: serverExtensions({ key: request.key, spki: request.spki, ...names }, issuer),
      },
      issuer.signer,
    )
    const faults = faultsOf(tbs, issuer, permittedNames(domain).dns)
    if (faults.length > 0) {
      throw new AuthorityError(
        'CERTIFICATE_FAULTY',
        `the certificate for ${request.names.join(', ') || request.addresses.join(', ') || 'nothing'} was not signed: ${faults.join('; ')}`,
      )
    }

    // 3. Sign, record, and only then let go.
    const certificate = signCertificate(tbs, issuer.signer)
    const spkiSha256 = sha256(request.spki)
    const issued = { serial: serialText(serial), certificate, ...period }
    const recorded = await ledger.record({
      certificate: ledgerRow(certificate, {
        issuerId: issuer.id,
        profile: profile.name,
        actor: request.actor,
        deviceId: request.deviceId,
      }),
      names: request.names,
      actor: request.actor,
      claim: (tx) => request.claim(tx, { serial: issued.serial, spkiSha256 }),
    })
    if (!recorded) {
      throw new AuthorityError(
        'CLAIM_LOST',
        'the right to this certificate was used up or withdrawn while it was being made',
      )
    }
    return issued
  }

  #profile(name: string): Profile {
    const profile = this.#options.profiles.find((candidate) => candidate.name === name)
    if (profile !== undefined) return profile
    const known = this.#options.profiles.map((candidate) => candidate.name).join(', ')
    throw new AuthorityError('PROFILE_UNKNOWN', `there is no profile ${name}; there are: ${known}`)
  }
}
