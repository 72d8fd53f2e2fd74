import { type Clock, rfc3339 } from '../base/clock.ts'
import { altNamesOf, readCertificate } from '../x509/certificate.ts'
import { AgentError } from './errors.ts'
import { EstClient } from './estClient.ts'
import type { Names } from './estReply.ts'
import { type CertificateFacts, factsOf, namesText } from './facts.ts'
import { pendingKey, refuseForeignFiles, writeSet } from './files.ts'
import { withLock } from './lock.ts'
import { obtain } from './obtain.ts'
import { parseFingerprint, pinnedRoot } from './trust.ts'
import { realWait, type Wait } from './wait.ts'

export interface EnrollOptions {
  /** `https://host:port` of the gateway's EST listener. */
  gateway: string
  /** SHA-256 of the root's DER in hexadecimal; any case, colons and spaces allowed. */
  fingerprint: string
  /** `ID:TOKEN` from `hearth device add`, pairing or a QR code. */
  token: string
  /** A name that the certificate has to carry, whole or without the household's domain. */
  name?: string
  /** Directory for certificate and key; made if missing. */
  out: string
  clock: Clock
  /** Told to the person, a line at a time; never a secret. */
  log?: (line: string) => void
  wait?: Wait
  signal?: AbortSignal
}

/**
 * Gets a device its first certificate, from an address and a pinned fingerprint alone.
 *
 * The order is the security of it: the root is compared with the pin before the token is sent, over
 * connections that trust nothing but that root; and nothing is stored before the certificate is
 * checked. Running it again after a lost answer gets the same certificate.
 *
 * @returns what is now in the directory.
 * @throws {AgentError} with a sentence for the person; the directory is then as before, but for `pending-key.pem`.
 * @see RFC 7030 section 4.1.1 for the bootstrap, section 4.2 for the enrollment.
 */
export async function enroll(options: EnrollOptions): Promise<CertificateFacts> {
  const { token, name, out, clock, signal, wait = realWait, log = () => {} } = options
  const gateway = parseGateway(options.gateway)
  const fingerprint = parseFingerprint(options.fingerprint)
  refuseMalformedToken(token)
  refuseForeignFiles(out)

  return withLock(out, async () => {
    const root = await fetchPinnedRoot(gateway, fingerprint, signal)
    log(`the root of ${gateway.host} is the pinned one`)

    const client = new EstClient({ gateway, roots: [root], token, signal })
    try {
      const assigned = await client.csrAttributes()
      if (name !== undefined && assigned !== null) refuseMissingName(name, assigned)
      const names = assigned ?? { dns: name === undefined ? [] : [plain(name)], ip: [] }
      const key = pendingKey(out)
      const obtained = await obtain({
        client,
        operation: 'simpleenroll',
        key,
        names,
        assigned,
        trusted: [root],
        clock,
        wait,
        log,
        signal,
      })
      if (name !== undefined) refuseMissingName(name, altNamesOf(readCertificate(obtained.leaf)))
      const set = { gateway: gateway.origin, key, ...obtained, owesHook: false }
      writeSet(out, set)
      const facts = factsOf(set)
      log(`certificate for ${namesText(facts)} until ${rfc3339(facts.notAfter)} is in ${out}`)
      return facts
    } finally {
      client.close()
    }
  })
}

async function fetchPinnedRoot(
  gateway: URL,
  fingerprint: Buffer,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const anybody = new EstClient({ gateway, roots: null, signal })
  try {
    return pinnedRoot(await anybody.caCertificates(), fingerprint, gateway.host)
  } finally {
    anybody.close()
  }
}

function parseGateway(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url?.protocol === 'https:' && url.pathname === '/' && url.username === '' && url.search === '')
    return url
  throw new AgentError(
    'INPUT_INVALID',
    'the gateway must be given as https://HOST:PORT of its EST listener, for instance https://gateway.home.arpa:9443',
  )
}

function refuseMalformedToken(token: string): void {
  if (/^[\x21-\x39\x3b-\x7e]+:[\x21-\x7e]+$/.test(token)) return
  throw new AgentError(
    'INPUT_INVALID',
    'the token must be given as ID:TOKEN, as "hearth device add" shows it; what was given is not repeated here because it is secret',
  )
}

/** A name is found as it stands, or as the first part of a full name. */
function refuseMissingName(wanted: string, names: Names): void {
  const name = plain(wanted)
  const all = [...names.dns, ...names.ip]
  if (all.some((each) => each === name || each.startsWith(`${name}.`))) return
  throw new AgentError(
    'NAME_NOT_ASSIGNED',
    `"${wanted}" is not a name of this device; it has ${all.join(', ') || 'none'}. Rename it on the gateway, or leave the name out`,
  )
}

function plain(name: string): string {
  return name.toLowerCase().replace(/\.$/, '')
}
