import type { Device } from '../../store/devices.ts'
import { extensionRequest } from '../../x509/csr.ts'
import { oid, sequence, set } from '../../x509/der.ts'
import { subjectAltName } from '../../x509/extensions.ts'
import { OID } from '../../x509/oids.ts'

/**
 * What a device should put into its request: its names and addresses as a subject alternative name, and
 * a P-256 key (RFC 7030 section 4.5.2, RFC 9908 section 3.2).
 */
export function csrAttributes(device: Device): Buffer {
  const keyType = sequence(oid(OID.ecPublicKey), set(oid(OID.prime256v1)))
  const names = subjectAltName({ dns: device.names, ip: device.addresses }, false)
  return sequence(keyType, extensionRequest([names]))
}
