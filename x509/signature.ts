import { type KeyObject, sign, verify } from 'node:crypto'
import { oid, sequence } from './der.ts'
import { OID } from './oids.ts'

const HASH_OF_SIGNATURE: Record<string, string> = {
  [OID.ecdsaWithSha256]: 'sha256',
  [OID.ecdsaWithSha384]: 'sha384',
  [OID.ecdsaWithSha512]: 'sha512',
  [OID.sha256WithRsa]: 'sha256',
  [OID.sha384WithRsa]: 'sha384',
  [OID.sha512WithRsa]: 'sha512',
}

const RSA_SIGNATURES: readonly string[] = [OID.sha256WithRsa, OID.sha384WithRsa, OID.sha512WithRsa]

/** How a key of ours signs: P-256 with SHA-256, P-384 with SHA-384 (RFC 5758 section 3.2). */
export interface Signer {
  /** The encoded AlgorithmIdentifier. */
  readonly algorithm: Buffer
  sign(bytes: Uint8Array): Buffer
}

/** @throws {TypeError} for a key that is neither P-256 nor P-384: Hearth makes no others for itself. */
export function signerOf(privateKey: KeyObject): Signer {
  const curve = privateKey.asymmetricKeyDetails?.namedCurve
  if (curve === 'prime256v1') return ecdsaSigner(privateKey, OID.ecdsaWithSha256, 'sha256')
  if (curve === 'secp384r1') return ecdsaSigner(privateKey, OID.ecdsaWithSha384, 'sha384')
  throw new TypeError(`no signer for a key on curve ${curve ?? privateKey.asymmetricKeyType}`)
}

function ecdsaSigner(key: KeyObject, algorithm: string, hash: string): Signer {
  return { algorithm: sequence(oid(algorithm)), sign: (bytes) => sign(hash, bytes, key) }
}

/** Whether a signature is good. Unknown algorithms, and those on SHA-1, are never good. */
export function signatureHolds(
  algorithm: string,
  signed: Uint8Array,
  signature: Uint8Array,
  publicKey: KeyObject,
): boolean {
  const hash = HASH_OF_SIGNATURE[algorithm]
  const fits = RSA_SIGNATURES.includes(algorithm) === (publicKey.asymmetricKeyType === 'rsa')
  return hash !== undefined && fits && verify(hash, signed, publicKey, signature)
}

/** Whether a signature algorithm, by its object identifier, is one that Hearth verifies. */
export function knownSignature(algorithm: string): boolean {
  return algorithm in HASH_OF_SIGNATURE
}
