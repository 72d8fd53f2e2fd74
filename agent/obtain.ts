import { type Clock, MINUTE, SECOND } from '../base/clock.ts'
import { makeCsr } from '../x509/csr.ts'
import { AgentError } from './errors.ts'
import type { EstClient } from './estClient.ts'
import type { Names } from './estReply.ts'
import type { DeviceKey } from './key.ts'
import { checkIssued, rolledRoots } from './trust.ts'
import type { Wait } from './wait.ts'

export interface ObtainOptions {
  /** Trusts only `trusted`. */
  client: EstClient
  operation: 'simpleenroll' | 'simplereenroll'
  key: DeviceKey
  /** What the request asks for. */
  names: Names
  /** What the certificate must say; null if the gateway has not said it beforehand. */
  assigned: Names | null
  trusted: readonly Buffer[]
  clock: Clock
  wait: Wait
  log: (line: string) => void
  signal: AbortSignal | undefined
}

/** An accepted certificate, and what is above it. */
export interface Obtained {
  leaf: Buffer
  chain: Buffer[]
  root: Buffer
  /** What to trust from now on. */
  roots: Buffer[]
}

/** How long a person may take to approve, at most. */
const APPROVAL = 30 * MINUTE

/** Bounds of one wait, whatever `Retry-After` says. */
const SHORTEST_WAIT = SECOND
const LONGEST_WAIT = 2 * MINUTE

/** Where the gateway does not say when to ask again. */
const USUAL_WAIT = 10 * SECOND

/**
 * Requests a certificate over an authenticated connection, waits for a person's approval if it must,
 * and checks what comes back.
 *
 * @throws {AgentError} `NOT_APPROVED`, `CERTIFICATE_REFUSED`, or what the client throws.
 */
export async function obtain(options: ObtainOptions): Promise<Obtained> {
  const { client, key, clock } = options
  const issuers = await client.caCertificates()
  const roots = rolledRoots(options.trusted, issuers)
  const leaf = await requestUntilDecided(options, makeCsr(key, options.names))
  const path = checkIssued({ leaf, issuers, roots, spki: key.spki, names: options.assigned, clock })
  return { leaf, roots, ...path }
}

async function requestUntilDecided(options: ObtainOptions, csr: Buffer): Promise<Buffer> {
  const { client, operation, clock, wait, log, signal } = options
  const giveUp = clock.now() + APPROVAL
  for (;;) {
    const answer = await client.enroll(operation, csr)
    if (Buffer.isBuffer(answer)) return answer
    if (clock.now() >= giveUp) {
      throw new AgentError(
        'NOT_APPROVED',
        'nobody approved this device within 30 minutes; approve it in the console or with "hearth device approve" and run the same command again',
      )
    }
    const pause = Math.min(Math.max(retryAfter(answer.retryAfter, clock), SHORTEST_WAIT), LONGEST_WAIT)
    log(
      `the gateway waits for a person to approve this device; asking again in ${Math.ceil(pause / SECOND)} seconds`,
    )
    await wait(pause, signal)
  }
}

/** Seconds or an HTTP date (RFC 9110 section 10.2.3), as milliseconds from now. */
function retryAfter(header: string, clock: Clock): number {
  const pause = /^\d+$/.test(header) ? Number(header) * SECOND : Date.parse(header) - clock.now()
  return Number.isNaN(pause) ? USUAL_WAIT : pause
}
