import { rfc3339 } from '../base/clock.ts'
import { HearthError } from '../base/errors.ts'
import { findCertificate, findLiveCertificatesOfName, markRevoked } from '../store/certificates.ts'
import type { Store, Tx } from '../store/database.ts'
import { REVOCATION_REASONS, type RevocationReason } from './reasons.ts'

export type RevocationErrorCode = 'CERTIFICATE_UNKNOWN' | 'NOTHING_TO_REVOKE'

export class RevocationError extends HearthError<RevocationErrorCode> {}

/**
 * Revokes one certificate by its serial.
 *
 * Revoking twice is no error; the first time and reason stand.
 *
 * @throws {RevocationError} `CERTIFICATE_UNKNOWN`; `NOTHING_TO_REVOKE` if it has expired.
 */
export async function revokeSerial(
  store: Store,
  serial: string,
  reason: RevocationReason,
  actor: string,
): Promise<string[]> {
  return store.transaction(async (tx) => {
    const certificate = await findCertificate(tx.db, serial)
    if (certificate === null || certificate.device_id === null) {
      throw new RevocationError(
        'CERTIFICATE_UNKNOWN',
        `there is no certificate with serial ${serial}; "hearth cert list" shows those there are`,
      )
    }
    if (certificate.not_after <= tx.now) {
      throw new RevocationError(
        'NOTHING_TO_REVOKE',
        `certificate ${serial} expired at ${rfc3339(certificate.not_after)}; nobody accepts it any more`,
      )
    }
    await revoke(tx, [serial], reason, actor)
    return [serial]
  })
}

/**
 * Revokes every certificate of a name that is neither expired nor revoked.
 *
 * @throws {RevocationError} `NOTHING_TO_REVOKE` if there is none.
 */
export async function revokeName(
  store: Store,
  name: string,
  reason: RevocationReason,
  actor: string,
): Promise<string[]> {
  return store.transaction(async (tx) => {
    const serials = await revokeCertificatesOf(tx, name, reason, actor)
    if (serials.length > 0) return serials
    throw new RevocationError(
      'NOTHING_TO_REVOKE',
      `${name} has no certificate that is still valid; "hearth cert list" shows all`,
    )
  })
}

/** The same inside a larger change, such as the removal of a device; none to revoke is no error. */
export async function revokeCertificatesOf(
  tx: Tx,
  name: string,
  reason: RevocationReason,
  actor: string,
): Promise<string[]> {
  const live = await findLiveCertificatesOfName(tx.db, name, tx.now)
  const serials = live.map((certificate) => certificate.serial)
  await revoke(tx, serials, reason, actor)
  return serials
}

async function revoke(tx: Tx, serials: string[], reason: RevocationReason, actor: string): Promise<void> {
  for (const serial of serials) {
    if (!(await markRevoked(tx, serial, REVOCATION_REASONS[reason]))) continue
    await tx.change('certificate.revoked', serial)
    await tx.audit({
      actor,
      action: 'certificate.revoke',
      subject: serial,
      outcome: 'done',
      detail: `reason: ${reason}`,
    })
  }
}
