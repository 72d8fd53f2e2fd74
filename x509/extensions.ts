import type { AddressRange } from '../base/ip.ts'
import {
  boolean,
  context,
  contextPrimitive,
  integer,
  namedBits,
  nullValue,
  octetString,
  oid,
  sequence,
} from './der.ts'
import { dnsName, emailName, GENERAL_NAME, ipName, uriName } from './generalNames.ts'
import { OID } from './oids.ts'

/** One encoded extension. */
export type Extension = Buffer

/** Bits of KeyUsage (RFC 5280 section 4.2.1.3). */
export const KEY_USAGE = { digitalSignature: 0, keyEncipherment: 2, keyCertSign: 5, cRLSign: 6 } as const

function extension(id: string, critical: boolean, value: Uint8Array): Extension {
  return critical
    ? sequence(oid(id), boolean(true), octetString(value))
    : sequence(oid(id), octetString(value))
}

/** A CA, with at most `pathLength` CAs below it if given; or, with null, not a CA. */
export function basicConstraints(ca: { pathLength?: number } | null): Extension {
  if (ca === null) return extension(OID.basicConstraints, true, sequence())
  const path = ca.pathLength === undefined ? [] : [integer(ca.pathLength)]
  return extension(OID.basicConstraints, true, sequence(boolean(true), ...path))
}

export function keyUsage(bits: readonly number[]): Extension {
  return extension(OID.keyUsage, true, namedBits(bits))
}

export function extKeyUsage(purposes: readonly string[]): Extension {
  return extension(OID.extKeyUsage, false, sequence(...purposes.map(oid)))
}

export function subjectKeyIdentifier(keyId: Uint8Array): Extension {
  return extension(OID.subjectKeyIdentifier, false, octetString(keyId))
}

export function authorityKeyIdentifier(keyId: Uint8Array): Extension {
  return extension(OID.authorityKeyIdentifier, false, sequence(contextPrimitive(0, keyId)))
}

/** Critical exactly when the subject is empty, as RFC 5280 section 4.2.1.6 demands. */
export function subjectAltName(
  names: { dns: readonly string[]; ip: readonly string[] },
  critical: boolean,
): Extension {
  return extension(OID.subjectAltName, critical, sequence(...names.dns.map(dnsName), ...names.ip.map(ipName)))
}

/** What a CA below may certify. Types that are not mentioned stay unlimited, so mention all that matter. */
export interface PermittedNames {
  dns: readonly string[]
  ip: readonly AddressRange[]
  email: readonly string[]
  uri: readonly string[]
}

/**
 * Critical, with permitted subtrees only (RFC 5280 section 4.2.1.10).
 *
 * Excluding instead of permitting is avoided: an excluded empty e-mail subtree makes GnuTLS reject every leaf.
 */
export function nameConstraints(permitted: PermittedNames): Extension {
  const subtrees = [
    ...permitted.dns.map(dnsName),
    ...permitted.email.map(emailName),
    ...permitted.uri.map(uriName),
    ...permitted.ip.map(({ network, mask }) =>
      contextPrimitive(GENERAL_NAME.ip, Buffer.concat([network, mask])),
    ),
  ]
  return extension(
    OID.nameConstraints,
    true,
    sequence(context(0, ...subtrees.map((subtree) => sequence(subtree)))),
  )
}

export function cRLDistributionPoint(uri: string): Extension {
  return extension(OID.cRLDistributionPoints, false, sequence(sequence(distributionPointName(uri))))
}

export function authorityInfoAccess(access: { ocsp?: string; caIssuers: string }): Extension {
  const descriptions = [sequence(oid(OID.caIssuers), uriName(access.caIssuers))]
  if (access.ocsp !== undefined) descriptions.unshift(sequence(oid(OID.ocsp), uriName(access.ocsp)))
  return extension(OID.authorityInfoAccess, false, sequence(...descriptions))
}

/** Says that nobody need ask whether an OCSP signer itself is revoked (RFC 6960 section 4.2.2.2.1). */
export function ocspNoCheck(): Extension {
  return extension(OID.ocspNoCheck, false, nullValue)
}

export function cRLNumber(number: number): Extension {
  return extension(OID.cRLNumber, false, integer(number))
}

/** Ties a CRL to the certificates whose CRL distribution point is byte for byte the same name. */
export function issuingDistributionPoint(uri: string): Extension {
  return extension(OID.issuingDistributionPoint, true, sequence(distributionPointName(uri)))
}

function distributionPointName(uri: string): Buffer {
  return context(0, context(0, uriName(uri)))
}
