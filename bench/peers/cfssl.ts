import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { connect } from 'node:tls'
import type { Session } from '../session.ts'
import { makeOpensslCa, makeOpensslLeaf } from './opensslCa.ts'
import { type Peer, startPeer } from './server.ts'

/** cfssl's signing API over mutual TLS, and what a client needs to use it; PEM texts. */
export interface Cfssl extends Peer {
  path: string
  trusted: string
  certificate: string
  key: string
  /** How many certificates are on its record. */
  recorded: () => number
}

/** Its own schema (certdb/sqlite/migrations), as far as signing writes to it. */
const SCHEMA = `
CREATE TABLE certificates (
  serial_number            blob NOT NULL,
  authority_key_identifier blob NOT NULL,
  ca_label                 blob,
  status                   blob NOT NULL,
  reason                   int,
  expiry                   timestamp,
  revoked_at               timestamp,
  pem                      blob NOT NULL,
  PRIMARY KEY(serial_number, authority_key_identifier)
);
`

/**
 * Starts `cfssl serve` with a SQLite record: it signs a P-256 request and writes the certificate down
 * before it answers, as the gateway does. Its database has a write-ahead log, which is to its advantage.
 */
export async function startCfssl(session: Session): Promise<Cfssl | null> {
  const cwd = session.directory()
  const ca = await makeOpensslCa(cwd)
  const server = await makeOpensslLeaf(cwd, ca, 'server')
  const client = await makeOpensslLeaf(cwd, ca, 'client')
  const database = join(cwd, 'certificates.db')
  const made = new DatabaseSync(database)
  made.exec('PRAGMA journal_mode = WAL')
  made.exec(SCHEMA)
  made.close()
  writeFileSync(join(cwd, 'db.json'), JSON.stringify({ driver: 'sqlite3', data_source: database }))
  const profile = { usages: ['digital signature', 'server auth', 'client auth'], expiry: '168h' }
  writeFileSync(join(cwd, 'config.json'), JSON.stringify({ signing: { default: profile } }))

  const trusted = readFileSync(ca.certificateFile, 'utf8')
  const identity = {
    trusted,
    certificate: readFileSync(client.certificateFile, 'utf8'),
    key: readFileSync(client.keyFile, 'utf8'),
  }
  const peer = await startPeer(session, {
    name: 'cfssl',
    command: 'cfssl',
    cwd,
    args: (port) => [
      ...['serve', '-loglevel', '5', '-address', '127.0.0.1', '-port', String(port)],
      ...[
        '-ca',
        ca.certificateFile,
        '-ca-key',
        ca.keyFile,
        '-config',
        'config.json',
        '-db-config',
        'db.json',
      ],
      ...[
        '-tls-cert',
        server.certificateFile,
        '-tls-key',
        server.keyFile,
        '-mutual-tls-ca',
        ca.certificateFile,
      ],
    ],
    ready: (port) => shakesHands(port, identity),
  })
  if (peer === null) return null
  const recorded = () => {
    const opened = new DatabaseSync(database, { readOnly: true })
    try {
      return Number(opened.prepare('SELECT count(*) AS n FROM certificates').get()?.n)
    } finally {
      opened.close()
    }
  }
  return { ...peer, path: '/api/v1/cfssl/sign', ...identity, recorded }
}

function shakesHands(
  port: number,
  identity: { trusted: string; certificate: string; key: string },
): Promise<boolean> {
  return new Promise((resolve) => {
    const { trusted, certificate, key } = identity
    const socket = connect({ host: '127.0.0.1', port, ca: trusted, cert: certificate, key }, () => done(true))
    socket.on('error', () => done(false))
    const done = (ready: boolean) => {
      socket.destroy()
      resolve(ready)
    }
  })
}
