import { altNamesOf, readCertificate, serialText } from '../x509/certificate.ts'
import { fingerprintText } from './trust.ts'

/** What a person or program wants to know of an enrolled certificate. Times in milliseconds. */
export interface CertificateFacts {
  /** `https://host:port` of the gateway that issued it. */
  gateway: string
  /** SHA-256 of the root it chains to, as `hearth ca fingerprint` shows it. */
  rootFingerprint: string
  names: string[]
  addresses: string[]
  /** Upper-case hexadecimal. */
  serial: string
  notBefore: number
  notAfter: number
  /** When two thirds of its life are over. */
  renewAt: number
}

/** @throws {DerError} if the leaf is no certificate. */
export function factsOf(set: { gateway: string; leaf: Buffer; root: Buffer }): CertificateFacts {
  const certificate = readCertificate(set.leaf)
  const { dns, ip } = altNamesOf(certificate)
  const { notBefore, notAfter } = certificate
  return {
    gateway: set.gateway,
    rootFingerprint: fingerprintText(set.root),
    names: dns,
    addresses: ip,
    serial: serialText(certificate.serial),
    notBefore,
    notAfter,
    renewAt: notBefore + Math.floor(((notAfter - notBefore) * 2) / 3),
  }
}

/** For a sentence: the names and addresses, or the serial number where there are none. */
export function namesText(facts: CertificateFacts): string {
  return [...facts.names, ...facts.addresses].join(', ') || `serial ${facts.serial}`
}
