import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import { createServer, type SecureVersion, type Server } from 'node:tls'
import { SECOND } from '../base/clock.ts'
import type { Connections } from '../base/connections.ts'
import type { Log } from '../base/log.ts'
import type { Answer } from './respond.ts'
import { StreamConnection } from './stream.ts'

/** What the gateway shows in a handshake; the key never goes into a log or an error. */
export interface DotCertificate {
  /** PEM. */
  key: string
  /** PEM, the gateway's own certificate first. */
  chain: string
  /** The OCSP answer about it, DER; null where there is none. */
  staple: Uint8Array | null
}

export interface DotOptions {
  addresses: readonly string[]
  port: number
  minVersion: SecureVersion
  certificate: DotCertificate
}

const HANDSHAKE_TIMEOUT = 5 * SECOND

/** In IANA's registry of ALPN names. Whoever came here to speak another protocol is sent away. */
const ALPN = 'dot'

/** DNS over TLS (RFC 7858) on one address. */
export class DotListener {
  readonly #address: string
  readonly #server: Server
  readonly #open = new Set<Socket>()
  readonly #minVersion: SecureVersion
  readonly #log: Log
  #certificate: DotCertificate

  /** `handshakes` holds connections until they are encrypted: a handshake costs as much as many answers. */
  constructor(
    address: string,
    options: {
      minVersion: SecureVersion
      certificate: DotCertificate
      answer: Answer
      connections: Connections
      handshakes: Connections
      log: Log
    },
  ) {
    const { certificate, connections, handshakes } = options
    this.#address = address
    this.#minVersion = options.minVersion
    this.#log = options.log
    this.#certificate = certificate
    this.#server = createServer({
      key: certificate.key,
      cert: certificate.chain,
      minVersion: options.minVersion,
      ALPNProtocols: [ALPN],
      handshakeTimeout: HANDSHAKE_TIMEOUT,
      noDelay: true,
    })

    this.#server.on('connection', (socket: Socket) => {
      if (connections.admit(socket) === null || handshakes.admit(socket) === null) return
      this.#open.add(socket)
      socket.on('close', () => this.#open.delete(socket))
    })
    this.#server.on('secureConnection', (socket) => {
      handshakes.find(socket)?.release()
      const hold = connections.find(socket)
      if (hold === null) socket.destroy()
      else new StreamConnection(socket, { ...options, transport: 'tls', hold })
    })
    this.#server.on('OCSPRequest', (_certificate, _issuer, callback) => {
      callback(null, Buffer.from(this.#certificate.staple ?? []))
    })
    // A failed handshake is the client's affair; of one that took too long, Node does not close the socket.
    this.#server.on('tlsClientError', (_error, socket) => socket.destroy())
  }

  /** Binds; rejects with the system's error. Returns the port, which is chosen if 0 is asked for. */
  async listen(port: number): Promise<number> {
    const listening = once(this.#server, 'listening')
    this.#server.listen({ host: this.#address, port, ipv6Only: this.#address.includes(':'), exclusive: true })
    await listening
    this.#server.on('error', (error) => this.#log.warn({ reason: error.message }, 'DoT listener error'))
    return (this.#server.address() as AddressInfo).port
  }

  /** Shows another certificate, or another answer about it, from the next handshake on. */
  setCertificate(certificate: DotCertificate): void {
    if (certificate.chain !== this.#certificate.chain) {
      // What is not said again is forgotten, the oldest version of TLS that is taken included.
      this.#server.setSecureContext({
        key: certificate.key,
        cert: certificate.chain,
        minVersion: this.#minVersion,
      })
    }
    this.#certificate = certificate
  }

  close(): Promise<void> {
    for (const socket of this.#open) socket.destroy()
    return new Promise((closed) => this.#server.close(() => closed()))
  }
}
