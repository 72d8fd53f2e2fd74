import { describe, expect, test } from '@jest/globals'
import dnsPacket from 'dns-packet'
import dns2 from 'dns2'
import fc from 'fast-check'
import { WireError } from '../../wire/errors.ts'
import { decodeHead, decodeHeader, decodeMessage, encodeMessage, type Message } from '../../wire/message.ts'
import { Name } from '../../wire/name.ts'
import { parseRdata, printRecord } from '../../wire/presentation.ts'
import { Reader } from '../../wire/reader.ts'
import { TYPE } from '../../wire/registry.ts'
import { anyMessage, anyName, anyRecord } from './arbitraries.ts'
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

  test.each(corpus)('kept: $file', ({ octets }) => {
    expect(outcome(octets)).toBe('WireError')
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

  test('are never compressed inside SRV (RFC 2782), but expanded if someone did', () => {
    const name = Name.parse('srv.home.arpa')
    const record = { name, type: TYPE.SRV, class: 1, ttl: 60, data: rdata(TYPE.SRV, '0 0 80 srv.home.arpa.') }
    const octets = encodeMessage({ ...EMPTY, answers: [record] })
    expect(octets.length).toBe(12 + 15 + 10 + 6 + 15)

    const compressed = Buffer.concat([
      octets.subarray(0, 12 + 15 + 8),
      Buffer.from('0008000000000050c00c', 'hex'),
    ])
    expect(decodeMessage(compressed).answers[0]!.data).toEqual(record.data)
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

  test('may jump from pointer to pointer, but not for ever', () => {
    const chain = (jumps: number): Buffer => {
      const octets = Buffer.alloc(12 + 1 + 2 * jumps)
      for (let jump = 0; jump < jumps; jump += 1) {
        octets.writeUInt16BE(0xc000 | (jump === 0 ? 12 : 13 + 2 * (jump - 1)), 13 + 2 * jump)
      }
      return octets
    }
    const read = (octets: Buffer): Name => {
      const reader = new Reader(octets)
      reader.offset = octets.length - 2
      return reader.name()
    }
    expect(read(chain(127))).toBe(Name.root)
    expect(() => read(chain(128))).toThrow('compression pointer')
  })
})

describe('a limit', () => {
  test('is never passed; whole RRsets are left out and TC says so', () => {
    fc.assert(
      fc.property(anyMessage, fc.integer({ min: 512, max: 1500 }), (message, limit) => {
        const small = {
          ...message,
          tc: false,
          answers: message.answers.flatMap((record) => Array(5).fill(record)),
        }
        const octets = encodeMessage(small, limit)
        const decoded = decodeMessage(octets)
        expect(octets.length).toBeLessThanOrEqual(limit)
        expect(decoded.questions.length).toBe(small.questions.length)
        expect(decoded.edns === null).toBe(small.edns === null)
        expect(decoded.answers.length % 5).toBe(0)
        const complete = decoded.answers.length === small.answers.length
        if (!complete) expect(decoded.tc).toBe(true)
      }),
    )
  })

  test('too small for the question is an error', () => {
    const questions = [{ name: Name.parse('nas.home.arpa'), type: 1, class: 1 }]
    expect(() => encodeMessage({ ...EMPTY, questions }, 20)).toThrow('does not fit into 20 octets')
  })
})

describe('other decoders read the same', () => {
  // dns-packet throws a RangeError for the options it knows, if their data is too short for it.
  const unknownOptions = (edns: Message['edns']): Message['edns'] =>
    edns && { ...edns, options: edns.options.map(({ data }) => ({ code: 65001, data })) }
  const comparable = anyMessage.map((message) => ({
    ...message,
    questions: message.questions.slice(0, 1),
    edns: unknownOptions(message.edns),
  }))

  test('dns-packet: header, question, and addresses, aliases, mail and services', () => {
    fc.assert(
      fc.property(comparable, (message) => {
        const theirs = dnsPacket.decode(encodeMessage(message))
        expect(theirs.id).toBe(message.id)
        expect(theirs.flag_tc).toBe(message.tc)
        expect(theirs.flag_aa).toBe(message.aa)
        expect(theirs.answers?.length).toBe(message.answers.length)
        message.answers.forEach((record, index) => {
          const answer = theirs.answers![index]!
          if (/^[ -~]*$/.test(record.name.wire.slice(1)))
            expect('ttl' in answer && answer.ttl).toBe(record.ttl)
          const words = printRecord(record).split(' ').slice(4)
          if (answer.type === 'MX')
            expect(`${answer.data.preference} ${answer.data.exchange}.`).toBe(words.join(' '))
          if (answer.type === 'SRV')
            expect(`${answer.data.port} ${answer.data.target}.`).toBe(words.slice(2).join(' '))
          if (answer.type === 'CNAME') expect(`${answer.data}.`).toBe(words[0])
          if (answer.type === 'A') expect(answer.data).toBe(words[0])
        })
      }),
    )
  })

  test('dns2: the same, of what it can read', () => {
    const readable = new Set<number>([TYPE.A, TYPE.CNAME, TYPE.NS, TYPE.MX, TYPE.SRV])
    fc.assert(
      fc.property(comparable, (message) => {
        const answers = message.answers.filter(({ type }) => readable.has(type))
        const octets = encodeMessage({ ...message, answers, authorities: [], additionals: [], edns: null })
        const theirs = dns2.Packet.parse(octets)
        expect(theirs.header.id).toBe(message.id)
        expect(theirs.answers.length).toBe(answers.length)
        answers.forEach((record, index) => {
          const words = printRecord(record).split(' ').slice(4)
          const answer = theirs.answers[index] as {
            address?: string
            domain?: string
            exchange?: string
            target?: string
          }
          if (record.type === TYPE.A) expect(answer.address).toBe(words[0])
          if (record.type === TYPE.CNAME) expect(`${answer.domain}.`).toBe(words[0])
          if (record.type === TYPE.MX) expect(`${answer.exchange}.`).toBe(words[1])
          if (record.type === TYPE.SRV) expect(`${answer.target}.`).toBe(words[3])
        })
      }),
    )
  })

  test('what dns-packet encodes, compressed in its own way, is read here', () => {
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
})

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

/** A message as values that can be compared. */
function plain(message: Message): unknown {
  return JSON.parse(JSON.stringify(message, (_key, value) => (value instanceof Name ? value.wire : value)))
}
