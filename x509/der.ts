import { HearthError } from '../base/errors.ts'

/**
 * DER (X.690), the part of it that certificates use: writing, and strict reading.
 *
 * Written by hand because every issue and every OCSP answer passes here: a general ASN.1 library
 * takes ten times as long for the same bytes. Tests re-read all of it with asn1js and OpenSSL.
 */

export class DerError extends HearthError<'DER_INVALID'> {
  constructor(message: string) {
    super('DER_INVALID', message)
  }
}

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

// Writing

export function tlv(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  let length = 0
  for (const content of contents) length += content.length
  const header =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : length < 0x10000
          ? [tag, 0x82, length >> 8, length & 0xff]
          : length < 0x1000000
            ? [tag, 0x83, length >> 16, (length >> 8) & 0xff, length & 0xff]
            : [tag, 0x84, length >>> 24, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff]
  const out = Buffer.allocUnsafe(header.length + length)
  let at = header.length
  out.set(header)
  for (const content of contents) {
    out.set(content, at)
    at += content.length
  }
  return out
}

export const sequence = (...contents: readonly Uint8Array[]): Buffer => tlv(TAG.sequence, ...contents)
export const set = (...contents: readonly Uint8Array[]): Buffer => tlv(TAG.set, ...contents)
export const octetString = (bytes: Uint8Array): Buffer => tlv(TAG.octetString, bytes)
export const utf8String = (text: string): Buffer => tlv(TAG.utf8String, Buffer.from(text, 'utf8'))
export const boolean = (value: boolean): Buffer => Buffer.from([TAG.boolean, 1, value ? 0xff : 0])
export const nullValue = Buffer.from([TAG.null, 0])

/** A context-specific tag around constructed contents: `[n] EXPLICIT`, or `[n] IMPLICIT` of a SEQUENCE or SET. */
export const context = (n: number, ...contents: readonly Uint8Array[]): Buffer => tlv(0xa0 | n, ...contents)

/** A context-specific tag in place of a primitive one: `[n] IMPLICIT`. */
export const contextPrimitive = (n: number, bytes: Uint8Array): Buffer => tlv(0x80 | n, bytes)

/** An INTEGER from its unsigned big-endian octets, of any length; leading zeros are minimised. */
export function unsignedInteger(octets: Uint8Array): Buffer {
  let start = 0
  while (start < octets.length - 1 && octets[start] === 0) start++
  const minimal = octets.subarray(start)
  return (minimal[0] ?? 0) & 0x80 ? tlv(TAG.integer, Buffer.of(0), minimal) : tlv(TAG.integer, minimal)
}

/** An INTEGER from a number that is not negative. */
export function integer(value: number): Buffer {
  const hex = value.toString(16)
  return unsignedInteger(Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex'))
}

export function enumerated(value: number): Buffer {
  return Buffer.from([TAG.enumerated, 1, value])
}

/** A BIT STRING of whole octets, or with the last `unusedBits` bits left out. */
export function bitString(bytes: Uint8Array, unusedBits = 0): Buffer {
  return tlv(TAG.bitString, Buffer.of(unusedBits), bytes)
}

/** A BIT STRING with named bits (KeyUsage...): bit 0 is the highest, trailing zero bits are cut. */
export function namedBits(bits: readonly number[]): Buffer {
  const last = Math.max(...bits)
  const octets = Buffer.alloc((last >> 3) + 1)
  for (const bit of bits) octets[bit >> 3]! |= 0x80 >> (bit & 7)
  return bitString(octets, 7 - (last & 7))
}

export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const octets: number[] = []
  for (const arc of [first * 40 + second, ...rest]) {
    const groups = [arc & 0x7f]
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
      groups.unshift(0x80 | (left & 0x7f))
    octets.push(...groups)
  }
  return tlv(TAG.oid, Buffer.from(octets))
}

/** A Time of a certificate or CRL: UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 section 4.1.2.5). */
export function time(milliseconds: number): Buffer {
  const digits = timeDigits(milliseconds)
  return digits < '2050'
    ? tlv(TAG.utcTime, Buffer.from(`${digits.slice(2)}Z`))
    : generalizedTime(milliseconds)
}

export function generalizedTime(milliseconds: number): Buffer {
  return tlv(TAG.generalizedTime, Buffer.from(`${timeDigits(milliseconds)}Z`))
}

function timeDigits(milliseconds: number): string {
  return new Date(milliseconds).toISOString().slice(0, 19).replace(/[-T:]/g, '')
}

// Reading

/** One element: its tag octet, its contents, and the whole of it with tag and length. */
export interface Element {
  tag: number
  content: Buffer
  whole: Buffer
}

/**
 * Reads elements one after another from DER octets.
 *
 * Strict: definite minimal lengths only, nothing beyond the end, one-octet tags. It never recurses,
 * so hostile nesting costs nothing.
 *
 * @throws {DerError} at the first octet that is not what was asked for.
 */
export class DerReader {
  readonly #bytes: Buffer
  readonly #what: string
  #at = 0

