import { reasonOf } from '../base/errors.ts'
import type { Question, ResourceRecord } from '../wire/message.ts'
import type { Name } from '../wire/name.ts'
import { targetOf } from '../wire/rdata.ts'
import { EXTENDED_ERROR, RCODE, TYPE } from '../wire/registry.ts'
import { type DnssecFlags, ForwardError, type Forwarded, type Forwarder } from './forwarder.ts'
import type { Snapshot } from './snapshot.ts'
import { minimalAny, type ZoneAnswer, type ZoneSource } from './zone.ts'

/** The answer to one question, before it becomes a message. */
export interface Resolution {
  rcode: number
  /** Whether the first owner name in the answer is of a zone answered for here. */
  aa: boolean
  answers: ResourceRecord[]
  authorities: ResourceRecord[]
  additionals: ResourceRecord[]
  extendedError: ExtendedError | null
  /** Where the answer, or its last part, comes from. */
  source: ZoneSource | 'forwarder'
  /** The upstream that gave it, if one did. */
  upstream: string | null
  /** Milliseconds during which the question may be answered the same, TTLs counted down; 0 to ask again. */
  reusableFor: number
}

/** Why, for a person with `dig` (RFC 8914). */
export interface ExtendedError {
  code: number
  text: string
}

export interface ResolveFlags extends DnssecFlags {
  /** Recursion desired: without it, only what is known here is told. */
  rd: boolean
}

/** Nobody chains that many aliases on purpose; a loop would be followed for ever. */
const MAX_ALIASES = 16

/** What is asked of the root's servers about a top-level domain itself; anything else is a short host name. */
const TOP_LEVEL_TYPES: ReadonlySet<number> = new Set([TYPE.NS, TYPE.SOA, TYPE.DS, TYPE.DNSKEY])

/**
 * Answers a question of class IN: from the zones, else from the upstreams.
 *
 * Aliases are followed across that border in both directions: a CNAME out of the home's zone is asked
 * of an upstream, and one that leads from outside to a name answered here is cut there and answered
 * here, so that an upstream is never believed about the home's names. The rcode is that of the last name
 * of the chain.
 *
 * @see RFC 1034 section 4.3.2; RFC 6604 section 3 for the rcode.
 */
export async function resolve(
  question: Question,
  flags: ResolveFlags,
  known: { snapshot: Snapshot; forwarder: Forwarder },
): Promise<Resolution> {
  const { snapshot, forwarder } = known
  const answers: ResourceRecord[] = []
  let name = question.name
  const aa = snapshot.find(name) !== null
  const done = (part: Partial<Resolution>): Resolution => ({
    rcode: RCODE.NOERROR,
    aa,
    answers,
    authorities: [],
    additionals: [],
    extendedError: null,
    source: snapshot.find(name)?.source ?? 'forwarder',
    upstream: null,
    reusableFor: 0,
    ...part,
  })

  for (let aliases = 0; aliases <= MAX_ALIASES; aliases += 1) {
    // 1. A zone of ours, special names included.
    const zone = snapshot.find(name)
    if (zone !== null) {
      const answer = zone.lookup(name, question.type)
      if (answer.kind !== 'alias') return done(fromZone(answer, answers))
      answers.push(...answer.records)
      name = answer.target
      continue
    }

    // 2. Names outside that no upstream needs to be asked about.
    if (question.type === TYPE.ANY) return done({ answers: [...answers, minimalAny(name)] })
    if (isShortName(name, question.type)) return done({ rcode: RCODE.NXDOMAIN, source: 'special' })
    if (!flags.rd) return done(answers.length > 0 ? {} : NOT_OURS)

    // 3. The upstreams, up to where an alias leads back to us; never believed about names of ours.
    let forwarded: Forwarded
    try {
      forwarded = await forwarder.forward({ ...question, name }, flags)
    } catch (error) {
      if (!(error instanceof ForwardError)) throw error
      return done(failure(EXTENDED_ERROR.NO_REACHABLE_AUTHORITY, reasonOf(error)))
    }
    const { rcode } = forwarded.reply
    const foreign = (records: readonly ResourceRecord[]) =>
      records.filter((record) => snapshot.find(record.name) === null)
    const [authorities, additionals] = [
      foreign(forwarded.reply.authorities),
      foreign(forwarded.reply.additionals),
    ]
    const records = underName(name, foreign(forwarded.reply.answers))
    const home = aliasesHome(records, { ...question, name }, snapshot)
    if (home === null) {
      answers.push(...records)
      return done({ rcode, authorities, additionals, upstream: forwarded.upstream })
    }
    answers.push(...home.aliases)
    name = home.target
  }
  const endless = failure(EXTENDED_ERROR.OTHER, `more than ${MAX_ALIASES} aliases follow one another`)
  return done({ ...endless, aa: false, answers: [] })
}

const NOT_OURS: Partial<Resolution> = {
  rcode: RCODE.REFUSED,
  extendedError: {
    code: EXTENDED_ERROR.NOT_AUTHORITATIVE,
    text: 'the name is not answered for here, and recursion was not desired',
  },
}

const failure = (code: number, text: string): Partial<Resolution> => ({
  rcode: RCODE.SERVFAIL,
  extendedError: { code, text },
})

function fromZone(
  answer: Exclude<ZoneAnswer, { kind: 'alias' }>,
  aliases: ResourceRecord[],
): Partial<Resolution> {
  switch (answer.kind) {
    case 'answer':
      return { answers: [...aliases, ...answer.records] }
    case 'nodata':
      return { authorities: [answer.soa] }
    case 'nxdomain':
      return { rcode: RCODE.NXDOMAIN, authorities: [answer.soa] }
    case 'referral': {
      // AA speaks of the first owner name: with an alias before the cut, that one is still ours.
      const { nameServers, glue } = answer
      return { aa: aliases.length > 0, authorities: nameServers, additionals: glue }
    }
  }
}

/**
 * A name of one label, like `printer`, belongs to a search list and not to the internet. It does not
 * exist, but without an SOA, so that nobody keeps that answer (RFC 2308 section 5) and concludes that
 * nothing below it exists either.
 */
function isShortName(name: Name, type: number): boolean {
  return name.labels().length === 1 && !TOP_LEVEL_TYPES.has(type)
}

/** The same records, those of `name` in its case: the upstream may have been asked for another client. */
function underName(name: Name, records: readonly ResourceRecord[]): ResourceRecord[] {
  return records.map((record) => (record.name.key === name.key ? { ...record, name } : record))
}

/** The CNAMEs of an upstream's answer that lead from the question to a name of ours, if they do. */
function aliasesHome(
  records: readonly ResourceRecord[],
  question: Question,
  snapshot: Snapshot,
): { aliases: ResourceRecord[]; target: Name } | null {
  if (question.type === TYPE.CNAME) return null
  const aliases: ResourceRecord[] = []
  let { name } = question
  while (aliases.length < MAX_ALIASES) {
    const alias = records.find((record) => record.type === TYPE.CNAME && record.name.key === name.key)
    if (alias === undefined) return null
    aliases.push(alias)
    name = targetOf(alias.data)
    if (snapshot.find(name) !== null) return { aliases, target: name }
  }
  return null
}
