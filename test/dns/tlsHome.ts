import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DotCertificate } from '../../dns/dot.ts'
import { pem } from '../../x509/certificate.ts'
import { TestHome } from '../support/testHome.ts'

/** A home's CA that issues certificates for servers on loopback, as the gateway has one. */
export class TlsHome {
  readonly #home: TestHome
  readonly rootFile: string
  readonly root: string

  static async open(dir: string): Promise<TlsHome> {
    return new TlsHome(await TestHome.open(dir))
  }

  private constructor(home: TestHome) {
    this.#home = home
    this.root = pem(home.hierarchy.root.certificate, 'CERTIFICATE')
    this.rootFile = join(home.dir, 'root.pem')
    writeFileSync(this.rootFile, this.root)
  }

  /** A new certificate for `gateway.home.arpa` and 127.0.0.1. */
  async certificate(): Promise<DotCertificate & { serial: string }> {
    const { certificate, serial, pair } = await this.#home.issue('gateway.home.arpa', {
      addresses: ['127.0.0.1'],
    })
    return {
      serial,
      key: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
      chain: pem(certificate, 'CERTIFICATE') + pem(this.#home.hierarchy.current.certificate, 'CERTIFICATE'),
      staple: null,
    }
  }

  close(): Promise<void> {
    return this.#home.close()
  }
}
