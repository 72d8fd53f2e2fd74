import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

/** What a person carries to a device: `id:token`, good for one enrolment. Shown once, never stored. */
export interface EnrollmentCredential {
  /** Hexadecimal: it may stand in a URL, on a command line, in Basic authentication. */
  id: string
  token: string
}

export function makeCredential(): EnrollmentCredential {
  return { id: randomBytes(6).toString('hex'), token: randomBytes(16).toString('hex') }
}

/** What is stored instead of the token. The token has 128 random bits, so a plain hash does. */
export function hashToken(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}

export function tokenMatches(token: string, hash: Uint8Array): boolean {
  return timingSafeEqual(hashToken(token), hash)
}

/** Id and token from an `Authorization: Basic` header (RFC 7617); null if there is none. */
export function readBasic(header: string | undefined): EnrollmentCredential | null {
  const encoded = /^basic +([a-z0-9+/=]+) *$/i.exec(header ?? '')?.[1]
  if (encoded === undefined) return null
  const text = Buffer.from(encoded, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  return colon < 0 ? null : { id: text.slice(0, colon), token: text.slice(colon + 1) }
}

/**
 * The text of a QR code that a device scans instead of having everything typed in:
 * `HGW1:<host:port>;<SHA-256 of the root, base64url>;<id>;<token>;<expiry, unix seconds>`.
 */
export function qrText(facts: {
  host: string
  rootSha256: Buffer
  credential: EnrollmentCredential
  expires: number
}): string {
  const { host, rootSha256, credential, expires } = facts
  const fields = [host, rootSha256.toString('base64url'), credential.id, credential.token]
  return `HGW1:${[...fields, Math.floor(expires / 1000)].join(';')}`
}
