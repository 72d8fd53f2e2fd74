import { type Clock, DAY } from '../base/clock.ts'
import { findNewestOfProfile, insertCertificate } from '../store/certificates.ts'
import type { Store } from '../store/database.ts'
import { deleteReplacedKeys } from '../store/keys.ts'
import { encodeTbsCertificate, readCertificate, serialText, signCertificate } from '../x509/certificate.ts'
import { commonNameOnly } from '../x509/name.ts'
import { type Signer, signerOf } from '../x509/signature.ts'
import { keyIdentifier } from '../x509/spki.ts'
import type { ClockGuard } from './clockGuard.ts'

import type { Issuer } from './issuer.ts'
import { type KeyStore, makeKeyPair } from './keys.ts'
import { ledgerRow } from './ledger.ts'
import { ocspSignerExtensions, validity } from './profile.ts'
import { newSerial } from './serial.ts'

const SIGNER_DAYS = 14
const ROLL_BEFORE_END = 7 * DAY

/** Signs OCSP answers for one issuer: a key that can do nothing else, and its certificate. */
export interface OcspSigner {
  issuer: Issuer
  /** DER. */
  certificate: Buffer
  /** SHA-1 of its key: the responder id (RFC 6960 section 4.2.1). */
  keyId: Buffer
  notAfter: number
  signer: Signer
}

/**
 * The OCSP signer of an issuer, made or rolled over if it is due.
 *
 * While the clock is not believed, the one there is goes on.
 */
export async function openOcspSigner(options: {
  store: Store
  keys: KeyStore
  clock: Clock
  guard: ClockGuard
  issuer: Issuer
}): Promise<OcspSigner> {
  const { store, keys, clock, guard, issuer } = options
  const newest = await findNewestOfProfile(store.db, issuer.id, 'ocsp')
  const ends = Math.min(clock.now() + ROLL_BEFORE_END, issuer.notAfter)
  const due = newest === null || newest.not_after < ends
  if (newest === null || (due && guard.state().trusted)) return makeOcspSigner(options)
  const { privateKey } = await keys.open(store.db, newest.serial)
  return assemble(issuer, newest.certificate, signerOf(privateKey))
}

async function makeOcspSigner(options: {
  store: Store
  keys: KeyStore
  issuer: Issuer
}): Promise<OcspSigner> {
  const { store, keys, issuer } = options
  const pair = makeKeyPair('P-256')
  return store.transaction(async (tx) => {
    const serial = newSerial()
    const id = serialText(serial)
    const subject = `Hearth OCSP ${issuer.id.slice(-6)}`
    const period = validity(tx.now, SIGNER_DAYS)
    const tbs = encodeTbsCertificate(
      {
        serial,
        issuer: issuer.name,
        notBefore: Math.max(period.notBefore, issuer.notBefore),
        notAfter: Math.min(period.notAfter, issuer.notAfter),
        subject: commonNameOnly(subject),
        spki: pair.spki,
        extensions: ocspSignerExtensions(pair.spki, issuer),
      },
      issuer.signer,
    )
    const certificate = signCertificate(tbs, issuer.signer)
    await insertCertificate(
      tx,
      ledgerRow(certificate, { issuerId: issuer.id, profile: 'ocsp', actor: 'gateway' }),
      [],
    )
    await keys.put(tx, id, 'ocsp', pair)
    await deleteReplacedKeys(tx, { purpose: 'ocsp', keep: id, issuerId: issuer.id })
    return assemble(issuer, certificate, signerOf(pair.privateKey))
  })
}

function assemble(issuer: Issuer, certificate: Buffer, signer: Signer): OcspSigner {
  const { spki, notAfter } = readCertificate(certificate)
  return { issuer, certificate, keyId: keyIdentifier(spki), notAfter, signer }
}
