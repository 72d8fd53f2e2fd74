import type { Name } from './name.ts'
import { malformed, Reader } from './reader.ts'
import { CLASS, TYPE } from './registry.ts'
import type { Writer } from './writer.ts'

/**
 * The pieces RDATA is made of, in wire and in text.
 *
 * `period` is a `u32` of seconds that text may write `1h`; `string` is one character-string, `strings` one or more of them; `text` and `tag` are CAA's value and
 * property tag; `svcParams` are those of SVCB and HTTPS; `hex`, `base64`, `text`, `svcParams` and `opaque`
 * take what is left.
 */
export type Field =
  | 'name'
  | 'u8'
  | 'u16'
  | 'u32'
  | 'period'
  | 'ipv4'
  | 'ipv6'
  | 'string'
  | 'strings'
  | 'tag'
  | 'text'
  | 'hex'
  | 'base64'
  | 'svcParams'
  | 'opaque'

interface RdataFormat {
  fields: readonly Field[]
  /** Names in it are compressed on writing: only in the types of RFC 1035 (RFC 3597 section 4). */
  compress: boolean
}

const formats = (compress: boolean, byType: Record<number, readonly Field[]>) =>
  Object.entries(byType).map(([type, fields]) => [Number(type), { fields, compress }] as const)

/**
 * The types whose RDATA is understood; the rest is opaque octets (RFC 3597 section 3).
 *
 * Every type whose names a sender may have compressed must be here, or a forwarded record would keep
 * pointers into a message that no longer exists (RFC 3597 section 4).
 */
const FORMATS: ReadonlyMap<number, RdataFormat> = new Map([
  ...formats(true, {
    [TYPE.NS]: ['name'],
    [TYPE.MD]: ['name'],
    [TYPE.MF]: ['name'],
    [TYPE.CNAME]: ['name'],
    [TYPE.SOA]: ['name', 'name', 'u32', 'period', 'period', 'period', 'period'],
    [TYPE.MB]: ['name'],
    [TYPE.MG]: ['name'],
    [TYPE.MR]: ['name'],
    [TYPE.PTR]: ['name'],
    [TYPE.MINFO]: ['name', 'name'],
    [TYPE.MX]: ['u16', 'name'],
  }),
  ...formats(false, {
    [TYPE.A]: ['ipv4'],
    [TYPE.HINFO]: ['string', 'string'],
    [TYPE.TXT]: ['strings'],
    [TYPE.RP]: ['name', 'name'],
    [TYPE.AFSDB]: ['u16', 'name'],
    [TYPE.RT]: ['u16', 'name'],
    [TYPE.SIG]: ['u16', 'u8', 'u8', 'u32', 'u32', 'u32', 'u16', 'name', 'opaque'],
    [TYPE.PX]: ['u16', 'name', 'name'],
    [TYPE.AAAA]: ['ipv6'],
    [TYPE.NXT]: ['name', 'opaque'],
    [TYPE.SRV]: ['u16', 'u16', 'u16', 'name'],
    [TYPE.NAPTR]: ['u16', 'u16', 'string', 'string', 'string', 'name'],
    [TYPE.KX]: ['u16', 'name'],
    [TYPE.CERT]: ['u16', 'u16', 'u8', 'base64'],
    [TYPE.DNAME]: ['name'],
    [TYPE.DS]: ['u16', 'u8', 'u8', 'hex'],
    [TYPE.SSHFP]: ['u8', 'u8', 'hex'],
    [TYPE.RRSIG]: ['u16', 'u8', 'u8', 'u32', 'u32', 'u32', 'u16', 'name', 'opaque'],
    [TYPE.NSEC]: ['name', 'opaque'],
    [TYPE.DNSKEY]: ['u16', 'u8', 'u8', 'base64'],
    [TYPE.DHCID]: ['base64'],
    [TYPE.TLSA]: ['u8', 'u8', 'u8', 'hex'],
    [TYPE.SMIMEA]: ['u8', 'u8', 'u8', 'hex'],
    [TYPE.CDS]: ['u16', 'u8', 'u8', 'hex'],
    [TYPE.CDNSKEY]: ['u16', 'u8', 'u8', 'base64'],
    [TYPE.OPENPGPKEY]: ['base64'],
    [TYPE.ZONEMD]: ['u32', 'u8', 'u8', 'hex'],
    [TYPE.SVCB]: ['u16', 'name', 'svcParams'],
    [TYPE.HTTPS]: ['u16', 'name', 'svcParams'],
    [TYPE.SPF]: ['strings'],
    [TYPE.URI]: ['u16', 'u16', 'text'],
    [TYPE.CAA]: ['u8', 'tag', 'text'],
  }),
])

