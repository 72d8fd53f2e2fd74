import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'

/** A private key as the agent uses it: to sign a request, to compare, to write down. */
export interface DeviceKey {
  privateKey: KeyObject
  /** DER of the SubjectPublicKeyInfo. */
  spki: Buffer
  /** PKCS #8. */
  pem: string
}

/** A fresh P-256 key, the kind that every browser and the smallest device can use. */
export function makeKey(): DeviceKey {
  return withParts(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)
}

/** @throws if the text holds no private key. */
export function readKey(pem: string): DeviceKey {
  return withParts(createPrivateKey(pem))
}

function withParts(privateKey: KeyObject): DeviceKey {
  return {
    privateKey,
    spki: createPublicKey(privateKey).export({ type: 'spki', format: 'der' }),
    pem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}
