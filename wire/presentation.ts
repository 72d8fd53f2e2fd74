import { addressOctets, addressText } from '../base/ip.ts'
import { WireError } from './errors.ts'
import type { ResourceRecord } from './message.ts'
import { MAX_MESSAGE } from './message.ts'
import type { Name } from './name.ts'
import { type Field, fieldsOf, splitRdata } from './rdata.ts'
import { malformed } from './reader.ts'
import { CLASS, typeName } from './registry.ts'
import { parseSvcParams, printSvcParams, type WrittenParam } from './svcb.ts'
import { readEntries, type Token } from './tokens.ts'

/** A property of CAA (RFC 8659 section 4.1). */
const TAG = /^[a-z0-9]+$/i

/** Makes a name of what stands for one in RDATA text. */
export type ReadName = (text: string) => Name

/**
 * Reads RDATA as a person writes it: `10 mail.home.arpa.` for an MX.
 *
 * `readName` says what a name without a final dot is relative to. Any type can be written as
 * `\# 4 c0a80114` (RFC 3597 section 5), and a type whose own form is not known here must be.
 *
 * @returns the RDATA in wire form, names in full.
 * @throws {WireError} `RDATA_INVALID` or `NAME_INVALID`
 */
export function parseRdata(type: number, text: string, readName: ReadName): Buffer {
  const [entry, ...more] = readEntries(text)
  if (more.length > 0) throw invalid(type, 'goes over more than one line: put it on one, or in parentheses')
  return parseRdataTokens(type, entry?.tokens ?? [], readName)
}

/** The same, of words that are already cut. */
export function parseRdataTokens(type: number, tokens: readonly Token[], readName: ReadName): Buffer {
  const fields = fieldsOf(type)
  const data = isGeneric(tokens) ? parseGeneric(type, tokens) : parseFields(type, fields, tokens, readName)
  if (fields !== null && isGeneric(tokens)) {
    try {
      splitRdata(data, fields)
    } catch (cause) {
      throw new WireError('RDATA_INVALID', `the octets given are no valid data of type ${typeName(type)}`, {
        cause,
      })
    }
  }
  if (data.length > MAX_MESSAGE) throw invalid(type, 'is longer than the 65535 octets a record can hold')
  return data
}

/**
 * RDATA in presentation form on one line, every name absolute, so that `parseRdata` gives the same octets
 * back: as plain octets where a type has no form of its own for what is in it.
 */
export function printRdata(type: number, data: Uint8Array): string {
  const fields = fieldsOf(type)
  if (fields === null || fields.includes('opaque')) return printGeneric(data)
  const words = splitRdata(data, fields)
    .filter(({ field, octets }) => field !== 'svcParams' || octets.length > 0)
    .map(({ field, octets, name }) => (name === undefined ? printField(field, octets) : name.toString()))
  return words.includes('') ? printGeneric(data) : words.join(' ')
}

/** One line of a master file: `nas.home.arpa. 60 IN A 192.168.1.20`. */
export function printRecord({ name, ttl, class: recordClass, type, data }: ResourceRecord): string {
  const isInternet = recordClass === CLASS.IN
  const classText = isInternet ? 'IN' : `CLASS${recordClass}`
  const dataText = isInternet ? printRdata(type, data) : printGeneric(data)
  return `${name} ${ttl} ${classText} ${typeName(type)} ${dataText}`
}

/**
 * Seconds, plain or with the units `w d h m s`: `300`, `1h30m`. Null if the text is neither, or is more
 * than `max`, by default the 31 bits a TTL has (RFC 2181 section 8).
 */
export function parsePeriod(text: string, max = 0x7fffffff): number | null {
  if (!/^\d{1,10}$|^(\d{1,10}[wdhms])+$/i.test(text)) return null
  const units: Record<string, number> = { w: 604800, d: 86400, h: 3600, m: 60, s: 1 }
  const seconds = text
    .toLowerCase()
    .match(/\d+[wdhms]?/g)!
    .reduce((sum, part) => sum + Number.parseInt(part, 10) * (units[part.at(-1)!] ?? 1), 0)
  return seconds <= max ? seconds : null
}

