import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { decodeHeader, decodeMessage, encodeMessage, type Message } from '../../wire/message.ts'
import type { PlainUpstream } from '../upstream.ts'
import { answersTo, type Link, settleOnce } from './link.ts'
import { StreamLink } from './stream.ts'

/**
 * An upstream asked over UDP, and over TCP again where its reply was truncated.
 *
 * Each query leaves from a socket of its own with a port that the kernel picks at random, connected, so
 * that only the upstream's address and port can answer; what does not match id and question is passed
 * over.
 *
 * @see RFC 5452 sections 9.1 and 9.2; RFC 7766 section 5 for TCP after truncation.
 */
export class DatagramLink implements Link {
  readonly #upstream: PlainUpstream
  readonly #tcp: StreamLink

  constructor(upstream: PlainUpstream) {
    this.#upstream = upstream
    this.#tcp = StreamLink.overTcp(upstream)
  }

  async ask(query: Message, signal: AbortSignal): Promise<Message> {
    const reply = await this.#askUdp({ ...query, id: randomInt(0x10000) }, signal)
    return reply.tc ? this.#tcp.ask(query, signal) : reply
  }

  close(): void {
    this.#tcp.close()
  }

  #askUdp(query: Message, signal: AbortSignal): Promise<Message> {
    const { address, port } = this.#upstream
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
    return settleOnce<Message>(
      signal,
      (resolve, reject) => {
        socket.on('error', reject)
        socket.on('message', (bytes) => {
          const header = decodeHeader(bytes)
          if (header === null || !header.qr || header.id !== query.id) return
          try {
            const reply = decodeMessage(bytes)
            if (answersTo(query, reply)) resolve(reply)
          } catch (error) {
            reject(error)
          }
        })
        socket.connect(port, address, (error?: Error) => {
          if (error !== undefined) return reject(error)
          socket.send(encodeMessage(query), (error) => error !== null && reject(error))
        })
      },
      () => socket.close(),
    )
  }
}
