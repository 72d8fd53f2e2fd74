import { X509Certificate } from 'node:crypto'
import { DAY, MINUTE, rfc3339 } from '../base/clock.ts'
import { HearthError } from '../base/errors.ts'
import type { IssueRequest } from '../ca/authority.ts'
import type { Issuer } from '../ca/issuer.ts'
import { findCertificate, mayRenew } from '../store/certificates.ts'
import { findCredential, spendCredential } from '../store/credentials.ts'
import type { Db } from '../store/database.ts'
import { type Device, findDevice } from '../store/devices.ts'
import { extKeyUsagesOf, readCertificate, serialText } from '../x509/certificate.ts'
import type { ProvenCsr } from '../x509/csr.ts'
import { OID } from '../x509/oids.ts'
import { sha256 } from '../x509/spki.ts'
import { type EnrollmentCredential, tokenMatches } from './credential.ts'

export type AuthorizationErrorCode =
  | 'CREDENTIAL_WRONG'
  | 'CREDENTIAL_EXPIRED'
  | 'CREDENTIAL_USED'
  | 'CERTIFICATE_REFUSED'
  | 'CERTIFICATE_REVOKED'
  | 'CERTIFICATE_TOO_OLD'
  | 'DEVICE_INACTIVE'
  | 'NAME_REFUSED'

export class AuthorizationError extends HearthError<AuthorizationErrorCode> {}

/** The same key may come back with a spent credential for this long: answers get lost. */
const REPEAT_WINDOW = 10 * MINUTE

/** A device that slept may renew with a certificate this long past its end. */
const RENEWAL_GRACE = 30 * DAY

/** Whose request it is, and what must still hold when the certificate is recorded. */
export interface Authorized {
  device: Device
  claim: IssueRequest['claim']
  /** Set if this credential was spent: on which key, and what came of it. */
  spent: { spkiSha256: Buffer; serial: string } | null
}

/**
 * Who holds this credential?
 *
 * A wrong id and a wrong token get the same answer. A spent credential is let through for ten minutes,
 * with `spent` set: the caller may hand out the same certificate for the same key again, nothing else.
 *
 * @throws {AuthorizationError}
 */
export async function authorizeCredential(
  db: Db,
  now: number,
  given: EnrollmentCredential,
): Promise<Authorized> {
  const credential = await findCredential(db, given.id)
  if (credential === null || !tokenMatches(given.token, credential.token_hash)) {
    throw new AuthorizationError(
      'CREDENTIAL_WRONG',
      'this id and token are not known here. Copy both whole, or make new ones: hearth device token NAME',
    )
  }
  const spent =
    credential.used_at === null
      ? null
      : {
          spkiSha256: credential.spki_sha256!,
          serial: credential.serial!,
          until: credential.used_at + REPEAT_WINDOW,
        }
  if (spent === null && credential.expires_at <= now) {
    throw new AuthorizationError(
      'CREDENTIAL_EXPIRED',
      `this token expired at ${rfc3339(credential.expires_at)}. Make a new one: hearth device token NAME`,
    )
  }
  if (spent !== null && spent.until <= now) throw credentialUsed()
  return {
    device: await activeDevice(db, credential.device_id),
    claim: (tx, issued) => spendCredential(tx, credential.id, issued),
    spent,
  }
}

/** The refusal of a credential that was spent on another key, or long ago. */
export function credentialUsed(): AuthorizationError {
  return new AuthorizationError(
    'CREDENTIAL_USED',
    'this token was used already, and one token makes one certificate. Make a new one: hearth device token NAME',
  )
}

/**
 * Which device is on the other end of a TLS connection?
 *
 * The TLS library's own verdict is not used: for an expired certificate it reports the expiry even where
 * the signature is somebody else's. So everything is proven here: our issuer's signature, the usage, the
 * dates, and that exactly this certificate is on record and not revoked.
 *
 * @throws {AuthorizationError}
 */
export async function authorizeCertificate(
  db: Db,
  now: number,
  der: Buffer,
  issuers: readonly Issuer[],
): Promise<Authorized> {
  const serial = ownSerial(der, issuers)
  const recorded = serial === null ? null : await findCertificate(db, serial)
  if (recorded === null || recorded.device_id === null || !recorded.fingerprint_sha256.equals(sha256(der))) {
    throw new AuthorizationError(
      'CERTIFICATE_REFUSED',
      'the client certificate was not issued by this gateway for a device. Enroll with a token: hearth device token NAME',
    )
  }
  if (recorded.revoked_at !== null) {
    throw new AuthorizationError(
      'CERTIFICATE_REVOKED',
      `certificate ${recorded.serial} was revoked at ${rfc3339(recorded.revoked_at)} and renews nothing. If the device is in good hands, enroll it anew: hearth device token NAME`,
    )
  }
  if (now > recorded.not_after + RENEWAL_GRACE) {
    throw new AuthorizationError(
      'CERTIFICATE_TOO_OLD',
      `certificate ${recorded.serial} ended at ${rfc3339(recorded.not_after)}, more than 30 days ago. Enroll anew: hearth device token NAME`,
    )
  }
  const device = await activeDevice(db, recorded.device_id)
  return {
    device,
    claim: (tx) => mayRenew(tx.db, recorded.serial),
    spent: null,
  }
}

/** The serial of a certificate that one of our issuers signed for clients, or null. */
function ownSerial(der: Buffer, issuers: readonly Issuer[]): string | null {
  try {
    const certificate = readCertificate(der)
    const issuer = issuers.find((candidate) => candidate.name.equals(certificate.issuer))
    if (issuer === undefined) return null
    if (!extKeyUsagesOf(certificate).includes(OID.clientAuth)) return null
    return new X509Certificate(der).verify(issuer.publicKey) ? serialText(certificate.serial) : null
  } catch {
    return null // neither we nor OpenSSL can read it
  }
}

async function activeDevice(db: Db, id: string): Promise<Device> {
  const device = await findDevice(db, id)
  if (device?.state === 'active') return device
  throw new AuthorizationError(
    'DEVICE_INACTIVE',
    `${device?.names[0] ?? 'this device'} was ${device?.state ?? 'removed'} and gets no certificates. Ask whoever runs the gateway`,
  )
}

/**
 * Refuses a request that asks for more than the device's own names and addresses.
 *
 * What is issued comes from the record in any case; this tells whoever wrote the request.
 *
 * @throws {AuthorizationError} `NAME_REFUSED`, naming the first name too many.
 */
export function refuseForeignNames(csr: ProvenCsr, device: Device): void {
  const { dns, ip, others } = csr.altNames
  const labels = device.names.map((name) => name.split('.')[0])
  const foreign =
    dns.find((name) => !device.names.includes(name)) ??
    ip.find((address) => !device.addresses.includes(address)) ??
    csr.commonNames.find((name) => {
      const lower = name.toLowerCase()
      return !device.names.includes(lower) && !labels.includes(lower) && !device.addresses.includes(lower)
    })
  const own = [...device.names, ...device.addresses].join(', ')
  if (foreign !== undefined) {
    throw new AuthorizationError(
      'NAME_REFUSED',
      `the request asks for "${foreign.slice(0, 100)}", which is not this device's. Its own: ${own}. Ask for these, or for none`,
    )
  }
  if (others.length > 0) {
    throw new AuthorizationError(
      'NAME_REFUSED',
      `the request asks for a kind of name that is neither DNS nor IP. This device's own: ${own}. Ask for these, or for none`,
    )
  }
}
