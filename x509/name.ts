import { DerReader, oid, sequence, set, TAG, utf8String } from './der.ts'
import { OID } from './oids.ts'

/** A distinguished name with one attribute, the common name; without one, the empty name. */
export function commonNameOnly(commonName: string | null): Buffer {
  return commonName === null
    ? sequence()
    : sequence(set(sequence(oid(OID.commonName), utf8String(commonName))))
}

/** The common names in a distinguished name, in order; other attributes are passed over. */
export function readCommonNames(name: Uint8Array): string[] {
  const found: string[] = []
  const rdns = new DerReader(name, 'distinguished name').enter()
  while (!rdns.done) {
    const attributes = rdns.enter(TAG.set)
    while (!attributes.done) {
      const attribute = attributes.enter()
      const type = attribute.oid()
      const value = attribute.any()
      attribute.end()
      if (type === OID.commonName) found.push(value.content.toString('utf8'))
    }
  }
  return found
}
