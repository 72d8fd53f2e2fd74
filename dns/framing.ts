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

  /** Takes a chunk and gives back the messages that are whole now. Throws as `next` does. */
  push(chunk: Buffer): Buffer[] {
    this.add(chunk)
    const messages: Buffer[] = []
    for (let message = this.next(); message !== null; message = this.next()) messages.push(message)
    return messages
  }

  /** Takes a chunk. It stays as it is until its messages are asked for: as objects, they take far more room. */
  add(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#buffered += chunk.length
    if (this.#chunks.length > MAX_CHUNKS) this.#chunks = [Buffer.concat(this.#chunks)]
  }

  /**
   * The next message; null while none is whole.
   *
   * @throws {WireError} `MESSAGE_MALFORMED`; nothing after it in the stream can be told apart.
   */
  next(): Buffer | null {
    if (this.#buffered < 2) return null
    const length = this.#peekLength()
    if (length === 0 || length > this.#maxMessage) {
      throw malformed(`a length of ${length} octets stands before a message`)
    }
    if (this.#buffered < 2 + length) return null
    const bytes = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks)
    const rest = bytes.subarray(2 + length)
    this.#chunks = rest.length === 0 ? [] : [rest]
    this.#buffered = rest.length
    return bytes.subarray(2, 2 + length)
  }

  #peekLength(): number {
    const [first, second] = this.#chunks
    return first!.length > 1 ? first!.readUInt16BE(0) : (first![0]! << 8) | second![0]!
  }
}
