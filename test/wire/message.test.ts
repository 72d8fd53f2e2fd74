import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { WireError } from '../../wire/errors.ts'
import {
  decodeHead,
  decodeHeader,
  decodeMessage,
  encodeMessage,
  type Message,
  type ResourceRecord,
} from '../../wire/message.ts'
import { Name } from '../../wire/name.ts'
import { parseRdata, printRecord } from '../../wire/presentation.ts'
import { CLASS, TYPE, typeNumber } from '../../wire/registry.ts'
import { anyMessage, anyName, anyRecord, KNOWN_TYPES, rdataOf, recordOf } from './arbitraries.ts'
import { corpus } from './corpus.ts'

const EMPTY: Message = {
  id: 0x1234,
  qr: true,
  opcode: 0,
  aa: false,
  tc: false,
  rd: false,
  ra: false,
  ad: false,
  cd: false,
  rcode: 0,
  questions: [],
  answers: [],
  authorities: [],
  additionals: [],
  edns: null,
}

describe('what is encoded decodes to the same', () => {
  test('messages', () => {
    fc.assert(
      fc.property(anyMessage, (message) => {
        expect(plain(decodeMessage(encodeMessage(message)))).toEqual(plain(message))
      }),
    )
  })

  test('records of names that hold any octets', () => {
    fc.assert(
      fc.property(anyRecord, anyName, (record, name) => {
        const message = { ...EMPTY, answers: [record, { ...record, name }] }
        expect(plain(decodeMessage(encodeMessage(message)))).toEqual(plain(message))
      }),
    )
  })
})

describe('octets from anyone', () => {
  test('give a message or a WireError, at once', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (octets) => outcome(octets) !== null),
      { numRuns: 500 },
    )
  })

  test('also where they were a message before a few were changed', () => {
    const changes = fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(anyMessage, changes, fc.nat(400), (message, changed, length) => {
        const octets = encodeMessage(message)
        for (const [at, value] of changed) if (at < octets.length) octets[at] = value
        expect(outcome(octets)).not.toBeNull()
        expect(outcome(octets.subarray(0, length))).not.toBeNull()
      }),
      { numRuns: 500 },
    )
  })

  test.each(corpus)('kept: $file', ({ octets, isRefused }) => {
    expect(outcome(octets)).toBe(isRefused ? 'WireError' : 'message')
    fc.assert(
      fc.property(fc.nat(octets.length), fc.nat(255), (at, value) => {
        const mutated = Buffer.from(octets)
        mutated[at] = value
        expect(outcome(mutated)).not.toBeNull()
      }),
    )
  })

  test('a message that decodes can be encoded again, into no more than a message', () => {
    fc.assert(
      fc.property(anyMessage, fc.nat(300), fc.nat(255), (message, at, value) => {
        const octets = encodeMessage(message)
        if (at < octets.length) octets[at] = value
        if (outcome(octets) !== 'message') return
        const decoded = decodeMessage(octets)
        expect(plain(decodeMessage(encodeMessage(decoded)))).toEqual(plain(decoded))
        for (const record of decoded.answers) expect(printRecord(record)).toContain(' ')
      }),
    )
  })
})

describe('names', () => {
  test('are compressed against earlier ones, in RFC 1035 types also inside RDATA', () => {
    const name = Name.parse('mail.home.arpa')
    const record = { name, type: TYPE.MX, class: 1, ttl: 60, data: rdata(TYPE.MX, '10 mail.home.arpa.') }
    const octets = encodeMessage({ ...EMPTY, answers: [record] })
    expect(octets.length).toBe(12 + 16 + 10 + 2 + 2)
  })

  test('are compressed in the RDATA of no other types than those of RFC 1035 (RFC 3597 section 4)', () => {
    const compressed = KNOWN_TYPES.filter((type) => {
      const samples = fc.sample(rdataOf(type), { numRuns: 100, seed: 1 })
      return samples.some((data) => {
        // The same RDATA twice: a name in it could point into the first record.
        const answers = [data, data].map((each) => ({ name: Name.root, type, class: 1, ttl: 60, data: each }))
        return encodeMessage({ ...EMPTY, answers }).length < 12 + 2 * (11 + data.length)
      })
    })
    const allowed = [TYPE.NS, TYPE.MD, TYPE.MF, TYPE.CNAME, TYPE.SOA, TYPE.MB, TYPE.MG, TYPE.MR, TYPE.PTR]
    expect(compressed).toEqual([...allowed, TYPE.MINFO, TYPE.MX])
  })

  // Each has home.arpa in place of every c00c.
  test.each([
    ['NS', 'c00c'],
    ['SOA', 'c00c c00c 00000001 00000002 00000003 00000004 00000005'],
    ['MX', '000a c00c'],
    ['RP', 'c00c c00c'],
    ['AFSDB', '0001 c00c'],
    ['RT', '0001 c00c'],
    ['SIG', '0001 05 02 00000e10 00000001 00000002 0003 c00c 0badcafe'],
    ['PX', '0001 c00c c00c'],
    ['NXT', 'c00c 6000'],
    ['SRV', '0000 0000 0050 c00c'],
    ['NAPTR', '0001 0002 0173 00 00 c00c'],
    ['KX', '0001 c00c'],
    ['DNAME', 'c00c'],
  ])('are expanded in %s, which somebody may have compressed (RFC 3597 section 4)', (type, rdata) => {
    for (const recordClass of [CLASS.IN, CLASS.NONE]) {
      const message = compressedAnswer(typeNumber(type)!, recordClass, rdata)
      const [record] = decodeMessage(message).answers
      expect(Buffer.from(record!.data).toString('hex')).toBe(
        withoutSpaces(rdata.replaceAll('c00c', HOME_ARPA)),
      )
    }
  })

  test.each([
    ['an unknown type', 65280, CLASS.IN],
    ['another class', TYPE.MX, CLASS.CH],
  ])('are not looked for in %s', (_what, type, recordClass) => {
    const [record] = decodeMessage(compressedAnswer(type, recordClass, '000a c00c')).answers
    expect(Buffer.from(record!.data).toString('hex')).toBe('000ac00c')
  })

  test('keep their case, since only the same case is compressed', () => {
    const questions = [Name.parse('nas.home.arpa'), Name.parse('NAS.home.arpa')].map((name) => ({
      name,
      type: 1,
      class: 1,
    }))
    const decoded = decodeMessage(encodeMessage({ ...EMPTY, questions }))
    expect(decoded.questions.map(({ name }) => name.toString())).toEqual(['nas.home.arpa.', 'NAS.home.arpa.'])
    expect(decoded.questions[0]!.name.key).toBe(decoded.questions[1]!.name.key)
  })
})

