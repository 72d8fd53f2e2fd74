import { X509Certificate } from 'node:crypto'
import { type Clock, rfc3339 } from '../base/clock.ts'
import { reasonOf } from '../base/errors.ts'
import { altNamesOf, type ReadCertificate, readCertificate } from '../x509/certificate.ts'
import { DerError } from '../x509/der.ts'
import { sha256 } from '../x509/spki.ts'
import { AgentError } from './errors.ts'
import type { Names } from './estReply.ts'

/**
 * The 32 octets of a SHA-256 fingerprint in hexadecimal; any case, colons and spaces allowed.
 *
 * @throws {AgentError} `INPUT_INVALID` if it is none.
 */
export function parseFingerprint(text: string): Buffer {
  const digits = text.replace(/[\s:]/g, '')
  if (!/^[0-9a-f]{64}$/i.test(digits)) {
    throw new AgentError(
      'INPUT_INVALID',
      'the fingerprint is not a SHA-256: 64 hexadecimal digits belong there, as "hearth ca fingerprint" shows them',
    )
  }
  return Buffer.from(digits, 'hex')
}

/** As the gateway shows it: `AB:CD:...`. */
export function fingerprintText(der: Uint8Array): string {
  return colons(sha256(der))
}

function colons(fingerprint: Buffer): string {
  return fingerprint.toString('hex').toUpperCase().match(/../g)!.join(':')
}

/**
 * Picks the pinned root out of certificates that anybody may have sent.
 *
 * @throws {AgentError} `ROOT_MISMATCH` if it is not among them.
 */
export function pinnedRoot(certificates: readonly Buffer[], fingerprint: Buffer, host: string): Buffer {
  const root = certificates.find((certificate) => sha256(certificate).equals(fingerprint))
  if (root !== undefined) return root
  const seen = selfSigned(certificates).map(fingerprintText).join(', ') || 'no root at all'
  throw new AgentError(
    'ROOT_MISMATCH',
    `the gateway at ${host} shows another root than the pinned one. Expected SHA-256 ${colons(fingerprint)}, seen ${seen}. Somebody may be in between, or the gateway was set up anew: compare with "hearth ca fingerprint" on the gateway itself. No token was sent and nothing was written`,
  )
}

/**
 * The roots to trust from now on, after an authenticated gateway listed its certificates.
 *
 * A new root is taken only beside one that is trusted already, as in a rollover (RFC 7030 section
 * 4.1.3); a root that the gateway lists no more is dropped.
 */
export function rolledRoots(trusted: readonly Buffer[], listed: readonly Buffer[]): Buffer[] {
  const roots = selfSigned(listed)
  const known = roots.some((root) => trusted.some((old) => old.equals(root)))
  return known ? roots : [...trusted]
}

function selfSigned(certificates: readonly Buffer[]): Buffer[] {
  return certificates.filter((der) => {
    const certificate = parsed(der)
    return certificate?.ca && issued(certificate, certificate)
  })
}

export interface IssuedCheck {
  leaf: Buffer
  /** Issuers and cross-certificates that may lie between the leaf and a root; from anywhere. */
  issuers: readonly Buffer[]
  roots: readonly Buffer[]
  /** SubjectPublicKeyInfo of the key that was requested for. */
  spki: Buffer
  /** Exactly these, in any order; null if the gateway has not said. */
  names: Names | null
  clock: Clock
}

/** What lies above an accepted certificate. */
export interface Path {
  /** From the leaf's issuer upwards, without the root; in a rollover also what leads to the other root. */
  chain: Buffer[]
  root: Buffer
}

/**
 * Checks a certificate that the gateway issued: key, names, dates, and a chain of signatures to a root.
 *
 * @throws {AgentError} `CERTIFICATE_REFUSED` with the first thing that is wrong.
 */
export function checkIssued(check: IssuedCheck): Path {
  const now = check.clock.now()
  const leaf = readLeaf(check.leaf)
  if (!leaf.spki.equals(check.spki)) throw refused('is for another key than the one of this request')
  if (leaf.notBefore > now || leaf.notAfter <= now) {
    throw refused(
      `is valid from ${rfc3339(leaf.notBefore)} to ${rfc3339(leaf.notAfter)}, but this device's clock says ${rfc3339(now)}; set the clock`,
    )
  }
  const names = altNamesOf(leaf)
  if (check.names !== null && listed(names) !== listed(check.names)) {
    throw refused(
      `names ${listed(names) || 'nothing'} where ${listed(check.names) || 'nothing'} was assigned`,
    )
  }
  const path = pathToRoot(check.leaf, new Set(check.issuers), check.roots, now)
  if (path === null) throw refused('does not chain to the pinned root')
  const cross = crossCertificates(path.root, check.issuers, now).filter((der) => !path.chain.includes(der))
  return { root: path.root, chain: [...path.chain, ...cross] }
}

function refused(problem: string): AgentError {
  return new AgentError(
    'CERTIFICATE_REFUSED',
    `the certificate that came back ${problem}. It was not stored; what was there before stays in use`,
  )
}

function readLeaf(der: Buffer): ReadCertificate {
  try {
    return readCertificate(der)
  } catch (error) {
    if (!(error instanceof DerError)) throw error
    throw refused(`cannot be read (${reasonOf(error)})`)
  }
}

function listed(names: Names): string {
  return [...names.dns, ...names.ip].sort().join(', ')
}

/** The issuers from a certificate up to one of the roots, each in its dates. Takes each issuer it tries out of the set. */
function pathToRoot(der: Buffer, untried: Set<Buffer>, roots: readonly Buffer[], now: number): Path | null {
  const certificate = parsed(der)
  if (certificate === null) return null
  const signs = (candidate: Buffer) => {
    const issuer = parsed(candidate)
    return issuer?.ca && current(issuer, now) && issued(certificate, issuer)
  }
  const root = roots.find(signs)
  if (root !== undefined) return { chain: [], root }
  for (const issuer of untried) {
    if (!signs(issuer)) continue
    untried.delete(issuer)
    const above = pathToRoot(issuer, untried, roots, now)
    if (above !== null) return { chain: [issuer, ...above.chain], root: above.root }
  }
  return null
}

/** The root's key certified by another root: with it, clients that know only that one can follow too. */
function crossCertificates(root: Buffer, issuers: readonly Buffer[], now: number): Buffer[] {
  const key = keyOf(parsed(root)!)
  return issuers.filter((der) => {
    const certificate = parsed(der)
    return (
      certificate?.ca &&
      !issued(certificate, certificate) &&
      current(certificate, now) &&
      keyOf(certificate).equals(key)
    )
  })
}

function keyOf(certificate: X509Certificate): Buffer {
  return certificate.publicKey.export({ type: 'spki', format: 'der' })
}

function parsed(der: Buffer): X509Certificate | null {
  try {
    return new X509Certificate(der)
  } catch {
    return null
  }
}

function issued(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
}

function current(certificate: X509Certificate, now: number): boolean {
  return certificate.validFromDate.getTime() <= now && now < certificate.validToDate.getTime()
}
