import { createHash } from 'node:crypto'
import { DAY } from '../../base/clock.ts'
import { insertCertificate } from '../../store/certificates.ts'
import type { Store, Tx } from '../../store/database.ts'
import { insertIssuer } from '../../store/issuers.ts'
import { insertKey } from '../../store/keys.ts'

/** An issuer with an id and nothing behind it: the store does not look into certificates. */
export async function putIssuer(store: Store, id: string): Promise<void> {
  await store.transaction(async (tx) => {
    await insertKey(tx, { id, instance_id: 'test', purpose: 'issuer', sealed: Buffer.of(1, 2, 3) })
    await insertIssuer(tx, {
      id,
      instance_id: 'test',
      kind: 'issuer',
      parent_id: null,
      key_id: id,
      serial: id,
      certificate: Buffer.of(4, 5, 6),
      not_before: tx.now,
      not_after: tx.now + 365 * DAY,
      base_url: 'http://gateway.home.arpa',
    })
  })
}

/** A certificate with a serial, from issuer `I`; the rest is made up where it is not said. */
export function putCertificate(
  tx: Tx,
  serial: string,
  said: { names?: string[]; deviceId?: string; issuerId?: string; profile?: string; notAfter?: number } = {},
): Promise<void> {
  const {
    names = [],
    deviceId = null,
    issuerId = 'I',
    profile = 'server',
    notAfter = tx.now + 7 * DAY,
  } = said
  return insertCertificate(
    tx,
    {
      serial,
      issuer_id: issuerId,
      device_id: deviceId,
      profile,
      subject: names[0] ?? '',
      addresses: '[]',
      spki_sha256: createHash('sha256').update(serial).digest(),
      fingerprint_sha256: Buffer.alloc(32, 7),
      certificate: Buffer.from(serial),
      not_before: tx.now,
      not_after: notAfter,
      requested_by: 'test',
    },
    names,
  )
}
