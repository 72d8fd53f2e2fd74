import { addressOctets, addressText } from '../base/ip.ts'
import { WireError } from './errors.ts'
import type { Name } from './name.ts'
import { Reader } from './reader.ts'

/** The keys with a meaning of their own (IANA, "Service Parameter Keys"); any other is written `key667`. */
export const SVC_KEY = {
  mandatory: 0,
  alpn: 1,
  'no-default-alpn': 2,
  port: 3,
  ipv4hint: 4,
  ech: 5,
  ipv6hint: 6,
  dohpath: 7,
  ohttp: 8,
} as const

/** One SvcParam, its value as octets. */
export interface SvcParam {
  key: number
  value: Buffer
}

/** The parameters of an SVCB or HTTPS record as people write them: a key, and a value if it has one. */
export interface WrittenParam {
  key: string
  /** Escapes undone. */
  value: Buffer | null
}

const RESERVED_KEY = 65535
const COMMA = 0x2c
const BACKSLASH = 0x5c
const KEY_NAMES = new Map<number, string>(Object.entries(SVC_KEY).map(([name, key]) => [key, name]))

/**
 * The RDATA of an SVCB or HTTPS record (RFC 9460 section 2.2), its parameters in the order of their keys.
 */
export function svcbData(priority: number, target: Name, params: readonly SvcParam[]): Buffer {
  const head = Buffer.alloc(2)
  head.writeUInt16BE(priority)
  return Buffer.concat([head, Buffer.from(target.wire, 'latin1'), paramData(params)])
}

/** The parameters in RDATA of type SVCB or HTTPS; null where they are not well-formed. */
export function svcParamsOf(data: Uint8Array): SvcParam[] | null {
  return wellFormed(() => {
    const reader = new Reader(data, { pointers: false })
    reader.skip(2)
    reader.name()
    return readSvcParams(reader.octets(reader.left))
  })
}

function wellFormed<T>(read: () => T): T | null {
  try {
    return read()
  } catch (error) {
    if (error instanceof WireError) return null
    throw error
  }
}

/**
 * Reads the SvcParams at the end of RDATA and checks each value's form.
 *
 * @throws {WireError} `RDATA_INVALID`, or `MESSAGE_MALFORMED` if octets are missing.
 * @see RFC 9460 section 2.2 for what makes a record malformed.
 */
function readSvcParams(octets: Uint8Array): SvcParam[] {
  const reader = new Reader(octets, { pointers: false })
  const params: SvcParam[] = []
  while (reader.left > 0) {
    const key = reader.u16()
    const value = reader.octets(reader.u16())
    const last = params.at(-1)
    if (last !== undefined && last.key >= key)
      throw invalid('its parameters are not in the order of their keys')
    params.push({ key, value })
  }
  checkParams(params)
  return params
}

/** Makes octets of parameters in any order. @throws {WireError} `RDATA_INVALID` */
export function parseSvcParams(written: readonly WrittenParam[]): Buffer {
  const params = written.map(({ key: name, value }): SvcParam => {
    const key = keyNumber(name)
    return { key, value: parseValue(key, name, value) }
  })
  for (const [index, { key }] of params.entries()) {
    if (params.findIndex((other) => other.key === key) < index)
      throw invalid(`${keyName(key)} stands there twice`)
  }
  checkParams(params)
  return paramData(params)
}

/**
 * Parameters as `alpn="h2" port=8443`; null if they are malformed. `quote` makes a quoted string of octets.
 */
export function printSvcParams(octets: Uint8Array, quote: (octets: Buffer) => string): string | null {
  const params = wellFormed(() => readSvcParams(octets))
  if (params === null) return null
  return params
    .map(({ key, value }) => {
      const text = printValue(key, value, quote)
      return text === null ? keyName(key) : `${keyName(key)}=${text}`
    })
    .join(' ')
}

