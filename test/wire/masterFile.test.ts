import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { WireError } from '../../wire/errors.ts'
import { parseMasterFile } from '../../wire/masterFile.ts'
import { Name } from '../../wire/name.ts'
import { parseRdata, printRdata, printRecord } from '../../wire/presentation.ts'
import { typeNumber } from '../../wire/registry.ts'
import { KNOWN_TYPES, recordOf } from './arbitraries.ts'

const read = (text: string): string[] =>
  parseMasterFile(text, { origin: Name.parse('home.arpa'), defaultTtl: 60 }).map(printRecord)

describe('a master file', () => {
  test('as RFC 1035 section 5 has it', () => {
    const text = `
$TTL 1h
@       IN SOA gateway hostmaster (
                7     ; serial
                1h 10m 1w 60 )
        IN NS  gateway        ; the owner of the line before
gateway 300 IN A 192.168.1.1
        IN 300 AAAA fd00::1   ; TTL and class in either order
www     CNAME gateway
$ORIGIN apps
*       A 192.168.1.20
note    TXT "two words; no comment" plain "a \\"quote\\"" \\065\\066
@       MX 10 mail.example.com.
`
    expect(read(text)).toEqual([
      'home.arpa. 3600 IN SOA gateway.home.arpa. hostmaster.home.arpa. 7 3600 600 604800 60',
      'home.arpa. 3600 IN NS gateway.home.arpa.',
      'gateway.home.arpa. 300 IN A 192.168.1.1',
      'gateway.home.arpa. 300 IN AAAA fd00::1',
      'www.home.arpa. 3600 IN CNAME gateway.home.arpa.',
      '*.apps.home.arpa. 3600 IN A 192.168.1.20',
      'note.apps.home.arpa. 3600 IN TXT "two words; no comment" "plain" "a \\"quote\\"" "AB"',
      'apps.home.arpa. 3600 IN MX 10 mail.example.com.',
    ])
  })

  test('without $TTL: the TTL of the record before, at first the default', () => {
    expect(read('a A 10.0.0.1\nb 5 A 10.0.0.2\nc A 10.0.0.3')).toEqual([
      'a.home.arpa. 60 IN A 10.0.0.1',
      'b.home.arpa. 5 IN A 10.0.0.2',
      'c.home.arpa. 5 IN A 10.0.0.3',
    ])
  })

  test('with the line ends and the byte order mark of other systems', () => {
    expect(read('\uFEFFa A 10.0.0.1\r\nb A 10.0.0.2\r\n')).toHaveLength(2)
  })

  test('what is printed reads back as the same record', () => {
    fc.assert(
      fc.property(recordOf([...KNOWN_TYPES, 65280]), (record) => {
        const [back] = parseMasterFile(printRecord(record), { origin: Name.root, defaultTtl: 0 })
        expect(back?.name.wire).toBe(record.name.wire)
        expect(back?.ttl).toBe(record.ttl)
        expect(Buffer.compare(back!.data, record.data)).toBe(0)
      }),
    )
  })

  test('any text gives records or a WireError that names a line', () => {
    const word = fc.constantFrom(
      '@',
      'a',
      'IN',
      '60',
      'A',
      'TXT',
      '10.0.0.1',
      '(',
      ')',
      '"',
      ';',
      '\n',
      '\\',
      '$TTL',
      '\\#',
      ' ',
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(word).map((words) => words.join(' ')),
        ),
        (text) => {
          try {
            read(text)
          } catch (error) {
            expect(error).toBeInstanceOf(WireError)
            expect((error as Error).message).toMatch(/^line \d+: /)
          }
        },
      ),
      { numRuns: 1000 },
    )
  })

  test.each([
    [
      'a A 10.0.0.1\nb A 10.0.0',
      'line 2: the data of a record of type A needs an IPv4 address like 192.168.1.20 instead of "10.0.0"',
    ],
    ['a A', 'line 1: the data of a record of type A ends too early'],
    ['a A 10.0.0.1 10.0.0.2', 'line 1: the data of a record of type A goes on after its end with "10.0.0.2"'],
    ['a WHAT 1', 'line 1: "WHAT" is no record type'],
    ['a ANY 1', 'line 1: "ANY" is no record type'],
    ['a', 'line 1: the record has no type'],
    [' A 10.0.0.1', 'line 1: the first record of a file needs an owner name'],
    ['a CH TXT x', 'line 1: class CH is not served here'],
    ['a 99999999999 A 10.0.0.1', 'line 1: "99999999999" is no TTL'],
    ['$INCLUDE /etc/passwd', 'line 1: $INCLUDE is not supported'],
    ['$GENERATE 1-9 a$ A 10.0.0.$', 'line 1: $GENERATE is not supported'],
    ['$TTL', 'line 1: $TTL takes exactly one value'],
    ['a TXT "open\nb A 10.0.0.1', 'line 1: a quoted string is not closed on its line'],
    ['a SOA x y ( 1\n2', 'line 1: an opening parenthesis is never closed'],
    ['a A ) 10.0.0.1', 'line 1: a closing parenthesis has no opening one'],
    [
      `a TXT ${'x'.repeat(256)}`,
      'line 1: the data of a record of type TXT has a string of 256 octets: split it',
    ],
    ['a HTTPS 1 . alpn', 'line 1: the service parameters are not right: alpn needs protocols'],
    ['a TYPE65280 x', 'line 1: the data of a record of type TYPE65280 can only be written as octets'],
    ['a..b A 10.0.0.1', 'line 1: the name "a..b" has an empty label'],
    ['x'.repeat(4 * 1024 * 1024 + 1), 'line 1: the file has more than 4194304 characters'],
    ['a A 10.0.0.1\n'.repeat(50_001), 'line 50001: more than 50000 records'],
  ])('%.40j is refused', (text, message) => {
    expect(() => read(text)).toThrow(message)
  })
})

