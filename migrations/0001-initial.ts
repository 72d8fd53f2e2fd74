import { type Kysely, PostgresAdapter, sql } from 'kysely'

/** The type that holds bytes: SQLite calls it blob, PostgreSQL bytea. */
function bytes(db: Kysely<unknown>) {
  return db.getExecutor().adapter instanceof PostgresAdapter ? sql`bytea` : sql`blob`
}

/** Everything the first gateway needs: devices, the CA and its ledger, credentials, records, history. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const blob = bytes(db)

  await db.schema
    .createTable('settings')
    .addColumn('name', 'text', (column) => column.primaryKey())
    .addColumn('value', 'text', (column) => column.notNull())
    .execute()

  await db.schema
    .createTable('counters')
    .addColumn('name', 'text', (column) => column.primaryKey())
    .addColumn('value', 'bigint', (column) => column.notNull())
    .execute()

  await db.schema
    .createTable('changes')
    .addColumn('seq', 'bigint', (column) => column.primaryKey())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('subject', 'text', (column) => column.notNull())
    .execute()

  await db.schema
    .createTable('audit')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .addColumn('actor', 'text', (column) => column.notNull())
    .addColumn('action', 'text', (column) => column.notNull())
    .addColumn('subject', 'text', (column) => column.notNull())
    .addColumn('outcome', 'text', (column) => column.notNull())
    .addColumn('detail', 'text', (column) => column.notNull())
    .execute()
  await db.schema.createIndex('audit_at').on('audit').column('at').execute()

  await db.schema
    .createTable('devices')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('state', 'text', (column) => column.notNull())
    .addColumn('profile', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('removed_at', 'bigint')
    .execute()

  await db.schema
    .createTable('device_names')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('device_id', 'text', (column) => column.notNull().references('devices.id'))
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('since', 'bigint', (column) => column.notNull())
    .addColumn('until', 'bigint')
    .execute()
  await db.schema
    .createIndex('device_names_open')
    .on('device_names')
    .column('name')
    .unique()
    .where(sql<boolean>`until is null`)
    .execute()
  await db.schema.createIndex('device_names_device').on('device_names').column('device_id').execute()

  await db.schema
    .createTable('device_addresses')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('device_id', 'text', (column) => column.notNull().references('devices.id'))
    .addColumn('address', 'text', (column) => column.notNull())
    .addColumn('since', 'bigint', (column) => column.notNull())
    .addColumn('until', 'bigint')
    .execute()
  await db.schema.createIndex('device_addresses_device').on('device_addresses').column('device_id').execute()

  await db.schema
    .createTable('keys')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('instance_id', 'text', (column) => column.notNull())
    .addColumn('purpose', 'text', (column) => column.notNull())
    .addColumn('sealed', blob, (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .execute()

  await db.schema
    .createTable('issuers')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('instance_id', 'text', (column) => column.notNull())
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('parent_id', 'text', (column) => column.references('issuers.id'))
    .addColumn('key_id', 'text', (column) => column.notNull().references('keys.id'))
    .addColumn('serial', 'text', (column) => column.notNull().unique())
    .addColumn('certificate', blob, (column) => column.notNull())
    .addColumn('not_before', 'bigint', (column) => column.notNull())
    .addColumn('not_after', 'bigint', (column) => column.notNull())
    .addColumn('base_url', 'text', (column) => column.notNull())
    .addColumn('crl_number', 'bigint', (column) => column.notNull().defaultTo(0))
    .execute()

  await db.schema
    .createTable('certificates')
    .addColumn('serial', 'text', (column) => column.primaryKey())
    .addColumn('issuer_id', 'text', (column) => column.notNull().references('issuers.id'))
    .addColumn('device_id', 'text', (column) => column.references('devices.id'))
    .addColumn('profile', 'text', (column) => column.notNull())
    .addColumn('subject', 'text', (column) => column.notNull())
    .addColumn('addresses', 'text', (column) => column.notNull())
    .addColumn('spki_sha256', blob, (column) => column.notNull())
    .addColumn('fingerprint_sha256', blob, (column) => column.notNull())
    .addColumn('certificate', blob, (column) => column.notNull())
    .addColumn('not_before', 'bigint', (column) => column.notNull())
    .addColumn('not_after', 'bigint', (column) => column.notNull())
    .addColumn('issued_at', 'bigint', (column) => column.notNull())
    .addColumn('requested_by', 'text', (column) => column.notNull())
    .addColumn('revoked_at', 'bigint')
    .addColumn('revocation_reason', 'integer')
    .execute()
  await db.schema.createIndex('certificates_device').on('certificates').column('device_id').execute()
  await db.schema
    .createIndex('certificates_revoked')
    .on('certificates')
    .columns(['issuer_id', 'not_after'])
    .where(sql<boolean>`revoked_at is not null`)
    .execute()

  await db.schema
    .createTable('certificate_names')
    .addColumn('serial', 'text', (column) => column.notNull().references('certificates.serial'))
    .addColumn('name', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('certificate_names_key', ['serial', 'name'])
    .execute()
  await db.schema.createIndex('certificate_names_name').on('certificate_names').column('name').execute()

  await db.schema
    .createTable('enrollment_credentials')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('device_id', 'text', (column) => column.notNull().references('devices.id'))
    .addColumn('token_hash', blob, (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('used_at', 'bigint')
    .addColumn('spki_sha256', blob)
    .addColumn('serial', 'text')
    .addForeignKeyConstraint(
      'enrollment_credentials_certificate',
      ['serial'],
      'certificates',
      ['serial'],
      // Deferred: a credential is spent before the certificate that it is spent on is written.
      (constraint) => constraint.deferrable().initiallyDeferred(),
    )
    .execute()

  await db.schema
    .createTable('dns_records')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('owner', 'text', (column) => column.notNull())
    .addColumn('type', 'text', (column) => column.notNull())
    .addColumn('ttl', 'integer', (column) => column.notNull())
    .addColumn('data', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addUniqueConstraint('dns_records_once', ['owner', 'type', 'data'])
    .execute()
}
