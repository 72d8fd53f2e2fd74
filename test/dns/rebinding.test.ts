import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { addressOctets, isHomeAddress } from '../../base/ip.ts'
import { RebindingGuard } from '../../dns/rebinding.ts'
import { Name } from '../../wire/name.ts'
import { TYPE } from '../../wire/registry.ts'

const guard = new RebindingGuard({ protect: true, allow: ['plex.example', 'Me.Example.org.'] })
const name = Name.parse('www.example.com')
const filter = (type: number, data: Uint8Array) => guard.filter([{ name, type, class: 1, ttl: 60, data }])

const ipv4 = fc.uint8Array({ minLength: 4, maxLength: 4 })
/** Addresses of the home, each kind as likely as the others. */
const inside = fc
  .tuple(
    fc.constantFrom([10], [127], [0], [172, 16], [172, 31], [192, 168], [169, 254], [100, 64], [100, 127]),
    ipv4,
  )
  .map(([start, rest]) => Buffer.from([...start, ...rest].slice(0, 4)))

describe('the guard against rebinding', () => {
  test('no IPv4 address of the home comes through, in whatever disguise', () => {
    const hex = (octets: Uint8Array) => Buffer.from(octets).toString('hex')
    fc.assert(
      fc.property(inside, fc.uint8Array({ minLength: 10, maxLength: 10 }), (address, rest) => {
        expect(filter(TYPE.A, address)).toEqual({ records: [], removed: true })
        for (const disguise of [
          `00000000000000000000ffff${hex(address)}`,
          `000000000000000000000000${hex(address)}`,
          `0064ff9b0000000000000000${hex(address)}`,
          `2002${hex(address)}${hex(rest)}`,
        ]) {
          expect(filter(TYPE.AAAA, Buffer.from(disguise, 'hex')).removed).toBe(true)
        }
      }),
    )
  })

  test('every address outside comes through as it is', () => {
    fc.assert(
      fc.property(ipv4, (address) => {
        fc.pre(!isHomeAddress(address) && address[0] !== 0)
        expect(filter(TYPE.A, address).removed).toBe(false)
        expect(
          filter(TYPE.AAAA, Buffer.concat([addressOctets('64:ff9b::')!.slice(0, 12), address])).removed,
        ).toBe(false)
        expect(
          filter(TYPE.AAAA, Buffer.concat([addressOctets('2001:db8::')!.slice(0, 12), address])).removed,
        ).toBe(false)
      }),
    )
  })

  test('never stumbles over data of any form', () => {
    const types = fc.constantFrom(TYPE.A, TYPE.AAAA, TYPE.SVCB, TYPE.HTTPS, TYPE.RRSIG, TYPE.TXT)
    fc.assert(
      fc.property(types, fc.uint8Array({ maxLength: 80 }), (type, data) => {
        expect(filter(type, data).records.length).toBeLessThanOrEqual(1)
      }),
      { numRuns: 2000 },
    )
  })

  test.each([
    ['www.example.com', true],
    ['plex.example', false],
    ['a.b.PLEX.example', false],
    ['me.example.org', false],
    ['notme.example.org', true],
    ['example.org', true],
  ])('%s is covered: %s', (text, covered) => {
    expect(guard.covers(Name.parse(text))).toBe(covered)
    expect(new RebindingGuard({ protect: false, allow: [] }).covers(Name.parse(text))).toBe(false)
  })
})
