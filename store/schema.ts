import type { Generated, Insertable, Selectable } from 'kysely'

/**
 * The tables, as TypeScript sees them; `migrations/` makes them.
 *
 * One schema for SQLite and PostgreSQL: ids are made by the application, bytes are `blob`/`bytea`,
 * booleans are 0 or 1, times are `bigint` milliseconds since 1970 UTC. A name is lower-case ASCII
 * without the final dot (`nas.home.arpa`); an address is in its canonical text form (RFC 5952 for
 * IPv6). A serial number is upper-case hexadecimal, two digits a byte.
 */
export interface Schema {
  settings: SettingsTable
  counters: CountersTable
  changes: ChangesTable
  audit: AuditTable
  devices: DevicesTable
  device_names: DeviceNamesTable
  device_addresses: DeviceAddressesTable
  keys: KeysTable
  issuers: IssuersTable
  certificates: CertificatesTable
  certificate_names: CertificateNamesTable
  enrollment_credentials: EnrollmentCredentialsTable
  dns_records: DnsRecordsTable
  services: ServicesTable
  tsig_keys: TsigKeysTable
}

/** Facts of the whole instance: `instance_id`, `domain`, `clock_mark`. */
interface SettingsTable {
  name: string
  value: string
}

/** Numbers that only grow, drawn inside the transaction that uses them: `changes`. */
interface CountersTable {
  name: string
  value: number
}

/** What happened, in order, for everything downstream that follows. `seq` has no gaps. */
interface ChangesTable {
  seq: number
  at: number
  kind: ChangeKind
  /** The name, serial or id that changed. */
  subject: string
}

export type ChangeKind =
  | 'device.added'
  | 'device.changed'
  | 'device.removed'
  | 'dns.changed'
  | 'issuer.added'
  | 'certificate.issued'
  | 'certificate.revoked'
  | 'credential.added'

interface AuditTable {
  /** A ULID: sorts by time. */
  id: string
  at: number
  /** Who: `cli`, `gateway`, `device nas.home.arpa`, `est 192.168.1.7`. */
  actor: string
  /** What: `device.add`, `certificate.issue`, `certificate.refuse`... */
  action: string
  subject: string
  outcome: 'done' | 'refused'
  /** One sentence for a person. Never a secret. */
  detail: string
}

interface DevicesTable {
  id: string
  /** The gateway is a device too, with names, addresses and certificates of its own. */
  kind: 'device' | 'gateway'
  state: 'active' | 'suspended' | 'removed'
  profile: string
  created_at: number
  removed_at: number | null
}

/** A name belongs to one device from `since` until `until`; at most one open row per name. */
interface DeviceNamesTable {
  id: string
  device_id: string
  name: string
  since: number
  until: number | null
}

interface DeviceAddressesTable {
  id: string
  device_id: string
  address: string
  since: number
  until: number | null
}

/** A private key, sealed with the instance's sealing key; never in the clear. */
interface KeysTable {
  id: string
  instance_id: string
  purpose: 'root' | 'issuer' | 'ocsp' | 'gateway'
  /** Sealed PKCS #8: see ca/seal.ts for the shape. */
  sealed: Buffer
  created_at: number
}

/** A CA certificate of ours: a root, or an issuer below it. */
interface IssuersTable {
  id: string
  instance_id: string
  kind: 'root' | 'issuer'
  /** The issuer above; null for a root. */
  parent_id: string | null
  key_id: string
  serial: string
  certificate: Buffer
  not_before: number
  not_after: number
  /** Base of AIA, OCSP and CRL URLs, without a final slash; frozen, since a CRL's scope depends on it. */
  base_url: string
  /** The number of the last CRL made; the next is at least one more. */
  crl_number: Generated<number>
}

interface CertificatesTable {
  serial: string
  issuer_id: string
  /** Null for what the CA issues to itself (OCSP signers, issuers). */
  device_id: string | null
  profile: string
  subject: string
  /** JSON array of address texts. */
  addresses: string
  spki_sha256: Buffer
  fingerprint_sha256: Buffer
  certificate: Buffer
  not_before: number
  not_after: number
  issued_at: number
  requested_by: string
  revoked_at: number | null
  /** CRLReason of RFC 5280 section 5.3.1; null while not revoked. */
  revocation_reason: number | null
}

interface CertificateNamesTable {
  serial: string
  name: string
}

/** A one-time right to enroll one device: `id:token`, of which only a hash is kept. */
interface EnrollmentCredentialsTable {
  id: string
  device_id: string
  /** SHA-256 of the token. */
  token_hash: Buffer
  created_at: number
  expires_at: number
  /** Once used: when, for which key, and which certificate came of it. */
  used_at: number | null
  spki_sha256: Buffer | null
  serial: string | null
}

/** A record that no device's own row makes. Data is in master-file form (RFC 1035 section 5), names absolute. */
interface DnsRecordsTable {
  id: string
  owner: string
  type: string
  ttl: number
  data: string
  created_at: number
  /** Who put it there: a person, a dynamic update (RFC 2136), or the lease file of a DHCP server. */
  source: Generated<'hand' | 'update' | 'lease'>
}

/** What a device offers on a port, announced by DNS-SD (RFC 6763). */
interface ServicesTable {
  id: string
  device_id: string
  /** What people see in a list: `Laser printer`. At most 63 octets of UTF-8. */
  instance: string
  /** `_ipp._tcp`. */
  type: string
  port: number
  /** JSON array of `key=value` strings (RFC 6763 section 6). */
  txt: string
  /** JSON array of ALPN protocol ids, for an HTTPS record; empty where the service speaks no TLS. */
  alpn: string
  created_at: number
}

/** A key shared with a program that changes or copies the zone (RFC 8945). */
interface TsigKeysTable {
  /** Lower-case, without the final dot. */
  name: string
  /** `hmac-sha256`. */
  algorithm: string
  /** The secret, sealed: see ca/seal.ts for the shape. */
  sealed: Buffer
  may_update: number
  may_transfer: number
  created_at: number
}

export type AuditEntry = Omit<Insertable<AuditTable>, 'id' | 'at'>
export type Change = Selectable<ChangesTable>
export type DeviceRow = Selectable<DevicesTable>
export type IssuerRow = Selectable<IssuersTable>
export type KeyRow = Selectable<KeysTable>
export type CertificateRow = Selectable<CertificatesTable>
export type CredentialRow = Selectable<EnrollmentCredentialsTable>
export type DnsRecordRow = Selectable<DnsRecordsTable>
export type ServiceRow = Selectable<ServicesTable>
export type TsigKeyRow = Selectable<TsigKeysTable>
