import type { Db, Tx } from './database.ts'
import type { CredentialRow } from './schema.ts'

export async function insertCredential(
  tx: Tx,
  credential: Pick<CredentialRow, 'id' | 'device_id' | 'token_hash' | 'expires_at'>,
): Promise<void> {
  await tx.db
    .insertInto('enrollment_credentials')
    .values({ ...credential, created_at: tx.now, used_at: null, spki_sha256: null, serial: null })
    .execute()
}

export async function findCredential(db: Db, id: string): Promise<CredentialRow | null> {
  const row = await db
    .selectFrom('enrollment_credentials')
    .selectAll()
    .where('id', '=', id)
    .executeTakeFirst()
  return row ?? null
}

/**
 * Spends a credential on one certificate; false if it was spent or has expired.
 *
 * In the same transaction as the certificate's row, so that of two requests that race with one
 * token exactly one leaves a certificate.
 */
export async function spendCredential(
  tx: Tx,
  id: string,
  certificate: { spkiSha256: Buffer; serial: string },
): Promise<boolean> {
  const result = await tx.db
    .updateTable('enrollment_credentials')
    .set({ used_at: tx.now, spki_sha256: certificate.spkiSha256, serial: certificate.serial })
    .where('id', '=', id)
    .where('used_at', 'is', null)
    .where('expires_at', '>', tx.now)
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

/** Ends a device's unspent credentials. */
export async function expireCredentials(tx: Tx, deviceId: string): Promise<void> {
  await tx.db
    .updateTable('enrollment_credentials')
    .set({ expires_at: tx.now })
    .where('device_id', '=', deviceId)
    .where('used_at', 'is', null)
    .where('expires_at', '>', tx.now)
    .execute()
}
