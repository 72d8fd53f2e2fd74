import type { DnsServerOptions } from '../../dns/server.ts'
import { parseMasterFile } from '../../wire/masterFile.ts'
import type { Edns, Message, ResourceRecord } from '../../wire/message.ts'
import { Name } from '../../wire/name.ts'
import { printRecord } from '../../wire/presentation.ts'
import { EDNS_OPTION, RCODE, rcodeName, typeName } from '../../wire/registry.ts'
import { query } from './harness.ts'

/**
 * One scenario of a `.rpl` file, read. The format, line by line (`;` starts a comment):
 *
 *     scenario TITLE
 *     domain NAME                        the household's zone, by default home.arpa
 *     host NAME ADDRESS...               a device; gateway.<domain> is always there
 *     record OWNER TTL TYPE DATA         a record by hand
 *     upstreams KIND...                  scripted (the default), closed, none
 *     upstream NAME TYPE RCODE FLAG...   what the scripted one says, its records on the lines below;
 *                                        flags: tc, udp (only there), silence, garbage, no-edns, other-id
 *     query NAME TYPE FLAG...            flags: rd cd ad tcp do edns=SIZE version=N class=N id=N opcode=N
 *     send HEX                           octets over UDP, as they are
 *     expect RCODE FLAG...               the reply, its lines below; or `expect silence`
 *     asked                              what the upstream was asked in the whole scenario, or `asked nothing`
 *
 * `{x*200}` stands for two hundred x.
 */
export interface Scenario {
  title: string
  domain: string
  zone: DnsServerOptions['zone']
  upstreams: string[]
  replies: UpstreamReply[]
  steps: Step[]
  asked: string[] | null
}

export interface UpstreamReply {
  name: string
  type: string
  rcode: string
  flags: string[]
  sections: Sections
}

export interface Step {
  message: Message | null
  octets: Buffer | null
  transport: 'udp' | 'tcp'
  expected: string
}

type Sections = Pick<Message, 'answers' | 'authorities' | 'additionals'>

/** Reads a file of scenarios. An error names the line. */
export function parseScenarios(text: string): Scenario[] {
  const scenarios: Scenario[] = []
  /** Where indented lines go. */
  let block: (line: string) => void = () => {
    throw new Error('an indented line without anything above it')
  }
  const handlers: Record<string, (words: string[], scenario: Scenario, rest: string) => void> = {
    domain: ([name], scenario) => {
      scenario.domain = name!
    },
    host: ([name, ...addresses], scenario) => scenario.zone.hosts.push({ name: name!, addresses }),
    record: ([owner, ttl, type, ...data], scenario) =>
      scenario.zone.records.push({ owner: owner!, ttl: Number(ttl), type: type!, data: data.join(' ') }),
    upstreams: (kinds, scenario) => {
      scenario.upstreams = kinds
    },
    upstream: ([name, type, rcode, ...flags], scenario) => {
      const sections: Sections = { answers: [], authorities: [], additionals: [] }
      scenario.replies.push({ name: name!, type: type!, rcode: rcode!, flags, sections })
      block = (line) => addRecord(sections, line)
    },
    query: ([name, type, ...flags], scenario) => {
      const transport = flags.includes('tcp') ? 'tcp' : 'udp'
      scenario.steps.push({ message: queryOf(name!, type!, flags), octets: null, transport, expected: '' })
    },
    send: (words, scenario) => {
      const octets = Buffer.from(words.join(''), 'hex')
      scenario.steps.push({ message: null, octets, transport: 'udp', expected: '' })
    },
    expect: (_words, scenario, rest) => {
      const step = scenario.steps.at(-1)!
      step.expected = rest
      block = (line) => {
        step.expected += `\n  ${line}`
      }
    },
    asked: (words, scenario) => {
      const asked: string[] = []
      scenario.asked = asked
      block = (line) => asked.push(line)
      if (words.length > 0 && words[0] !== 'nothing') throw new Error('asked stands alone, or before nothing')
    },
  }

  text.split('\n').forEach((raw, index) => {
    const line = raw
      .replace(/(^|\s);.*$/, '')
      .replace(/\{(.)\*(\d+)\}/g, (_, character: string, count: string) => character.repeat(Number(count)))
      .trimEnd()
    if (line === '') return
    try {
      if (line.startsWith(' ')) {
        block(line.trim())
        return
      }
      const [keyword, ...words] = line.split(/\s+/)
      const rest = line.slice(keyword!.length).trim()
      if (keyword === 'scenario') scenarios.push(emptyScenario(rest))
      else handlers[keyword!]!(words, scenarios.at(-1)!, rest)
    } catch (cause) {
      throw new Error(`line ${index + 1}: ${line}`, { cause })
    }
  })
  return scenarios
}

