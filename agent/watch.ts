import { HOUR, MINUTE, rfc3339 } from '../base/clock.ts'
import { AgentError, type AgentErrorCode } from './errors.ts'
import type { CertificateFacts } from './facts.ts'
import { type RenewOptions, renew } from './renew.ts'
import { realWait } from './wait.ts'

export interface WatchOptions extends Omit<RenewOptions, 'force'> {
  /** Ends the watch, at once. */
  signal: AbortSignal
  /** From 0 to below 1; spreads renewals. */
  random?: () => number
}

/** No retry mends these: a person has to. */
const FINAL: readonly AgentErrorCode[] = ['EXPIRED', 'NOT_ENROLLED']

/** Share of a certificate's life over which renewals are spread, so that a home full of devices doesn't renew at once. */
const SPREAD = 0.05

const FIRST_RETRY = 2 * MINUTE
const LAST_RETRY = 4 * HOUR

/** Between two renewals, also where a gateway issues certificates that are due at once. */
const SHORTEST_PAUSE = MINUTE

/** Timers stand still while a machine sleeps and clocks get set: look at the clock at least this often. */
const LONGEST_WAIT = HOUR

/**
 * Stays and renews on time, until the signal aborts.
 *
 * Failures are told and tried again after minutes, later hours; the certificate has a third of its life left.
 *
 * @throws {AgentError} `EXPIRED` or `NOT_ENROLLED`: enrolling again is the only way on.
 */
export async function watch(options: WatchOptions): Promise<void> {
  const { clock, signal, wait = realWait, random = Math.random, log = () => {} } = options

  const sleepUntil = async (time: number) => {
    while (clock.now() < time) await wait(Math.min(time - clock.now(), LONGEST_WAIT), signal)
  }

  let failures = 0
  while (!signal.aborted) {
    try {
      const { certificate } = await renew(options)
      failures = 0
      const due = certificate.renewAt + random() * SPREAD * lifeOf(certificate)
      await sleepUntil(Math.max(due, clock.now() + SHORTEST_PAUSE))
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof AgentError) || FINAL.includes(error.code)) throw error
      const pause = Math.min(FIRST_RETRY * 2 ** failures, LAST_RETRY) * (0.75 + random() / 2)
      failures += 1
      log(`${error.message}. Trying again at ${rfc3339(clock.now() + pause)}`)
      await sleepUntil(clock.now() + pause).catch((aborted: unknown) => {
        if (!signal.aborted) throw aborted
      })
    }
  }
}

function lifeOf(certificate: CertificateFacts): number {
  return certificate.notAfter - certificate.notBefore
}