/** A value with several members, each preceded by its length: the form of `alpn`. */
export function alpnValue(protocols: readonly string[]): Buffer {
  return Buffer.concat(
    protocols.map((protocol) => {
      const octets = Buffer.from(protocol)
      if (octets.length === 0 || octets.length > 255) throw invalid('a protocol in alpn has 1 to 255 octets')
      return Buffer.concat([Buffer.of(octets.length), octets])
    }),
  )
}

export function portValue(port: number): Buffer {
  const value = Buffer.alloc(2)
  value.writeUInt16BE(port)
  return value
}

function paramData(params: readonly SvcParam[]): Buffer {
  return Buffer.concat(
    params
      .toSorted((one, other) => one.key - other.key)
      .flatMap(({ key, value }) => {
        const head = Buffer.alloc(4)
        head.writeUInt16BE(key)
        head.writeUInt16BE(value.length, 2)
        return [head, value]
      }),
  )
}

/** What holds for values and for one parameter beside the others. */
function checkParams(params: readonly SvcParam[]): void {
  const keys = new Set(params.map(({ key }) => key))
  for (const { key, value } of params) {
    checkValue(key, value)
    if (key !== SVC_KEY.mandatory) continue
    const mandatory = members(value, 2).map((member) => member.readUInt16BE())
    const missing = mandatory.find((each) => !keys.has(each))
    if (missing !== undefined) throw invalid(`${keyName(missing)} is mandatory but missing`)
  }
  if (keys.has(SVC_KEY['no-default-alpn']) && !keys.has(SVC_KEY.alpn)) {
    throw invalid('no-default-alpn means nothing without alpn')
  }
}

function checkValue(key: number, value: Buffer): void {
  const name = keyName(key)
  const fits = (octets: number): boolean => value.length > 0 && value.length % octets === 0
  switch (key) {
    case SVC_KEY.mandatory: {
      if (!fits(2)) throw invalid('mandatory needs the keys that are')
      const keys = members(value, 2).map((member) => member.readUInt16BE())
      const isSorted = keys.every((each, index) => index === 0 || keys[index - 1]! < each)
      if (!isSorted) throw invalid('mandatory has a key twice')
      if (keys.includes(SVC_KEY.mandatory)) throw invalid('mandatory cannot name itself')
      return
    }
    case SVC_KEY.alpn:
      if (value.length === 0 || protocolsOf(value) === null) throw invalid('alpn needs protocols, such as h2')
      return
    case SVC_KEY['no-default-alpn']:
    case SVC_KEY.ohttp:
      if (value.length > 0) throw invalid(`${name} has no value`)
      return
    case SVC_KEY.port:
      if (value.length !== 2) throw invalid('port needs a number up to 65535')
      return
    case SVC_KEY.ipv4hint:
    case SVC_KEY.ipv6hint:
      if (!fits(addressLength(key))) throw invalid(`${name} needs addresses`)
      return
    case SVC_KEY.ech:
      if (value.length === 0) throw invalid('ech needs a configuration in base64')
      return
    case SVC_KEY.dohpath:
      if (!/^\/[^{}]*\{.*\bdns\b.*\}/.test(value.toString())) {
        throw invalid('dohpath needs a path with the variable dns, such as /dns-query{?dns}')
      }
      return
    case RESERVED_KEY:
      throw invalid('key65535 is reserved')
  }
}

