import { WireError } from './errors.ts'
import { MAX_LABEL, MAX_NAME, Name } from './name.ts'

/** A name of 255 octets has at most 127 labels: more jumps than that carry nothing. */
const MAX_JUMPS = 127

/** A pointer into the header would take counts for labels. */
const FIRST_NAME_OFFSET = 12

/**
 * Reads octets from front to back and never past their end.
 *
 * @throws {WireError} `MESSAGE_MALFORMED` from every method, if what is asked for is not there.
 */
export class Reader {
  readonly bytes: Buffer
  offset = 0
  readonly #pointers: boolean

  /** `pointers: false` for octets that are not a whole message, where a pointer can lead nowhere. */
  constructor(bytes: Uint8Array, options = { pointers: true }) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#pointers = options.pointers
  }

  get left(): number {
    return this.bytes.length - this.offset
  }

  u8(): number {
    return this.bytes[this.#advance(1)]!
  }

  u16(): number {
    return this.bytes.readUInt16BE(this.#advance(2))
  }

  u32(): number {
    return this.bytes.readUInt32BE(this.#advance(4))
  }

  /** A view, not a copy: whoever keeps it keeps the whole message in memory. */
  octets(count: number): Buffer {
    const start = this.#advance(count)
    return this.bytes.subarray(start, start + count)
  }

  /**
   * A name, which may end in a pointer to an earlier one (RFC 1035 section 4.1.4).
   *
   * Each jump must land before the labels it came from, so that following them always ends.
   */
  name(): Name {
    let wire = ''
    let at = this.offset
    let partStart = at
    let jumps = 0
    for (;;) {
      const length = this.bytes[at]
      if (length === undefined) throw malformed('a name runs past the end')
      if (length >= 0xc0) {
        if (!this.#pointers) throw malformed('a name of its own holds a compression pointer')
        const low = this.bytes[at + 1]
        if (low === undefined) throw malformed('a compression pointer runs past the end')
        if (jumps === 0) this.offset = at + 2
        jumps += 1
        const target = ((length & 0x3f) << 8) | low
        if (target >= partStart || target < FIRST_NAME_OFFSET || jumps > MAX_JUMPS) {
          throw malformed('a compression pointer does not lead to an earlier name')
        }
        at = target
        partStart = target
        continue
      }
      if (length > MAX_LABEL) throw malformed('a label has a reserved type')
      if (at + 1 + length > this.bytes.length) throw malformed('a label runs past the end')
      if (wire.length + 1 + length + (length === 0 ? 0 : 1) > MAX_NAME) {
        throw malformed(`a name has more than ${MAX_NAME} octets`)
      }
      wire += this.bytes.toString('latin1', at, at + 1 + length)
      at += 1 + length
      if (length === 0) break
    }
    if (jumps === 0) this.offset = at
    return Name.fromWire(wire)
  }

  #advance(count: number): number {
    if (count > this.left) throw malformed('a field runs past the end')
    const start = this.offset
    this.offset += count
    return start
  }
}

export function malformed(what: string): WireError {
  return new WireError('MESSAGE_MALFORMED', `not a DNS message: ${what}`)
}
