import { context, integer, oid, sequence, set } from './der.ts'
import { OID } from './oids.ts'

/**
 * Certificates in a CMS SignedData without a signature: the "certs-only" message (RFC 8551 section 3.8).
 *
 * The reply of EST: nothing is signed, since each certificate is.
 */
export function certsOnly(certificates: readonly Uint8Array[]): Buffer {
  const signedData = sequence(
    integer(1),
    set(),
    sequence(oid(OID.pkcs7Data)),
    context(0, ...certificates),
    set(),
  )
  return sequence(oid(OID.pkcs7SignedData), context(0, signedData))
}
