import { SECOND } from '../base/clock.ts'
import type { Edns, EdnsOption } from '../wire/message.ts'
import { EDNS_OPTION } from '../wire/registry.ts'

/** How a query comes in. */
export type Transport = 'udp' | 'tcp' | 'tls' | 'https'

/**
 * Without a whole query for that long, or with answers unread, a connection is given up. Those of TLS
 * are kept longer, since the next one costs another handshake.
 */
export const IDLE_TIMEOUT = { tcp: 10 * SECOND, tls: 30 * SECOND }

/** RFC 7828 section 3.1: the idle time-out is told in units of 100 milliseconds. */
const KEEPALIVE_UNIT = 100

/** RFC 8467 section 4.1: what a server rounds the length of its responses up to. */
const PADDING_BLOCK = 468

/** Octets of an option before its data: code and length. */
const OPTION_HEAD = 4

/** Whether the OPT holds what its transport forbids: a time-out is for the server to tell (RFC 7828 section 3.2.1). */
export function isMisused(edns: Edns | null, transport: Transport): boolean {
  const keepalive = transport === 'tcp' || transport === 'tls' ? findKeepalive(edns) : undefined
  return keepalive !== undefined && keepalive.data.length > 0
}

/**
 * The options that a response has because of how the query came in: on a stream, the idle time-out for
 * a client that asks for it. Over UDP the question is ignored (RFC 7828 section 3.3.1).
 */
export function transportOptions(edns: Edns | null, transport: Transport): EdnsOption[] {
  if ((transport !== 'tcp' && transport !== 'tls') || findKeepalive(edns) === undefined) return []
  const data = Buffer.alloc(2)
  data.writeUInt16BE(IDLE_TIMEOUT[transport] / KEEPALIVE_UNIT)
  return [{ code: EDNS_OPTION.TCP_KEEPALIVE, data }]
}

/** Whether the length of the response is to be hidden: on encrypted transports, for clients that hide theirs. */
export function wantsPadding(edns: Edns | null, transport: Transport): boolean {
  if (transport !== 'tls' && transport !== 'https') return false
  return edns?.options.some(({ code }) => code === EDNS_OPTION.PADDING) ?? false
}

/**
 * Fills an encoded message up to a round length with a last option in its OPT, which must be its last record.
 *
 * The message stays as it is where that would make it too long for a stream.
 *
 * @see RFC 7830 section 4; RFC 8467 section 4.1.
 */
export function padded(message: Buffer, edns: Edns, limit: number): Buffer {
  const bare = message.length + OPTION_HEAD
  const total = Math.ceil(bare / PADDING_BLOCK) * PADDING_BLOCK
  if (total > limit) return message
  const result = Buffer.alloc(total)
  message.copy(result)
  result.writeUInt16BE(EDNS_OPTION.PADDING, message.length)
  result.writeUInt16BE(total - bare, message.length + 2)
  const data = edns.options.reduce((sum, option) => sum + OPTION_HEAD + option.data.length, 0)
  result.writeUInt16BE(data + total - message.length, message.length - data - 2)
  return result
}

function findKeepalive(edns: Edns | null): EdnsOption | undefined {
  return edns?.options.find(({ code }) => code === EDNS_OPTION.TCP_KEEPALIVE)
}
