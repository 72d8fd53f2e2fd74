import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../../test/support/run.ts'
import { pem } from '../../x509/certificate.ts'
import type { Session } from '../session.ts'
import { makeOpensslCa } from './opensslCa.ts'

const CONFIG = `
[ca]
default_ca = bench
[bench]
dir = .
database = index.txt
new_certs_dir = issued
certificate = ca.pem
private_key = ca.key
default_md = sha256
default_days = 7
rand_serial = yes
unique_subject = no
copy_extensions = copy
policy = any
x509_extensions = server
[any]
commonName = optional
[server]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth,clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
`

/**
 * Certificates per second of one `openssl ca` that signs many requests: each is proven, signed and
 * written to a file; the index is written once at the end, and nothing is flushed to the disk.
 */
export async function timeOpensslIssue(session: Session, csr: Buffer, count: number): Promise<number> {
  const cwd = session.directory()
  await makeOpensslCa(cwd)
  mkdirSync(join(cwd, 'issued'))
  writeFileSync(join(cwd, 'index.txt'), '')
  writeFileSync(join(cwd, 'ca.cnf'), CONFIG)
  writeFileSync(join(cwd, 'request.pem'), pem(csr, 'CERTIFICATE REQUEST'))
  const requests = Array.from({ length: count }, () => 'request.pem')
  const start = performance.now()
  const { code, output } = await run(
    'openssl',
    ['ca', '-batch', '-notext', '-config', 'ca.cnf', '-infiles', ...requests],
    { cwd },
  )
  const took = performance.now() - start
  if (code !== 0 || !output.includes(`Write out database with ${count} new entries`)) {
    throw new Error(`openssl ca ended with ${code}: ${output.slice(-1000)}`)
  }
  return (count / took) * 1000
}
