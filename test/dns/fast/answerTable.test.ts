import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { AnswerTable } from '../../../dns/fast/answerTable.ts'
import { PlainQuery } from '../../../dns/fast/plainQuery.ts'
import { decodeMessage, type Edns, encodeMessage, type Message } from '../../../wire/message.ts'
import { Name } from '../../../wire/name.ts'
import { parseRdata } from '../../../wire/presentation.ts'
import { CLASS, RCODE, TYPE } from '../../../wire/registry.ts'
import { query } from '../harness.ts'

const NOW = 1_800_000_000_000
const QUERY_AT = 8
const REPLY_AT = 4104
const TABLE_AT = 8192

/** A table of so many octets, with room for a query and a reply in the same memory, as the loop has it. */
function tableOf(octets: number) {
  const memory = new Uint8Array(new ArrayBuffer(TABLE_AT + octets))
  const table = new AnswerTable(memory, TABLE_AT, TABLE_AT + octets)
  const plain = new PlainQuery()
  return {
    table,
    learn: (asked: Message, answer: Partial<Message>, part: object = {}) =>
      table.learn(
        encodeMessage(asked),
        { response: responseTo(asked, answer), reusableFor: 60_000, source: 'zone', ...part },
        NOW,
      ),
    /** What the table says to a query; null if it does not know. */
    ask: (asked: Message, now = NOW): Message | null => {
      const octets = encodeMessage(asked)
      memory.set(octets, QUERY_AT)
      if (!plain.read(memory, QUERY_AT, octets.length)) return null
      const entry = table.find(plain, now)
      if (entry === 0) return null
      const length = table.write(entry, plain, REPLY_AT, now)
      return length === 0 ? null : decodeMessage(memory.slice(REPLY_AT, REPLY_AT + length))
    },
  }
}

const EDNS: Edns = { udpSize: 1232, version: 0, dnssecOk: false, options: [] }

function responseTo(asked: Message, part: Partial<Message>): Buffer {
  const edns = asked.edns && { ...EDNS, dnssecOk: asked.edns.dnssecOk }
  return encodeMessage({ ...asked, qr: true, ra: true, edns, ...part })
}

const a = (name: string, address: string, ttl = 60) => ({
  name: Name.parse(name),
  type: TYPE.A,
  class: CLASS.IN,
  ttl,
  data: parseRdata(TYPE.A, address, Name.parse),
})

