import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../../test/support/run.ts'
import { readPem } from '../../x509/certificate.ts'

/** A CA with a P-256 key, made by OpenSSL, for peers that bring none; paths of PEM files. */
export interface OpensslCa {
  certificateFile: string
  keyFile: string
  /** DER. */
  certificate: Buffer
}

const DAYS = ['-days', '30']
const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

export async function makeOpensslCa(directory: string): Promise<OpensslCa> {
  const [certificateFile, keyFile] = [join(directory, 'ca.pem'), join(directory, 'ca.key')]
  await openssl(
    'req',
    '-x509',
    ...NEW_KEY,
    ...DAYS,
    '-subj',
    '/CN=Bench CA',
    '-keyout',
    keyFile,
    '-out',
    certificateFile,
  )
  return {
    certificateFile,
    keyFile,
    certificate: readPem(readFileSync(certificateFile, 'utf8'), 'CERTIFICATE')[0]!,
  }
}

/** A certificate for 127.0.0.1, as server or as client; paths of PEM files. */
export async function makeOpensslLeaf(
  directory: string,
  ca: OpensslCa,
  name: string,
): Promise<{ certificateFile: string; keyFile: string }> {
  const [certificateFile, keyFile] = [join(directory, `${name}.pem`), join(directory, `${name}.key`)]
  await openssl(
    ...[
      'req',
      '-x509',
      ...NEW_KEY,
      ...DAYS,
      '-subj',
      `/CN=${name}`,
      '-keyout',
      keyFile,
      '-out',
      certificateFile,
    ],
    ...['-CA', ca.certificateFile, '-CAkey', ca.keyFile, '-addext', 'subjectAltName=IP:127.0.0.1'],
    ...['-addext', 'basicConstraints=critical,CA:FALSE'],
  )
  return { certificateFile, keyFile }
}

async function openssl(...args: string[]): Promise<void> {
  const { code, output } = await run('openssl', args)
  if (code !== 0) throw new Error(`openssl ${args[0]} ended with ${code}: ${output}`)
}