/** The fields of a type, or null if its RDATA is opaque. */
export function fieldsOf(type: number): readonly Field[] | null {
  return FORMATS.get(type)?.fields ?? null
}

/**
 * Reads the RDATA at the reader and gives it back with every name in full.
 *
 * It is looked into in class IN, and in class NONE, which in an UPDATE stands for the class of the zone
 * and may come without RDATA (RFC 2136 sections 2.4.3 and 2.5.4). Any other class may give a type another
 * format: its RDATA stays opaque.
 *
 * @throws {WireError} `MESSAGE_MALFORMED` if the octets do not fill the type's fields exactly.
 */
export function readRdata(reader: Reader, type: number, recordClass: number, length: number): Buffer {
  const hasFormat = recordClass === CLASS.IN || (recordClass === CLASS.NONE && length > 0)
  const fields = hasFormat ? fieldsOf(type) : null
  if (fields === null) return reader.octets(length)

  const start = reader.offset
  const end = start + length
  if (length > reader.left) throw malformed('RDATA runs past the end')
  const compressed: { name: Name; start: number; end: number }[] = []
  let expanded = length
  for (const field of fields) {
    const at = reader.offset
    if (field !== 'name') {
      skipField(reader, field, end)
      continue
    }
    const name = reader.name()
    const saved = name.wire.length - (reader.offset - at)
    // A pointer takes two octets, and no name has as many: there is one where the lengths differ.
    if (saved !== 0) compressed.push({ name, start: at, end: reader.offset })
    expanded += saved
  }
  if (reader.offset !== end) throw malformed('RDATA does not have the length of its type')
  if (compressed.length === 0) return reader.bytes.subarray(start, end)

  const data = Buffer.allocUnsafe(expanded)
  let copied = start
  let at = 0
  for (const { name, start, end } of compressed) {
    at += reader.bytes.copy(data, at, copied, start)
    at += data.write(name.wire, at, 'latin1')
    copied = end
  }
  reader.bytes.copy(data, at, copied, end)
  return data
}

/** Writes RDATA that holds its names in full, compressing those that may be. */
export function writeRdata(writer: Writer, type: number, recordClass: number, data: Uint8Array): void {
  const format = recordClass === CLASS.IN ? FORMATS.get(type) : undefined
  if (format === undefined || !format.compress) {
    writer.octets(data)
    return
  }
  const reader = new Reader(data, { pointers: false })
  for (const field of format.fields) {
    const start = reader.offset
    if (field === 'name') {
      writer.name(reader.name(), true)
    } else {
      skipField(reader, field, data.length)
      writer.octets(data.subarray(start, reader.offset))
    }
  }
}

/** One field's octets, and the name if it is one. */
interface FieldValue {
  field: Field
  octets: Buffer
  name?: Name
}

/**
 * Cuts RDATA that holds its names in full into its fields.
 *
 * @throws {WireError} `MESSAGE_MALFORMED` if the octets do not fill the fields exactly.
 */
export function splitRdata(data: Uint8Array, fields: readonly Field[]): FieldValue[] {
  const reader = new Reader(data, { pointers: false })
  const values = fields.map((field): FieldValue => {
    const start = reader.offset
    const name = field === 'name' ? reader.name() : undefined
    if (field !== 'name') skipField(reader, field, data.length)
    return { field, octets: reader.bytes.subarray(start, reader.offset), ...(name && { name }) }
  })
  if (reader.left > 0) throw malformed('RDATA does not have the length of its type')
  return values
}

function skipField(reader: Reader, field: Exclude<Field, 'name'>, end: number): void {
  switch (field) {
    case 'u8':
      reader.skip(1)
      return
    case 'u16':
      reader.skip(2)
      return
    case 'u32':
    case 'period':
    case 'ipv4':
      reader.skip(4)
      return
    case 'ipv6':
      reader.skip(16)
      return
    case 'string':
    case 'tag':
      reader.skip(reader.u8())
      return
    case 'strings':
      do reader.skip(reader.u8())
      while (reader.offset < end)
      return
    case 'text':
    case 'hex':
    case 'base64':
    case 'svcParams':
    case 'opaque':
      if (end < reader.offset) throw malformed('RDATA does not have the length of its type')
      reader.skip(end - reader.offset)
  }
}

/** The name in the RDATA of a type that is nothing but one name: the target of a CNAME, NS or PTR. */
export function targetOf(data: Uint8Array): Name {
  return new Reader(data, { pointers: false }).name()
}
