import { WireError } from './errors.ts'
import { MAX_LABEL, MAX_NAME, Name } from './name.ts'

/** A name of 255 octets has at most 127 labels: more jumps than that carry nothing. */
const MAX_JUMPS = 127

/** A pointer into the header would take counts for labels. */
const FIRST_NAME_OFFSET = 12

/** Where a label's length would stand: the upper two bits of a compression pointer. */
const POINTER = 0xc0

/** A name that a pointer led to. */
interface EarlierName {
  name: Name
  /** The offset at which it goes on after its own labels, if they end in a pointer. */
  next: number | null
  /** How many pointers are followed to its end. */
  jumps: number
}

/**
 * Reads octets from front to back and never past their end.
 *
 * @throws {WireError} `MESSAGE_MALFORMED` from every method, if what is asked for is not there.
 */
export class Reader {
  readonly bytes: Buffer
  offset = 0
  readonly #pointers: boolean
  /**
   * What was found at the labels that pointers led through, by offset. Each label is walked over once,
   * so that a message full of pointers to long names takes no longer than any other.
   */
  #earlier: Map<number, EarlierName> | null = null

  /** `pointers: false` for octets that are not a whole message, where a pointer can lead nowhere. */
  constructor(bytes: Uint8Array, options = { pointers: true }) {
    this.bytes =
      bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#pointers = options.pointers
  }

  get left(): number {
    return this.bytes.length - this.offset
  }

  u8(): number {
    return this.bytes[this.#advance(1)]!
  }

  u16(): number {
    const at = this.#advance(2)
    return (this.bytes[at]! << 8) | this.bytes[at + 1]!
  }

  u32(): number {
    return this.bytes.readUInt32BE(this.#advance(4))
  }

  /** A view, not a copy: whoever keeps it keeps the whole message in memory. */
  octets(count: number): Buffer {
    const start = this.#advance(count)
    return this.bytes.subarray(start, start + count)
  }

  skip(count: number): void {
    this.#advance(count)
  }

  /**
   * A name, which may end in a pointer to an earlier one (RFC 1035 section 4.1.4).
   *
   * Each jump must land before the labels it came from, so that following them always ends.
   */
  name(): Name {
    const start = this.offset
    let end = start
    for (;;) {
      const length = this.#labelLength(end)
      if (length === 0) {
        this.offset = end + 1
        return this.#join(start, end, Name.root)
      }
      if (length >= POINTER) {
        this.offset = end + 2
        return this.#join(start, end, this.#follow(end, start, MAX_JUMPS).name)
      }
      end += 1 + length
    }
  }

  /** The name at which the pointer at `at` leads, which stands at the end of labels that begin at `start`. */
  #follow(at: number, start: number, jumpsLeft: number): EarlierName {
    const target = this.#pointerAt(at)
    if (target >= start || target < FIRST_NAME_OFFSET || jumpsLeft === 0) throw badPointer()
    const earlier = this.#earlier?.get(target) ?? this.#readEarlier(target, jumpsLeft - 1)
    if (earlier.jumps >= jumpsLeft) throw badPointer()
    return earlier
  }

  /** Walks from `start` to the root, to a pointer, or to a label that was walked over before. */
  #readEarlier(start: number, jumpsLeft: number): EarlierName {
    this.#earlier ??= new Map()
    const labels = [start]
    let at = start
    let rest: EarlierName | undefined
    while (rest === undefined) {
      const length = this.#labelLength(at)
      if (length === 0) rest = { name: Name.root, next: null, jumps: 0 }
      else if (length >= POINTER) {
        const { name, jumps } = this.#follow(at, start, jumpsLeft)
        rest = { name, next: this.#pointerAt(at), jumps: jumps + 1 }
      } else {
        at += 1 + length
        rest = this.#earlier.get(at)
        if (rest !== undefined && rest.next !== null && rest.next >= start) throw badPointer()
        if (rest === undefined) labels.push(at)
      }
    }
    const whole = this.#join(start, at, rest.name)
    for (const label of labels) {
      const name = label === start ? whole : Name.fromWire(whole.wire.slice(label - start))
      this.#earlier.set(label, { ...rest, name })
    }
    return { ...rest, name: whole }
  }

  /** The octet at which a label or the root's end stands: its length, or `POINTER` and more. */
  #labelLength(at: number): number {
    const length = this.bytes[at]
    if (length === undefined) throw malformed('a name runs past the end')
    if (length > MAX_LABEL && length < POINTER) throw malformed('a label has a reserved type')
    return length
  }

  #pointerAt(at: number): number {
    if (!this.#pointers) throw malformed('a name of its own holds a compression pointer')
    const low = this.bytes[at + 1]
    if (low === undefined) throw malformed('a compression pointer runs past the end')
    return ((this.bytes[at]! & 0x3f) << 8) | low
  }

  /** The labels from `start` to `end`, and then those of `rest`. */
  #join(start: number, end: number, rest: Name): Name {
    if (start === end) return rest
    if (end - start + rest.wire.length > MAX_NAME) throw malformed(`a name has more than ${MAX_NAME} octets`)
    return Name.fromWire(this.bytes.toString('latin1', start, end) + rest.wire)
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

function badPointer(): WireError {
  return malformed('a compression pointer does not lead to an earlier name')
}
