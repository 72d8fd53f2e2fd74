import { WireError } from './errors.ts'
import type { Name } from './name.ts'

/** The largest offset that the 14 bits of a compression pointer reach. */
const MAX_POINTER = 0x3fff

/**
 * Writes octets into a growing buffer of at most `limit` octets.
 *
 * Names are compressed against earlier ones only where their case is the same too, so that decoding
 * gives back exactly what was encoded.
 *
 * @throws {WireError} `MESSAGE_TOO_LARGE` from every method that would pass the limit.
 */
export class Writer {
  readonly #limit: number
  #buffer = Buffer.allocUnsafe(512)
  #length = 0
  readonly #nameOffsets = new Map<string, number>()

  constructor(limit: number) {
    this.#limit = limit
  }

  get offset(): number {
    return this.#length
  }

  u8(value: number): void {
    const at = this.#extend(1)
    this.#buffer[at] = value
  }

  u16(value: number): void {
    const at = this.#extend(2)
    this.#buffer.writeUInt16BE(value, at)
  }

  u32(value: number): void {
    const at = this.#extend(4)
    this.#buffer.writeUInt32BE(value, at)
  }

  octets(octets: Uint8Array): void {
    const at = this.#extend(octets.length)
    this.#buffer.set(octets, at)
  }

  name(name: Name, compress: boolean): void {
    let rest = name.wire
    while (rest.length > 1) {
      const earlier = compress ? this.#nameOffsets.get(rest) : undefined
      if (earlier !== undefined) {
        this.u16(0xc000 | earlier)
        return
      }
      if (this.#length <= MAX_POINTER && !this.#nameOffsets.has(rest))
        this.#nameOffsets.set(rest, this.#length)
      const labelEnd = 1 + rest.charCodeAt(0)
      const at = this.#extend(labelEnd)
      this.#buffer.write(rest, at, labelEnd, 'latin1')
      rest = rest.slice(labelEnd)
    }
    this.u8(0)
  }

  /** Overwrites two octets that are already written: a length or a count known only afterwards. */
  patchU16(at: number, value: number): void {
    this.#buffer.writeUInt16BE(value, at)
  }

  /** Forgets everything from `offset` on, the names there included. */
  rewind(offset: number): void {
    this.#length = offset
    for (const [name, at] of this.#nameOffsets) if (at >= offset) this.#nameOffsets.delete(name)
  }

  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  #extend(count: number): number {
    const at = this.#length
    if (at + count > this.#limit) {
      throw new WireError('MESSAGE_TOO_LARGE', `the DNS message does not fit into ${this.#limit} octets`)
    }
    if (at + count > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(at + count, 2 * this.#buffer.length))
      larger.set(this.#buffer)
      this.#buffer = larger
    }
    this.#length = at + count
    return at
  }
}
