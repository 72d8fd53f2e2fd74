import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { Name } from '../../wire/name.ts'
import { parsePeriod, parseRdata, printRdata } from '../../wire/presentation.ts'
import { TYPE, typeName, typeNumber } from '../../wire/registry.ts'
import { KNOWN_TYPES, rdataOf } from './arbitraries.ts'

const absolute = (text: string): Name => Name.parse(text)

describe('what is printed reads back as the same octets', () => {
  test.each(KNOWN_TYPES.map((type) => [typeName(type), type] as [string, number]))('%s', (_name, type) => {
    fc.assert(
      fc.property(rdataOf(type), (data) => {
        const text = printRdata(type, data)
        expect(text).toMatch(/^[ -~]+$/)
        expect(parseRdata(type, text, absolute)).toEqual(data)
      }),
    )
  })

  test('a type of which only the number is known', () => {
    fc.assert(
      fc.property(rdataOf(65280), (data) => {
        expect(parseRdata(65280, printRdata(65280, data), absolute)).toEqual(data)
      }),
    )
  })
})

describe('types', () => {
  test('have names and numbers for each other', () => {
    fc.assert(
      fc.property(fc.nat(0xffff), (type) => {
        expect(typeNumber(typeName(type))).toBe(type)
        expect(typeNumber(`type${type}`)).toBe(type)
      }),
    )
  })

  test.each(['', 'TYPE', 'TYPE65536', 'TYPE-1', 'A A'])('%j is none', (text) => {
    expect(typeNumber(text)).toBeNull()
  })
})

test('a period is seconds or has units, and ends where a TTL does', () => {
  expect(['0', '300', '1h30m', '1w', '2D', '2147483647'].map((text) => parsePeriod(text))).toEqual([
    0, 300, 5400, 604800, 172800, 2147483647,
  ])
  expect(['', '1y', 'h', '-1', '1.5', '2147483648', '1h30'].map((text) => parsePeriod(text))).toEqual(
    Array(7).fill(null),
  )
  // The timers of an SOA have all their 32 bits.
  const soa = parseRdata(TYPE.SOA, '. . 4294967295 4294967295 0 0 0', absolute)
  expect(printRdata(TYPE.SOA, soa)).toBe('. . 4294967295 4294967295 0 0 0')
})
