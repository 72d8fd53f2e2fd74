import { WireError } from './errors.ts'
import { Name } from './name.ts'
import { readRdata, writeRdata } from './rdata.ts'
import { malformed, Reader } from './reader.ts'
import { TYPE } from './registry.ts'
import { Writer } from './writer.ts'

/** RFC 1035 section 4.2.2: the length that precedes a message on a stream has 16 bits. */
export const MAX_MESSAGE = 65535

/** RFC 1035 section 4.1.1: octets of the header. */
const HEADER = 12

/** The header fields of RFC 1035 section 4.1.1 and, for `ad` and `cd`, RFC 4035 section 3. */
export interface Header {
  id: number
  /** A response, not a query. */
  qr: boolean
  opcode: number
  aa: boolean
  tc: boolean
  rd: boolean
  ra: boolean
  ad: boolean
  cd: boolean
  /** All 12 bits; the upper 8 travel in the OPT and are lost without one. */
  rcode: number
}

export interface Question {
  name: Name
  type: number
  class: number
}

export interface ResourceRecord {
  name: Name
  type: number
  class: number
  /** Seconds. */
  ttl: number
  /** Wire form with every name in full, never compressed. */
  data: Uint8Array
}

/** The OPT pseudo-record (RFC 6891 section 6.1), which is no record of any name. */
export interface Edns {
  /** The largest UDP payload the sender can take, in octets. */
  udpSize: number
  version: number
  /** DO: the sender wants DNSSEC records (RFC 3225). */
  dnssecOk: boolean
  options: EdnsOption[]
}

export interface EdnsOption {
  code: number
  data: Uint8Array
}

export interface Message extends Header {
  questions: Question[]
  answers: ResourceRecord[]
  authorities: ResourceRecord[]
  /** Without the OPT. */
  additionals: ResourceRecord[]
  edns: Edns | null
}

/** Header and question, readable also where the rest of the message is not. */
export type Head = Header & { questions: Question[] }

/** The 12 octets every message starts with, without looking at what follows. Null if there are fewer. */
export function decodeHeader(bytes: Uint8Array): Header | null {
  return bytes.length < 12 ? null : readHeader(new Reader(bytes)).header
}

/**
 * The header and the questions alone: enough to refuse a message whose records are broken.
 *
 * @throws {WireError} `MESSAGE_MALFORMED`
 */
export function decodeHead(bytes: Uint8Array): Head {
  const reader = new Reader(bytes)
  const { header, counts } = readHeader(reader)
  return { ...header, questions: readQuestions(reader, counts.questions) }
}

/**
 * Reads a whole message, strictly: octets left over are an error as much as octets missing.
 *
 * @throws {WireError} `MESSAGE_MALFORMED`, or `OPT_MALFORMED` if everything but the OPT can be read.
 */
export function decodeMessage(bytes: Uint8Array): Message {
  const reader = new Reader(bytes)
  const { header, counts } = readHeader(reader)
  const questions = readQuestions(reader, counts.questions)
  const answers = readRecords(reader, counts.answers)
  const authorities = readRecords(reader, counts.authorities)
  const additionals = readRecords(reader, counts.additionals)
  if (reader.left > 0) throw malformed(`${reader.left} octets are left over`)

  if (answers.some(isOpt) || authorities.some(isOpt)) {
    throw malformed('an OPT stands outside the additional section')
  }
  const opts = additionals.filter(isOpt)
  const [opt] = opts
  if (opt === undefined) {
    return { ...header, questions, answers, authorities, additionals, edns: null }
  }
  if (opts.length > 1) throw new WireError('OPT_MALFORMED', 'the message has more than one OPT')
  if (opt.name !== Name.root) throw new WireError('OPT_MALFORMED', 'the OPT has an owner other than the root')
  return {
    ...header,
    rcode: ((opt.ttl >>> 24) << 4) | header.rcode,
    questions,
    answers,
    authorities,
    additionals: additionals.filter((record) => record !== opt),
    edns: {
      udpSize: opt.class,
      version: (opt.ttl >>> 16) & 0xff,
      dnssecOk: (opt.ttl & 0x8000) !== 0,
      options: readOptions(opt.data),
    },
  }
}

/** Octets of what is never left out of a message of one question or none: header, question and OPT. */
export function leastLength({ questions, edns }: Pick<Message, 'questions' | 'edns'>): number {
  const ofQuestions = questions.reduce((sum, { name }) => sum + name.wire.length + 4, 0)
  return HEADER + ofQuestions + optLength(edns)
}

/**
 * Writes a message of at most `limit` octets.
 *
 * If not everything fits, whole RRsets are left out from the back; question and OPT always stay. TC is
 * set if what was asked for is missing: answers, the reason why there are none, a referral or its glue.
 * Beside an answer, name servers and additional records are a courtesy whose absence means nothing.
 *
 * @throws {WireError} `MESSAGE_TOO_LARGE` if not even header, question and OPT fit.
 * @see RFC 2181 section 9 for TC; RFC 9471 section 3.1 for glue; RFC 6891 section 7 for the OPT.
 */
