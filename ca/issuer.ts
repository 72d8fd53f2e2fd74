import { createPublicKey, type KeyObject } from 'node:crypto'
import type { Db } from '../store/database.ts'
import type { IssuerRow } from '../store/schema.ts'
import { readCertificate } from '../x509/certificate.ts'
import { type Signer, signerOf } from '../x509/signature.ts'
import { keyIdentifier } from '../x509/spki.ts'
import type { KeyStore } from './keys.ts'
import type { IssuerUrls } from './profile.ts'

/** A CA certificate of ours with its key, ready to sign: the root, or an issuer below it. */
export interface Issuer {
  id: string
  kind: IssuerRow['kind']
  /** DER. */
  certificate: Buffer
  /** Subject, DER: the issuer field of what it signs. */
  name: Buffer
  spki: Buffer
  keyId: Buffer
  publicKey: KeyObject
  signer: Signer
  notBefore: number
  notAfter: number
  baseUrl: string
  urls: IssuerUrls
}

/** @throws {SealError} if its key cannot be opened. */
export async function openIssuer(db: Db, keys: KeyStore, row: IssuerRow): Promise<Issuer> {
  const { privateKey } = await keys.open(db, row.key_id)
  const { subject, spki, notBefore, notAfter } = readCertificate(row.certificate)
  return {
    id: row.id,
    kind: row.kind,
    certificate: row.certificate,
    name: subject,
    spki,
    keyId: keyIdentifier(spki),
    publicKey: createPublicKey({ key: spki, format: 'der', type: 'spki' }),
    signer: signerOf(privateKey),
    notBefore,
    notAfter,
    baseUrl: row.base_url,
    urls: issuerUrls(row),
  }
}

/** The addresses at which an issuer's certificate, CRL and OCSP answers are served; see docs/issuance.md. */
export function issuerUrls(row: Pick<IssuerRow, 'id' | 'kind' | 'base_url'>): IssuerUrls {
  return {
    certificate: row.kind === 'root' ? `${row.base_url}/root.crt` : `${row.base_url}/ca/${row.id}.crt`,
    crl: `${row.base_url}/crl/${row.id}.crl`,
    ocsp: `${row.base_url}/ocsp`,
  }
}
