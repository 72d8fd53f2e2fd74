import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type ServerOptions } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { extensionRequest, proveCsr } from '../../x509/csr.ts'
import { sequence } from '../../x509/der.ts'
import { subjectAltName } from '../../x509/extensions.ts'
import { sha256 } from '../../x509/spki.ts'
import type { TestCa } from './testCa.ts'

export interface RecordedRequest {
  operation: string
  authorization: string
  /** Serial of the client's certificate; empty without one. */
  client: string
}

/** Answers one request in place of the honest server, or leaves it to that by returning false. */
export type Fault = (operation: string, response: ServerResponse, request: IncomingMessage) => boolean

export interface TestGatewayOptions {
  ca: TestCa
  /** Names in the server's certificate. */
  serverNames?: readonly string[]
  /** Another certificate for the TLS server, as a man in the middle has. */
  tls?: ServerOptions
}

/**
 * A small honest EST server that records who asked what, with a place to be dishonest.
 *
 * It gives the same certificate to the same key again, as the real one does for a token.
 */
export class TestGateway {
  readonly ca: TestCa
  readonly requests: RecordedRequest[] = []
  token = 'd1:correct-horse-battery'
  /** Certificates that `cacerts` lists. */
  listed: Buffer[]
  /** What csrattrs says; null is 204. */
  assigned: { dns: string[]; ip: string[] } | null = { dns: ['nas.home.arpa'], ip: ['192.168.1.10'] }
  /** How often an enrollment is answered with 202 first. */
  undecided = 0
  days = 30
  fault: Fault = () => false
  /** What is issued for a request. */
  issue = (csr: Buffer): Buffer =>
    this.ca.certify(
      csr,
      this.assigned === null ? ['nas.home.arpa'] : [...this.assigned.dns, ...this.assigned.ip],
      {
        days: this.days,
      },
    )
  readonly #issued = new Map<string, Buffer>()
  readonly #server

  constructor({ ca, serverNames = ['localhost', '127.0.0.1'], tls = {} }: TestGatewayOptions) {
    this.ca = ca
    this.listed = [ca.root.der, ca.issuer.der]
    this.#server = createServer(
      {
        ...ca.server(serverNames),
        minVersion: 'TLSv1.3',
        requestCert: true,
        rejectUnauthorized: false,
        ...tls,
      },
      (request, response) =>
        this.#answer(request, response).catch((error: unknown) => response.writeHead(500).end(String(error))),
    )
  }

  async start(port = 0): Promise<this> {
    this.#server.listen(port, '127.0.0.1')
    await once(this.#server, 'listening')
    return this
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  /** Takes over the certificates of another gateway, whose clients then may renew here. */
  adopt(other: TestGateway): void {
    for (const [key, certificate] of other.#issued) this.#issued.set(key, certificate)
  }

  get url(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  get fingerprint(): string {
    return sha256(this.ca.root.der).toString('hex')
  }

  get operations(): string[] {
    return this.requests.map(({ operation }) => operation)
  }

  sendCertificates(response: ServerResponse, certificates: readonly Buffer[]): void {
    sendBase64(response, this.ca.certsOnly(certificates))
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const operation = request.url?.replace('/.well-known/est/', '') ?? ''
    const client = (request.socket as TLSSocket).getPeerX509Certificate()
    this.requests.push({
      operation,
      authorization: request.headers.authorization ?? '',
      client: client?.serialNumber ?? '',
    })
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    if (this.fault(operation, response, request)) return

    if (operation === 'cacerts') return this.sendCertificates(response, this.listed)
    const known =
      client === undefined
        ? request.headers.authorization === `Basic ${Buffer.from(this.token).toString('base64')}`
        : [...this.#issued.values()].some((der) => der.equals(client.raw))
    if (!known) {
      response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="test"' })
      response.end('who are you?')
      return
    }
    if (operation === 'csrattrs') {
      if (this.assigned === null) response.writeHead(204).end()
      else sendBase64(response, sequence(extensionRequest([subjectAltName(this.assigned, false)])))
      return
    }
    if (this.undecided > 0) {
      this.undecided -= 1
      response.writeHead(202, { 'Retry-After': '20' }).end()
      return
    }
    const csr = Buffer.from(Buffer.concat(chunks).toString('latin1'), 'base64')
    const key = proveCsr(csr).spki.toString('hex')
    const certificate = this.#issued.get(key) ?? this.issue(csr)
    this.#issued.set(key, certificate)
    this.sendCertificates(response, [certificate])
  }
}

export function sendBase64(response: ServerResponse, der: Buffer): void {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  response.writeHead(200, { 'Content-Type': 'application/pkcs7-mime' }).end(lines.join('\n'))
}