function parseFields(
  type: number,
  fields: readonly Field[] | null,
  tokens: readonly Token[],
  readName: ReadName,
): Buffer {
  if (fields === null || fields.includes('opaque')) {
    throw invalid(type, 'can only be written as octets: \\# followed by their count and their hex digits')
  }
  const left = [...tokens]
  const parts = fields.map((field) => {
    if (left.length === 0 && field !== 'svcParams')
      throw invalid(type, `ends too early: it consists of ${describe(fields)}`)
    const words = takesAll(field) ? left.splice(0) : left.splice(0, 1)
    return parseField(type, field, words, readName)
  })
  if (left.length > 0) {
    throw invalid(type, `goes on after its end with "${left[0]!.text}": it consists of ${describe(fields)}`)
  }
  return Buffer.concat(parts)
}

const takesAll = (field: Field): boolean => ['strings', 'hex', 'base64', 'svcParams'].includes(field)

function parseField(type: number, field: Field, words: readonly Token[], readName: ReadName): Buffer {
  if (field === 'svcParams') return parseSvcParams(writtenParams(type, words))
  const text = words[0]!.text
  switch (field) {
    case 'name':
      return Buffer.from(readName(text).wire, 'latin1')
    case 'u8':
    case 'u16':
    case 'u32':
      return parseNumber(type, text, { u8: 1, u16: 2, u32: 4 }[field])
    case 'period': {
      const seconds = parsePeriod(text, 0xffffffff)
      if (seconds === null) throw invalid(type, `needs a number of seconds instead of "${text}"`)
      return parseNumber(type, String(seconds), 4)
    }
    case 'ipv4':
    case 'ipv6': {
      const octets = addressOctets(text)
      if (octets?.length !== (field === 'ipv4' ? 4 : 16)) {
        const example =
          field === 'ipv4' ? 'an IPv4 address like 192.168.1.20' : 'an IPv6 address like fd00::20'
        throw invalid(type, `needs ${example} instead of "${text}"`)
      }
      return Buffer.from(octets)
    }
    case 'tag':
      if (!TAG.test(text)) throw invalid(type, `needs a tag like issue instead of "${text}"`)
      return characterString(type, text)
    case 'string':
    case 'strings':
      return Buffer.concat(words.map((word) => characterString(type, word.text)))
    case 'text':
      return unescapeString(type, text)
    case 'hex': {
      const digits = words.map((word) => word.text).join('')
      if (!/^([0-9a-f]{2})+$/i.test(digits)) throw invalid(type, 'needs an even number of hex digits')
      return Buffer.from(digits, 'hex')
    }
    case 'base64': {
      const digits = words.map((word) => word.text).join('')
      if (!/^[A-Za-z0-9+/]+={0,2}$/.test(digits) || digits.length % 4 !== 0) {
        throw invalid(type, 'needs base64 with its padding')
      }
      return Buffer.from(digits, 'base64')
    }
    case 'opaque':
      throw malformed('opaque octets have no text of their own')
  }
}

/** Empty where a field's octets have no text. */
function printField(field: Field, octets: Buffer): string {
  switch (field) {
    case 'u8':
    case 'u16':
    case 'u32':
    case 'period':
      return String(octets.readUIntBE(0, octets.length))
    case 'ipv4':
    case 'ipv6':
      return addressText(octets)
    case 'tag': {
      const tag = octets.toString('latin1', 1)
      return TAG.test(tag) ? tag : ''
    }
    case 'string':
    case 'strings':
      return characterStrings(octets).map(quoted).join(' ')
    case 'text':
      return quoted(octets)
    case 'hex':
      return octets.toString('hex')
    case 'base64':
      return octets.toString('base64')
    case 'svcParams':
      return printSvcParams(octets, quoted) ?? ''
    case 'name':
    case 'opaque':
      throw malformed('this field has no text of its own')
  }
}

