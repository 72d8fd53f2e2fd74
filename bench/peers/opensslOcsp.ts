import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { serialText } from '../../x509/certificate.ts'
import type { Session } from '../session.ts'
import { makeOpensslCa, type OpensslCa } from './opensslCa.ts'
import { type Peer, startPeer } from './server.ts'

/** An index of valid certificates as `openssl ca` keeps it. */
interface Index {
  directory: string
  file: string
  ca: OpensslCa
}

export async function makeIndex(directory: string, serials: readonly Buffer[]): Promise<Index> {
  const ca = await makeOpensslCa(directory)
  const end = `${new Date(Date.now() + 7 * 86_400_000).toISOString().replace(/\D/g, '').slice(2, 14)}Z`
  const file = join(directory, 'index.txt')
  const lines = serials.map(
    (serial, row) => `V\t${end}\t\t${serialText(serial)}\tunknown\t/CN=dev${row + 1}\n`,
  )
  writeFileSync(file, lines.join(''))
  return { directory, file, ca }
}

/**
 * `openssl ocsp` with two processes. It signs every answer and closes every connection; it listens on
 * all addresses, since it knows no other way.
 *
 * Whoever measures it starts it anew for each load: after one, OpenSSL 3.0 only turns in circles.
 *
 * @param request A whole request to see whether it answers: one that is none ends it.
 */
export async function startOpensslOcsp(
  session: Session,
  index: Index,
  request: Buffer,
): Promise<(Peer & { url: string }) | null> {
  const { certificateFile, keyFile } = index.ca
  const peer = await startPeer(session, {
    name: 'openssl ocsp',
    command: 'openssl',
    cwd: index.directory,
    args: (port) => [
      ...['ocsp', '-port', String(port), '-multi', '2', '-index', index.file, '-nmin', '240'],
      ...['-CA', certificateFile, '-rsigner', certificateFile, '-rkey', keyFile],
    ],
    ready: async (port) => {
      try {
        const url = `http://127.0.0.1:${port}/ocsp`
        return (
          await fetch(url, {
            method: 'POST',
            headers: { Connection: 'close' },
            body: Uint8Array.from(request),
          })
        ).ok
      } catch {
        return false
      }
    },
  })
  return peer && { ...peer, url: `http://127.0.0.1:${peer.port}/ocsp` }
}
