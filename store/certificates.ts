import { readInChunks } from './chunks.ts'
import type { Db, Tx } from './database.ts'
import type { CertificateRow } from './schema.ts'

/** A certificate on record, with its names; null stands for not revoked. */
export interface RecordedCertificate extends CertificateRow {
  names: string[]
}

/** What a revocation list or an OCSP answer needs of one certificate. */
export type RevocationStatus = Pick<
  CertificateRow,
  'serial' | 'not_after' | 'revoked_at' | 'revocation_reason'
>

const STATUS_COLUMNS = ['serial', 'not_after', 'revoked_at', 'revocation_reason'] as const

export async function insertCertificate(
  tx: Tx,
  certificate: Omit<CertificateRow, 'issued_at' | 'revoked_at' | 'revocation_reason'>,
  names: readonly string[],
): Promise<void> {
  await tx.db
    .insertInto('certificates')
    .values({ ...certificate, issued_at: tx.now, revoked_at: null, revocation_reason: null })
    .execute()
  if (names.length > 0) {
    await tx.db
      .insertInto('certificate_names')
      .values(names.map((name) => ({ serial: certificate.serial, name })))
      .execute()
  }
}

export async function findCertificate(db: Db, serial: string): Promise<RecordedCertificate | null> {
  const rows = await db.selectFrom('certificates').selectAll().where('serial', '=', serial).execute()
  return (await withNames(db, rows))[0] ?? null
}

/**
 * The newest certificate that an issuer made by a profile of the gateway's own and whose key is there, or null.
 *
 * One that begins after `now` was made while the clock was ahead, and is no use yet.
 */
export async function findNewestOfProfile(
  db: Db,
  issuerId: string,
  profile: string,
  now: number,
): Promise<CertificateRow | null> {
  const row = await db
    .selectFrom('certificates')
    .innerJoin('keys', 'keys.id', 'certificates.serial')
    .selectAll('certificates')
    .where('issuer_id', '=', issuerId)
    .where('profile', '=', profile)
    .where('not_before', '<=', now)
    .orderBy('not_after', 'desc')
    .executeTakeFirst()
  return row ?? null
}

/** Certificates that were issued to devices, newest first. */
export async function listDeviceCertificates(
  db: Db,
  filter: { deviceId?: string; limit: number },
): Promise<RecordedCertificate[]> {
  const rows = await db
    .selectFrom('certificates')
    .selectAll()
    .where('device_id', 'is not', null)
    .$if(filter.deviceId !== undefined, (query) => query.where('device_id', '=', filter.deviceId ?? ''))
    .orderBy('issued_at', 'desc')
    .orderBy('serial')
    .limit(filter.limit)
    .execute()
  return withNames(db, rows)
}

/** Certificates for a name that are neither revoked nor expired. */
export async function findLiveCertificatesOfName(
  db: Db,
  name: string,
  now: number,
): Promise<CertificateRow[]> {
  return db
    .selectFrom('certificates')
    .innerJoin('certificate_names', 'certificate_names.serial', 'certificates.serial')
    .selectAll('certificates')
    .where('certificate_names.name', '=', name)
    .where('not_after', '>', now)
    .where('revoked_at', 'is', null)
    .execute()
}

/**
 * When the last certificate for a name ends, revoked or not; null if none is unexpired.
 *
 * Revoked ones count: browsers that ask nobody go on accepting them until they expire.
 */
export async function lastExpiryOfName(db: Db, name: string, now: number): Promise<number | null> {
  const row = await db
    .selectFrom('certificates')
    .innerJoin('certificate_names', 'certificate_names.serial', 'certificates.serial')
    .select((columns) => columns.fn.max('not_after').as('last'))
    .where('certificate_names.name', '=', name)
    .where('not_after', '>', now)
    .executeTakeFirst()
  return row?.last ?? null
}

/** Which of some names, however many, have a certificate that is not expired, revoked or not. */
export async function findCertifiedNames(
  db: Db,
  names: readonly string[],
  now: number,
): Promise<Set<string>> {
  const rows = await readInChunks(names, (chunk) =>
    db
      .selectFrom('certificates')
      .innerJoin('certificate_names', 'certificate_names.serial', 'certificates.serial')
      .select('certificate_names.name')
      .distinct()
      .where('certificate_names.name', 'in', chunk)
      .where('not_after', '>', now)
      .execute(),
  )
  return new Set(rows.map(({ name }) => name))
}

/** Marks a certificate as revoked; false if it already was, in which case the first reason stands. */
export async function markRevoked(tx: Tx, serial: string, reason: number): Promise<boolean> {
  const result = await tx.db
    .updateTable('certificates')
    .set({ revoked_at: tx.now, revocation_reason: reason })
    .where('serial', '=', serial)
    .where('revoked_at', 'is', null)
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

/** Whether a certificate is not revoked and its device active: asked once more when its successor is recorded. */
export async function mayRenew(db: Db, serial: string): Promise<boolean> {
  const row = await db
    .selectFrom('certificates')
    .innerJoin('devices', 'devices.id', 'certificates.device_id')
    .select('certificates.serial')
    .where('certificates.serial', '=', serial)
    .where('certificates.revoked_at', 'is', null)
    .where('devices.state', '=', 'active')
    .executeTakeFirst()
  return row !== undefined
}

/** Null for a serial that this issuer never issued. */
export async function findStatus(db: Db, issuerId: string, serial: string): Promise<RevocationStatus | null> {
  const row = await db
    .selectFrom('certificates')
    .select(STATUS_COLUMNS)
    .where('serial', '=', serial)
    .where('issuer_id', '=', issuerId)
    .executeTakeFirst()
  return row ?? null
}

/** An issuer's revoked certificates that end after `after`, by serial. */
export async function listRevoked(db: Db, issuerId: string, after: number): Promise<RevocationStatus[]> {
  return db
    .selectFrom('certificates')
    .select(STATUS_COLUMNS)
    .where('issuer_id', '=', issuerId)
    .where('revoked_at', 'is not', null)
    .where('not_after', '>', after)
    .orderBy('serial')
    .execute()
}

/** How many device certificates are valid, revoked and unexpired, or valid but ending before `soon`. */
export async function countDeviceCertificates(
  db: Db,
  now: number,
  soon: number,
): Promise<{ valid: number; revoked: number; expiringSoon: number }> {
  const count = async (condition: 'valid' | 'revoked' | 'soon'): Promise<number> => {
    const row = await db
      .selectFrom('certificates')
      .select((columns) => columns.fn.countAll<number>().as('count'))
      .where('device_id', 'is not', null)
      .where('not_after', '>', now)
      .where('revoked_at', condition === 'revoked' ? 'is not' : 'is', null)
      .$if(condition === 'soon', (query) => query.where('not_after', '<', soon))
      .executeTakeFirstOrThrow()
    return row.count
  }
  return { valid: await count('valid'), revoked: await count('revoked'), expiringSoon: await count('soon') }
}

async function withNames(db: Db, rows: CertificateRow[]): Promise<RecordedCertificate[]> {
  if (rows.length === 0) return []
  const serials = rows.map((row) => row.serial)
  const names = await db
    .selectFrom('certificate_names')
    .selectAll()
    .where('serial', 'in', serials)
    .orderBy('name')
    .execute()
  const namesOf = Map.groupBy(names, (row) => row.serial)
  return rows.map((row) => ({ ...row, names: (namesOf.get(row.serial) ?? []).map(({ name }) => name) }))
}
