import { readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'

/** The inputs kept for one reader, by name; what once broke it belongs there. */
export function corpus(reader: string): [name: string, octets: Buffer][] {
  const folder = new URL(`../fuzz/corpus/${reader}/`, import.meta.url)
  return readdirSync(folder).map((name) => [
    name,
    Buffer.from(readFileSync(new URL(name, folder), 'latin1'), 'hex'),
  ])
}

/** Random octets, and inputs of the corpus in which some octets are changed, cut out, doubled or added. */
export function hostileOctets(reader: string): fc.Arbitrary<Buffer> {
  const seeds = corpus(reader).map(([, octets]) => octets)
  const change = fc.record({
    kind: fc.constantFrom('flip', 'set', 'cut', 'double', 'insert'),
    at: fc.nat(),
    octet: fc.integer({ min: 0, max: 255 }),
    length: fc.integer({ min: 1, max: 40 }),
  })
  return fc.oneof(
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 400 }).map((octets) => Buffer.from(octets)) },
    {
      weight: 9,
      arbitrary: fc
        .tuple(fc.constantFrom(...seeds), fc.array(change, { minLength: 1, maxLength: 4 }))
        .map(([seed, changes]) => changes.reduce(apply, seed)),
    },
  )
}

function apply(octets: Buffer, change: { kind: string; at: number; octet: number; length: number }): Buffer {
  const at = change.at % (octets.length + 1)
  const before = octets.subarray(0, at)
  const part = octets.subarray(at, at + change.length)
  switch (change.kind) {
    case 'flip':
      return Buffer.concat([
        before,
        Buffer.from(part.map((octet) => octet ^ change.octet)),
        octets.subarray(at + part.length),
      ])
    case 'set':
      return Buffer.concat([before, Buffer.of(change.octet), octets.subarray(at + 1)])
    case 'cut':
      return Buffer.concat([before, octets.subarray(at + change.length)])
    case 'double':
      return Buffer.concat([before, part, octets.subarray(at)])
    default:
      return Buffer.concat([before, Buffer.of(change.octet), octets.subarray(at)])
  }
}