test('a record of another class is shown as octets, since its format may be another', () => {
  const record = {
    name: Name.parse('a.example'),
    type: 2,
    class: 3,
    ttl: 60,
    data: Buffer.from('c00c', 'hex'),
  }
  expect(printRecord(record)).toBe('a.example. 60 CLASS3 NS \\# 2 c00c')
})

describe('RDATA', () => {
  const reprint = (type: string, text: string): string => {
    const number = typeNumber(type)!
    return printRdata(
      number,
      parseRdata(number, text, (word) => Name.parse(word)),
    )
  }

  test.each([
    ['A', '192.168.1.20', '192.168.1.20'],
    ['AAAA', 'FD00:0:0::20', 'fd00::20'],
    ['SRV', '0 5 5060 sip.example.com', '0 5 5060 sip.example.com.'],
    ['CAA', '0 issue letsencrypt.org', '0 issue "letsencrypt.org"'],
    ['CAA', '128 issue ";"', '128 issue ";"'],
    ['TLSA', '3 1 1 AB CD', '3 1 1 abcd'],
    ['SSHFP', '4 2 abcdef', '4 2 abcdef'],
    ['TXT', 'grüße', '"gr\\195\\188\\195\\159e"'],
    ['TXT', '""', '""'],
    ['NAPTR', '100 10 "u" "E2U+sip" "!^.*$!sip:x@y!" .', '100 10 "u" "E2U+sip" "!^.*$!sip:x@y!" .'],
    ['A', '\\# 4 c0a80114', '192.168.1.20'],
    ['TYPE65', '\\# 3 00 01 00', '1 .'],
    ['TYPE65280', '\\# 0', '\\# 0'],
  ])('%s %s', (type, text, printed) => {
    expect(reprint(type, text)).toBe(printed)
  })

  test.each([
    ['A', '\\# 3 c0a801', 'no valid data of type A'],
    ['NS', '\\# 2 c00c', 'no valid data of type NS'],
    ['TYPE65280', '\\# 3 0001', 'needs the count of its octets'],
    ['AAAA', '192.168.1.20', 'needs an IPv6 address'],
    ['MX', '70000 mail.', 'needs a number from 0 to 65535'],
    ['TLSA', '3 1 1 abc', 'even number of hex digits'],
    ['TXT', '"a" \\300', 'broken escape'],
    ['A', '10.0.0.1\n10.0.0.2', 'more than one line'],
  ])('%s %j is refused', (type, text, message) => {
    expect(() => reprint(type, text)).toThrow(message)
  })
})
