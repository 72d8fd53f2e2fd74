import { createECDH, createHash, createPrivateKey, createPublicKey } from 'node:crypto'
import type { Curve, KeyPair } from '../../ca/keys.ts'

const CURVES = { 'P-256': ['prime256v1', 'sha256'], 'P-384': ['secp384r1', 'sha384'] } as const

/** The same key for the same words at every run: for golden texts, and for nothing else. */
export function fixedKey(curve: Curve, words: string): KeyPair {
  const [name, hash] = CURVES[curve]
  const secret = createHash(hash).update(words).digest()
  const ecdh = createECDH(name)
  ecdh.setPrivateKey(secret)
  const point = ecdh.getPublicKey().subarray(1)
  const [x, y, d] = [point.subarray(0, point.length / 2), point.subarray(point.length / 2), secret].map(
    (part) => part.toString('base64url'),
  )
  const privateKey = createPrivateKey({ key: { kty: 'EC', crv: curve, x: x!, y: y!, d: d! }, format: 'jwk' })
  return { privateKey, spki: createPublicKey(privateKey).export({ type: 'spki', format: 'der' }) }
}