describe('a response is given again', () => {
  const answers = [a('nas.home.arpa', '192.168.1.20')]

  test('with the id and the case of the new query', () => {
    const { learn, ask } = tableOf(4096)
    learn(query('nas.home.arpa', 'A', { id: 1 }), { aa: true, answers })
    const reply = ask(query('NAS.Home.arpa', 'A', { id: 2 }))!
    expect(reply).toMatchObject({ id: 2, qr: true, aa: true, rd: true, rcode: RCODE.NOERROR })
    expect(`${reply.questions[0]!.name}`).toBe('NAS.Home.arpa.')
    expect(`${reply.answers[0]!.name}`).toBe('NAS.Home.arpa.')
  })

  test('with an OPT if the query has one, whoever asked first', () => {
    const { learn, ask } = tableOf(4096)
    learn(query('nas.home.arpa', 'A'), { answers })
    expect(ask(query('nas.home.arpa', 'A'))!.edns).toBeNull()
    const edns = {
      udpSize: 4096,
      version: 0,
      dnssecOk: false,
      options: [{ code: 10, data: Buffer.alloc(8) }],
    }
    expect(ask(query('nas.home.arpa', 'A', { edns }))!.edns).toEqual(EDNS)

    learn(query('tv.home.arpa', 'A', { edns: EDNS }), { answers: [a('tv.home.arpa', '192.168.1.21')] })
    expect(ask(query('tv.home.arpa', 'A'))).toMatchObject({ edns: null, additionals: [] })
  })

  test('only to the same type, RD, CD and DO', () => {
    const { learn, ask } = tableOf(4096)
    learn(query('nas.home.arpa', 'A'), { answers })
    expect(ask(query('nas.home.arpa', 'AAAA'))).toBeNull()
    expect(ask(query('nas.home.arpa', 'A', { rd: false }))).toBeNull()
    expect(ask(query('nas.home.arpa', 'A', { cd: true }))).toBeNull()
    expect(ask(query('nas.home.arpa', 'A', { edns: { ...EDNS, dnssecOk: true } }))).toBeNull()
    expect(ask(query('nas.home.arp', 'A'))).toBeNull()
  })

  test('with TTLs that run, or stand in a zone', () => {
    const { learn, ask } = tableOf(4096)
    learn(query('nas.home.arpa', 'A'), { answers })
    const cached = [a('www.example.com', '192.0.2.1', 300), a('www.example.com', '192.0.2.2', 8)]
    learn(query('www.example.com', 'A'), { answers: cached }, { source: 'cache' })
    const later = NOW + 7_900
    expect(ask(query('nas.home.arpa', 'A'), later)!.answers.map(({ ttl }) => ttl)).toEqual([60])
    expect(ask(query('www.example.com', 'A'), later)!.answers.map(({ ttl }) => ttl)).toEqual([293, 1])
  })

  test('until its time is over, and never by a clock that was set back', () => {
    const { learn, ask } = tableOf(4096)
    learn(query('nas.home.arpa', 'A'), { answers })
    expect(ask(query('nas.home.arpa', 'A'), NOW + 59_999)).not.toBeNull()
    expect(ask(query('nas.home.arpa', 'A'), NOW + 60_000)).toBeNull()
    expect(ask(query('nas.home.arpa', 'A'), NOW - 1)).toBeNull()
  })

  test('not where it is longer than the client can take', () => {
    const { learn, ask } = tableOf(16384)
    const many = Array.from({ length: 40 }, (_, index) => a('nas.home.arpa', `192.168.1.${index}`))
    learn(query('nas.home.arpa', 'A', { edns: EDNS }), { answers: many })
    expect(ask(query('nas.home.arpa', 'A'))).toBeNull()
    expect(ask(query('nas.home.arpa', 'A', { edns: EDNS }))!.answers).toHaveLength(40)
  })

  test('no longer than the first of its records may be kept', () => {
    const { learn, ask } = tableOf(4096)
    const mixed = [a('www.example.com', '192.0.2.1', 300), a('www.example.com', '192.0.2.2', 5)]
    learn(query('www.example.com', 'A'), { answers: mixed }, { source: 'cache' })
    expect(ask(query('www.example.com', 'A'), NOW + 4_999)).not.toBeNull()
    expect(ask(query('www.example.com', 'A'), NOW + 5_000)).toBeNull()
  })

  test('where names in it end as the question does, only in the case it was asked in', () => {
    const { learn, ask } = tableOf(4096)
    const alias = { ...a('www.Home.arpa', '192.0.2.1'), type: TYPE.CNAME }
    const data = Buffer.from(Name.parse('nas.Home.arpa').wire, 'latin1')
    learn(query('www.Home.arpa', 'A'), { answers: [{ ...alias, data }] })
    expect(ask(query('www.home.arpa', 'A'))).toBeNull()
    expect(`${ask(query('www.Home.arpa', 'A'))!.answers[0]!.name}`).toBe('www.Home.arpa.')
  })

  test('the last one learned', () => {
    const { table, learn, ask } = tableOf(4096)
    learn(query('nas.home.arpa', 'A'), { answers })
    learn(query('NAS.home.arpa', 'A'), { answers: [a('NAS.home.arpa', '192.168.1.99')] })
    expect(table.count).toBe(1)
    expect(ask(query('nas.home.arpa', 'A'))!.answers[0]!.data).toEqual(Buffer.from([192, 168, 1, 99]))
  })

  test('never after clear', () => {
    const { table, learn, ask } = tableOf(4096)
    learn(query('nas.home.arpa', 'A'), { answers })
    table.clear()
    expect(table.count).toBe(0)
    expect(ask(query('nas.home.arpa', 'A'))).toBeNull()
  })
})

describe('what is not kept', () => {
  test.each<[string, Partial<Message>, Partial<Message>]>([
    ['a truncated response', {}, { tc: true }],
    [
      'a reason in the OPT',
      { edns: EDNS },
      { edns: { ...EDNS, options: [{ code: 15, data: Buffer.alloc(2) }] } },
    ],
    ['a response without the OPT', { edns: EDNS }, { edns: null }],
    ['a query of another opcode', { opcode: 4 }, {}],
    ['a query with a record', { answers: [a('nas.home.arpa', '192.168.1.20')] }, { answers: [] }],
    ['two questions', { questions: [...query('a', 'A').questions, ...query('b', 'A').questions] }, {}],
  ])('%s', (_, asked, answer) => {
    const { table, learn } = tableOf(4096)
    learn(query('nas.home.arpa', 'A', asked), answer)
    expect(table.count).toBe(0)
  })
})

test('under a flood of names the memory is the same, and no answer is ever a wrong one', () => {
  const names = fc.integer({ min: 0, max: 60 }).map((number) => `name${number}.home.arpa`)
  const step = fc.record({ name: names, learn: fc.boolean(), records: fc.integer({ min: 0, max: 12 }) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const { learn, ask, table } = tableOf(4096)
      const known = new Map<string, number>()
      for (const { name, learn: learning, records } of steps) {
        if (learning) {
          known.set(name, records)
          const answers = Array.from({ length: records }, (_, index) => a(name, `10.0.${records}.${index}`))
          learn(query(name, 'A'), { answers })
        }
        const reply = ask(query(name, 'A'))
        if (learning) expect(reply).not.toBeNull()
        if (reply === null) continue
        expect(reply.answers).toHaveLength(known.get(name)!)
        for (const { name: owner, data } of reply.answers) {
          expect(`${owner}`).toBe(`${name}.`)
          expect(data[2]).toBe(known.get(name))
        }
      }
      expect(table.count).toBeLessThanOrEqual(known.size)
    }),
  )
})
