import { malformed } from '../wire/reader.ts'

/** A message as it travels on a stream: after its length in two octets (RFC 1035 section 4.2.2). */
export function frame(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(2 + message.length)
  framed.writeUInt16BE(message.length, 0)
  framed.set(message, 2)
  return framed
}

/** A chunk of one octet takes a hundred times its size. */
const MAX_CHUNKS = 32

/** Cuts a stream into messages, however the network has cut it into chunks. */
export class FrameReader {
  readonly #maxMessage: number
  #chunks: Buffer[] = []
  #buffered = 0

  /** Longer messages than `maxMessage` octets are an error: no honest peer has any to send. */
  constructor(maxMessage = 0xffff) {
    this.#maxMessage = maxMessage
  }

  /**
   * Takes a chunk and gives back the messages that are whole now.
   *
   * @throws {WireError} `MESSAGE_MALFORMED`; nothing after it in the stream can be told apart.
   */
  push(chunk: Buffer): Buffer[] {
    this.#chunks.push(chunk)
    this.#buffered += chunk.length
    if (this.#chunks.length > MAX_CHUNKS) this.#chunks = [Buffer.concat(this.#chunks)]
    const messages: Buffer[] = []
    for (;;) {
      if (this.#buffered < 2) return messages
      const length = this.#peekLength()
      if (length === 0 || length > this.#maxMessage) {
        throw malformed(`a length of ${length} octets stands before a message`)
      }
      if (this.#buffered < 2 + length) return messages
      const bytes = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks)
      messages.push(bytes.subarray(2, 2 + length))
      const rest = bytes.subarray(2 + length)
      this.#chunks = rest.length === 0 ? [] : [rest]
      this.#buffered = rest.length
    }
  }

  #peekLength(): number {
    const [first, second] = this.#chunks
    return first!.length > 1 ? first!.readUInt16BE(0) : (first![0]! << 8) | second![0]!
  }
}
