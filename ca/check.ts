import { DAY } from '../base/clock.ts'
import { addressOctets, isHomeAddress } from '../base/ip.ts'
import {
  altNamesOf,
  basicConstraintsOf,
  extKeyUsagesOf,
  findExtension,
  type ReadCertificate,
  readTbsCertificate,
} from '../x509/certificate.ts'
import { DerReader } from '../x509/der.ts'
import { KEY_USAGE } from '../x509/extensions.ts'
import { readCommonNames } from '../x509/name.ts'
import { OID } from '../x509/oids.ts'
import type { Issuer } from './issuer.ts'

/** Apple accepts no server certificate that lives longer. */
const LONGEST_LIFE = 825 * DAY

/**
 * What is wrong with a device's certificate that is about to be signed; empty when nothing is.
 *
 * The last gate before the key: it reads the octets that would be signed, not the objects they were
 * made from, and knows the rules a second time, so that a mistake in a profile or in the encoder does
 * not become a certificate. RFC 5280 section 4, the limits of browsers, and the household's bounds.
 */
export function faultsOf(tbs: Uint8Array, issuer: Issuer, permittedDns: readonly string[]): string[] {
  const certificate = readTbsCertificate(tbs)
  return [
    ...fieldFaults(certificate, issuer),
    ...extensionFaults(certificate, issuer),
    ...nameFaults(certificate, permittedDns),
  ]
}

function fieldFaults(certificate: ReadCertificate, issuer: Issuer): string[] {
  const { serial, notBefore, notAfter } = certificate
  return faults(
    [certificate.version !== 3, `version is ${certificate.version}, not 3`],
    [serial.length < 8 || serial.length > 20, `serial has ${serial.length} octets, not 8 to 20`],
    [!certificate.issuer.equals(issuer.name), "issuer differs from the issuing certificate's subject"],
    [notBefore >= notAfter, 'notBefore is not before notAfter'],
    [notBefore < issuer.notBefore, 'begins before its issuer'],
    [notAfter > issuer.notAfter, 'outlives its issuer'],
    [notAfter - notBefore > LONGEST_LIFE, 'lives longer than 825 days'],
  )
}

function extensionFaults(certificate: ReadCertificate, issuer: Issuer): string[] {
  const ids = certificate.extensions.map((extension) => extension.id)
  const usage = findExtension(certificate, OID.keyUsage)
  const bits = usage === null ? [] : new DerReader(usage.value, 'key usage').namedBits()
  const purposes = extKeyUsagesOf(certificate)
  const authority = findExtension(certificate, OID.authorityKeyIdentifier)
  const authorityKey =
    authority === null ? null : new DerReader(authority.value, 'authority key identifier').enter().any()
  return faults(
    [new Set(ids).size !== ids.length, 'an extension occurs twice'],
    [findExtension(certificate, OID.basicConstraints) === null, 'basic constraints are missing'],
    [basicConstraintsOf(certificate).ca, 'it would be a CA'],
    [!usage?.critical, 'key usage is missing or not critical'],
    [!bits.includes(KEY_USAGE.digitalSignature), 'key usage lacks digitalSignature'],
    [bits.includes(KEY_USAGE.keyCertSign) || bits.includes(KEY_USAGE.cRLSign), 'key usage is that of a CA'],
    [!purposes.includes(OID.serverAuth), 'extended key usage lacks serverAuth'],
    [
      purposes.some((purpose) => purpose !== OID.serverAuth && purpose !== OID.clientAuth),
      'extended key usage has more than serverAuth and clientAuth',
    ],
    [!ids.includes(OID.subjectKeyIdentifier), 'the subject key identifier is missing'],
    [!ids.includes(OID.authorityInfoAccess), 'authority information access is missing'],
    [!ids.includes(OID.cRLDistributionPoints), 'the CRL distribution point is missing'],
    [
      authorityKey === null || !authorityKey.content.equals(issuer.keyId),
      'the authority key identifier is not that of the issuer',
    ],
  )
}

function nameFaults(certificate: ReadCertificate, permittedDns: readonly string[]): string[] {
  const names = altNamesOf(certificate)
  const emptySubject = certificate.subject.length === 2
  const critical = findExtension(certificate, OID.subjectAltName)?.critical ?? false
  return [
    ...faults(
      [names.dns.length + names.ip.length === 0, 'the subject alternative name is missing or empty'],
      [names.others.length > 0, 'the subject alternative name has names that are neither DNS nor IP'],
      [
        emptySubject !== critical,
        'the subject alternative name must be critical exactly when the subject is empty',
      ],
    ),
    ...readCommonNames(certificate.subject)
      .filter((name) => !names.dns.includes(name))
      .map((name) => `the common name ${name} is no subject alternative name`),
    ...names.dns.filter((name) => !isHostName(name)).map((name) => `${name} is no host name`),
    ...names.dns
      .filter((name) => !permittedDns.some((base) => name === base || name.endsWith(`.${base}`)))
      .map((name) => `${name} lies outside ${permittedDns.join(', ')}`),
    ...names.ip
      .filter((address) => !isHomeAddress(addressOctets(address)!))
      .map((address) => `${address} is no private address`),
  ]
}

/** Letters, digits and hyphens in labels of at most 63 octets, 253 in all (RFC 1123 section 2.1). */
function isHostName(name: string): boolean {
  return name.length <= 253 && name.split('.').every((label) => /^(?!-)[a-z0-9-]{1,63}(?<!-)$/.test(label))
}

function faults(...rules: readonly (readonly [boolean, string])[]): string[] {
  return rules.filter(([broken]) => broken).map(([, fault]) => fault)
}
