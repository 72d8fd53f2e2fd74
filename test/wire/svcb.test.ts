import { describe, expect, test } from '@jest/globals'
import { Name } from '../../wire/name.ts'
import { parseRdata, printRdata } from '../../wire/presentation.ts'
import { TYPE } from '../../wire/registry.ts'
import { SVC_KEY, svcParamsOf } from '../../wire/svcb.ts'

const parse = (text: string) => parseRdata(TYPE.SVCB, text, (word) => Name.parse(word)).toString('hex')
const print = (hex: string) => printRdata(TYPE.SVCB, Buffer.from(hex, 'hex'))

const FOO_COM = '03666f6f076578616d706c6503636f6d00'
const FOO_ORG = '03666f6f076578616d706c65036f726700'

/** RFC 9460 appendices D.1 and D.2: as it is written, its octets, and as it is written here. */
test.each([
  ['0 foo.example.com.', `0000${FOO_COM}`, '0 foo.example.com.'],
  ['1 .', '000100', '1 .'],
  ['16 foo.example.com. port=53', `0010${FOO_COM}000300020035`, '16 foo.example.com. port=53'],
  [
    '1 foo.example.com. key667=hello',
    `0001${FOO_COM}029b000568656c6c6f`,
    '1 foo.example.com. key667="hello"',
  ],
  [
    '1 foo.example.com. key667="hello\\210qoo"',
    `0001${FOO_COM}029b000968656c6c6fd2716f6f`,
    '1 foo.example.com. key667="hello\\210qoo"',
  ],
  [
    '1 foo.example.com. ( ipv6hint="2001:db8::1,2001:db8::53:1" )',
    `0001${FOO_COM}00060020${'20010db8000000000000000000000001'}${'20010db8000000000000000000530001'}`,
    '1 foo.example.com. ipv6hint=2001:db8::1,2001:db8::53:1',
  ],
  [
    '1 example.com. ( ipv6hint="2001:db8:122:344::192.0.2.33" )',
    '0001076578616d706c6503636f6d000006001020010db80122034400000000c0000221',
    '1 example.com. ipv6hint=2001:db8:122:344::c000:221',
  ],
  [
    '16 foo.example.org. (alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1)',
    `0010${FOO_ORG}0000000400010004000100090268320568332d3139000400${'04c0000201'}`,
    '16 foo.example.org. mandatory=alpn,ipv4hint alpn="h2,h3-19" ipv4hint=192.0.2.1',
  ],
  [
    '16 foo.example.org. alpn="f\\\\\\\\oo\\\\,bar,h2"',
    `0010${FOO_ORG}0001000c08665c6f6f2c626172026832`,
    '16 foo.example.org. alpn="f\\\\\\\\oo\\\\,bar,h2"',
  ],
  [
    '16 foo.example.org. alpn=f\\\\\\092oo\\092,bar,h2',
    `0010${FOO_ORG}0001000c08665c6f6f2c626172026832`,
    '16 foo.example.org. alpn="f\\\\\\\\oo\\\\,bar,h2"',
  ],
])('a vector of RFC 9460: %s', (text, hex, printed) => {
  expect(parse(text)).toBe(hex)
  expect(print(hex)).toBe(printed)
  expect(parse(printed)).toBe(hex)
})

describe('more parameters', () => {
  test.each([
    ['1 . no-default-alpn alpn=h3', '1 . alpn="h3" no-default-alpn'],
    ['1 . ech="AEj+DQ=="', '1 . ech=AEj+DQ=='],
    [
      '1 dns.home.arpa. alpn=h2 dohpath=/dns-query{?dns}',
      '1 dns.home.arpa. alpn="h2" dohpath="/dns-query{?dns}"',
    ],
    ['1 . ohttp key9 KEY10="a b"', '1 . ohttp key9 key10="a b"'],
    ['1 . key3=\\001\\002', '1 . port=258'],
  ])('%s', (text, printed) => {
    expect(print(parse(text))).toBe(printed)
  })

  test('can be asked for by key', () => {
    const data = Buffer.from(parse('1 . port=8443 ipv4hint=192.168.1.1'), 'hex')
    expect(svcParamsOf(data)).toEqual([
      { key: SVC_KEY.port, value: Buffer.of(0x20, 0xfb) },
      { key: SVC_KEY.ipv4hint, value: Buffer.of(192, 168, 1, 1) },
    ])
  })
})

/** RFC 9460 appendix D.3, and others like it. */
test.each([
  ['key123=abc key123=def', 'key123 stands there twice'],
  ['mandatory', 'mandatory needs the keys'],
  ['alpn', 'alpn needs protocols'],
  ['port', 'port needs a number'],
  ['ipv4hint', 'ipv4hint needs addresses'],
  ['ipv6hint', 'ipv6hint needs addresses'],
  ['no-default-alpn=abc', 'no-default-alpn has no value'],
  ['mandatory=key123', 'key123 is mandatory but missing'],
  ['mandatory=mandatory', 'mandatory cannot name itself'],
  ['mandatory=key123,key123 key123=abc', 'mandatory has a key twice'],
  ['no-default-alpn', 'means nothing without alpn'],
  ['alpn=h2,', 'has 1 to 255 octets'],
  ['alpn=h2\\\\', 'a list ends in a backslash'],
  ['port=65536', 'port needs a number'],
  ['port=""', 'port needs a number'],
  ['ipv4hint=fd00::1', 'no such address'],
  ['ech=***', 'needs a configuration in base64'],
  ['dohpath=dns-query', 'needs a path with the variable dns'],
  ['key65535=x', 'is reserved'],
  ['key065=x', 'there is no parameter "key065"'],
  ['colour=red', 'there is no parameter "colour"'],
  ['alpn= "h2"', 'there is no parameter "h2"'],
  ['alpn="h2"h3', 'has something behind a parameter'],
  ['alpn=h2 "port=1"x', 'has something behind a parameter'],
])('%s is refused', (params, message) => {
  expect(() => parse(`1 . ${params}`)).toThrow(message)
})

test.each([
  ['keys out of order', '00010000030002003500010003026832'],
  ['a key twice', '000100000300020035000300020035'],
  ['a parameter that runs past the end', '00010000030004003500'],
  ['a mandatory parameter that is missing', '000100000000020001'],
])('%s is malformed, and shown as octets', (_what, hex) => {
  const data = Buffer.from(hex, 'hex')
  expect(svcParamsOf(data)).toBeNull()
  expect(printRdata(TYPE.HTTPS, data)).toBe(`\\# ${data.length} ${hex}`)
})
