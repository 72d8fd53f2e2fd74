import dnsPacket from 'dns-packet'
import dns2 from 'dns2'
import { decodeMessage } from '../../wire/message.ts'
import { Name } from '../../wire/name.ts'
import { parseRdata, printRdata } from '../../wire/presentation.ts'
import { TYPE, typeName, typeNumber } from '../../wire/registry.ts'

/** What a message says, in words by which readers that have nothing else in common can be compared. */
export interface Reading {
  /** Id, opcode, and the flags that are set. */
  header: string
  questions: string[]
  /** Of all sections, without the OPT: section, owner, TTL, type, data. */
  records: string[]
  /** UDP size, version and DO; null without an OPT. */
  edns: string | null
}

/** Reads octets, or throws what it likes to throw. */
type MessageReader = (octets: Buffer) => Reading

const SECTIONS = ['answers', 'authorities', 'additionals'] as const
const FLAGS = ['aa', 'tc', 'rd', 'ra', 'ad', 'cd'] as const

/** RDATA as text, of the fields in which a reader gives it. */
type Writers = Record<string, (data: never) => string>

const readWithOurs: MessageReader = (octets) => {
  const message = decodeMessage(octets)
  const { edns } = message
  return {
    header: [message.id, message.opcode, ...FLAGS.filter((flag) => message[flag])].join(' '),
    questions: message.questions.map(({ name, type }) => `${name} ${typeName(type)}`),
    records: SECTIONS.flatMap((section) =>
      message[section].map(
        ({ name, ttl, type, data }) =>
          `${section} ${name} ${ttl} ${typeName(type)} ${printRdata(type, data)}`,
      ),
    ),
    edns: edns && `${edns.udpSize} ${edns.version} ${edns.dnssecOk}`,
  }
}

const readWithDnsPacket: MessageReader = (octets) => {
  const packet = dnsPacket.decode(octets)
  const opt = packet.additionals!.find(({ type }) => type === 'OPT')
  return {
    header: [packet.id, (octets[2]! >> 3) & 15, ...FLAGS.filter((flag) => packet[`flag_${flag}`])].join(' '),
    questions: packet.questions.map(({ name, type }) => `${absolute(name)} ${type}`),
    records: SECTIONS.flatMap((section) =>
      packet[section]!.filter((answer) => answer !== opt).map(
        ({ name, ttl, type, data }) =>
          `${section} ${absolute(name)} ${ttl} ${type} ${canonical(type, DNS_PACKET, data)}`,
      ),
    ),
    edns: opt === undefined ? null : `${opt.udpPayloadSize} ${opt.ednsVersion} ${opt.flag_do}`,
  }
}

const DNS_PACKET: Writers = {
  A: (address: string) => address,
  AAAA: (address: string) => address,
  NS: absolute,
  CNAME: absolute,
  PTR: absolute,
  DNAME: absolute,
  MX: ({ preference, exchange }: Record<string, string>) => `${preference} ${absolute(exchange!)}`,
  SRV: ({ priority, weight, port, target }: Record<string, string>) =>
    `${priority} ${weight} ${port} ${absolute(target!)}`,
  SOA: ({ mname, rname, serial, refresh, retry, expire, minimum }: Record<string, string>) =>
    `${absolute(mname!)} ${absolute(rname!)} ${serial} ${refresh} ${retry} ${expire} ${minimum}`,
  TXT: (strings: Buffer[]) => strings.map((string) => quoted(string.toString('latin1'))).join(' '),
  CAA: ({ flags, tag, value }: Record<string, string>) => `${flags} ${tag} ${quoted(value!)}`,
  HINFO: ({ cpu, os }: Record<string, string>) => `${quoted(cpu!)} ${quoted(os!)}`,
  RP: ({ mbox, txt }: Record<string, string>) => `${absolute(mbox!)} ${absolute(txt!)}`,
  NAPTR: ({ order, preference, flags, services, regexp, replacement }: Record<string, string>) =>
    `${order} ${preference} ${[flags, services, regexp].map((text) => quoted(text!)).join(' ')} ${absolute(replacement!)}`,
  DS: ({ keyTag, algorithm, digestType, digest }: { [field: string]: number } & { digest: Buffer }) =>
    `${keyTag} ${algorithm} ${digestType} ${digest.toString('hex')}`,
  TLSA: ({
    usage,
    selector,
    matchingType,
    certificate,
  }: { [field: string]: number } & { certificate: Buffer }) =>
    `${usage} ${selector} ${matchingType} ${certificate.toString('hex')}`,
}

const readWithDns2: MessageReader = (octets) => {
  const packet = dns2.Packet.parse(octets)
  // What it cannot read it leaves out, and goes on.
  if (packet.errors.length > 0) throw packet.errors[0]
  const opt = packet.additionals.find(({ type }) => type === TYPE.OPT)
  const header = packet.header as unknown as Record<string, number>
  return {
    header: [header.id, header.opcode, ...FLAGS.filter((flag) => header[flag] === 1)].join(' '),
    questions: packet.questions.map(({ name, type }) => `${absolute(name)} ${typeName(type)}`),
    records: SECTIONS.flatMap((section) =>
      packet[section]
        .filter((resource) => resource !== opt)
        .map((resource) => {
          const type = typeName(resource.type)
          return `${section} ${absolute(resource.name)} ${resource.ttl} ${type} ${canonical(type, DNS2, resource)}`
        }),
    ),
    edns: opt === undefined ? null : `${opt.class} ${opt.version} ${opt.doFlag}`,
  }
}

const DNS2: Writers = {
  A: ({ address }: Record<string, string>) => address!,
  AAAA: ({ address }: Record<string, string>) => address!,
  NS: ({ ns }: Record<string, string>) => absolute(ns!),
  CNAME: ({ domain }: Record<string, string>) => absolute(domain!),
  PTR: ({ domain }: Record<string, string>) => absolute(domain!),
  MX: ({ priority, exchange }: Record<string, string>) => `${priority} ${absolute(exchange!)}`,
  SRV: ({ priority, weight, port, target }: Record<string, string>) =>
    `${priority} ${weight} ${port} ${absolute(target!)}`,
  SOA: ({ primary, admin, serial, refresh, retry, expiration, minimum }: Record<string, string>) =>
    `${absolute(primary!)} ${absolute(admin!)} ${serial} ${refresh} ${retry} ${expiration} ${minimum}`,
  TXT: ({ data }: { data: string[] }) => data.map(quoted).join(' '),
  CAA: ({ flags, tag, value }: Record<string, string>) => `${flags} ${tag} ${quoted(value!)}`,
}

export const READERS = { ours: readWithOurs, 'dns-packet': readWithDnsPacket, dns2: readWithDns2 } as const

/** The types that each of the others has a format for. */
export const READABLE = {
  'dns-packet': Object.keys(DNS_PACKET).map((type) => typeNumber(type)!),
  dns2: Object.keys(DNS2).map((type) => typeNumber(type)!),
}

/** Their text, by way of the octets it stands for, as ours would be. */
function canonical(type: string, writers: Writers, data: unknown): string {
  const number = typeNumber(type)
  const write = writers[type]
  if (number === null || write === undefined) return 'unread'
  const text = write(data as never)
  return text === ''
    ? text
    : printRdata(
        number,
        parseRdata(number, text, (word) => Name.parse(word)),
      )
}

function absolute(name: string): string {
  return name === '' || name === '.' ? '.' : `${name}.`
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`
}
