import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls'

/** Which certificates encrypted upstreams are believed by: Node's own roots, and those of the configuration. */
export class TrustedRoots {
  readonly #more: string | null
  #context: SecureContext | undefined

  /** `more` are certificates in PEM form. */
  constructor(more: string | null) {
    this.#more = more
  }

  /** For `tls.connect`. Made when it is needed first: reading a hundred and fifty certificates takes time. */
  get options() {
    this.#context ??= createSecureContext({
      minVersion: 'TLSv1.2',
      ...(this.#more !== null && { ca: [...getCACertificates('default'), this.#more] }),
    })
    return { secureContext: this.#context, rejectUnauthorized: true, minVersion: 'TLSv1.2' as const }
  }
}