  /** @param what Names the structure in error messages. */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#what = what
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length
  }

  /** The next tag, or -1 at the end. */
  get nextTag(): number {
    return this.#bytes[this.#at] ?? -1
  }

  any(): Element {
    const start = this.#at
    const tag = this.#octet()
    if ((tag & 0x1f) === 0x1f) throw this.#error('has a tag of several octets')
    let length = this.#octet()
    if (length >= 0x80) {
      const count = length & 0x7f
      if (count === 0 || count > 4) throw this.#error('has an indefinite or oversized length')
      length = 0
      for (let i = 0; i < count; i++) length = length * 256 + this.#octet()
      if (length < 0x80 || length < 256 ** (count - 1)) throw this.#error('has a length that is not minimal')
    }
    if (length > this.#bytes.length - this.#at) throw this.#error('is cut short')
    const content = this.#bytes.subarray(this.#at, this.#at + length)
    this.#at += length
    return { tag, content, whole: this.#bytes.subarray(start, this.#at) }
  }

  element(tag: number): Element {
    if (this.nextTag !== tag) throw this.#error(`has tag ${hex(this.nextTag)} where ${hex(tag)} belongs`)
    return this.any()
  }

  content(tag: number): Buffer {
    return this.element(tag).content
  }

  /** A reader of the contents of the next element, which must have this tag. */
  enter(tag: number = TAG.sequence): DerReader {
    return new DerReader(this.content(tag), this.#what)
  }

  optional(tag: number): Element | null {
    return this.nextTag === tag ? this.any() : null
  }

  oid(): string {
    const octets = this.content(TAG.oid)
    const arcs: number[] = []
    let arc = 0
    for (const octet of octets) {
      if (arc === 0 && octet === 0x80) throw this.#error('has a broken object identifier')
      arc = arc * 128 + (octet & 0x7f)
      if (arc > Number.MAX_SAFE_INTEGER / 128) throw this.#error('has an object identifier out of bounds')
      if (octet & 0x80) continue
      arcs.push(arc)
      arc = 0
    }
    if (octets.length === 0 || octets.at(-1)! & 0x80) throw this.#error('has a broken object identifier')
    const first = Math.min(2, Math.floor(arcs[0]! / 40))
    return [first, arcs[0]! - first * 40, ...arcs.slice(1)].join('.')
  }

  /** The octets of an INTEGER that is not negative, without the sign octet. */
  unsignedInteger(): Buffer {
    const octets = this.content(TAG.integer)
    if (octets.length === 0 || octets[0]! & 0x80) throw this.#error('has a negative or empty integer')
    if (octets.length > 1 && octets[0] === 0) {
      if (!(octets[1]! & 0x80)) throw this.#error('has an integer that is not minimal')
      return octets.subarray(1)
    }
    return octets
  }

  /** An INTEGER that fits into a number. */
  smallInteger(): number {
    const octets = this.unsignedInteger()
    if (octets.length > 6) throw this.#error('has an integer out of bounds')
    return octets.readUIntBE(0, octets.length)
  }

  /** The octets of a BIT STRING without unused bits. */
  bitString(): Buffer {
    const octets = this.content(TAG.bitString)
    if (octets[0] !== 0) throw this.#error('has a bit string with unused bits')
    return octets.subarray(1)
  }

  /** The set bits of a BIT STRING with named bits. */
  namedBits(): number[] {
    const octets = this.content(TAG.bitString).subarray(1)
    return Array.from({ length: octets.length * 8 }, (_, bit) => bit).filter(
      (bit) => octets[bit >> 3]! & (0x80 >> (bit & 7)),
    )
  }

  boolean(): boolean {
    const octets = this.content(TAG.boolean)
    if (octets.length !== 1 || (octets[0] !== 0 && octets[0] !== 0xff))
      throw this.#error('has a broken boolean')
    return octets[0] === 0xff
  }

  /** UTCTime or GeneralizedTime, in milliseconds. */
  time(): number {
    const { tag, content } = this.any()
    const text = content.toString('latin1')
    const match =
      tag === TAG.utcTime
        ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text)
        : tag === TAG.generalizedTime
          ? /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text)
          : null
    if (match === null) throw this.#error('has a broken time')
    const [year = 0, month = 0, ...rest] = match.slice(1).map(Number)
    const full = tag === TAG.utcTime ? (year < 50 ? 2000 + year : 1900 + year) : year
    const [day = 0, hour = 0, minute = 0, second = 0] = rest
    const milliseconds = Date.UTC(full, month - 1, day, hour, minute, second)
    if (!`${timeDigits(milliseconds)}Z`.endsWith(text)) throw this.#error('has a broken time')
    return milliseconds
  }

  /** @throws {DerError} if anything follows. */
  end(): void {
    if (!this.done) throw this.#error('has something behind its end')
  }

  #octet(): number {
    const octet = this.#bytes[this.#at++]
    if (octet === undefined) throw this.#error('is cut short')
    return octet
  }

  #error(problem: string): DerError {
    return new DerError(`the ${this.#what} ${problem}, near octet ${Math.min(this.#at, this.#bytes.length)}`)
  }
}

function hex(tag: number): string {
  return tag < 0 ? 'none' : `0x${tag.toString(16).padStart(2, '0')}`
}
