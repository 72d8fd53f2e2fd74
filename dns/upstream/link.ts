import { encodeMessage, type Message } from '../../wire/message.ts'
import { EDNS_OPTION, RCODE } from '../../wire/registry.ts'

/** The way to one upstream, kept open between questions where the transport has connections. */
export interface Link {
  /**
   * Resolves with the reply to this very query, whatever its rcode. The query's id is chosen here.
   *
   * Rejects with the signal's reason, with the network's error, or with a `WireError` where the upstream
   * sent something that is no message.
   */
  ask(query: Message, signal: AbortSignal): Promise<Message>
  /** Cuts what is open; whoever waits gets an error. */
  close(): void
}

/** Whether a message can be the reply to a query: a response with the same question (RFC 5452 section 9.1). */
export function answersTo(query: Message, reply: Message): boolean {
  const [asked] = query.questions
  const [echoed, ...more] = reply.questions
  if (!reply.qr || reply.opcode !== query.opcode || more.length > 0) return false
  // Whoever cannot read a query cannot repeat it: so old servers say that they do not know EDNS (RFC 6891 section 7).
  if (echoed === undefined) return reply.rcode === RCODE.FORMERR
  return echoed.name.key === asked!.name.key && echoed.type === asked!.type && echoed.class === asked!.class
}

/** RFC 8467 section 4.1: octets to a multiple of which queries grow, so that their size tells less of the name. */
const PADDING_BLOCK = 128

/** Octets of code and length of an option. */
const OPTION_HEAD = 4

/** The octets of a query for an encrypted transport. Without an OPT there is nowhere to pad. */
export function encodePadded(query: Message): Buffer {
  const { edns } = query
  if (edns === null) return encodeMessage(query)
  const bare = encodeMessage(query).length + OPTION_HEAD
  const padding = { code: EDNS_OPTION.PADDING, data: Buffer.alloc(-bare & (PADDING_BLOCK - 1)) }
  return encodeMessage({ ...query, edns: { ...edns, options: [...edns.options, padding] } })
}

/** A promise that the signal can end too, and whose `release` runs exactly once, however it ends. */
export function settleOnce<T>(
  signal: AbortSignal,
  start: (resolve: (value: T) => void, reject: (reason: unknown) => void) => void,
  release: () => void,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  const onAbort = () => reject(signal.reason)
  signal.addEventListener('abort', onAbort)
  try {
    if (signal.aborted) onAbort()
    else start(resolve, reject)
  } catch (error) {
    reject(error)
  }
  return promise.finally(() => {
    signal.removeEventListener('abort', onAbort)
    release()
  })
}
