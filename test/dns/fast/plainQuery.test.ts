import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { PlainQuery } from '../../../dns/fast/plainQuery.ts'
import { decodeMessage, encodeMessage, type Message } from '../../../wire/message.ts'
import { run } from '../../support/run.ts'
import { query } from '../harness.ts'

const plain = new PlainQuery()
const read = (octets: Uint8Array) => plain.read(octets, 0, octets.length)

const edns = (part: object = {}) => ({
  edns: { udpSize: 1232, version: 0, dnssecOk: false, options: [], ...part },
})

describe('what is plain', () => {
  test.each<[string, Partial<Message>]>([
    ['a query', {}],
    ['of an iterative client', { rd: false }],
    ['with AD, which asks for nothing here', { ad: true }],
    ['with EDNS', edns()],
    [
      'with options',
      edns({
        options: [
          { code: 10, data: Buffer.alloc(8) },
          { code: 12, data: Buffer.alloc(0) },
        ],
      }),
    ],
  ])('%s', (_, part) => {
    expect(read(encodeMessage(query('nas.home.arpa', 'A', part)))).toBe(true)
  })

  test('how large its response may be', () => {
    const limitOf = (part: Partial<Message>) => {
      read(encodeMessage(query('nas.home.arpa', 'A', part)))
      return plain.limit
    }
    expect(
      [{}, edns({ udpSize: 100 }), edns({ udpSize: 1000 }), edns({ udpSize: 4096 })].map(limitOf),
    ).toEqual([512, 512, 1000, 1232])
  })

  test('names that differ only in case have the same hash, other flags another', () => {
    const hashOf = (name: string, part: Partial<Message> = {}) => {
      read(encodeMessage(query(name, 'A', part)))
      return plain.hash
    }
    expect(hashOf('NAS.home.arpa')).toBe(hashOf('nas.HOME.arpa'))
    expect(hashOf('nas.home.arpa', { cd: true })).not.toBe(hashOf('nas.home.arpa'))
  })
})

describe('what is not', () => {
  const NAS = encodeMessage(query('nas.home.arpa', 'A', edns()))
  const changed = (at: number, octet: number) => {
    const octets = Buffer.from(NAS)
    octets[at] = octet
    return octets
  }
  test.each<[string, Uint8Array]>([
    ['a response', changed(2, 0x81)],
    ['another opcode', changed(2, 0x29)],
    ['a truncated query', changed(2, 0x03)],
    ['no question', changed(5, 0)],
    ['two questions', changed(5, 2)],
    ['an answer', changed(7, 1)],
    ['an authority', changed(9, 1)],
    ['two additional records', changed(11, 2)],
    ['a compressed question', changed(12, 0xc0)],
    ['another class', changed(30, 3)],
    ['an OPT of version 1', changed(37, 1)],
    ['a record that is no OPT', changed(33, 1)],
    ['an option that runs past the end', Buffer.concat([changed(41, 4), Buffer.from('000a0001', 'hex')])],
    ['octets left over', Buffer.concat([NAS, Buffer.alloc(1)])],
    ['nothing', Buffer.alloc(0)],
  ])('%s', (_, octets) => {
    expect(read(octets)).toBe(false)
  })
})

test('whatever octets come, what is plain is what the codec reads', () => {
  const asked = fc
    .record({
      name: fc.constantFrom('nas.home.arpa', 'NAS.home.arpa', '.', `${'x'.repeat(63)}.${'y'.repeat(63)}.a`),
      type: fc.constantFrom('A', 'AAAA', 'TYPE65535'),
      cd: fc.boolean(),
      withEdns: fc.boolean(),
    })
    .map(({ name, type, cd, withEdns }) => encodeMessage(query(name, type, { cd, ...(withEdns && edns()) })))
  const mutation = fc.record({
    at: fc.nat(160),
    octet: fc.nat(255),
    cut: fc.option(fc.nat(160), { freq: 5 }),
  })
  fc.assert(
    fc.property(asked, fc.array(mutation, { maxLength: 3 }), (octets, mutations) => {
      const mutated = Buffer.from(octets)
      for (const { at, octet } of mutations) if (at < mutated.length) mutated[at] = octet
      const cut = mutations.find(({ cut }) => cut !== null)?.cut ?? mutated.length
      const packet = mutated.subarray(0, cut)
      if (!read(packet)) return
      const message = decodeMessage(packet)
      const [question] = message.questions
      expect(message).toMatchObject({
        qr: false,
        opcode: 0,
        tc: false,
        answers: [],
        authorities: [],
        additionals: [],
      })
      expect(message.questions).toHaveLength(1)
      expect(question).toMatchObject({ type: plain.type, class: 1 })
      expect(question!.name.wire.length + 4).toBe(plain.questionLength)
      expect(plain.hasEdns).toBe(message.edns !== null)
      expect(plain.flags).toBe(
        Number(message.rd) + 2 * Number(message.cd) + 4 * Number(message.edns?.dnssecOk ?? false),
      )
    }),
    { numRuns: 5000 },
  )
})

test('nobody outside knows which names have hashes in common: each process has its own', async () => {
  const script = `
    const { PlainQuery } = await import(${JSON.stringify(new URL('../../../dns/fast/plainQuery.ts', import.meta.url))})
    const query = new PlainQuery()
    query.read(Buffer.from('${encodeMessage(query('nas.home.arpa', 'A')).toString('hex')}', 'hex'), 0, 31)
    console.log(query.hash)`
  const hashes = await Promise.all(
    [1, 2, 3].map(async () => (await run(process.execPath, ['--input-type=module', '-e', script])).stdout),
  )
  expect(hashes.join('')).toMatch(/^(-?\d+\n){3}$/)
  expect(new Set(hashes).size).toBeGreaterThan(1)
})
