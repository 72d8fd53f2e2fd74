import { describe, expect, test } from '@jest/globals'
import * as asn1js from 'asn1js'
import fc from 'fast-check'
import { SECOND } from '../../base/clock.ts'
import {
  bitString,
  boolean,
  context,
  DerError,
  DerReader,
  enumerated,
  generalizedTime,
  integer,
  namedBits,
  octetString,
  oid,
  sequence,
  TAG,
  time,
  tlv,
  unsignedInteger,
  utf8String,
} from '../../x509/der.ts'

const read = (der: Uint8Array) => new DerReader(der, 'example')
const readHex = (text: string) => read(Buffer.from(text.replaceAll(' ', ''), 'hex'))

/** The same octets as asn1js understands them. */
function byAsn1js<T extends asn1js.AsnType>(type: new () => T, der: Uint8Array): T {
  const { offset, result } = asn1js.fromBER(der)
  if (offset !== der.length) throw new Error(`asn1js read ${offset} of ${der.length} octets: ${result.error}`)
  if (!(result instanceof type)) throw new Error(`asn1js read a ${result.constructor.name}`)
  return result
}

const octets = (most = 300) => fc.uint8Array({ maxLength: most })
const times = fc
  .date({ min: new Date('1950-01-01Z'), max: new Date('9999-12-31T23:59:59Z'), noInvalidDate: true })
  .map((date) => Math.floor(date.getTime() / SECOND) * SECOND)
const arc = fc.integer({ min: 0, max: 2 ** 31 })
const dottedOids = fc
  .tuple(fc.constantFrom(0, 1), fc.integer({ min: 0, max: 39 }), fc.array(arc, { maxLength: 8 }))
  .map(([first, second, rest]) => [first, second, ...rest].join('.'))

describe('what is written is read back, by us and by asn1js', () => {
  test('octets of any length up to some hundred', () => {
    fc.assert(
      fc.property(octets(), (content) => {
        const der = octetString(content)
        expect(read(der).content(TAG.octetString)).toEqual(Buffer.from(content))
        expect(Buffer.from(byAsn1js(asn1js.OctetString, der).getValue())).toEqual(Buffer.from(content))
      }),
    )
  })

  test.each([0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000, 0xffffff, 0x1000000])(
    'a length of %d takes as few octets as possible',
    (length) => {
      const der = tlv(TAG.octetString, Buffer.alloc(length))
      const reader = read(der)
      expect(reader.content(TAG.octetString)).toHaveLength(length)
      reader.end()
      expect(asn1js.fromBER(der).offset).toBe(der.length)
    },
  )

  test('unsigned integers of any length', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), (value) => {
        const der = unsignedInteger(value)
        const number = BigInt(`0x${Buffer.from(value).toString('hex')}`)
        expect(BigInt(`0x${read(der).unsignedInteger().toString('hex')}`)).toBe(number)
        expect(byAsn1js(asn1js.Integer, der).toBigInt()).toBe(number)
      }),
    )
  })

  test('numbers', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 47 }), (value) => {
        expect(read(integer(value)).smallInteger()).toBe(value)
        expect(byAsn1js(asn1js.Integer, integer(value)).toBigInt()).toBe(BigInt(value))
      }),
    )
  })

  test('object identifiers', () => {
    fc.assert(
      fc.property(fc.oneof(dottedOids, fc.constant('2.999.3'), fc.constant('2.5.29.17')), (dotted) => {
        expect(read(oid(dotted)).oid()).toBe(dotted)
        expect(byAsn1js(asn1js.ObjectIdentifier, oid(dotted)).getValue()).toBe(dotted)
      }),
    )
  })

  test('times, as UTCTime until 2049 and GeneralizedTime from then on', () => {
    fc.assert(
      fc.property(times, (value) => {
        const late = value >= Date.UTC(2050, 0)
        const der = time(value)
        expect(der[0]).toBe(late ? TAG.generalizedTime : TAG.utcTime)
        expect(read(der).time()).toBe(value)
        expect(
          byAsn1js(late ? asn1js.GeneralizedTime : asn1js.UTCTime, der)
            .toDate()
            .getTime(),
        ).toBe(value)
        expect(read(generalizedTime(value)).time()).toBe(value)
      }),
    )
  })

  test('bits with names', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 0, max: 40 }), { minLength: 1 }), (bits) => {
        const der = namedBits(bits)
        expect(read(der).namedBits()).toEqual(bits.toSorted((a, b) => a - b))
        const { unusedBits, valueHexView } = byAsn1js(asn1js.BitString, der).valueBlock
        expect(unusedBits).toBe(7 - (Math.max(...bits) % 8))
        expect(valueHexView).toHaveLength(Math.floor(Math.max(...bits) / 8) + 1)
      }),
    )
  })

  test('text, booleans, enumerations, bit strings', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), octets(), (text, content) => {
        expect(byAsn1js(asn1js.Utf8String, utf8String(text)).getValue()).toBe(text)
        expect(read(bitString(content)).bitString()).toEqual(Buffer.from(content))
      }),
    )
    for (const value of [true, false]) {
      expect(read(boolean(value)).boolean()).toBe(value)
      expect(byAsn1js(asn1js.Boolean, boolean(value)).getValue()).toBe(value)
    }
    expect(byAsn1js(asn1js.Enumerated, enumerated(9)).toBigInt()).toBe(9n)
  })

  test('sequences in sequences', () => {
    const der = sequence(integer(7), context(2, sequence(boolean(true))), octetString(Buffer.of(1)))
    const outer = read(der).enter()
    expect(outer.smallInteger()).toBe(7)
    expect(outer.enter(0xa2).enter().boolean()).toBe(true)
    expect(outer.optional(TAG.null)).toBeNull()
    expect(outer.optional(TAG.octetString)?.content).toEqual(Buffer.of(1))
    outer.end()
    expect(byAsn1js(asn1js.Sequence, der).valueBlock.value).toHaveLength(3)
  })
})

