import type { KeyObject } from 'node:crypto'
import { DAY, HOUR, SECOND } from '../base/clock.ts'
import {
  authorityInfoAccess,
  authorityKeyIdentifier,
  basicConstraints,
  cRLDistributionPoint,
  type Extension,
  extKeyUsage,
  KEY_USAGE,
  keyUsage,
  nameConstraints,
  ocspNoCheck,
  type PermittedNames,
  subjectAltName,
  subjectKeyIdentifier,
} from '../x509/extensions.ts'
import { commonNameOnly } from '../x509/name.ts'
import { OID } from '../x509/oids.ts'
import { keyIdentifier } from '../x509/spki.ts'

/** How certificates for devices are made, as configured. */
export interface Profile {
  name: string
  days: number
  /** The share of its life after which a certificate should be renewed. */
  renewAt: number
}

/** Where an issuer's certificates point; each derived from the base URL frozen in its row. */
export interface IssuerUrls {
  certificate: string
  crl: string
  ocsp: string
}

/** What the profiles need to know of the issuer. */
export interface IssuerFacts {
  keyId: Buffer
  urls: IssuerUrls
}

/** How far certificates reach back, for devices whose clocks are a little behind. */
const BACKDATE = HOUR

/** Longest common name (RFC 5280 appendix A.1, ub-common-name). */
const COMMON_NAME_LENGTH = 64

/** First and last millisecond of a certificate made now; whole seconds. */
export function validity(now: number, days: number): { notBefore: number; notAfter: number } {
  const second = Math.floor(now / SECOND) * SECOND
  return { notBefore: second - BACKDATE, notAfter: second + days * DAY - SECOND }
}

/**
 * Subject of a device's certificate: its first name, or empty.
 *
 * Empty where there is no name (GnuTLS would check an address in the CN as a name), or where the name
 * is longer than a common name may be.
 */
export function serverSubject(dns: readonly string[]): string | null {
  const first = dns[0]
  return first !== undefined && first.length <= COMMON_NAME_LENGTH ? first : null
}

/** `serverAuth` to be opened in browsers, `clientAuth` so that the same certificate renews itself over mTLS. */
export function serverExtensions(
  subject: { key: KeyObject; spki: Buffer; dns: readonly string[]; ip: readonly string[] },
  issuer: IssuerFacts,
): Extension[] {
  const usages: number[] = [KEY_USAGE.digitalSignature]
  if (subject.key.asymmetricKeyType === 'rsa') usages.push(KEY_USAGE.keyEncipherment)
  return [
    basicConstraints(null),
    keyUsage(usages),
    extKeyUsage([OID.serverAuth, OID.clientAuth]),
    subjectKeyIdentifier(keyIdentifier(subject.spki)),
    authorityKeyIdentifier(issuer.keyId),
    authorityInfoAccess({ ocsp: issuer.urls.ocsp, caIssuers: issuer.urls.certificate }),
    cRLDistributionPoint(issuer.urls.crl),
    subjectAltName(subject, serverSubject(subject.dns) === null),
  ]
}

export function ocspSignerExtensions(spki: Buffer, issuer: IssuerFacts): Extension[] {
  return [
    basicConstraints(null),
    keyUsage([KEY_USAGE.digitalSignature]),
    extKeyUsage([OID.ocspSigning]),
    ocspNoCheck(),
    subjectKeyIdentifier(keyIdentifier(spki)),
    authorityKeyIdentifier(issuer.keyId),
  ]
}

/** No path length: in a rollover an old root is cross-signed below a new one, issuers and all. */
export function rootExtensions(spki: Buffer, permitted: PermittedNames | null): Extension[] {
  return [
    basicConstraints({}),
    keyUsage([KEY_USAGE.keyCertSign, KEY_USAGE.cRLSign]),
    subjectKeyIdentifier(keyIdentifier(spki)),
    ...(permitted === null ? [] : [nameConstraints(permitted)]),
  ]
}

export function issuerExtensions(
  spki: Buffer,
  permitted: PermittedNames | null,
  root: IssuerFacts,
): Extension[] {
  return [
    basicConstraints({ pathLength: 0 }),
    keyUsage([KEY_USAGE.keyCertSign, KEY_USAGE.cRLSign]),
    subjectKeyIdentifier(keyIdentifier(spki)),
    authorityKeyIdentifier(root.keyId),
    authorityInfoAccess({ caIssuers: root.urls.certificate }),
    cRLDistributionPoint(root.urls.crl),
    ...(permitted === null ? [] : [nameConstraints(permitted)]),
  ]
}

/** The name under which people find the root in their system's list: unique, since iOS lists by it. */
export function rootName(id: string): Buffer {
  return commonNameOnly(`Hearth Home Root ${id.slice(-6)}`)
}

export function issuerName(id: string): Buffer {
  return commonNameOnly(`Hearth Issuer ${id.slice(-6)}`)
}
