import type { Name } from './name.ts'

/** The upper two bits of a compression pointer, and the largest offset that the other 14 reach. */
const POINTER = 0xc000
const MAX_POINTER = 0x3fff

/**
 * Writes octets into a growing buffer.
 *
 * Names are compressed against earlier ones only where their case is the same too, so that decoding
 * gives back exactly what was encoded.
 */
export class Writer {
  #buffer = Buffer.allocUnsafe(256)
  #length = 0
  /** Where names, and the names they end in, were written, by their wire form. */
  readonly #nameOffsets = new Map<string, number>()

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

  /** A name; compressed, only the labels before those that an earlier name ends in, and a pointer to it. */
  name({ wire }: Name, compress: boolean): void {
    if (!compress) {
      this.#latin1(wire, wire.length)
      return
    }
    const start = this.#length
    let end = 0
    let earlier: number | undefined
    while (wire.charCodeAt(end) !== 0) {
      const rest = end === 0 ? wire : wire.slice(end)
      earlier = this.#nameOffsets.get(rest)
      if (earlier !== undefined) break
      if (start + end <= MAX_POINTER) this.#nameOffsets.set(rest, start + end)
      end += 1 + wire.charCodeAt(end)
    }
    if (end > 0) this.#latin1(wire, end)
    if (earlier === undefined) this.u8(0)
    else this.u16(POINTER | earlier)
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

  #latin1(text: string, length: number): void {
    const at = this.#extend(length)
    this.#buffer.write(text, at, length, 'latin1')
  }

  #extend(count: number): number {
    const at = this.#length
    if (at + count > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(at + count, 2 * this.#buffer.length))
      larger.set(this.#buffer)
      this.#buffer = larger
    }
    this.#length = at + count
    return at
  }
}
