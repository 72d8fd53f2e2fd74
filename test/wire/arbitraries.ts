import fc from 'fast-check'
import type { Message, ResourceRecord } from '../../wire/message.ts'
import { Name } from '../../wire/name.ts'
import { type Field, fieldsOf } from '../../wire/rdata.ts'
import { CLASS, TYPE } from '../../wire/registry.ts'
import { SVC_KEY, svcbData } from '../../wire/svcb.ts'

/** Any octets at all, in labels and names of any length that is allowed. */
export const anyName: fc.Arbitrary<Name> = fc
  .array(fc.uint8Array({ minLength: 1, maxLength: 63 }), { maxLength: 8 })
  .map((labels) => {
    let wire = '\0'
    for (const label of labels) {
      const longer = String.fromCharCode(label.length) + Buffer.from(label).toString('latin1') + wire
      if (longer.length <= 255) wire = longer
    }
    return Name.fromWire(wire)
  })

/** Names as hosts have them, of few labels, so that messages hold many that share their ends. */
export const hostName: fc.Arbitrary<Name> = fc
  .array(fc.constantFrom('www', 'NAS', 'a', '_tcp', 'home', 'arpa', 'example', 'com'), {
    minLength: 1,
    maxLength: 4,
  })
  .map((labels) => Name.parse(labels.join('.')))

const u16 = fc.nat(0xffff)

const octets = (minLength: number, maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength, maxLength }).map((bytes) => Buffer.from(bytes))

const characterString = octets(0, 255).map((string) => Buffer.concat([Buffer.of(string.length), string]))

/** Service parameters in their order, most of them of a form that is known. */
const wellFormedParams: fc.Arbitrary<Buffer> = fc
  .uniqueArray(
    fc.oneof(
      fc.record({
        key: fc.constant<number>(SVC_KEY.alpn),
        value: fc
          .array(octets(1, 30), { minLength: 1, maxLength: 3 })
          .map((protocols) => Buffer.concat(protocols.flatMap((each) => [Buffer.of(each.length), each]))),
      }),
      fc.record({ key: fc.constant<number>(SVC_KEY.port), value: octets(2, 2) }),
      fc.record({ key: fc.constant<number>(SVC_KEY.ipv4hint), value: octets(4, 4) }),
      fc.record({ key: fc.constant<number>(SVC_KEY.ech), value: octets(1, 20) }),
      fc.record({ key: fc.constant<number>(SVC_KEY.ipv6hint), value: octets(16, 16) }),
      fc.record({ key: fc.integer({ min: 9, max: 65534 }), value: octets(0, 20) }),
    ),
    { selector: ({ key }) => key, maxLength: 6 },
  )
  .map((params) => svcbData(0, Name.root, params).subarray(3))

/** What each piece of RDATA can be: anything that its format lets through. */
const fieldValues: Record<Field, fc.Arbitrary<Buffer>> = {
  name: fc.oneof(hostName, anyName).map(({ wire }) => Buffer.from(wire, 'latin1')),
  u8: octets(1, 1),
  u16: octets(2, 2),
  u32: octets(4, 4),
  period: octets(4, 4),
  ipv4: octets(4, 4),
  ipv6: octets(16, 16),
  string: characterString,
  strings: fc.array(characterString, { minLength: 1, maxLength: 4 }).map((strings) => Buffer.concat(strings)),
  tag: fc.oneof(
    characterString,
    fc.constantFrom('issue', 'iodef').map((tag) => Buffer.from(`${String.fromCharCode(tag.length)}${tag}`)),
  ),
  text: octets(0, 40),
  hex: octets(0, 40),
  base64: octets(0, 40),
  svcParams: fc.oneof(octets(0, 40), wellFormedParams),
  opaque: octets(0, 40),
}

/** The types whose RDATA is understood. */
export const KNOWN_TYPES: readonly number[] = Object.values(TYPE).filter((type) => fieldsOf(type) !== null)

/** RDATA of a type, names in full: of the fields it consists of, or any octets where it is opaque. */
export function rdataOf(type: number): fc.Arbitrary<Buffer> {
  const fields = fieldsOf(type)
  if (fields === null) return octets(0, 60)
  return fc.tuple(...fields.map((field) => fieldValues[field])).map((parts) => Buffer.concat(parts))
}

/** Records of class IN of the given types. */
export function recordOf(
  types: readonly number[],
  name: fc.Arbitrary<Name> = fc.oneof(hostName, anyName),
): fc.Arbitrary<ResourceRecord> {
  return fc.constantFrom(...types).chain((type) =>
    fc.record({
      name,
      type: fc.constant(type),
      class: fc.constant<number>(CLASS.IN),
      ttl: fc.nat(0x7fffffff),
      data: rdataOf(type),
    }),
  )
}

/** Records of types that nobody knows, and of classes that only updates or other networks have. */
const strangeRecord: fc.Arbitrary<ResourceRecord> = fc
  .record({
    record: recordOf([...KNOWN_TYPES, TYPE.NULL, TYPE.NSEC, 42, 65280]),
    as: fc.constantFrom<number>(CLASS.IN, CLASS.CH, CLASS.HS, CLASS.NONE, CLASS.ANY, 65280),
    hasData: fc.boolean(),
  })
  .map(({ record, as, hasData }) => ({
    ...record,
    class: as,
    data: hasData || as === CLASS.IN ? record.data : Buffer.alloc(0),
  }))

export const anyRecord: fc.Arbitrary<ResourceRecord> = fc.oneof(recordOf(KNOWN_TYPES), strangeRecord)

const anyEdns: fc.Arbitrary<Message['edns']> = fc.record({
  udpSize: u16,
  version: fc.nat(255),
  dnssecOk: fc.boolean(),
  options: fc.array(fc.record({ code: u16, data: octets(0, 30) }), { maxLength: 3 }),
})

/** Messages of any kind, their records made by `record`. */
export function messageOf(record: fc.Arbitrary<ResourceRecord>): fc.Arbitrary<Message> {
  return fc
    .record({
      id: u16,
      qr: fc.boolean(),
      opcode: fc.nat(15),
      aa: fc.boolean(),
      tc: fc.boolean(),
      rd: fc.boolean(),
      ra: fc.boolean(),
      ad: fc.boolean(),
      cd: fc.boolean(),
      rcode: fc.nat(4095),
      questions: fc.array(fc.record({ name: fc.oneof(hostName, anyName), type: u16, class: u16 }), {
        maxLength: 2,
      }),
      answers: fc.array(record, { maxLength: 6 }),
      authorities: fc.array(record, { maxLength: 3 }),
      additionals: fc.array(record, { maxLength: 3 }),
      edns: fc.option(anyEdns),
    })
    .map((message) => (message.edns === null ? { ...message, rcode: message.rcode & 15 } : message))
}

export const anyMessage: fc.Arbitrary<Message> = messageOf(anyRecord)