describe('whatever is not DER is refused', () => {
  const refusal = (problem: string) =>
    expect.objectContaining({
      name: 'DerError',
      code: 'DER_INVALID',
      message: expect.stringMatching(`^the example ${problem}, near octet \\d+$`),
    })

  test.each([
    ['nothing', '', 'has tag none where 0x30 belongs'],
    ['a tag alone', '30', 'is cut short'],
    ['contents cut short', '30 03 02 01', 'is cut short'],
    ['a length cut short', '30 82 01', 'is cut short'],
    ['an indefinite length', '30 80 00 00', 'has an indefinite or oversized length'],
    ['a length of five octets', '30 85 00 00 00 00 00', 'has an indefinite or oversized length'],
    ['a short length in the long form', '30 81 05 00 00 00 00 00', 'has a length that is not minimal'],
    ['a length with a leading zero', `30 82 00 80 ${'00'.repeat(128)}`, 'has a length that is not minimal'],
    ['a length of 4 GiB', '30 84 ff ff ff ff', 'is cut short'],
    ['another tag', '31 00', 'has tag 0x31 where 0x30 belongs'],
  ])('%s', (_, octets, problem) => {
    expect(() => readHex(octets).enter()).toThrow(refusal(problem))
  })

  test.each<[string, string, (reader: DerReader) => unknown, string]>([
    ['a tag of several octets', '1f 81 00 00', (r) => r.any(), 'has a tag of several octets'],
    ['something behind the end', '05 00 05', (r) => [r.any(), r.end()], 'has something behind its end'],
    ['an integer without octets', '02 00', (r) => r.unsignedInteger(), 'has a negative or empty integer'],
    ['a negative integer', '02 01 80', (r) => r.unsignedInteger(), 'has a negative or empty integer'],
    ['a padded integer', '02 02 00 7f', (r) => r.unsignedInteger(), 'has an integer that is not minimal'],
    [
      'a large small integer',
      '02 07 01 00 00 00 00 00 00',
      (r) => r.smallInteger(),
      'has an integer out of bounds',
    ],
    ['a boolean of 1', '01 01 01', (r) => r.boolean(), 'has a broken boolean'],
    ['a boolean of two octets', '01 02 ff ff', (r) => r.boolean(), 'has a broken boolean'],
    ['a bit string without octets', '03 00', (r) => r.bitString(), 'has a bit string with unused bits'],
    [
      'a bit string with unused bits',
      '03 02 01 80',
      (r) => r.bitString(),
      'has a bit string with unused bits',
    ],
    ['an object identifier without octets', '06 00', (r) => r.oid(), 'has a broken object identifier'],
    ['an object identifier cut short', '06 02 2a 86', (r) => r.oid(), 'has a broken object identifier'],
    ['an object identifier with padding', '06 03 55 80 1d', (r) => r.oid(), 'has a broken object identifier'],
    [
      'an object identifier out of bounds',
      `06 0b 2a ${'ff'.repeat(9)} 7f`,
      (r) => r.oid(),
      'has an object identifier out of bounds',
    ],
    ['a time that is no time', `05 00`, (r) => r.time(), 'has a broken time'],
    ['a time without seconds', `17 0b ${ascii('2611011200Z')}`, (r) => r.time(), 'has a broken time'],
    ['a time with an offset', `17 11 ${ascii('261101120000+0100')}`, (r) => r.time(), 'has a broken time'],
    ['the 31st of November', `17 0d ${ascii('261131120000Z')}`, (r) => r.time(), 'has a broken time'],
    ['the 13th month', `18 0f ${ascii('20261301120000Z')}`, (r) => r.time(), 'has a broken time'],
    ['the year 26 in four digits', `18 0f ${ascii('00260101120000Z')}`, (r) => r.time(), 'has a broken time'],
  ])('%s', (_, octets, readIt, problem) => {
    expect(() => readIt(readHex(octets))).toThrow(refusal(problem))
  })

  test('everything that is cut short, at every octet', () => {
    const der = sequence(
      integer(70_000),
      octetString(Buffer.alloc(200)),
      sequence(oid('2.5.29.17'), boolean(true)),
    )
    for (let length = 0; length < der.length; length++) {
      expect(() => read(der.subarray(0, length)).enter()).toThrow(DerError)
    }
  })

  test('random octets end in elements or in a DerError', () => {
    fc.assert(
      fc.property(octets(64), (content) => {
        const reader = read(content)
        try {
          let length = 0
          while (!reader.done) length += reader.any().whole.length
          expect(length).toBe(content.length)
        } catch (error) {
          expect(error).toBeInstanceOf(DerError)
        }
      }),
      { numRuns: 2000 },
    )
  })
})

function ascii(text: string): string {
  return Buffer.from(text).toString('hex')
}
