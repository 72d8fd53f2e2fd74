import { systemClock } from '../../base/clock.ts'
import { type Issuer, openIssuer } from '../../ca/issuer.ts'
import { type KeyPair, KeyStore, makeKeyPair } from '../../ca/keys.ts'
import { serverExtensions, validity } from '../../ca/profile.ts'
import { openSeal } from '../../ca/seal.ts'
import { newSerial } from '../../ca/serial.ts'
import { openStore } from '../../store/database.ts'
import { listIssuers } from '../../store/issuers.ts'
import { readSetting } from '../../store/settings.ts'
import { encodeTbsCertificate, signCertificate } from '../../x509/certificate.ts'
import { commonNameOnly } from '../../x509/name.ts'
import type { TestGateway } from './gateway.ts'

/** The home's issuer with its private key, taken from a gateway's own state: what a thief would hold. */
export async function stealIssuer(gateway: TestGateway): Promise<Issuer> {
  const store = await openStore({
    url: `sqlite:${gateway.path('data/hearth.db')}`,
    clock: systemClock,
    onFollowerError: () => {},
  })
  try {
    const instanceId = (await readSetting(store.db, 'instance_id'))!
    const keys = new KeyStore({ seal: openSeal(gateway.path('config/sealing.key'), false), instanceId })
    const rows = await listIssuers(store.db, instanceId)
    return await openIssuer(store.db, keys, rows.findLast((row) => row.kind === 'issuer')!)
  } finally {
    await store.close()
  }
}

/** A server certificate for any names, signed past every check of the gateway. */
export function forge(
  issuer: Issuer,
  names: { dns?: string[]; ip?: string[] },
): { certificate: Buffer; pair: KeyPair } {
  const pair = makeKeyPair('P-256')
  const { dns = [], ip = [] } = names
  const tbs = encodeTbsCertificate(
    {
      serial: newSerial(),
      issuer: issuer.name,
      ...validity(Date.now(), 7),
      subject: commonNameOnly(dns[0] ?? null),
      spki: pair.spki,
      extensions: serverExtensions({ key: pair.privateKey, spki: pair.spki, dns, ip }, issuer),
    },
    issuer.signer,
  )
  return { certificate: signCertificate(tbs, issuer.signer), pair }
}
