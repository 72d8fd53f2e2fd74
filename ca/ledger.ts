import { rfc3339 } from '../base/clock.ts'
import { findStatus, insertCertificate, listRevoked, type RevocationStatus } from '../store/certificates.ts'
import type { Store, Tx } from '../store/database.ts'
import { drawCrlNumber } from '../store/issuers.ts'
import type { CertificateRow } from '../store/schema.ts'
import { altNamesOf, readCertificate, serialText } from '../x509/certificate.ts'
import { readCommonNames } from '../x509/name.ts'
import { sha256 } from '../x509/spki.ts'
import type { ClockGuard } from './clockGuard.ts'

/** A signed certificate on its way into the record. Until it is there, nobody may see it. */
export interface LedgerEntry {
  certificate: Omit<CertificateRow, 'issued_at' | 'revoked_at' | 'revocation_reason'>
  names: readonly string[]
  /** Who asked, for the audit. */
  actor: string
  /**
   * Runs in the same transaction, before the certificate is written. False means that the right to
   * this certificate is gone (a token was spent meanwhile): then nothing is written.
   */
  claim: (tx: Tx) => Promise<boolean>
}

/** The row of a certificate, from what it says itself and what only its maker knows. */
export function ledgerRow(
  certificate: Buffer,
  made: { issuerId: string; profile: string; actor: string; deviceId?: string },
): LedgerEntry['certificate'] {
  const read = readCertificate(certificate)
  return {
    serial: serialText(read.serial),
    issuer_id: made.issuerId,
    device_id: made.deviceId ?? null,
    profile: made.profile,
    subject: readCommonNames(read.subject)[0] ?? '',
    addresses: JSON.stringify(altNamesOf(read).ip),
    spki_sha256: sha256(read.spki),
    fingerprint_sha256: sha256(certificate),
    certificate,
    not_before: read.notBefore,
    not_after: read.notAfter,
    requested_by: made.actor,
  }
}

interface Waiting {
  entry: LedgerEntry
  resolve: (recorded: boolean) => void
  reject: (error: unknown) => void
}

/** Certificates that share one transaction at most: bounds how long the event loop stands still. */
const BATCH = 64

/**
 * The record of every certificate that was ever signed.
 *
 * Recording is durable: when `record` resolves, a power cut cannot undo it. Since each durable commit
 * costs a disk flush, certificates that arrive together share one.
 */
export class Ledger {
  readonly #store: Store
  readonly #guard: ClockGuard
  readonly #waiting: Waiting[] = []
  #writing = false

  constructor(options: { store: Store; guard: ClockGuard }) {
    this.#store = options.store
    this.#guard = options.guard
  }

  /** False if the entry's claim did not hold: then the certificate must be forgotten. */
  record(entry: LedgerEntry): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ entry, resolve, reject })
      if (!this.#writing) {
        this.#writing = true
        setImmediate(() => this.#drain())
      }
    })
  }

  /** The revocation status of a serial, or null if this issuer never issued it. */
  status(issuerId: string, serial: string): Promise<RevocationStatus | null> {
    return findStatus(this.#store.db, issuerId, serial)
  }

  /** Revoked certificates that end after `after`, in order of serials. */
  revoked(issuerId: string, after: number): Promise<RevocationStatus[]> {
    return listRevoked(this.#store.db, issuerId, after)
  }

  /** The number of an issuer's next CRL. At least the time in milliseconds, so that it survives restores. */
  nextCrlNumber(issuerId: string): Promise<number> {
    return this.#store.transaction((tx) => drawCrlNumber(tx, issuerId, tx.now))
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) await this.#write(this.#waiting.splice(0, BATCH))
    this.#writing = false
  }

  /** One transaction for all; if it fails, one for each, so that a bad one does not take the others with it. */
  async #write(batch: readonly Waiting[]): Promise<void> {
    try {
      const recorded = await this.#store.transaction(async (tx) => {
        const results: boolean[] = []
        for (const { entry } of batch) results.push(await writeEntry(tx, entry))
        await this.#guard.advance(tx.db)
        return results
      })
      batch.forEach(({ resolve }, index) => {
        resolve(recorded[index]!)
      })
    } catch (error) {
      if (batch.length === 1) batch[0]!.reject(error)
      else for (const waiting of batch) await this.#write([waiting])
    }
  }
}

async function writeEntry(tx: Tx, entry: LedgerEntry): Promise<boolean> {
  if (!(await entry.claim(tx))) return false
  const { serial, profile, not_after } = entry.certificate
  await insertCertificate(tx, entry.certificate, entry.names)
  await tx.change('certificate.issued', serial)
  await tx.audit({
    actor: entry.actor,
    action: 'certificate.issue',
    subject: serial,
    outcome: 'done',
    detail: `${entry.names.join(', ') || entry.certificate.subject}; profile ${profile}; ends ${rfc3339(not_after)}`,
  })
  return true
}
