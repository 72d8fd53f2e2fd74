import { DAY, HOUR, MINUTE, SECOND } from '../../base/clock.ts'
import type { DnsServerOptions } from '../../dns/server.ts'
import type { ZoneHost } from '../../store/zone.ts'
import { parseMasterFile } from '../../wire/masterFile.ts'
import type { Edns, Message, ResourceRecord } from '../../wire/message.ts'
import { Name } from '../../wire/name.ts'
import { printRecord } from '../../wire/presentation.ts'
import { EDNS_OPTION, RCODE, rcodeName, typeName } from '../../wire/registry.ts'
import { query } from './harness.ts'
import { host } from './household.ts'

/**
 * One scenario of a `.rpl` file, read. The format, line by line (`;` starts a comment).
 *
 * What there is:
 *
 *     scenario TITLE
 *     domain NAME                        the household's zone, by default home.arpa
 *     override NAME                      a public domain of which single names are answered here
 *     host NAME ADDRESS...               a device; gateway.<domain> is always there
 *     key HOST HEX                       SHA-256 of a key that the host has enrolled
 *     service HOST TYPE PORT NAME        what it offers; with alpn=h2,h3 or txt=KEY=VALUE before NAME
 *     record OWNER TTL TYPE DATA         a record by hand
 *     designated DOT DOH                 ports of the encrypted ways to the gateway that are told to resolvers
 *     upstreams KIND...                  scripted (the default), closed, none
 *     forward ZONE KIND                  a zone with an upstream of its own, scripted or closed
 *     rebinding allow NAME...            names outside that may have addresses of the home; or `rebinding off`
 *     stale DURATION                     how long answers may be given after they ran out, by default 1d
 *
 * What happens, in this order:
 *
 *     upstream NAME TYPE RCODE FLAG...   what the scripted one says from now on, its records on the lines below;
 *                                        * stands for any name or type; flags: tc, udp (only there), silence,
 *                                        garbage, no-edns, other-id, other-question, aa, ad, ede=N
 *     upstream of ZONE NAME TYPE ...     the same for the upstream of a zone
 *     query NAME TYPE FLAG...            flags: rd cd ad tcp do edns=SIZE version=N class=N id=N opcode=N
 *     send HEX                           octets over UDP, as they are
 *     expect RCODE FLAG...               the reply, its lines below; or `expect silence`
 *     explain NAME TYPE SOURCE [AGE]     where an answer comes from, as `hearth dns query` tells, and its age in s
 *     pass DURATION                      so much time passes: 300ms, 10s, 5m, 1h, 1d
 *     asked                              what upstreams were asked since the last `asked`, on the lines below,
 *                                        with `of ZONE` where it was a zone's own; or `asked nothing`
 *
 * `{x*200}` stands for two hundred x.
 */
export interface Scenario {
  title: string
  domain: string
  overrides: string[]
  designated: DnsServerOptions['designated']
  zone: DnsServerOptions['zone']
  upstreams: string[]
  forward: { zone: string; kind: string }[]
  rebinding: DnsServerOptions['rebinding'] & { allow: string[] }
  staleFor: number
  steps: Step[]
}

export interface UpstreamReply {
  /** The zone whose upstream says it; null for the common ones. */
  of: string | null
  name: string
  type: string
  rcode: string
  flags: string[]
  sections: Sections
}

export interface Query {
  kind: 'query'
  message: Message | null
  octets: Buffer | null
  transport: 'udp' | 'tcp'
  expected: string
}

