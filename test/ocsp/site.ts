import { once } from 'node:events'
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createLog } from '../../base/log.ts'
import { OcspSigners } from '../../ca/ocspSigner.ts'
import { CrlPublisher } from '../../ocsp/crlPublisher.ts'
import { revocationHandler } from '../../ocsp/handler.ts'
import { Responder } from '../../ocsp/responder.ts'
import type { TestHome } from '../support/testHome.ts'

export interface Reply {
  status: number
  headers: NodeJS.Dict<string | string[]>
  body: Buffer
}

/** A home's revocation services on a free loopback port; they follow revocations as in the gateway. */
export class RevocationSite {
  readonly responder: Responder
  readonly crls: CrlPublisher
  readonly url: string
  readonly #server: Server

  static async open(home: TestHome): Promise<RevocationSite> {
    const { hierarchy, ledger, clock, store } = home
    const signers = new OcspSigners({ ...home, issuers: () => hierarchy.issuers })
    await signers.refresh()
    const responder = new Responder({ ledger, clock, signers: () => signers.current })
    const crls = new CrlPublisher({ ledger, clock, issuers: () => hierarchy.all })
    await crls.publish()
    store.follow(async (changes) => {
      if (!changes.some(({ kind }) => kind === 'certificate.revoked')) return
      responder.forget()
      await crls.publish()
    })
    const log = createLog('silent')
    const handle = revocationHandler({ responder, crls, clock, log, findIssuer: (id) => hierarchy.find(id) })
    const server = createServer((request, response) => {
      if (!handle(request, response)) response.writeHead(404).end()
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new RevocationSite(responder, crls, server)
  }

  private constructor(responder: Responder, crls: CrlPublisher, server: Server) {
    this.responder = responder
    this.crls = crls
    this.#server = server
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  get(target: string): Promise<Reply> {
    return this.#ask('GET', target)
  }

  post(body: Uint8Array): Promise<Reply> {
    return this.#ask('POST', '/ocsp', body)
  }

  async close(): Promise<void> {
    this.#server.close()
    await once(this.#server, 'close')
  }

  /** The target goes out as it is: no client in between makes it a proper path. */
  async #ask(method: string, target: string, body?: Uint8Array): Promise<Reply> {
    const { port } = new URL(this.url)
    const asked = request({ host: '127.0.0.1', port, method, path: target, agent: false })
    asked.end(body)
    const [response] = await once(asked, 'response')
    const chunks: Buffer[] = []
    for await (const chunk of response) chunks.push(chunk)
    return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) }
  }
}