function describe(fields: readonly Field[]): string {
  const words: Record<Field, string> = {
    name: 'a name',
    u8: 'a number up to 255',
    u16: 'a number up to 65535',
    u32: 'a number',
    period: 'seconds',
    ipv4: 'an IPv4 address',
    ipv6: 'an IPv6 address',
    string: 'a string',
    strings: 'one or more strings',
    tag: 'a tag',
    text: 'a string',
    hex: 'hex digits',
    base64: 'base64',
    svcParams: 'parameters such as alpn=h2',
    opaque: 'octets',
  }
  return fields.map((field) => words[field]).join(', ')
}

/** `key`, `key=value` or `key="value"`; a value is one character-string (RFC 9460 section 2.1). */
function writtenParams(type: number, words: readonly Token[]): WrittenParam[] {
  const params: WrittenParam[] = []
  let open: WrittenParam | null = null
  for (const { text, quoted, joined } of words) {
    if (joined) {
      if (open === null || !quoted) throw invalid(type, `has something behind a parameter's value: "${text}"`)
      open.value = unescapeString(type, text)
      open = null
      continue
    }
    const end = text.indexOf('=')
    const param = {
      key: end === -1 ? text : text.slice(0, end),
      value: end === -1 ? null : unescapeString(type, text.slice(end + 1)),
    }
    params.push(param)
    open = end === text.length - 1 ? param : null
  }
  return params
}

function parseNumber(type: number, text: string, octets: number): Buffer {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (!(value < 256 ** octets)) {
    throw invalid(type, `needs a number from 0 to ${256 ** octets - 1} instead of "${text}"`)
  }
  const buffer = Buffer.alloc(octets)
  buffer.writeUIntBE(value, 0, octets)
  return buffer
}

function characterString(type: number, text: string): Buffer {
  const octets = unescapeString(type, text)
  if (octets.length > 255) {
    throw invalid(type, `has a string of ${octets.length} octets: split it into strings of at most 255`)
  }
  return Buffer.concat([Buffer.of(octets.length), octets])
}

/** The octets of a string: `\X` and `\DDD` as in RFC 1035 section 5.1, anything beyond ASCII as UTF-8. */
function unescapeString(type: number, text: string): Buffer {
  const parts = text.match(/\\\d{3}|\\[^\d]|[^\\]+|\\/gsu) ?? []
  return Buffer.concat(
    parts.map((part) => {
      if (part[0] !== '\\') return Buffer.from(part)
      if (part.length === 4 && Number(part.slice(1)) <= 255) return Buffer.of(Number(part.slice(1)))
      if (part.length === 1 || part.length === 4) {
        throw invalid(
          type,
          'has a broken escape: write \\ and one character, or \\ and three digits up to 255',
        )
      }
      return Buffer.from(part.slice(1))
    }),
  )
}

function characterStrings(octets: Buffer): Buffer[] {
  const strings: Buffer[] = []
  for (let at = 0; at < octets.length; at += 1 + octets[at]!) {
    strings.push(octets.subarray(at + 1, at + 1 + octets[at]!))
  }
  return strings
}

function quoted(octets: Buffer): string {
  const escaped = octets
    .toString('latin1')
    .replace(/[^ -~]|["\\]/g, (octet) =>
      octet < ' ' || octet > '~' ? `\\${String(octet.charCodeAt(0)).padStart(3, '0')}` : `\\${octet}`,
    )
  return `"${escaped}"`
}

const isGeneric = ([first]: readonly Token[]): boolean => first?.text === '\\#' && !first.quoted

function parseGeneric(type: number, [, count, ...digits]: readonly Token[]): Buffer {
  const hex = digits.map(({ text }) => text).join('')
  if (!/^([0-9a-f]{2})*$/i.test(hex) || count?.text !== String(hex.length / 2)) {
    throw invalid(type, 'in the form \\# needs the count of its octets, then as many pairs of hex digits')
  }
  return Buffer.from(hex, 'hex')
}

function printGeneric(data: Uint8Array): string {
  const hex = Buffer.from(data).toString('hex')
  return hex === '' ? '\\# 0' : `\\# ${data.length} ${hex}`
}

function invalid(type: number, what: string): WireError {
  return new WireError('RDATA_INVALID', `the data of a record of type ${typeName(type)} ${what}`)
}
