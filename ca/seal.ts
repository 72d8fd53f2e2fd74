import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { makeDirectory } from '../base/directory.ts'
import { HearthError } from '../base/errors.ts'

export type SealErrorCode = 'SEALING_KEY_MISSING' | 'SEALING_KEY_UNUSABLE' | 'SEALING_KEY_WRONG'

export class SealError extends HearthError<SealErrorCode> {}

const FILE_HEADER = 'hearth-sealing-key-v1'
const VERSION = 1
const NONCE_OCTETS = 12
const TAG_OCTETS = 16

/** Closes and opens private keys, so that they lie in the database only in a form useless without the key file. */
export interface Seal {
  /**
   * Octets in the shape `version (1) | nonce (12) | AES-256-GCM ciphertext | tag (16)`.
   *
   * @param id Bound into the seal: a sealed key cannot be passed off as another one's.
   */
  close(id: string, secret: Uint8Array): Buffer
  /** @throws {SealError} `SEALING_KEY_WRONG` if it was sealed with another key, for another id, or altered. */
  open(id: string, sealed: Uint8Array): Buffer
}

/**
 * Opens the seal whose key is in `path`, making the file if there is none and `create` allows it.
 *
 * The file must lie outside the data directory: a copy of the one must not be enough to use the other.
 * A key that is missing is never made anew over keys that were sealed with the old one.
 *
 * @throws {SealError} `SEALING_KEY_MISSING`; `SEALING_KEY_UNUSABLE` if others may read it or it is damaged.
 */
export function openSeal(path: string, create: boolean): Seal {
  if (!existsSync(path)) {
    if (!create) {
      throw new SealError(
        'SEALING_KEY_MISSING',
        `the file ${path}, which opens the CA's keys, is missing. Put it back (from the old disk or a backup); without it these keys are lost`,
      )
    }
    createKeyFile(path)
  }
  return sealWith(readKeyFile(path), path)
}

function createKeyFile(path: string): void {
  makeDirectory(dirname(path))
  const half = `${path}.${randomBytes(4).toString('hex')}`
  const file = openSync(half, 'wx', 0o600)
  try {
    writeSync(file, `${FILE_HEADER} ${randomBytes(32).toString('base64')}\n`)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  try {
    linkSync(half, path)
  } finally {
    rmSync(half)
  }
  const directory = openSync(dirname(path), 'r')
  fsyncSync(directory)
  closeSync(directory)
}

function readKeyFile(path: string): KeyObject {
  const unusable = (problem: string) =>
    new SealError('SEALING_KEY_UNUSABLE', `the key file ${path} ${problem}`)
  const mode = statSync(path).mode & 0o777
  if ((mode & 0o077) !== 0) {
    throw unusable(`may be read by others (mode ${mode.toString(8)}). Say: chmod 600 ${path}`)
  }
  const [header, encoded = ''] = readFileSync(path, 'utf8').trim().split(' ')
  const octets = Buffer.from(encoded, 'base64')
  if (header !== FILE_HEADER || octets.length !== 32) {
    throw unusable('is damaged: it should hold one line that Hearth wrote. Put the right file back')
  }
  return createSecretKey(octets)
}

function sealWith(key: KeyObject, path: string): Seal {
  return {
    close(id, secret) {
      const nonce = randomBytes(NONCE_OCTETS)
      const cipher = createCipheriv('aes-256-gcm', key, nonce)
      cipher.setAAD(Buffer.from(id))
      const text = Buffer.concat([cipher.update(secret), cipher.final()])
      return Buffer.concat([Buffer.of(VERSION), nonce, text, cipher.getAuthTag()])
    },
    open(id, sealed) {
      const octets = Buffer.from(sealed)
      try {
        if (octets[0] !== VERSION) throw new TypeError(`unknown seal version ${octets[0]}`)
        const decipher = createDecipheriv('aes-256-gcm', key, octets.subarray(1, 1 + NONCE_OCTETS), {
          authTagLength: TAG_OCTETS,
        })
        decipher.setAAD(Buffer.from(id))
        decipher.setAuthTag(octets.subarray(-TAG_OCTETS))
        return Buffer.concat([
          decipher.update(octets.subarray(1 + NONCE_OCTETS, -TAG_OCTETS)),
          decipher.final(),
        ])
      } catch (error) {
        throw new SealError(
          'SEALING_KEY_WRONG',
          `the key file ${path} does not open the key ${id} in the database: they belong to different gateways, or one is damaged. Put the key file back that was used with this data directory`,
          { cause: error },
        )
      }
    },
  }
}
