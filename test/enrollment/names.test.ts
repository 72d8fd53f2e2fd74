import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { deviceName, NameError } from '../../enrollment/names.ts'

const name = (typed: string) => deviceName(typed, 'home.arpa', 'gateway.home.arpa')

/** What a person types, and the name that the device gets or the reason why it gets none. */
const ACCEPTED: [typed: string, name: string][] = [
  ['nas', 'nas.home.arpa'],
  ['NAS', 'nas.home.arpa'],
  ['  nas ', 'nas.home.arpa'],
  ['nas.home.arpa', 'nas.home.arpa'],
  ['nas.home.arpa.', 'nas.home.arpa'],
  ['Nas.Home.ARPA', 'nas.home.arpa'],
  ['printer-2', 'printer-2.home.arpa'],
  ['3d-printer', '3d-printer.home.arpa'],
  ['7', '7.home.arpa'],
  ['0x7f', '0x7f.home.arpa'],
  ['tv', 'tv.home.arpa'],
  ['dev', 'dev.home.arpa'],
  ['tv.living.home.arpa', 'tv.living.home.arpa'],
  ['Küche', 'xn--kche-0ra.home.arpa'],
  ['xn--kche-0ra', 'xn--kche-0ra.home.arpa'],
  ['принтер', 'xn--e1afpgfdm.home.arpa'],
  ['印刷機', 'xn--ycrq3aj71c.home.arpa'],
  ['テレビtv', 'xn--tv-jj4a3b2g.home.arpa'],
  ['ｎａｓ', 'nas.home.arpa'],
  ['a'.repeat(63), `${'a'.repeat(63)}.home.arpa`],
]

const REFUSED: [typed: string, code: string, reason: string][] = [
  ['', 'NAME_INVALID', 'the name "" is empty or longer than 253 letters'],
  ['   ', 'NAME_INVALID', 'is empty'],
  ['.', 'NAME_INVALID', 'is empty'],
  ['x'.repeat(254), 'NAME_INVALID', 'is empty or longer than 253 letters'],
  ['a'.repeat(64), 'NAME_INVALID', 'has a part longer than 63 letters'],
  [`${'küche.'.repeat(40)}home.arpa`, 'NAME_INVALID', 'is longer than 253 letters in all'],
  ['home.arpa', 'NAME_INVALID', 'is the name of the whole home'],
  ['my nas', 'NAME_INVALID', 'must be made of letters, digits and inner hyphens'],
  ['-nas', 'NAME_INVALID', 'must be made of letters, digits and inner hyphens'],
  ['nas-', 'NAME_INVALID', 'must be made of letters, digits and inner hyphens'],
  ['nas..home.arpa', 'NAME_INVALID', 'must be made of letters, digits and inner hyphens'],
  ['na/s', 'NAME_INVALID', 'must be made of letters, digits and inner hyphens'],
  ['nas?', 'NAME_INVALID', 'must be made of letters, digits and inner hyphens'],
  ['nas:80', 'NAME_INVALID', 'must be made of letters, digits and inner hyphens'],
  ['%6eas', 'NAME_INVALID', 'must be made of letters, digits and inner hyphens'],
  ['nas@home', 'NAME_INVALID', 'must be made of letters, digits and inner hyphens'],
  ['bank。com', 'NAME_INVALID', 'must be made of letters, digits and inner hyphens'],
  ['_http', 'NAME_INVALID', 'has an underscore, which is for services and not for devices'],
  ['*', 'NAME_INVALID', 'has a star; a device has a name of its own'],
  ['ab--cd', 'NAME_INVALID', 'has two hyphens in the third and fourth place'],
  ['xn--', 'NAME_INVALID', 'must be made of letters, digits and inner hyphens'],
  ['😀', 'NAME_INVALID', 'must be made of letters, digits and inner hyphens'],

  ['bank.example', 'NAME_OUTSIDE_DOMAIN', '"bank.example" lies outside home.arpa'],
  ['nas.local', 'NAME_OUTSIDE_DOMAIN', 'Use a name such as "nas", or one that ends in .home.arpa'],
  ['192.168.1.20', 'NAME_OUTSIDE_DOMAIN', 'lies outside home.arpa'],
  ['nas.nothome.arpa', 'NAME_OUTSIDE_DOMAIN', 'lies outside home.arpa'],

  ['gateway', 'NAME_RESERVED', 'it is the gateway itself'],
  ['Gateway.home.arpa', 'NAME_RESERVED', 'it is the gateway itself'],
  ['localhost', 'NAME_RESERVED', 'programs give it a meaning of its own'],
  ['wpad', 'NAME_RESERVED', 'Choose another, such as "nas" or "printer-2"'],
  ['ＷＰＡＤ', 'NAME_RESERVED', 'programs give it a meaning of its own'],
  ['wpad.living.home.arpa', 'NAME_RESERVED', 'programs give it a meaning of its own'],
  ['pick', 'NAME_RESERVED', 'programs give it a meaning of its own'],

  [
    'bank.com.home.arpa',
    'NAME_MISLEADING',
    'looks like a site on the internet (.com). Choose a name such as "bank"',
  ],
  ['bank.de.home.arpa', 'NAME_MISLEADING', 'looks like a site on the internet (.de)'],
  ['pаypal', 'NAME_MISLEADING', 'mixes letters of Latin and Cyrillic'],
  ['νas', 'NAME_MISLEADING', 'mixes letters of Greek and Latin, so that it can look like another name'],
  ['рау', 'NAME_MISLEADING', 'Cyrillic letters that all look like Latin ones'],
  ['xn--pypal-4ve', 'NAME_MISLEADING', 'mixes letters of Latin and Cyrillic'],
]

describe('IDENT-1: a device gets', () => {
  test.each(ACCEPTED)('"%s" -> %s', (typed, full) => {
    expect(name(typed)).toBe(full)
  })

  test.each(REFUSED)('"%s" -> %s', (typed, code, reason) => {
    expect(() => name(typed)).toThrow(
      expect.objectContaining({ name: 'NameError', code, message: expect.stringContaining(reason) }),
    )
  })

  test('a name that was accepted is accepted again, and stays the same', () => {
    for (const [, full] of ACCEPTED) expect(name(full)).toBe(full)
  })

  test('a host name inside the domain or a refusal, whatever is typed', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: 'grapheme' }), fc.domain()), (typed) => {
        try {
          expect(name(typed)).toMatch(/^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+home\.arpa$/)
        } catch (error) {
          if (!(error instanceof NameError)) throw error
          expect(error.message.length).toBeLessThan(400)
        }
      }),
      { numRuns: 3000 },
    )
  })
})
