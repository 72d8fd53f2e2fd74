import { describe, expect, test } from '@jest/globals'
import dnsPacket from 'dns-packet'
import fc from 'fast-check'
import { decodeMessage, encodeMessage, type Message, type ResourceRecord } from '../../wire/message.ts'
import { Name } from '../../wire/name.ts'
import { parseRdata, printRecord } from '../../wire/presentation.ts'
import { CLASS, TYPE } from '../../wire/registry.ts'
import { hostName, messageOf } from './arbitraries.ts'
import { READABLE, READERS, type Reading } from './otherReaders.ts'

/** Messages that not all refuse, or not all read, and why that is right here. */
const DIFFERENCES = [
  {
    what: 'octets after the last record',
    why: 'nobody knows whose they are, so a message that has any is refused',
    octets: '1234 0100 0000 0000 0000 0000 00',
    refusedBy: ['ours'],
  },
  {
    what: 'two OPTs',
    why: 'RFC 6891 section 6.1.1 calls that FORMERR; the others take the first',
    octets: '1234 0100 0000 0000 0000 0002 00 0029 1000 00000000 0000 00 0029 1000 00000000 0000',
    refusedBy: ['ours'],
  },
  {
    what: 'a TXT without any string',
    why: 'RFC 1035 section 3.3.14 wants one or more; the others give an empty list',
    octets: '1234 8100 0000 0001 0000 0000 00 0010 0001 0000003c 0000',
    refusedBy: ['ours'],
  },
  {
    what: 'an address of five octets',
    why: 'dns-packet reads four, and takes the fifth for the start of what follows',
    octets: '1234 8100 0000 0001 0000 0000 00 0001 0001 0000003c 0005 c000020100',
    refusedBy: ['ours', 'dns2'],
  },
  {
    what: 'a pointer forward',
    why: 'it leads to no prior name (RFC 1035 section 4.1.4); dns2 follows it all the same',
    octets: '1234 0100 0001 0000 0000 0000 c012 0001 0001 0161 00',
    refusedBy: ['ours', 'dns-packet'],
  },
  {
    what: 'a pointer into the header',
    why: 'the counts there are no labels; the others read them',
    octets: '1234 0100 0001 0000 0000 0000 c008 0001 0001',
    refusedBy: ['ours'],
  },
]

