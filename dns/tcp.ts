import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { Connections } from '../base/connections.ts'
import type { Log } from '../base/log.ts'
import type { Answer } from './respond.ts'
import { StreamConnection } from './stream.ts'

/** DNS over TCP on one address. */
export class TcpListener {
  readonly #address: string
  readonly #server: Server
  readonly #open = new Set<Socket>()
  readonly #log: Log

  constructor(address: string, options: { answer: Answer; connections: Connections; log: Log }) {
    this.#address = address
    this.#log = options.log
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      const hold = options.connections.admit(socket)
      if (hold === null) return
      this.#open.add(socket)
      socket.on('close', () => this.#open.delete(socket))
      new StreamConnection(socket, { ...options, transport: 'tcp', hold })
    })
  }

  /** Binds; rejects with the system's error. Returns the port, which is chosen if 0 is asked for. */
  async listen(port: number): Promise<number> {
    const listening = once(this.#server, 'listening')
    this.#server.listen({ host: this.#address, port, ipv6Only: this.#address.includes(':'), exclusive: true })
    await listening
    this.#server.on('error', (error) => this.#log.warn({ reason: error.message }, 'TCP listener error'))
    return (this.#server.address() as AddressInfo).port
  }

  close(): Promise<void> {
    for (const socket of this.#open) socket.destroy()
    return new Promise((closed) => this.#server.close(() => closed()))
  }
}
