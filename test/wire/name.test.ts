import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { Name, parentKey } from '../../wire/name.ts'
import { anyName, hostName } from './arbitraries.ts'

describe('text', () => {
  test('of any name reads back as the same octets', () => {
    fc.assert(fc.property(anyName, (name) => expect(Name.parse(name.toString()).wire).toBe(name.wire)))
  })

  test.each([
    ['nas.home.arpa.', '\x03nas\x04home\x04arpa\0'],
    ['nas', '\x03nas\x04home\x04arpa\0'],
    ['@', '\x04home\x04arpa\0'],
    ['.', '\0'],
    ['a\\.b', '\x03a.b\x04home\x04arpa\0'],
    ['a\\046b.', '\x03a.b\0'],
    ['\\000\\255.', '\x02\0\xff\0'],
    ['*.Apps', '\x01*\x04Apps\x04home\x04arpa\0'],
  ])('%s, relative to home.arpa', (text, wire) => {
    expect(Name.parse(text, Name.parse('home.arpa')).wire).toBe(wire)
  })

  test.each([
    ['', 'empty label'],
    ['a..b', 'empty label'],
    ['.a', 'empty label'],
    ['a\\', 'broken escape'],
    ['a\\25', 'broken escape'],
    ['a\\256', 'broken escape'],
    ['küche.home.arpa', 'xn--'],
    ['two words', 'outside printable ASCII'],
    [`${'a'.repeat(64)}.arpa`, 'a label of 64 octets, at most 63'],
    [`${'a'.repeat(63)}.`.repeat(4), '257 octets in wire form, at most 255'],
  ])('%j is refused', (text, reason) => {
    expect(() => Name.parse(text)).toThrow(reason)
  })

  test('a name of exactly 255 octets is the longest', () => {
    const text = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.`
    expect(Name.parse(`${text}${'d'.repeat(61)}.`).wire.length).toBe(255)
    expect(() => Name.parse(`${text}${'d'.repeat(62)}.`)).toThrow('too long')
  })
})

describe('comparison', () => {
  test('ignores the case of ASCII letters and of nothing else', () => {
    expect(Name.parse('NAS.Home.ARPA').key).toBe(Name.parse('nas.home.arpa').key)
    expect(Name.parse('\\196.').key).not.toBe(Name.parse('\\228.').key)
  })

  test('says the same whether keys are compared or names', () => {
    const pair = fc
      .tuple(fc.oneof(anyName, hostName), fc.nat(254), fc.nat(255), fc.boolean())
      .map(([name, at, octet, isOtherCase]): [Name, Name] => {
        // One octet changed, or one letter in the other case; a length stays what it is.
        const octets = Buffer.from(name.wire, 'latin1')
        const target = at % octets.length
        const isLength = (index: number): boolean => {
          let length = 0
          while (length < index) length += 1 + octets[length]!
          return length === index
        }
        if (!isLength(target)) octets[target] = isOtherCase ? octets[target]! ^ 0x20 : octet
        return [name, Name.fromWire(octets.toString('latin1'))]
      })
    fc.assert(
      fc.property(pair, ([one, other]) => {
        const lower = (name: Name) =>
          name.wire.replace(/[A-Z]/g, (letter) => String.fromCharCode(letter.charCodeAt(0) + 0x20))
        const isSame = lower(one) === lower(other)
        expect(one.equals(other)).toBe(isSame)
        expect(other.equals(one)).toBe(isSame)
        expect(one.key === other.key).toBe(isSame)
        expect(one.toLowerCase().equals(one)).toBe(true)
        expect(one.isAtOrBelow(other)).toBe(isSame)
      }),
      { numRuns: 500 },
    )
  })

  test('a name is at or below its ancestors, and below no others', () => {
    const home = Name.parse('home.arpa')
    expect(Name.parse('nas.HOME.arpa').isAtOrBelow(home)).toBe(true)
    expect(home.isAtOrBelow(home)).toBe(true)
    expect(home.isAtOrBelow(Name.root)).toBe(true)
    expect(Name.parse('athome.arpa').isAtOrBelow(home)).toBe(false)
    expect(Name.parse('arpa').isAtOrBelow(home)).toBe(false)
    // Ends in the same octets, but not at a label.
    expect(Name.parse('x\\004home.arpa').isAtOrBelow(home)).toBe(false)
  })

  test('the parent of a key is the key of the parent', () => {
    fc.assert(
      fc.property(hostName, (name) => {
        expect(parentKey(Name.parse('label', name).key)).toBe(name.key)
      }),
    )
  })
})
