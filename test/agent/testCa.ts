import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pem } from '../../x509/certificate.ts'

const CA_EXTENSIONS = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign']

interface Authority {
  key: string
  /** Path of the PEM file. */
  certificate: string
  der: Buffer
}

/** A root and an issuer below it, all made by OpenSSL in one folder. */
export class TestCa {
  readonly root: Authority
  readonly issuer: Authority
  readonly #folder: string
  readonly #servers = new Map<string, { key: string; cert: string }>()

  constructor(folder: string, name: string) {
    this.#folder = folder
    this.root = this.#authority(`${name} Root`, null)
    this.issuer = this.#authority(`${name} Issuer`, this.root)
  }

  /** A certificate for a request; the request's own wishes are not looked at. */
  certify(csr: Buffer, names: readonly string[], { days = 30, from = this.issuer } = {}): Buffer {
    const request = this.#file('request.der')
    writeFileSync(request, csr)
    const extensions = [
      `subjectAltName=${names.map((name) => (/^[\d.]+$|:/.test(name) ? `IP:${name}` : `DNS:${name}`)).join(',')}`,
      'extendedKeyUsage=serverAuth,clientAuth',
    ]
    return this.#sign(['-inform', 'DER', '-in', request], from, extensions, days)
  }

  /** Key and chain of a TLS server with these names. */
  server(names: readonly string[]): { key: string; cert: string } {
    const made = this.#servers.get(names.join())
    if (made !== undefined) return made
    const key = this.#newKey()
    const leaf = this.certify(this.#request(key, 'gateway'), names)
    const cert = pem(leaf, 'CERTIFICATE') + pem(this.issuer.der, 'CERTIFICATE')
    const server = { key: readFileSync(key, 'utf8'), cert }
    this.#servers.set(names.join(), server)
    return server
  }

  /** Another root's key certified by this root, as in a rollover. */
  crossCertify(other: TestCa): Buffer {
    return this.#sign(['-in', other.#requestOf(other.root)], this.root, CA_EXTENSIONS, 365)
  }

  /** A certs-only message with these certificates, as OpenSSL writes it. */
  certsOnly(certificates: readonly Buffer[]): Buffer {
    const list = this.#file('list.pem')
    writeFileSync(list, certificates.map((der) => pem(der, 'CERTIFICATE')).join(''))
    const from = certificates.length === 0 ? [] : ['-certfile', list]
    return openssl('crl2pkcs7', '-nocrl', ...from, '-outform', 'DER')
  }

  #authority(name: string, parent: Authority | null): Authority {
    const key = this.#newKey()
    const request = this.#file('ca.csr')
    writeFileSync(request, this.#request(key, name))
    const der = this.#sign(['-inform', 'DER', '-in', request], parent ?? { key }, CA_EXTENSIONS, 365)
    const certificate = this.#file('ca.pem')
    writeFileSync(certificate, pem(der, 'CERTIFICATE'))
    return { key, certificate, der }
  }

  #requestOf({ key, certificate }: Authority): string {
    const request = this.#file('cross.csr')
    openssl('x509', '-x509toreq', '-in', certificate, '-signkey', key, '-out', request)
    return request
  }

  #sign(
    request: readonly string[],
    signer: { key: string; certificate?: string },
    extensions: readonly string[],
    days: number,
  ): Buffer {
    const config = this.#file('extensions.cnf')
    writeFileSync(
      config,
      `${extensions.join('\n')}\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n`,
    )
    const out = this.#file('out.der')
    const by =
      signer.certificate === undefined
        ? ['-signkey', signer.key]
        : ['-CA', signer.certificate, '-CAkey', signer.key]
    const serial = `0x7${randomBytes(8).toString('hex').slice(1)}`
    openssl(
      ...['x509', '-req', ...request, ...by, '-set_serial', serial, '-days', String(days), '-sha256'],
      ...['-extfile', config, '-outform', 'DER', '-out', out],
    )
    return readFileSync(out)
  }

  #newKey(): string {
    const key = this.#file('key.pem')
    openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', key)
    return key
  }

  #request(key: string, name: string): Buffer {
    return openssl('req', '-new', '-key', key, '-subj', `/CN=${name}`, '-outform', 'DER')
  }

  #file(suffix: string): string {
    return join(this.#folder, `${randomBytes(6).toString('hex')}-${suffix}`)
  }
}

/** Runs OpenSSL; what it prints. */
export function openssl(...args: string[]): Buffer {
  return execFileSync('openssl', args, { stdio: 'pipe' })
}
