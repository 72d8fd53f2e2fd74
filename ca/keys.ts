import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { Db, Tx } from '../store/database.ts'
import { insertKey, readKey } from '../store/keys.ts'
import type { KeyRow } from '../store/schema.ts'
import type { Seal } from './seal.ts'

export interface KeyPair {
  privateKey: KeyObject
  /** SubjectPublicKeyInfo, DER. */
  spki: Buffer
}

export type Curve = 'P-256' | 'P-384'

/**
 * Keeps the gateway's private keys: sealed in the database, in the clear only in memory.
 *
 * A key's id is the serial of the certificate it was made for.
 */
export class KeyStore {
  readonly #seal: Seal
  readonly #instanceId: string

  constructor(options: { seal: Seal; instanceId: string }) {
    this.#seal = options.seal
    this.#instanceId = options.instanceId
  }

  /** Puts a new key away in the transaction that records its certificate: neither without the other. */
  async put(tx: Tx, id: string, purpose: KeyRow['purpose'], pair: KeyPair): Promise<void> {
    const secret = pair.privateKey.export({ type: 'pkcs8', format: 'der' })
    try {
      await insertKey(tx, {
        id,
        instance_id: this.#instanceId,
        purpose,
        sealed: this.#seal.close(id, secret),
      })
    } finally {
      secret.fill(0)
    }
  }

  /** @throws {SealError} `SEALING_KEY_WRONG` if the key file is not the one this key was sealed with. */
  async open(db: Db, id: string): Promise<KeyPair> {
    const row = await readKey(db, id)
    const secret = this.#seal.open(id, row.sealed)
    try {
      const privateKey = createPrivateKey({ key: secret, format: 'der', type: 'pkcs8' })
      return { privateKey, spki: createPublicKey(privateKey).export({ type: 'spki', format: 'der' }) }
    } finally {
      secret.fill(0)
    }
  }
}

export function makeKeyPair(curve: Curve): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: curve })
  return { privateKey, spki: publicKey.export({ type: 'spki', format: 'der' }) }
}