const number = (most: number) => fc.nat(most).map(String)
const word = fc.stringMatching(/^[ -!#-[\]-~]{0,40}$/)
const name = hostName.map(String)

const joined = (...parts: fc.Arbitrary<string>[]) => fc.tuple(...parts).map((words) => words.join(' '))

/** RDATA as people write it, of every type that the others read. */
const TEXTS: Record<number, fc.Arbitrary<string>> = {
  [TYPE.A]: fc.ipV4(),
  [TYPE.AAAA]: fc.ipV6(),
  [TYPE.NS]: name,
  [TYPE.CNAME]: name,
  [TYPE.PTR]: name,
  [TYPE.DNAME]: name,
  [TYPE.MX]: joined(number(0xffff), name),
  [TYPE.SRV]: joined(number(0xffff), number(0xffff), number(0xffff), name),
  [TYPE.SOA]: joined(name, name, ...Array(5).fill(number(0x7fffffff))),
  [TYPE.TXT]: fc.array(word, { minLength: 1, maxLength: 3 }).map((words) => words.map(quoted).join(' ')),
  [TYPE.CAA]: joined(number(255), fc.constantFrom('issue', 'iodef'), word.map(quoted)),
  [TYPE.HINFO]: joined(word.map(quoted), word.map(quoted)),
  [TYPE.RP]: joined(name, name),
  [TYPE.NAPTR]: joined(number(0xffff), number(0xffff), ...Array(3).fill(word.map(quoted)), name),
  [TYPE.DS]: joined(number(0xffff), number(255), number(255), hexadecimal()),
  [TYPE.TLSA]: joined(number(3), number(1), number(2), hexadecimal()),
}

const recordOf = (types: readonly number[]): fc.Arbitrary<ResourceRecord> =>
  fc
    .constantFrom(...types)
    .chain((type) =>
      fc
        .record({ name: hostName, ttl: fc.nat(0x7fffffff), text: TEXTS[type]! })
        .map(({ name, ttl, text }) => ({ name, type, class: CLASS.IN, ttl, data: rdata(type, text) })),
    )

/**
 * Messages that all can read: of the option codes that dns-packet knows, it takes only what is well-formed,
 * and dns2 loses what an OPT keeps in place of a TTL if the first bit, the highest of the rcode, is set.
 */
const comparable = (types: readonly number[]): fc.Arbitrary<Message> =>
  fc
    .record({
      message: messageOf(recordOf(types)),
      questions: fc.array(
        fc.record({ name: hostName, type: fc.constantFrom(...types), class: fc.constant<number>(CLASS.IN) }),
        { maxLength: 2 },
      ),
    })
    .map(({ message, questions }) => ({
      ...message,
      questions,
      rcode: message.rcode & 0x7ff,
      edns: message.edns && {
        ...message.edns,
        options: message.edns.options.map(({ data }) => ({ code: 65001, data })),
      },
    }))

describe('what is encoded here reads the same everywhere', () => {
  test.each(['dns-packet', 'dns2'] as const)('with %s', (reader) => {
    fc.assert(
      fc.property(comparable(READABLE[reader]), (message) => {
        const octets = encodeMessage(message)
        expect(READERS[reader](octets)).toEqual(READERS.ours(octets))
      }),
      { numRuns: 300 },
    )
  })
})

test('what is damaged says the same to all who can read it still', () => {
  const shared = READABLE.dns2.filter((type) => READABLE['dns-packet'].includes(type))
  const changes = fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { minLength: 1, maxLength: 3 })
  let compared = 0
  fc.assert(
    fc.property(comparable(shared), changes, (message, changed) => {
      const octets = encodeMessage(message)
      for (const [at, value] of changed) if (at < octets.length) octets[at] = value
      const readings = Object.values(READERS).map((read) => attempt(() => read(octets)))
      const [ours] = readings
      if (readings.includes(null) || !isComparable(decodeMessage(octets), shared)) return
      for (const reading of readings) expect(reading).toEqual(ours)
      compared += 1
    }),
    { numRuns: 1500 },
  )
  expect(compared).toBeGreaterThan(100)
})

describe('they differ', () => {
  test.each(DIFFERENCES)('$what: $why', ({ octets, refusedBy }) => {
    const message = Buffer.from(octets.replaceAll(' ', ''), 'hex')
    const refusing = Object.entries(READERS).filter(([, read]) => attempt(() => read(message)) === null)
    expect(refusing.map(([reader]) => reader)).toEqual(refusedBy)
  })

  test('in a TTL whose first bit is set: it is 0 by RFC 2181 section 8, which dns2 and dns-packet do not apply', () => {
    const octets = Buffer.from('1234810000000001000000000000010001ffffffff0004c0000201', 'hex')
    const ttls = Object.values(READERS).map((read) => read(octets).records[0]!.split(' ')[2])
    expect(ttls).toEqual(['0', '4294967295', '2147483647'])
  })

  test('in an OPT whose first bit is set: dns2 takes its version and flags for a TTL that is too large', () => {
    const octets = Buffer.from(
      '12348100000000000000000100 0029 04d0 80000000 0000'.replaceAll(' ', ''),
      'hex',
    )
    const edns = Object.values(READERS).map((read) => read(octets).edns)
    expect(edns).toEqual(['1232 0 false', '1232 0 false', '1232 255 true'])
  })

  test('in a label with a dot, which dns2 and dns-packet take for two labels', () => {
    const octets = Buffer.from('123401000001000000000000 03612e6200 0001 0001'.replaceAll(' ', ''), 'hex')
    const questions = Object.values(READERS).map((read) => read(octets).questions[0])
    expect(questions).toEqual(['a\\.b. A', 'a.b. A', 'a.b. A'])
  })
})

test('what dns-packet encodes, which compresses nothing, is read here', () => {
  fc.assert(
    fc.property(fc.domain(), fc.ipV4(), fc.nat(0xffff), (domain, address, preference) => {
      const octets = dnsPacket.encode({
        type: 'response',
        id: 7,
        questions: [{ name: domain, type: 'MX' }],
        answers: [
          { name: domain, type: 'MX', ttl: 60, data: { preference, exchange: `mail.${domain}` } },
          { name: `mail.${domain}`, type: 'A', ttl: 60, data: address },
          { name: domain, type: 'TXT', ttl: 60, data: ['one', 'two'] },
        ],
      })
      expect(decodeMessage(octets).answers.map(printRecord)).toEqual([
        `${domain}. 60 IN MX ${preference} mail.${domain}.`,
        `mail.${domain}. 60 IN A ${address}`,
        `${domain}. 60 IN TXT "one" "two"`,
      ])
    }),
  )
})

/**
 * Whether the others can be right about it: they have no words for labels of any octets and for text that is
 * not UTF-8, know fewer types, take no notice of the class, and leave TTLs beyond 31 bits as they are.
 */
function isComparable(message: Message, types: readonly number[]): boolean {
  const records = [message.answers, message.authorities, message.additionals].flat()
  return (
    message.questions.every(({ name, type }) => isPlain(`${name}`) && types.includes(type)) &&
    records.every(
      (record) =>
        types.includes(record.type) &&
        record.class === CLASS.IN &&
        record.ttl > 0 &&
        isPlain(printRecord(record)),
    ) &&
    message.rcode <= 0x7ff
  )
}

const isPlain = (text: string): boolean => !text.includes('\\')

function rdata(type: number, text: string): Buffer {
  return parseRdata(type, text, (word) => Name.parse(word))
}

function quoted(text: string): string {
  return `"${text}"`
}

function hexadecimal(): fc.Arbitrary<string> {
  return fc.uint8Array({ minLength: 1, maxLength: 40 }).map((octets) => Buffer.from(octets).toString('hex'))
}

function attempt(read: () => Reading): Reading | null {
  try {
    return read()
  } catch {
    return null
  }
}
