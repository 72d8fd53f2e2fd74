import {
  bitString,
  context,
  enumerated,
  integer,
  octetString,
  oid,
  sequence,
  time,
  unsignedInteger,
} from './der.ts'
import type { Extension } from './extensions.ts'
import { OID } from './oids.ts'
import type { Signer } from './signature.ts'

/** One line of a CRL. */
export interface RevokedEntry {
  serial: Uint8Array
  /** Milliseconds. */
  revokedAt: number
  /** CRLReason (RFC 5280 section 5.3.1); 0, unspecified, is left out of the CRL as the section asks. */
  reason: number
}

export interface CrlTemplate {
  issuer: Uint8Array
  thisUpdate: number
  nextUpdate: number
  revoked: readonly RevokedEntry[]
  extensions: readonly Extension[]
}

/** A signed version 2 CRL (RFC 5280 section 5). An empty list of entries is left out, as section 5.1.2.6 demands. */
export function signCrl(template: CrlTemplate, signer: Signer): Buffer {
  const entries = template.revoked.map(encodeEntry)
  const tbs = sequence(
    integer(1),
    signer.algorithm,
    template.issuer,
    time(template.thisUpdate),
    time(template.nextUpdate),
    ...(entries.length > 0 ? [sequence(Buffer.concat(entries))] : []),
    context(0, sequence(...template.extensions)),
  )
  return sequence(tbs, signer.algorithm, bitString(signer.sign(tbs)))
}

function encodeEntry(entry: RevokedEntry): Buffer {
  const head = [unsignedInteger(entry.serial), time(entry.revokedAt)]
  if (entry.reason === 0) return sequence(...head)
  const reason = sequence(oid(OID.reasonCode), octetString(enumerated(entry.reason)))
  return sequence(...head, sequence(reason))
}
