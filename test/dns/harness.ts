import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket as TcpSocket } from 'node:net'
import { DAY, systemClock } from '../../base/clock.ts'
import { createLog } from '../../base/log.ts'
import { FrameReader, frame } from '../../dns/framing.ts'
import { DnsServer, type DnsServerOptions } from '../../dns/server.ts'
import type { PlainUpstream } from '../../dns/upstream.ts'
import { decodeMessage, encodeMessage, type Message } from '../../wire/message.ts'
import { Name } from '../../wire/name.ts'
import { CLASS, OPCODE, RCODE, typeName, typeNumber } from '../../wire/registry.ts'
import { host } from './household.ts'

/** A server on a free loopback port, with a small household unless told otherwise. */
export async function startServer(options: Partial<DnsServerOptions> = {}): Promise<DnsServer> {
  const server = new DnsServer({ ...serverOptions(), ...options })
  await server.start()
  return server
}

/** What `startServer` starts with. */
export function serverOptions(): DnsServerOptions {
  return {
    addresses: ['127.0.0.1'],
    port: 0,
    domain: 'home.arpa',
    gatewayName: 'gateway.home.arpa',
    overrides: [],
    designated: null,
    upstreams: [],
    forward: [],
    bootstrap: [],
    upstreamCa: null,
    rebinding: { protect: true, allow: [] },
    cache: { octets: 1024 * 1024, staleFor: DAY },
    zone: HOUSEHOLD,
    udp: 'dgram',
    onFailure: (error) => {
      throw error
    },
    clock: systemClock,
    log: createLog('silent'),
  }
}

export const HOUSEHOLD: DnsServerOptions['zone'] = {
  serial: 7,
  hosts: [
    host('gateway.home.arpa', '192.168.1.1', 'fd00::1'),
    host('nas.home.arpa', '192.168.1.20', 'fd00::20'),
  ],
  records: [],
}

/** A message with one question; `rd` is set, all else is off. */
export function query(name: string, type: string, part: Partial<Message> = {}): Message {
  return {
    id: 0x1234,
    qr: false,
    opcode: OPCODE.QUERY,
    aa: false,
    tc: false,
    rd: true,
    ra: false,
    ad: false,
    cd: false,
    rcode: RCODE.NOERROR,
    questions: [{ name: Name.parse(name), type: typeNumber(type)!, class: CLASS.IN }],
    answers: [],
    authorities: [],
    additionals: [],
    edns: null,
    ...part,
  }
}

/** Sends octets over UDP and gives back the first datagram that comes. */
export async function askUdp(port: number, bytes: Uint8Array, address = '127.0.0.1'): Promise<Buffer> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
  socket.send(bytes, port, address)
  try {
    const [reply] = await once(socket, 'message', { signal: AbortSignal.timeout(10_000) })
    return reply
  } finally {
    socket.close()
  }
}

/** Sends messages over one TCP connection and gives back as many replies, in the order they come. */
export async function askTcp(port: number, messages: readonly Uint8Array[]): Promise<Buffer[]> {
  const socket = connect(port, '127.0.0.1')
  const frames = new FrameReader()
  const replies: Buffer[] = []
  socket.write(Buffer.concat(messages.map(frame)))
  try {
    while (replies.length < messages.length) {
      const [chunk] = await once(socket, 'data', { signal: AbortSignal.timeout(10_000) })
      replies.push(...frames.push(chunk))
    }
  } finally {
    socket.destroy()
  }
  return replies
}

/** What the scripted upstream says to one question, now or later: octets, or nothing at all. */
export type Script = (asked: Message, transport: 'udp' | 'tcp') => Said | Promise<Said>

type Said = Message | Uint8Array | 'silence'

/** A real server on loopback that answers by a script and writes down what it was asked. */
export class ScriptedUpstream {
  /** `udp example.com. A`, in the order asked. */
  readonly asked: string[] = []
  readonly queries: Message[] = []
  readonly #script: Script
  readonly #udp: Socket = createSocket('udp4')
  readonly #tcp: Server
  readonly #sockets = new Set<TcpSocket>()
  #closed = false
  /** How many there were over TCP. */
  connections = 0

  constructor(script: Script) {
    this.#script = script
    this.#udp.on('message', async (bytes, client) => {
      const reply = await this.#reply(bytes, 'udp')
      if (reply !== null && !this.#closed) this.#udp.send(reply, client.port, client.address)
    })
    this.#tcp = createServer((socket) => {
      this.connections += 1
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
      const frames = new FrameReader()
      socket.on('error', () => socket.destroy())
      socket.on('data', async (chunk) => {
        for (const bytes of frames.push(chunk as Buffer)) {
          const reply = await this.#reply(bytes, 'tcp')
          if (reply !== null) socket.write(frame(reply))
        }
      })
    })
  }

  async start(): Promise<PlainUpstream> {
    // TCP picks the port, since more of its ports are in use; then UDP takes the same, or both try another.
    for (;;) {
      this.#tcp.listen(0, '127.0.0.1')
      await once(this.#tcp, 'listening')
      const { port } = this.#tcp.address() as AddressInfo
      try {
        const bound = once(this.#udp, 'listening')
        this.#udp.bind(port, '127.0.0.1')
        await bound
        return { address: '127.0.0.1', port, transport: 'udp' }
      } catch {
        this.#tcp.close()
        await once(this.#tcp, 'close')
      }
    }
  }

  cutConnections(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#udp.close()
    this.#tcp.close()
  }

  async #reply(bytes: Buffer, transport: 'udp' | 'tcp'): Promise<Uint8Array | null> {
    const asked = decodeMessage(bytes)
    const [question] = asked.questions
    this.queries.push(asked)
    this.asked.push(`${transport} ${question!.name} ${typeName(question!.type)}`)
    const answer = await this.#script(asked, transport)
    if (answer === 'silence') return null
    return answer instanceof Uint8Array ? answer : encodeMessage(answer)
  }
}