export function encodeMessage(message: Message, limit = MAX_MESSAGE): Buffer {
  const { edns, questions } = message
  const room = limit - optLength(edns)
  const writer = new Writer()
  for (let word = 0; word < 6; word += 1) writer.u16(0)
  for (const question of questions) {
    writer.name(question.name, true)
    writer.u16(question.type)
    writer.u16(question.class)
  }
  if (writer.offset > room) {
    throw new WireError('MESSAGE_TOO_LARGE', `the DNS message does not fit into ${limit} octets`)
  }

  // Whatever follows what did not fit is left out as well.
  const answers = writeRrsets(writer, message.answers, room)
  const allAnswers = answers === message.answers.length
  const authorities = allAnswers ? writeRrsets(writer, message.authorities, room) : 0
  const allAuthorities = authorities === message.authorities.length
  const additionals = allAnswers && allAuthorities ? writeRrsets(writer, message.additionals, room) : 0
  const allAdditionals = additionals === message.additionals.length

  const isAnswered = message.answers.length > 0
  const isComplete =
    allAnswers &&
    (allAuthorities || (isAnswered && message.authorities.every(({ type }) => type === TYPE.NS))) &&
    (allAdditionals || isAnswered)
  if (edns !== null) writeOpt(writer, edns, message.rcode)
  writer.patchU16(0, message.id)
  writer.patchU16(2, flagBits(message, message.tc || !isComplete))
  writer.patchU16(4, questions.length)
  writer.patchU16(6, answers)
  writer.patchU16(8, authorities)
  writer.patchU16(10, additionals + (edns === null ? 0 : 1))
  return writer.finish()
}

function readHeader(reader: Reader) {
  const id = reader.u16()
  const bits = reader.u16()
  const header: Header = {
    id,
    qr: (bits & 0x8000) !== 0,
    opcode: (bits >> 11) & 0xf,
    aa: (bits & 0x0400) !== 0,
    tc: (bits & 0x0200) !== 0,
    rd: (bits & 0x0100) !== 0,
    ra: (bits & 0x0080) !== 0,
    ad: (bits & 0x0020) !== 0,
    cd: (bits & 0x0010) !== 0,
    rcode: bits & 0xf,
  }
  const counts = {
    questions: reader.u16(),
    answers: reader.u16(),
    authorities: reader.u16(),
    additionals: reader.u16(),
  }
  return { header, counts }
}

function flagBits(header: Header, tc: boolean): number {
  return (
    (header.qr ? 0x8000 : 0) |
    (header.opcode << 11) |
    (header.aa ? 0x0400 : 0) |
    (tc ? 0x0200 : 0) |
    (header.rd ? 0x0100 : 0) |
    (header.ra ? 0x0080 : 0) |
    (header.ad ? 0x0020 : 0) |
    (header.cd ? 0x0010 : 0) |
    (header.rcode & 0xf)
  )
}

function readQuestions(reader: Reader, count: number): Question[] {
  return times(count, () => ({ name: reader.name(), type: reader.u16(), class: reader.u16() }))
}

function readRecords(reader: Reader, count: number): ResourceRecord[] {
  return times(count, () => {
    const name = reader.name()
    const type = reader.u16()
    const recordClass = reader.u16()
    const ttl = reader.u32()
    const length = reader.u16()
    return {
      name,
      type,
      class: recordClass,
      // RFC 2181 section 8: a TTL with its top bit set means 0. An OPT keeps flags there instead.
      ttl: type !== TYPE.OPT && ttl > 0x7fffffff ? 0 : ttl,
      data: readRdata(reader, type, recordClass, length),
    }
  })
}

/** Makes one after the other, so that a count that promises too much ends at the first one missing. */
function times<T>(count: number, make: () => T): T[] {
  const made: T[] = []
  while (made.length < count) made.push(make())
  return made
}

/**
 * Writes records up to the first RRset that goes beyond `room` octets.
 *
 * @returns how many were written.
 */
function writeRrsets(writer: Writer, records: readonly ResourceRecord[], room: number): number {
  let rrset = { first: 0, offset: writer.offset }
  for (const [index, record] of records.entries()) {
    if (index > 0 && !isSameRrset(records[index - 1]!, record))
      rrset = { first: index, offset: writer.offset }
    writeRecord(writer, record)
    if (writer.offset > room) {
      writer.rewind(rrset.offset)
      return rrset.first
    }
  }
  return records.length
}

function isSameRrset(one: ResourceRecord, other: ResourceRecord): boolean {
  return one.type === other.type && one.class === other.class && one.name.equals(other.name)
}

function writeRecord(writer: Writer, record: ResourceRecord): void {
  writer.name(record.name, true)
  writer.u16(record.type)
  writer.u16(record.class)
  writer.u32(record.ttl)
  const lengthAt = writer.offset
  writer.u16(0)
  writeRdata(writer, record.type, record.class, record.data)
  writer.patchU16(lengthAt, writer.offset - lengthAt - 2)
}

function readOptions(data: Uint8Array): EdnsOption[] {
  const reader = new Reader(data)
  const options: EdnsOption[] = []
  try {
    while (reader.left > 0) options.push({ code: reader.u16(), data: reader.octets(reader.u16()) })
  } catch (cause) {
    throw new WireError('OPT_MALFORMED', 'an EDNS option runs past the end of the OPT', { cause })
  }
  return options
}

/** Root owner, type, class, TTL and length are 11 octets, and each option has 4 before its data. */
function optLength(edns: Edns | null): number {
  return edns === null ? 0 : 11 + edns.options.reduce((sum, { data }) => sum + 4 + data.length, 0)
}

function writeOpt(writer: Writer, edns: Edns, rcode: number): void {
  writer.name(Name.root, false)
  writer.u16(TYPE.OPT)
  writer.u16(edns.udpSize)
  writer.u8(rcode >> 4)
  writer.u8(edns.version)
  writer.u16(edns.dnssecOk ? 0x8000 : 0)
  writer.u16(optLength(edns) - 11)
  for (const { code, data } of edns.options) {
    writer.u16(code)
    writer.u16(data.length)
    writer.octets(data)
  }
}

function isOpt({ type }: ResourceRecord): boolean {
  return type === TYPE.OPT
}
