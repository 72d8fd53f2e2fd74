import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import { decodeHeader, decodeMessage, encodeMessage, type Message } from '../wire/message.ts'
import { FrameReader, frame } from './framing.ts'
import type { Upstream } from './upstream.ts'

/**
 * Asks one upstream one question and returns its reply, whatever its rcode.
 *
 * Each query leaves from a socket of its own with a port that the kernel picks at random, connected, so
 * that only the upstream's address and port can answer; what does not match id and question is passed
 * over. A truncated reply is asked for again over TCP.
 *
 * Rejects with the signal's reason, with the socket's error, or with a `WireError` where the upstream
 * sent something that is no message.
 *
 * @see RFC 5452 sections 9.1 and 9.2; RFC 7766 section 5 for TCP after truncation.
 */
export async function exchange(upstream: Upstream, query: Message, signal: AbortSignal): Promise<Message> {
  if (upstream.transport === 'tcp') return exchangeTcp(upstream, query, signal)
  const reply = await exchangeUdp(upstream, query, signal)
  return reply.tc ? exchangeTcp(upstream, query, signal) : reply
}

function exchangeUdp(upstream: Upstream, query: Message, signal: AbortSignal): Promise<Message> {
  const socket = createSocket(upstream.address.includes(':') ? 'udp6' : 'udp4')
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
      socket.connect(upstream.port, upstream.address, (error?: Error) => {
        if (error !== undefined) return reject(error)
        socket.send(encodeMessage(query), (error) => error !== null && reject(error))
      })
    },
    () => socket.close(),
  )
}

function exchangeTcp(upstream: Upstream, query: Message, signal: AbortSignal): Promise<Message> {
  const socket = connect({ host: upstream.address, port: upstream.port, noDelay: true })
  return settleOnce<Message>(
    signal,
    (resolve, reject) => {
      const frames = new FrameReader()
      socket.on('error', reject)
      socket.on('close', () => reject(new Error('the upstream closed the connection without an answer')))
      socket.on('data', (chunk) => {
        try {
          for (const bytes of frames.push(chunk as Buffer)) {
            const reply = decodeMessage(bytes)
            if (reply.qr && reply.id === query.id && answersTo(query, reply)) resolve(reply)
          }
        } catch (error) {
          reject(error)
        }
      })
      socket.write(frame(encodeMessage(query)))
    },
    () => socket.destroy(),
  )
}

function answersTo(query: Message, reply: Message): boolean {
  const [asked] = query.questions
  const [echoed, ...more] = reply.questions
  return (
    more.length === 0 &&
    reply.opcode === query.opcode &&
    echoed?.name.key === asked!.name.key &&
    echoed.type === asked!.type &&
    echoed.class === asked!.class
  )
}

/** A promise that the signal can end too, and whose `release` runs exactly once, however it ends. */
function settleOnce<T>(
  signal: AbortSignal,
  start: (resolve: (value: T) => void, reject: (reason: unknown) => void) => void,
  release: () => void,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  const onAbort = () => reject(signal.reason)
  signal.addEventListener('abort', onAbort)
  if (signal.aborted) onAbort()
  else start(resolve, reject)
  return promise.finally(() => {
    signal.removeEventListener('abort', onAbort)
    release()
  })
}
