import { type Clock, DAY, rfc3339 } from '../base/clock.ts'
import { altNamesOf, pem, readCertificate } from '../x509/certificate.ts'
import { AgentError } from './errors.ts'
import { EstClient } from './estClient.ts'
import { type CertificateFacts, namesText } from './facts.ts'
import { readSet, type StoredSet, settleHook, writeSet } from './files.ts'
import { runHook } from './hook.ts'
import { makeKey } from './key.ts'
import { withLock } from './lock.ts'
import { obtain } from './obtain.ts'
import { realWait, type Wait } from './wait.ts'

export interface RenewOptions {
  /** Directory of an earlier enrollment. */
  out: string
  /** Shell command to run after a renewal; it finds `HEARTH_OUT` and `HEARTH_SERIAL` in its environment. */
  hook?: string
  /** Renews before it is time. */
  force?: boolean
  clock: Clock
  /** Told to the person, a line at a time; never a secret. */
  log?: (line: string) => void
  wait?: Wait
  signal?: AbortSignal
}

export interface RenewResult {
  /** False if it was too early. */
  renewed: boolean
  /** What is in the directory now. */
  certificate: CertificateFacts
}

/** How long an expired certificate can still renew itself: devices sleep. */
const GRACE = 30 * DAY

/**
 * Replaces a certificate by a new one for a fresh key, once two thirds of its life are over.
 *
 * The old certificate proves who asks; the names may have changed meanwhile. A hook that failed, or
 * that a power cut kept from running, runs at the next call, be it time to renew or not.
 *
 * @throws {AgentError} `EXPIRED` more than 30 days too late; `HOOK_FAILED` with the new certificate in
 *   place; otherwise the old one is.
 * @see RFC 7030 section 4.2.2
 */
export async function renew(options: RenewOptions): Promise<RenewResult> {
  const { out, hook, clock, signal, log = () => {} } = options
  return withLock(out, async () => {
    let stored = readSet(out)
    const certificate = stored.facts
    const now = clock.now()
    if (now > certificate.notAfter + GRACE) throw expired(certificate, out)

    const renewed = options.force === true || now >= certificate.renewAt
    if (renewed) {
      await replace(stored, options)
      stored = readSet(out)
    } else {
      log(
        `the certificate for ${namesText(certificate)} is to be renewed from ${rfc3339(certificate.renewAt)} on; nothing to do`,
      )
    }
    const { facts } = stored
    if (renewed) log(`certificate for ${namesText(facts)} renewed until ${rfc3339(facts.notAfter)}`)
    if (stored.owesHook && hook !== undefined) {
      await runHook({ command: hook, out, serial: facts.serial, signal })
      settleHook(stored)
    }
    return { renewed, certificate: facts }
  })
}

async function replace(stored: StoredSet, options: RenewOptions): Promise<void> {
  const { out, hook, clock, signal, wait = realWait, log = () => {} } = options
  const chain = [stored.leaf, ...stored.chain].map((der) => pem(der, 'CERTIFICATE')).join('')
  const client = new EstClient({
    gateway: new URL(stored.gateway),
    roots: stored.roots,
    certificate: { key: stored.key.pem, chain },
    signal,
  })
  try {
    const assigned = await client.csrAttributes()
    const key = makeKey()
    const obtained = await obtain({
      client,
      operation: 'simplereenroll',
      key,
      names: assigned ?? altNamesOf(readCertificate(stored.leaf)),
      assigned,
      trusted: stored.roots,
      clock,
      wait,
      log,
      signal,
    })
    const owesHook = hook !== undefined || stored.owesHook
    writeSet(out, { gateway: stored.gateway, key, ...obtained, owesHook })
  } finally {
    client.close()
  }
}

function expired(certificate: CertificateFacts, out: string): AgentError {
  return new AgentError(
    'EXPIRED',
    `the certificate for ${namesText(certificate)} expired on ${rfc3339(certificate.notAfter)}, more than 30 days ago: too long to renew. Pair the device again: "hearth device token NAME" on the gateway, then "hearth enroll --out ${out}" here`,
  )
}