export type Step =
  | Query
  | { kind: 'reply'; reply: UpstreamReply }
  | { kind: 'explain'; name: string; type: string; expected: string }
  | { kind: 'pass'; milliseconds: number }
  | { kind: 'asked'; lines: string[] }

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
    override: ([name], scenario) => scenario.overrides.push(name!),
    host: ([name, ...addresses], scenario) => scenario.zone.hosts.push(host(name!, ...addresses)),
    key: ([name, sha256], scenario) => hostOf(scenario, name!).keys.push({ sha256: sha256!, until: 0 }),
    service: ([name, type, port, ...words], scenario) => {
      const given = (key: string) =>
        words.filter((word) => word.startsWith(key)).map((word) => word.slice(key.length))
      hostOf(scenario, name!).services.push({
        instance: words.filter((word) => !/^(alpn|txt)=/.test(word)).join(' '),
        type: type!,
        port: Number(port),
        txt: given('txt='),
        alpn: given('alpn=').flatMap((list) => list.split(',')),
      })
    },
    designated: ([dot, doh], scenario) => {
      scenario.designated = { dotPort: Number(dot), dohPort: Number(doh) }
    },
    record: ([owner, ttl, type, ...data], scenario) =>
      scenario.zone.records.push({ owner: owner!, ttl: Number(ttl), type: type!, data: data.join(' ') }),
    upstreams: (kinds, scenario) => {
      scenario.upstreams = kinds
    },
    forward: ([zone, kind], scenario) => scenario.forward.push({ zone: zone!, kind: kind! }),
    rebinding: ([word, ...names], scenario) => {
      if (word === 'off') scenario.rebinding.protect = false
      else scenario.rebinding.allow.push(...names)
    },
    stale: ([duration], scenario) => {
      scenario.staleFor = millisecondsOf(duration!)
    },
    upstream: (words, scenario) => {
      const of = words[0] === 'of' ? words[1]! : null
      const [name, type, rcode, ...flags] = of === null ? words : words.slice(2)
      const sections: Sections = { answers: [], authorities: [], additionals: [] }
      const reply = { of, name: name!, type: type!, rcode: rcode!, flags, sections }
      scenario.steps.push({ kind: 'reply', reply })
      block = (line) => addRecord(sections, line)
    },
    query: ([name, type, ...flags], scenario) => {
      const transport = flags.includes('tcp') ? 'tcp' : 'udp'
      const message = queryOf(name!, type!, flags)
      scenario.steps.push({ kind: 'query', message, octets: null, transport, expected: '' })
    },
    send: (words, scenario) => {
      const octets = Buffer.from(words.join(''), 'hex')
      scenario.steps.push({ kind: 'query', message: null, octets, transport: 'udp', expected: '' })
    },
    expect: (_words, scenario, rest) => {
      const step = scenario.steps.at(-1)
      if (step?.kind !== 'query') throw new Error('expect stands after a query')
      step.expected = rest
      block = (line) => {
        step.expected += `\n  ${line}`
      }
    },
    explain: ([name, type, ...expected], scenario) =>
      scenario.steps.push({ kind: 'explain', name: name!, type: type!, expected: expected.join(' ') }),
    pass: ([duration], scenario) =>
      scenario.steps.push({ kind: 'pass', milliseconds: millisecondsOf(duration!) }),
    asked: (words, scenario) => {
      const lines: string[] = []
      scenario.steps.push({ kind: 'asked', lines })
      block = (line) => lines.push(line)
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

/** What a scripted upstream sends for a question, by its transport: the first of the replies that fits. */
export function scriptedReply(
  replies: readonly UpstreamReply[],
  asked: Message,
  transport: 'udp' | 'tcp',
): Message | Uint8Array | 'silence' {
  const [question] = asked.questions
  const known = replies.find(
    ({ name, type, flags }) =>
      (name === '*' || Name.parse(name).key === question!.name.key) &&
      (type === '*' || type === typeName(question!.type)) &&
      !(flags.includes('udp') && transport === 'tcp') &&
      !(flags.includes('no-edns') && asked.edns !== null),
  )
  if (known === undefined) return { ...asked, qr: true, rcode: RCODE.FORMERR, edns: null }
  const { flags, sections, rcode } = known
  if (flags.includes('silence')) return 'silence'
  if (flags.includes('garbage')) {
    const head = Buffer.from('1234818000010001000000000bad', 'hex')
    head.writeUInt16BE(asked.id)
    return head
  }
  const otherQuestion = { ...question!, name: Name.parse('other.example.') }
  return {
    ...asked,
    ...sections,
    questions: flags.includes('other-question') ? [otherQuestion] : asked.questions,
    id: flags.includes('other-id') ? asked.id ^ 1 : asked.id,
    qr: true,
    aa: flags.includes('aa'),
    tc: flags.includes('tc'),
    ad: flags.includes('ad'),
    ra: true,
    rcode: RCODE[rcode as keyof typeof RCODE],
    edns: asked.edns && {
      udpSize: 4096,
      version: 0,
      dnssecOk: asked.edns.dnssecOk,
      options: flags.filter((flag) => flag.startsWith('ede=')).map(extendedError),
    },
  }
}

function extendedError(flag: string) {
  const data = Buffer.alloc(2)
  data.writeUInt16BE(Number(flag.slice('ede='.length)))
  return { code: EDNS_OPTION.EXTENDED_ERROR, data }
}

function emptyScenario(title: string): Scenario {
  return {
    title,
    domain: 'home.arpa',
    overrides: [],
    designated: null,
    zone: { serial: 7, hosts: [], records: [] },
    upstreams: ['scripted'],
    forward: [],
    rebinding: { protect: true, allow: [] },
    staleFor: DAY,
    steps: [],
  }
}

const UNITS: Record<string, number> = { ms: 1, s: SECOND, m: MINUTE, h: HOUR, d: DAY }

function millisecondsOf(duration: string): number {
  const [, count, unit] = /^(\d+)(ms|s|m|h|d)$/.exec(duration) ?? []
  if (unit === undefined) throw new Error(`${duration} is no duration`)
  return Number(count) * UNITS[unit]!
}

function hostOf(scenario: Scenario, name: string): ZoneHost {
  return scenario.zone.hosts.find(({ names }) => names[0] === name)!
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
