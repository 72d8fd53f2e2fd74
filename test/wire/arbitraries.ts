import fc from 'fast-check'
import type { Message, ResourceRecord } from '../../wire/message.ts'
import { Name } from '../../wire/name.ts'
import { parseRdata } from '../../wire/presentation.ts'
import { TYPE } from '../../wire/registry.ts'

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

/** RDATA of the types that are understood, as text. */
const rdata: fc.Arbitrary<{ type: number; text: string }> = fc.oneof(
  fc.ipV4().map((text) => ({ type: TYPE.A as number, text })),
  fc.ipV6().map((text) => ({ type: TYPE.AAAA as number, text })),
  hostName.map((name) => ({ type: TYPE.CNAME as number, text: `${name}` })),
  hostName.map((name) => ({ type: TYPE.NS as number, text: `${name}` })),
  hostName.map((name) => ({ type: TYPE.PTR as number, text: `${name}` })),
  fc
    .tuple(u16, hostName)
    .map(([preference, name]) => ({ type: TYPE.MX as number, text: `${preference} ${name}` })),
  fc.tuple(u16, u16, u16, hostName).map(([priority, weight, port, name]) => ({
    type: TYPE.SRV as number,
    text: `${priority} ${weight} ${port} ${name}`,
  })),
  fc.tuple(hostName, hostName, u16).map(([mname, rname, serial]) => ({
    type: TYPE.SOA as number,
    text: `${mname} ${rname} ${serial} 1 2 3 4`,
  })),
  fc
    .array(fc.stringMatching(/^[ -!#-[\]-~]{0,40}$/), { minLength: 1, maxLength: 3 })
    .map((strings) => ({ type: TYPE.TXT as number, text: strings.map((string) => `"${string}"`).join(' ') })),
  fc
    .tuple(fc.nat(255), fc.constantFrom('issue', 'iodef'), fc.stringMatching(/^[a-z.]{1,20}$/))
    .map(([flags, tag, value]) => ({ type: TYPE.CAA as number, text: `${flags} ${tag} "${value}"` })),
  fc
    .uint8Array({ minLength: 1, maxLength: 40 })
    .map((octets) => ({ type: TYPE.TLSA as number, text: `3 1 1 ${Buffer.from(octets).toString('hex')}` })),
  fc
    .uint8Array({ maxLength: 40 })
    .map((octets) => ({ type: 65280, text: `\\# ${octets.length} ${Buffer.from(octets).toString('hex')}` })),
)

export const anyRecord: fc.Arbitrary<ResourceRecord> = fc
  .record({ name: fc.oneof(hostName, anyName), ttl: fc.nat(0x7fffffff), rdata })
  .map(({ name, ttl, rdata: { type, text } }) => ({
    name,
    type,
    class: 1,
    ttl,
    data: parseRdata(type, text, (word) => Name.parse(word)),
  }))

export const anyMessage: fc.Arbitrary<Message> = fc
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
    questions: fc.array(fc.record({ name: hostName, type: u16, class: u16 }), { maxLength: 2 }),
    answers: fc.array(anyRecord, { maxLength: 6 }),
    authorities: fc.array(anyRecord, { maxLength: 3 }),
    additionals: fc.array(anyRecord, { maxLength: 3 }),
    edns: fc.option(
      fc.record({
        udpSize: u16,
        version: fc.nat(255),
        dnssecOk: fc.boolean(),
        options: fc.array(
          fc.record({
            code: u16,
            data: fc.uint8Array({ maxLength: 30 }).map((octets) => Buffer.from(octets)),
          }),
          {
            maxLength: 3,
          },
        ),
      }),
    ),
  })
  .map((message) => (message.edns === null ? { ...message, rcode: message.rcode & 15 } : message))
