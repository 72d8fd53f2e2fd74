import { createHash, createPublicKey, type KeyObject } from 'node:crypto'
import { HearthError, reasonOf } from '../base/errors.ts'
import { bitString, DerReader, oid, sequence } from './der.ts'
import { OID } from './oids.ts'

export type KeyErrorCode = 'KEY_UNREADABLE' | 'KEY_UNSUPPORTED'

export class KeyError extends HearthError<KeyErrorCode> {}

const ADVICE = 'Make a P-256 key, for instance with "openssl ecparam -name prime256v1 -genkey -noout"'

const MAX_RSA_BITS = 4096

/** A public key that may be certified, and the SubjectPublicKeyInfo that says so. */
export interface SubjectKey {
  key: KeyObject
  /** DER, re-encoded, so that nothing an applicant added reaches a certificate. */
  spki: Buffer
}

/**
 * Reads a SubjectPublicKeyInfo and accepts only keys that browsers accept: P-256, P-384, RSA 2048 to 4096.
 *
 * Ed25519 and P-521 are sound, but no certificate with them opens a page in every browser: refused
 * here, so that the device learns it now and not the person in front of the warning.
 *
 * @throws {KeyError} `KEY_UNREADABLE`, or `KEY_UNSUPPORTED` with the reason and what to do instead.
 */
export function readSubjectKey(spki: Uint8Array): SubjectKey {
  let key: KeyObject
  try {
    key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  } catch (error) {
    throw new KeyError('KEY_UNREADABLE', `the public key cannot be read: ${reasonOf(error)}. ${ADVICE}`)
  }
  refuseUnsupported(key)
  try {
    return {
      key,
      spki: key.asymmetricKeyType === 'ec' ? ecSpki(key) : key.export({ type: 'spki', format: 'der' }),
    }
  } catch (error) {
    // The point at infinity can be read as a key, but is none.
    throw new KeyError('KEY_UNREADABLE', `the public key cannot be used: ${reasonOf(error)}. ${ADVICE}`)
  }
}

/** The curve by its name and the point uncompressed: the only form of a key that every browser reads. */
function ecSpki(key: KeyObject): Buffer {
  const { crv, x = '', y = '' } = key.export({ format: 'jwk' })
  const curve = oid(crv === 'P-256' ? OID.prime256v1 : OID.secp384r1)
  const point = Buffer.concat([Buffer.of(4), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')])
  return sequence(sequence(oid(OID.ecPublicKey), curve), bitString(point))
}

function refuseUnsupported(key: KeyObject): void {
  const refuse = (problem: string): never => {
    throw new KeyError('KEY_UNSUPPORTED', `${problem}. ${ADVICE}`)
  }
  const details = key.asymmetricKeyDetails ?? {}
  if (key.asymmetricKeyType === 'ec') {
    if (details.namedCurve === 'prime256v1' || details.namedCurve === 'secp384r1') return
    refuse(`a key on curve ${curveName(details.namedCurve)} is refused: browsers accept P-256 and P-384`)
  }
  if (key.asymmetricKeyType === 'rsa') {
    const bits = details.modulusLength ?? 0
    if (bits < 2048) refuse(`an RSA key of ${bits} bits is refused: 2048 is the least that is safe`)
    if (bits > MAX_RSA_BITS) refuse(`an RSA key of ${bits} bits is refused: ${MAX_RSA_BITS} is the most`)
    const exponent = details.publicExponent ?? 0n
    if (exponent < 65537n || exponent % 2n === 0n)
      refuse(`an RSA exponent of ${exponent} is refused: 65537 is usual`)
    return
  }
  refuse(
    `a key of type ${key.asymmetricKeyType ?? 'unknown'} is refused: browsers do not accept it in certificates`,
  )
}

function curveName(curve: string | undefined): string {
  return curve === 'secp521r1' ? 'P-521' : (curve ?? 'without a name')
}

export function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}

/**
 * The key identifier of a SubjectPublicKeyInfo: SHA-1 of the key's bits (RFC 5280 section 4.2.1.2, method 1).
 *
 * An identifier, not a protection, hence SHA-1: OCSP asks by exactly this hash (RFC 6960 section 4.1.1).
 */
export function keyIdentifier(spki: Uint8Array): Buffer {
  return createHash('sha1').update(subjectPublicKey(spki)).digest()
}

/** The contents of the BIT STRING `subjectPublicKey`. */
export function subjectPublicKey(spki: Uint8Array): Buffer {
  const reader = new DerReader(spki, 'public key').enter()
  reader.any()
  return reader.bitString()
}