describe('a limit', () => {
  const rrset = (most: number) =>
    fc
      .tuple(recordOf(KNOWN_TYPES), fc.integer({ min: 1, max: most }))
      .chain(([record, count]) =>
        fc
          .array(rdataOf(record.type), { minLength: count, maxLength: count })
          .map((datas) => datas.map((data) => ({ ...record, data }))),
      )
  const section = fc.array(rrset(40), { maxLength: 12 }).map((rrsets) => rrsets.flat())
  const large = fc
    .record({ message: anyMessage, answers: section, authorities: section, additionals: section })
    .map(({ message, ...sections }) => ({
      ...{ ...message, ...sections, tc: false, questions: message.questions.slice(0, 1) },
      edns: message.edns && { ...message.edns, options: message.edns.options.slice(0, 2) },
    }))
  const limits = fc.oneof(fc.integer({ min: 512, max: 4096 }), fc.integer({ min: 512, max: 65_535 }))

  test('is never passed: whole RRsets are left out from the back, question and OPT stay, TC tells of it', () => {
    fc.assert(
      fc.property(large, limits, (message, limit) => {
        const octets = encodeMessage(message, limit)
        const decoded = decodeMessage(octets)
        expect(octets.length).toBeLessThanOrEqual(limit)
        expect(plain({ ...decoded, ...EMPTY_SECTIONS, tc: false })).toEqual(
          plain({ ...message, ...EMPTY_SECTIONS }),
        )

        let isCut = false
        for (const section of ['answers', 'authorities', 'additionals'] as const) {
          const [kept, all] = [decoded[section], message[section]]
          expect(plain(kept)).toEqual(plain(isCut ? [] : all.slice(0, kept.length)))
          isCut ||= kept.length < all.length
          const [last, next] = [all[kept.length - 1], all[kept.length]]
          if (last !== undefined && next !== undefined) expect(isOneRrset(last, next)).toBe(false)
        }
        // Nothing may be left out in silence but what stands beside a complete answer.
        const isAnswered = decoded.answers.length > 0 && decoded.answers.length === message.answers.length
        if (!isAnswered) expect(decoded.tc).toBe(isCut)
        if (!isCut) expect(decoded.tc).toBe(false)
      }),
      { numRuns: 200 },
    )
  })

  test('too small for the question is an error', () => {
    const questions = [{ name: Name.parse('nas.home.arpa'), type: 1, class: 1 }]
    expect(() => encodeMessage({ ...EMPTY, questions }, 20)).toThrow('does not fit into 20 octets')
  })
})

const HOME_ARPA = '04686f6d65046172706100'

/** A response to a question for home.arpa, whose name stands at offset 12, with one record of the root. */
function compressedAnswer(type: number, recordClass: number, rdata: string): Buffer {
  const data = Buffer.from(withoutSpaces(rdata), 'hex')
  const record = Buffer.alloc(11)
  record.writeUInt16BE(type, 1)
  record.writeUInt16BE(recordClass, 3)
  record.writeUInt16BE(data.length, 9)
  const head = Buffer.from(`123481000001000100000000${HOME_ARPA}00ff0001`, 'hex')
  return Buffer.concat([head, record, data])
}

const withoutSpaces = (hex: string): string => hex.replaceAll(' ', '')

function rdata(type: number, text: string): Buffer {
  return parseRdata(type, text, (word) => Name.parse(word))
}

/** `message`, `WireError`, or null for anything else that was thrown. */
function outcome(octets: Uint8Array): 'message' | 'WireError' | null {
  try {
    decodeHeader(octets)
    decodeMessage(octets)
    decodeHead(octets)
    return 'message'
  } catch (error) {
    return error instanceof WireError ? 'WireError' : null
  }
}

const EMPTY_SECTIONS = { answers: [], authorities: [], additionals: [] }

const isOneRrset = (one: ResourceRecord, other: ResourceRecord): boolean =>
  one.type === other.type && one.class === other.class && one.name.key === other.name.key

/** A message, or a part of one, as values that can be compared. */
function plain(message: unknown): unknown {
  return JSON.parse(JSON.stringify(message, (_key, value) => (value instanceof Name ? value.wire : value)))
}
