import { SECOND } from '../base/clock.ts'
import type { Question, ResourceRecord } from '../wire/message.ts'
import type { Name } from '../wire/name.ts'
import { targetOf } from '../wire/rdata.ts'
import { EXTENDED_ERROR, RCODE, TYPE } from '../wire/registry.ts'
import type { ExtendedError } from './forwarder.ts'
import { HOST_TTL } from './hostRecords.ts'
import type { RebindingGuard } from './rebinding.ts'
import type { Recursed, Recursor } from './recursor.ts'
import { MAX_ALIASES } from './scrub.ts'
import { type DnssecFlags, PATIENCE } from './upstream/group.ts'
import { minimalAny, type ZoneAnswer, type ZoneSource } from './zone.ts'
import type { Zones } from './zones.ts'

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
  source: ZoneSource | Recursed['source']
  /** The upstream that was asked for it now, if one was. */
  upstream: string | null
  /** Seconds since it was stored, if it was. */
  age: number | null
  /** Milliseconds during which the question may be answered the same, TTLs counted down; 0 to ask again. */
  reusableFor: number
}

export interface ResolveFlags extends DnssecFlags {
  /** Recursion desired: without it, only what is known here is told. */
  rd: boolean
  /** Who waits for the answer: no client may have all the places. */
  client: string
}

/** Everything that answers can come from. */
export interface Known {
  zones: Zones
  recursor: Recursor
  rebinding: RebindingGuard
}

/** Zones tell of each change, so that no answer from them is kept beyond it; this is only an end. */
const ZONE_REUSE = HOST_TTL * SECOND

/** What is asked of the root's servers about a top-level domain itself; anything else is a short host name. */
const TOP_LEVEL_TYPES: ReadonlySet<number> = new Set([TYPE.NS, TYPE.SOA, TYPE.DS, TYPE.DNSKEY])

/**
 * Answers a question of class IN: from the zones, else from outside.
 *
 * Aliases are followed across that border in both directions: a CNAME out of the home's zone is asked
 * of an upstream, and one that leads from outside to a name answered here is cut there and answered
 * here, so that an upstream is never believed about the home's names; nor one about the names of a zone
 * that has upstreams of its own. The rcode is that of the last name of the chain.
 *
 * @see RFC 1034 section 4.3.2; RFC 6604 section 3 for the rcode.
 */
export async function resolve(question: Question, flags: ResolveFlags, known: Known): Promise<Resolution> {
  const { zones, recursor, rebinding } = known
  const start = performance.now()
  const answers: ResourceRecord[] = []
  let name = question.name
  const isParents = (owner: Name) => flags.dnssecOk && zones.isParents(owner, question.type)
  const aa = zones.find(name) !== null && !isParents(name)
  let reusableFor = Number.POSITIVE_INFINITY
  let source: Resolution['source'] = 'special'
  /** Whether an outsider's name has led here, who must not lead anybody to the home's addresses. */
  let isGuarded = false
  /** Whether aliases from outside come first: their TTLs run, while those of the home's records stand still. */
  let isMixed = false
  const done = (part: Partial<Resolution>): Resolution => {
    const resolution: Resolution = {
      rcode: RCODE.NOERROR,
      aa,
      answers,
      authorities: [],
      additionals: [],
      extendedError: null,
      source,
      upstream: null,
      age: null,
      ...part,
      reusableFor: part.extendedError
        ? 0
        : Math.min(reusableFor, part.reusableFor ?? (isMixed ? 0 : ZONE_REUSE)),
    }
    return isGuarded ? guarded(resolution, rebinding) : resolution
  }

  for (let aliases = 0; aliases <= MAX_ALIASES; aliases += 1) {
    // 1. A zone of ours, special names included.
    const zone = zones.find(name)
    if (zone !== null && !isParents(name)) {
      const answer = zone.lookup(name, question.type)
      if (answer.kind !== 'alias') return done({ source: zone.source, ...fromZone(answer, answers) })
      answers.push(...answer.records)
      source = zone.source
      reusableFor = Math.min(reusableFor, ZONE_REUSE)
      name = answer.target
      continue
    }

    // 2. Names outside that nobody needs to be asked about.
    const forwardedZone = recursor.zoneOf(name)
    if (question.type === TYPE.ANY) return done({ answers: [...answers, minimalAny(name)] })
    if (forwardedZone === null && isShortName(name, question.type)) return done({ rcode: RCODE.NXDOMAIN })
    if (!flags.rd) return done(answers.length > 0 ? {} : NOT_OURS)

    // 3. Outside, up to where an alias leads to a name that others know better.
    const left = start + PATIENCE - performance.now()
    const reply = await recursor.answer({ ...question, name }, flags, left)
    if (forwardedZone === null && rebinding.covers(question.name) && rebinding.covers(name)) isGuarded = true
    const isBelievable = (owner: Name) => {
      const zoneOfOwner = recursor.zoneOf(owner)
      return (
        (zones.find(owner) === null || isParents(owner)) &&
        (zoneOfOwner === null || zoneOfOwner === forwardedZone)
      )
    }
    const believable = (records: readonly ResourceRecord[]) =>
      records.filter((record) => isBelievable(record.name))
    const records = underName(name, believable(reply.answers))
    const onward = wayOnward({ ...question, name }, { ...reply, answers: records }, isBelievable)
    reusableFor = Math.min(reusableFor, reply.reusableFor)
    if (onward === null) {
      const { rcode, upstream, age, extendedError } = reply
      const beside = {
        authorities: believable(reply.authorities),
        additionals: believable(reply.additionals),
      }
      answers.push(...records)
      return done({ rcode, ...beside, source: reply.source, upstream, age, extendedError, reusableFor })
    }
    answers.push(...onward.aliases)
    isMixed = true
    name = onward.target
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
      return { aa: aliases.length > 0, authorities: nameServers, additionals: glue, reusableFor: 0 }
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
  return records.map((record) => (record.name.equals(name) ? { ...record, name } : record))
}

/**
 * Where the aliases of a reply lead, if that has to be asked about anew: to a name that others know better,
 * or to one of which the reply says nothing, as that of a server which answers only for its own zones.
 */
function wayOnward(
  { name, type }: Question,
  { rcode, answers, authorities }: Pick<Recursed, 'rcode' | 'answers' | 'authorities'>,
  isBelievable: (owner: Name) => boolean,
): { aliases: ResourceRecord[]; target: Name } | null {
  if (type === TYPE.CNAME) return null
  let target = name
  for (const [index, record] of answers.entries()) {
    if (record.type !== TYPE.CNAME || !record.name.equals(target)) continue
    target = targetOf(record.data)
    if (!isBelievable(target)) return { aliases: answers.slice(0, index + 1), target }
  }
  const saysMore =
    rcode !== RCODE.NOERROR ||
    answers.some((record) => record.type === type) ||
    authorities.some((record) => record.type === TYPE.SOA)
  return saysMore || target === name ? null : { aliases: [...answers], target }
}

/** Without addresses of the home, and with a word about it if there were any. */
function guarded(resolution: Resolution, rebinding: RebindingGuard): Resolution {
  const answers = rebinding.filter(resolution.answers)
  const additionals = rebinding.filter(resolution.additionals)
  const filtered = { ...resolution, answers: answers.records, additionals: additionals.records }
  return answers.removed ? { ...filtered, extendedError: KEPT_OUT, reusableFor: 0 } : filtered
}

const KEPT_OUT: ExtendedError = {
  code: EXTENDED_ERROR.BLOCKED,
  text: 'a name outside led to an address of the home (dns.rebinding); dns.rebinding.allow permits it',
}
