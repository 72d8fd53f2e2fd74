import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { WireError } from '../../wire/errors.ts'
import { Name } from '../../wire/name.ts'
import { Reader } from '../../wire/reader.ts'

describe('a name with pointers', () => {
  test('may jump from pointer to pointer, but not for ever', () => {
    const chain = (jumps: number): Buffer => {
      const octets = Buffer.alloc(12 + 1 + 2 * jumps)
      for (let jump = 0; jump < jumps; jump += 1) {
        octets.writeUInt16BE(0xc000 | (jump === 0 ? 12 : 13 + 2 * (jump - 1)), 13 + 2 * jump)
      }
      return octets
    }
    const last = (octets: Buffer) => nameAt(new Reader(octets), octets.length - 2)
    expect(last(chain(127))).toBe('\0')
    expect(last(chain(128))).toBe('WireError')
    // As many as pointers reach: whoever followed them by recursion would run out of stack.
    expect(last(chain(8180))).toBe('WireError')
    // The limit is one of the name, not of how often a reader was asked.
    const octets = chain(128)
    const reader = new Reader(octets)
    for (let at = 13; at < octets.length - 2; at += 2) expect(nameAt(reader, at)).toBe('\0')
    expect(nameAt(reader, octets.length - 2)).toBe('WireError')
  })

  test('is one object wherever the same pointer stands', () => {
    const octets = Buffer.concat([Buffer.alloc(12), Buffer.from('04686f6d6500c00cc00c', 'hex')])
    const reader = new Reader(octets)
    reader.offset = 18
    const first = reader.name()
    expect(reader.name()).toBe(first)
    expect(first.toString()).toBe('home.')
    expect(reader.left).toBe(0)
  })

  test('holds none where octets are no whole message', () => {
    const octets = Buffer.from('0161c000', 'hex')
    expect(() => new Reader(octets, { pointers: false }).name()).toThrow('of its own')
  })

  test('reads as by the letter of the rules, whatever was read before', () => {
    const piece = fc.oneof(
      fc.constantFrom('00', '0161', '0162', '026363', '04686f6d65', '40', 'ff'),
      fc.nat(140).map((offset) => (0xc000 | offset).toString(16)),
    )
    const octets = fc
      .array(piece, { minLength: 20, maxLength: 60 })
      .map((pieces) => Buffer.from('00'.repeat(12) + pieces.join(''), 'hex'))
    fc.assert(
      fc.property(octets, fc.array(fc.nat(160), { minLength: 10, maxLength: 60 }), (octets, offsets) => {
        const reader = new Reader(octets)
        for (const offset of offsets.filter((offset) => offset <= octets.length)) {
          expect(nameAt(reader, offset)).toBe(plainly(octets, offset))
        }
      }),
      { numRuns: 2000 },
    )
  })
})

function nameAt(reader: Reader, offset: number): string {
  reader.offset = offset
  try {
    const name = reader.name()
    expect(name).toBeInstanceOf(Name)
    return name.wire
  } catch (error) {
    if (error instanceof WireError) return 'WireError'
    throw error
  }
}

/** The wire form of a name, by RFC 1035 section 4.1.4 and the limits, octet by octet. */
function plainly(octets: Buffer, offset: number): string {
  let wire = ''
  let [at, part, jumps] = [offset, offset, 0]
  for (;;) {
    const length = octets[at]
    if (length === undefined || (length > 63 && length < 0xc0)) return 'WireError'
    if (length >= 0xc0) {
      if (at + 1 >= octets.length) return 'WireError'
      const target = octets.readUInt16BE(at) & 0x3fff
      jumps += 1
      if (target >= part || target < 12 || jumps > 127) return 'WireError'
      at = target
      part = target
      continue
    }
    wire += octets.toString('latin1', at, at + 1 + length)
    at += 1 + length
    if (at > octets.length || wire.length > 255) return 'WireError'
    if (length === 0) return wire
  }
}
