import type { Db, Tx } from './database.ts'
import type { IssuerRow } from './schema.ts'

export async function insertIssuer(tx: Tx, issuer: Omit<IssuerRow, 'crl_number'>): Promise<void> {
  await tx.db.insertInto('issuers').values(issuer).execute()
}

/** Roots and issuers of an instance, oldest first. */
export async function listIssuers(db: Db, instanceId: string): Promise<IssuerRow[]> {
  return db
    .selectFrom('issuers')
    .selectAll()
    .where('instance_id', '=', instanceId)
    .orderBy('not_before')
    .orderBy('id')
    .execute()
}

/**
 * Draws the number of an issuer's next CRL: one more than the last, and at least `floor`.
 *
 * With the time in milliseconds as the floor, numbers keep growing even after an older backup was restored.
 */
export async function drawCrlNumber(tx: Tx, issuerId: string, floor: number): Promise<number> {
  const row = await tx.db
    .updateTable('issuers')
    .set((columns) => ({
      crl_number: columns
        .case()
        .when('crl_number', '<', floor)
        .then(floor)
        .else(columns('crl_number', '+', 1))
        .end(),
    }))
    .where('id', '=', issuerId)
    .returning('crl_number')
    .executeTakeFirstOrThrow()
  return row.crl_number
}