function parseValue(key: number, name: string, given: Buffer | null): Buffer {
  const value = given ?? Buffer.alloc(0)
  // Written by its number, a key has the octets of its value as they are.
  if (/^key\d/i.test(name)) return value
  switch (key) {
    case SVC_KEY.mandatory: {
      const keys = listOf(value).map((each) => keyNumber(each.toString('latin1')))
      return Buffer.concat(keys.toSorted((one, other) => one - other).map(portValue))
    }
    case SVC_KEY.alpn:
      return Buffer.concat(
        listOf(value).map((protocol) => {
          if (protocol.length === 0 || protocol.length > 255)
            throw invalid('a protocol in alpn has 1 to 255 octets')
          return Buffer.concat([Buffer.of(protocol.length), protocol])
        }),
      )
    case SVC_KEY.port: {
      const text = value.toString('latin1')
      if (!/^\d{1,5}$/.test(text) || Number(text) > 65535) throw invalid('port needs a number up to 65535')
      return portValue(Number(text))
    }
    case SVC_KEY.ipv4hint:
    case SVC_KEY.ipv6hint:
      return Buffer.concat(
        listOf(value).map((each) => {
          const octets = addressOctets(each.toString('latin1'))
          if (octets?.length !== addressLength(key))
            throw invalid(`${name} has "${each}", which is no such address`)
          return octets
        }),
      )
    case SVC_KEY.ech: {
      const text = value.toString('latin1')
      const isBase64 = /^[A-Za-z0-9+/]+={0,2}$/.test(text) && text.length % 4 === 0
      if (!isBase64) throw invalid('ech needs a configuration in base64')
      return Buffer.from(text, 'base64')
    }
    default:
      return value
  }
}

/** Null for a key that has no value. */
function printValue(key: number, value: Buffer, quote: (octets: Buffer) => string): string | null {
  switch (key) {
    case SVC_KEY.mandatory:
      return members(value, 2)
        .map((member) => keyName(member.readUInt16BE()))
        .join()
    case SVC_KEY.alpn: {
      const escaped = protocolsOf(value)!.map((protocol) =>
        protocol.toString('latin1').replace(/[\\,]/g, (octet) => `\\${octet}`),
      )
      return quote(Buffer.from(escaped.join(), 'latin1'))
    }
    case SVC_KEY.port:
      return String(value.readUInt16BE())
    case SVC_KEY.ipv4hint:
    case SVC_KEY.ipv6hint:
      return members(value, addressLength(key)).map(addressText).join()
    case SVC_KEY.ech:
      return value.toString('base64')
    default:
      return value.length === 0 ? null : quote(value)
  }
}

/**
 * The members of a comma-separated list, in which a comma or backslash of a member has a backslash before
 * it (RFC 9460 appendix A.1). None for nothing.
 */
function listOf(value: Buffer): Buffer[] {
  const list: Buffer[] = []
  let member: number[] = []
  for (let at = 0; at < value.length; at += 1) {
    const octet = value[at]!
    if (octet === COMMA) {
      list.push(Buffer.from(member))
      member = []
      continue
    }
    if (octet === BACKSLASH) at += 1
    if (at === value.length) throw invalid('a list ends in a backslash')
    member.push(value[at]!)
  }
  return value.length === 0 ? [] : [...list, Buffer.from(member)]
}

/** Null where the lengths do not fit. */
function protocolsOf(value: Buffer): Buffer[] | null {
  const protocols: Buffer[] = []
  let at = 0
  while (at < value.length) {
    const end = at + 1 + value[at]!
    if (value[at] === 0 || end > value.length) return null
    protocols.push(value.subarray(at + 1, end))
    at = end
  }
  return protocols
}

function members(value: Buffer, octets: number): Buffer[] {
  return Array.from({ length: value.length / octets }, (_, index) =>
    value.subarray(index * octets, (index + 1) * octets),
  )
}

const addressLength = (key: number): number => (key === SVC_KEY.ipv4hint ? 4 : 16)

const keyName = (key: number): string => KEY_NAMES.get(key) ?? `key${key}`

function keyNumber(name: string): number {
  const lower = name.toLowerCase()
  if (Object.hasOwn(SVC_KEY, lower)) return SVC_KEY[lower as keyof typeof SVC_KEY]
  const generic = /^key(0|[1-9]\d{0,4})$/.exec(lower)
  if (generic === null || Number(generic[1]) > 65535) {
    throw invalid(
      `there is no parameter "${name.slice(0, 60)}": it can have ${Object.keys(SVC_KEY).join(', ')}, or one such as key667`,
    )
  }
  return Number(generic[1])
}

function invalid(what: string): WireError {
  return new WireError('RDATA_INVALID', `the service parameters are not right: ${what}`)
}
