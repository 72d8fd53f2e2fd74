/** Octets that limits and flags turn on: labels end at 3f, pointers start at c0. */
const TELLING = [0x00, 0x01, 0x0c, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff]

/** Where a change does most. */
interface Landmarks {
  /** Offsets of two octets that say how much follows: counts, RDLENGTHs. */
  lengths: number[]
  /** Offsets of labels and pointers. */
  labels: number[]
}

type Mutation = (octets: Buffer) => Buffer

/** Pseudo-random numbers that a seed decides (mulberry32). */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** From 0 to `limit` - 1. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit)
  }

  of<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!
  }
}

/** Makes damaged messages of whole ones. The same seed and messages make the same ones in the same order. */
export class Mutator {
  readonly #random: Random
  readonly #messages: readonly Buffer[]
  #landmarks: Landmarks = { lengths: [], labels: [] }

  constructor(random: Random, messages: readonly Buffer[]) {
    this.#random = random
    this.#messages = messages
  }

  next(): Buffer {
    let octets: Buffer = Buffer.from(this.#random.of(this.#messages))
    this.#landmarks = landmarksOf(octets)
    for (let left = this.#random.of([1, 1, 1, 2, 3]); left > 0; left -= 1) {
      octets = this.#random.of(this.#mutations)(octets)
    }
    return octets
  }

  readonly #mutations: readonly Mutation[] = [
    // Bits flipped.
    (octets) => {
      for (let left = 1 + this.#random.below(4); left > 0 && octets.length > 0; left -= 1) {
        const at = this.#random.below(octets.length)
        octets[at] = octets[at]! ^ (1 << this.#random.below(8))
      }
      return octets
    },
    // An octet set.
    (octets) => this.#set(octets, this.#random.below(octets.length), this.#random.of(TELLING)),
    // Cut short.
    (octets) => octets.subarray(0, this.#random.below(octets.length + 1)),
    // A length or a count a little or far off.
    (octets) => {
      const at = this.#random.of(this.#landmarks.lengths)
      if (at + 2 > octets.length) return octets
      const length = octets.readUInt16BE(at)
      const wrong = this.#random.of([length - 1, length + 1, length * 2, 0, 0xffff, this.#random.below(300)])
      octets.writeUInt16BE(wrong & 0xffff, at)
      return octets
    },
    // A label of another length.
    (octets) => this.#set(octets, this.#random.of(this.#landmarks.labels), this.#random.below(0x50)),
    // A pointer where a label or another pointer was.
    (octets) => {
      const at = this.#random.of(this.#landmarks.labels)
      const target = this.#random.of([
        at,
        at + 2,
        this.#random.of(this.#landmarks.labels),
        this.#random.below(300),
      ])
      if (at + 2 <= octets.length) octets.writeUInt16BE(0xc000 | (target & 0x3fff), at)
      return octets
    },
    // The front of one message and the back of another.
    (octets) => {
      const other = this.#random.of(this.#messages)
      return Buffer.concat([
        octets.subarray(0, this.#random.below(octets.length + 1)),
        other.subarray(this.#random.below(other.length + 1)),
      ])
    },
    // A piece taken out, or there twice.
    (octets) => {
      const [start, end] = this.#piece(octets)
      return Buffer.concat([octets.subarray(0, start), octets.subarray(end)])
    },
    (octets) => {
      const [start, end] = this.#piece(octets)
      return Buffer.concat([octets.subarray(0, end), octets.subarray(start)])
    },
    // Any octets put in.
    (octets) => {
      const at = this.#random.below(octets.length + 1)
      const more = Buffer.from(
        Array.from({ length: 1 + this.#random.below(12) }, () => this.#random.below(256)),
      )
      return Buffer.concat([octets.subarray(0, at), more, octets.subarray(at)])
    },
  ]

  #set(octets: Buffer, at: number, octet: number): Buffer {
    if (at < octets.length) octets[at] = octet
    return octets
  }

  #piece(octets: Buffer): [start: number, end: number] {
    const start = this.#random.below(octets.length + 1)
    return [start, Math.min(octets.length, start + 1 + this.#random.below(40))]
  }
}

/** Looks through a message as far as it is one. */
function landmarksOf(octets: Buffer): Landmarks {
  const landmarks: Landmarks = { lengths: [4, 6, 8, 10], labels: [12] }
  if (octets.length < 12) return landmarks
  const [questions, answers, authorities, additionals] = [4, 6, 8, 10].map((at) => octets.readUInt16BE(at))
  let at = 12
  const passName = () => {
    for (;;) {
      const length = octets[at] ?? 0
      landmarks.labels.push(at)
      at += length >= 0xc0 ? 2 : 1 + length
      if (length === 0 || length >= 0xc0) return
    }
  }
  for (let left = questions!; left > 0 && at < octets.length; left -= 1) {
    passName()
    at += 4
  }
  for (let left = answers! + authorities! + additionals!; left > 0 && at < octets.length; left -= 1) {
    passName()
    at += 8
    if (at + 2 > octets.length) break
    landmarks.lengths.push(at)
    // RDATA may start with a name or, in an OPT, have an option's length after its code.
    landmarks.labels.push(at + 2)
    landmarks.lengths.push(at + 4)
    at += 2 + octets.readUInt16BE(at)
  }
  return landmarks
}
