import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { addressOctets, addressRange, addressText, canonicalAddress, isHomeAddress } from '../../base/ip.ts'

describe('addresses as text', () => {
  test.each<[string, string | null]>([
    ['192.168.1.20', '192.168.1.20'],
    ['0.0.0.0', '0.0.0.0'],
    ['FD00:0:0:0:0:0:0:20', 'fd00::20'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['::ffff:192.168.1.20', '::ffff:c0a8:114'],
    ['::', '::'],
    ['', null],
    ['192.168.1', null],
    ['192.168.1.256', null],
    ['192.168.01.20', null],
    ['0xc0.168.1.20', null],
    ['3232235796', null],
    ['192.168.1.20/24', null],
    ['fe80::1%eth0', null],
    ['1::2::3', null],
    ['nas.home.arpa', null],
  ])('%s is %s', (text, canonical) => {
    expect(canonicalAddress(text)).toBe(canonical)
  })

  test('octets become text and the same octets again', () => {
    const addresses = fc
      .constantFrom(4, 16)
      .chain((length) => fc.uint8Array({ minLength: length, maxLength: length }))
    fc.assert(
      fc.property(addresses, (octets) => {
        expect(addressOctets(addressText(octets))).toEqual(Uint8Array.from(octets))
      }),
    )
  })
})

describe('PRIV-2: which addresses a home can have', () => {
  test.each<[string, string, string]>([
    ['RFC 1918', '10.0.0.0 10.255.255.255', '9.255.255.255 11.0.0.0'],
    ['RFC 1918', '172.16.0.0 172.31.255.255', '172.15.255.255 172.32.0.0'],
    ['RFC 1918', '192.168.0.0 192.168.255.255', '192.167.255.255 192.169.0.0'],
    ['shared', '100.64.0.0 100.127.255.255', '100.63.255.255 100.128.0.0'],
    ['link-local', '169.254.0.0 169.254.255.255 fe80:: febf:ffff::', '169.253.255.255 fe7f:ffff:: fec0::'],
    ['loopback', '127.0.0.1 127.255.255.255 ::1', '126.255.255.255 128.0.0.0 :: ::2'],
    ['unique-local', 'fc00:: fdff:ffff::', 'fbff:ffff:: fe00::'],
    ['the rest of the world', '', '8.8.8.8 2001:db8::1 255.255.255.255 ::ffff:192.168.1.20'],
  ])('%s: %s, but not %s', (_, inside, outside) => {
    const homely = (text: string) => isHomeAddress(addressOctets(text)!)
    expect(inside.split(' ').filter((text) => text !== '' && !homely(text))).toEqual([])
    expect(outside.split(' ').filter(homely)).toEqual([])
  })

  test('a range that is none is a mistake of the programmer', () => {
    expect(() => addressRange('home/8')).toThrow(TypeError)
  })
})
