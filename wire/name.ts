import { WireError } from './errors.ts'

/** RFC 1035 section 2.3.4: octets of a whole name in wire form, and of one label. */
export const MAX_NAME = 255
export const MAX_LABEL = 63

/**
 * A domain name, absolute, in the case it was written in.
 *
 * It is kept in wire form as a string of one character an octet, because strings are immutable, slice
 * without copying, and are what a `Map` wants as a key. A label is any octets at all: it may hold dots,
 * spaces or zeroes. Names are equal if their keys are.
 *
 * @see RFC 1035 section 3.1 for the wire form; RFC 4343 section 3 for the comparison without case.
 */
export class Name {
  static readonly root = new Name('\0')

  /** Length-prefixed labels, the root's zero octet included, case kept. */
  readonly wire: string
  #key: string | null = null

  private constructor(wire: string) {
    this.wire = wire
  }

  /** The wire form in lower case: what names are compared and looked up by. Made when first asked for. */
  get key(): string {
    this.#key ??= lowerCase(this.wire)
    return this.#key
  }

  /** Takes a wire form that is already known to be whole and within the limits. */
  static fromWire(wire: string): Name {
    return wire.length === 1 ? Name.root : new Name(wire)
  }

  /**
   * Reads presentation form: `nas.home.arpa.`, `a\.b.example.`, `\000.x.`, `@` (the origin itself).
   *
   * A name without the final dot is relative to `origin`, by default to the root.
   *
   * @throws {WireError} `NAME_INVALID`
   * @see RFC 1035 section 5.1 for the escapes.
   */
  static parse(text: string, origin: Name = Name.root): Name {
    if (text === '@') return origin
    if (text === '.') return Name.root
    let wire = ''
    let label = ''
    let absolute = false
    for (let at = 0; at < text.length; ) {
      absolute = text[at] === '.'
      if (absolute) {
        wire += lengthPrefixed(label, text)
        label = ''
        at += 1
        continue
      }
      const { octet, next } = readOctet(text, at)
      label += octet
      at = next
    }
    if (!absolute) wire += lengthPrefixed(label, text) + origin.wire
    else wire += '\0'
    if (wire.length > MAX_NAME) {
      throw new WireError(
        'NAME_INVALID',
        `the name ${quote(text)} is too long: ${wire.length} octets in wire form, at most ${MAX_NAME} are allowed`,
      )
    }
    return Name.fromWire(wire)
  }

  /** Whether it is the same name, in whatever case. Makes no keys, for names that are looked at once. */
  equals(other: Name): boolean {
    if (this === other) return true
    if (this.wire.length !== other.wire.length) return false
    for (let at = 0; at < this.wire.length; at += 1) {
      const [one, two] = [this.wire.charCodeAt(at), other.wire.charCodeAt(at)]
      if (one !== two && lowerCaseOf(one) !== lowerCaseOf(two)) return false
    }
    return true
  }

  /** The labels from left to right, without the root's empty one. */
  labels(): string[] {
    const labels: string[] = []
    for (let at = 0; this.wire.charCodeAt(at) !== 0; at += 1 + this.wire.charCodeAt(at)) {
      labels.push(this.wire.slice(at + 1, at + 1 + this.wire.charCodeAt(at)))
    }
    return labels
  }

  isAtOrBelow(ancestor: Name): boolean {
    for (let key = this.key; key.length >= ancestor.key.length; key = parentKey(key)) {
      if (key === ancestor.key) return true
      if (key === Name.root.key) return false
    }
    return false
  }

  toLowerCase(): Name {
    return this.wire === this.key ? this : Name.fromWire(this.key)
  }

  /** Presentation form with the final dot, escaped so that `parse` gives the same octets back. */
  toString(): string {
    return this === Name.root
      ? '.'
      : this.labels()
          .map((label) => `${escapeLabel(label)}.`)
          .join('')
  }
}

/** The key of the name one label up. The root has none above it: do not ask. */
export function parentKey(key: string): string {
  return key.slice(1 + key.charCodeAt(0))
}

/** One octet of presentation form, which may be written `\X` or `\DDD`, and where the next one starts. */
function readOctet(text: string, at: number): { octet: string; next: number } {
  const character = text[at]!
  if (character === '\\') {
    const decimal = /^\d{3}/.exec(text.slice(at + 1))?.[0]
    if (decimal !== undefined && Number(decimal) <= 255) {
      return { octet: String.fromCharCode(Number(decimal)), next: at + 4 }
    }
    const escaped = text[at + 1]
    if (escaped === undefined || /\d/.test(escaped)) {
      throw new WireError(
        'NAME_INVALID',
        `the name ${quote(text)} has a broken escape: write \\ and one character, or \\ and three digits up to 255`,
      )
    }
    return { octet: escaped, next: at + 2 }
  }
  if (character.charCodeAt(0) > 0x7e || character.charCodeAt(0) < 0x21) {
    throw new WireError(
      'NAME_INVALID',
      `the name ${quote(text)} holds a character outside printable ASCII: write international names in their xn-- form, other octets as \\DDD`,
    )
  }
  return { octet: character, next: at + 1 }
}

function lengthPrefixed(label: string, text: string): string {
  if (label.length === 0) {
    throw new WireError('NAME_INVALID', `the name ${quote(text)} has an empty label: remove the extra dot`)
  }
  if (label.length > MAX_LABEL) {
    throw new WireError(
      'NAME_INVALID',
      `the name ${quote(text)} has a label of ${label.length} octets, at most ${MAX_LABEL} are allowed`,
    )
  }
  return String.fromCharCode(label.length) + label
}

/**
 * Lower case of ASCII letters only, which `toLowerCase` would not leave it at. A length octet is at most
 * 63 and so never taken for a letter.
 */
function lowerCase(wire: string): string {
  if (!/[A-Z]/.test(wire)) return wire
  const octets = Buffer.from(wire, 'latin1')
  for (let at = 0; at < octets.length; at += 1) {
    octets[at] = lowerCaseOf(octets[at]!)
  }
  return octets.toString('latin1')
}

function lowerCaseOf(octet: number): number {
  return octet >= 0x41 && octet <= 0x5a ? octet + 0x20 : octet
}

function escapeLabel(label: string): string {
  return label.replace(/[^!-~]|[.\\"();@$]/g, (octet) =>
    octet < '!' || octet > '~' ? `\\${String(octet.charCodeAt(0)).padStart(3, '0')}` : `\\${octet}`,
  )
}

/** Text from outside in an error message: short, and without control characters. */
function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text)
}
