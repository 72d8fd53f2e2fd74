import { type Kysely, PostgresAdapter, sql } from 'kysely'

/** The complete DNS: services of devices, records that people did not write, keys of those who did. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const blob = db.getExecutor().adapter instanceof PostgresAdapter ? sql`bytea` : sql`blob`

  await db.schema
    .alterTable('dns_records')
    .addColumn('source', 'text', (column) => column.notNull().defaultTo('hand'))
    .execute()

  await db.schema
    .createTable('services')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('device_id', 'text', (column) => column.notNull().references('devices.id'))
    .addColumn('instance', 'text', (column) => column.notNull())
    .addColumn('type', 'text', (column) => column.notNull())
    .addColumn('port', 'integer', (column) => column.notNull())
    .addColumn('txt', 'text', (column) => column.notNull())
    .addColumn('alpn', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addUniqueConstraint('services_instance', ['instance', 'type'])
    .execute()
  await db.schema.createIndex('services_device').on('services').column('device_id').execute()

  await db.schema
    .createTable('tsig_keys')
    .addColumn('name', 'text', (column) => column.primaryKey())
    .addColumn('algorithm', 'text', (column) => column.notNull())
    .addColumn('sealed', blob, (column) => column.notNull())
    .addColumn('may_update', 'integer', (column) => column.notNull())
    .addColumn('may_transfer', 'integer', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .execute()
}