/** A reply as text, in the form that `expect` takes. */
export function printReply(reply: Message): string {
  const flags = (['qr', 'aa', 'tc', 'rd', 'ra', 'ad', 'cd'] as const).filter((flag) => reply[flag])
  const section = (name: string, records: readonly ResourceRecord[]) =>
    records.map((record) => `${name} ${printRecord(record)}`)
  return [
    [rcodeName(reply.rcode), ...flags].join(' '),
    ...reply.questions.map((question) =>
      `question ${question.name} CLASS${question.class} ${typeName(question.type)}`.replace('CLASS1 ', 'IN '),
    ),
    ...section('answer', reply.answers),
    ...section('authority', reply.authorities),
    ...section('additional', reply.additionals),
    ...(reply.edns === null ? [] : [printEdns(reply.edns)]),
  ].join('\n  ')
}

/** What the scripted upstream sends for a question, by its transport. */
export function scriptedReply(
  replies: readonly UpstreamReply[],
  asked: Message,
  transport: 'udp' | 'tcp',
): Message | Uint8Array | 'silence' {
  const [question] = asked.questions
  const known = replies.find(
    ({ name, type, flags }) =>
      Name.parse(name).key === question!.name.key &&
      type === typeName(question!.type) &&
      !(flags.includes('udp') && transport === 'tcp') &&
      !(flags.includes('no-edns') && asked.edns !== null),
  )
  if (known === undefined) return { ...asked, qr: true, rcode: RCODE.FORMERR, edns: null }
  if (known.flags.includes('silence')) return 'silence'
  if (known.flags.includes('garbage')) {
    const head = Buffer.from('1234818000010001000000000bad', 'hex')
    head.writeUInt16BE(asked.id)
    return head
  }
  return {
    ...asked,
    ...known.sections,
    id: known.flags.includes('other-id') ? asked.id ^ 1 : asked.id,
    qr: true,
    aa: known.flags.includes('aa'),
    tc: known.flags.includes('tc'),
    ad: known.flags.includes('ad'),
    ra: true,
    rcode: RCODE[known.rcode as keyof typeof RCODE],
    edns: asked.edns && { udpSize: 4096, version: 0, dnssecOk: asked.edns.dnssecOk, options: [] },
  }
}

function emptyScenario(title: string): Scenario {
  return {
    title,
    domain: 'home.arpa',
    zone: { serial: 7, hosts: [], records: [] },
    upstreams: ['scripted'],
    replies: [],
    steps: [],
    asked: null,
  }
}

function addRecord(sections: Sections, line: string): void {
  const [section, ...rest] = line.split(' ')
  const [record] = parseMasterFile(rest.join(' '), { origin: Name.root, defaultTtl: 0 })
  const target = { answer: 'answers', authority: 'authorities', additional: 'additionals' }[section!]
  sections[target as keyof Sections].push(record!)
}

function queryOf(name: string, type: string, flags: readonly string[]): Message {
  const number = (flag: string, otherwise: number): number =>
    Number(flags.find((word) => word.startsWith(`${flag}=`))?.slice(flag.length + 1) ?? otherwise)
  const has = (flag: string): boolean => flags.includes(flag)
  const edns: Edns = {
    udpSize: number('edns', 1232),
    version: number('version', 0),
    dnssecOk: has('do'),
    options: has('option') ? [{ code: 65001, data: Buffer.from('unknown') }] : [],
  }
  const wantsEdns = flags.some((flag) => /^(edns=|version=|do$|option$)/.test(flag))
  const message = query(name, type, {
    id: number('id', 0x1234),
    opcode: number('opcode', 0),
    rd: has('rd'),
    cd: has('cd'),
    ad: has('ad'),
    edns: wantsEdns ? edns : null,
  })
  return {
    ...message,
    questions: message.questions.map((question) => ({ ...question, class: number('class', 1) })),
  }
}

function printEdns({ version, udpSize, dnssecOk, options }: Edns): string {
  const words = options.map(({ code, data }) => {
    const octets = Buffer.from(data)
    return code === EDNS_OPTION.EXTENDED_ERROR ? `ede=${octets.readUInt16BE(0)}` : `option=${code}`
  })
  return ['edns', `version=${version}`, `size=${udpSize}`, ...(dnssecOk ? ['do'] : []), ...words].join(' ')
}
