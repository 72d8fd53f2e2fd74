import { DAY, HOUR, SECOND } from '../base/clock.ts'
import type { Message, Question, ResourceRecord } from '../wire/message.ts'
import { Name } from '../wire/name.ts'
import { targetOf } from '../wire/rdata.ts'
import { Reader } from '../wire/reader.ts'
import { CLASS, RCODE, TYPE } from '../wire/registry.ts'

/** What of a reply has to do with the question. */
export interface Answer {
  rcode: number
  answers: ResourceRecord[]
  authorities: ResourceRecord[]
  additionals: ResourceRecord[]
}

/** Nobody chains that many aliases on purpose; a loop would be followed for ever. */
export const MAX_ALIASES = 16

/** Seconds for which anything may be kept, and for which it may be kept that something is not there. */
const MAX_TTL = DAY / SECOND
const MAX_NEGATIVE_TTL = HOUR / SECOND

/** Records beside the answer that could still be of use; more of them only make messages large. */
const MAX_ADDITIONALS = 32

/** What proves or signs, and goes only to who asks for it (RFC 4035 section 3.2.1). */
const DNSSEC_TYPES: ReadonlySet<number> = new Set([TYPE.RRSIG, TYPE.NSEC, TYPE.NSEC3])

const ADDRESS_TYPES: ReadonlySet<number> = new Set([TYPE.A, TYPE.AAAA])

/**
 * Leaves of a reply what answers the question and throws the rest away, so that no upstream can slip in
 * what was not asked for.
 *
 * In the answer: the aliases from the question on, each followed by what it leads to, and the records of
 * the type asked for at their end. Beside it: SOA and NS of zones the names are in, proofs for who wants
 * them, and addresses of the hosts in the answer. TTLs come out no longer than a day; that of a negative
 * answer's SOA says how long the answer may be kept (RFC 2308 section 5).
 *
 * @returns null if the aliases turn in a circle or do not end.
 */
export function scrub(question: Question, reply: Message, dnssecOk: boolean): Answer | null {
  const ofClass = (records: readonly ResourceRecord[]) =>
    records.filter(
      ({ class: recordClass, type }) =>
        recordClass === CLASS.IN && (dnssecOk || type === question.type || !DNSSEC_TYPES.has(type)),
    )
  const chain = followAliases(question, ofClass(reply.answers))
  if (chain === null) return null
  const { names, answers, isComplete } = chain

  const authorities = authoritiesOf(names, answers, ofClass(reply.authorities), !isComplete)
  const hosts = new Set(answers.map(hostOf))
  hosts.add(names.at(-1)!.key)
  const additionals = ofClass(reply.additionals).filter(
    (record) => hosts.has(record.name.key) && ADDRESS_TYPES.has(coveredType(record)),
  )
  return {
    rcode: reply.rcode,
    answers: answers.map(capped),
    authorities: authorities.map(capped),
    additionals: additionals.slice(0, MAX_ADDITIONALS).map(capped),
  }
}

/** Whether a reply without an answer points to other servers instead of saying that there is none (RFC 2308 section 2.2). */
export function isReferral({ rcode, answers, authorities }: Answer): boolean {
  return (
    rcode === RCODE.NOERROR &&
    answers.length === 0 &&
    authorities.some(({ type }) => type === TYPE.NS) &&
    !authorities.some(({ type }) => type === TYPE.SOA)
  )
}

/** The records from the question to the end of its aliases, in that order. */
function followAliases(
  question: Question,
  records: readonly ResourceRecord[],
): { names: Name[]; answers: ResourceRecord[]; isComplete: boolean } | null {
  const byOwner = Map.groupBy(records, ({ name }) => name.key)
  const names = [question.name]
  const answers: ResourceRecord[] = []
  for (let name = question.name; names.length <= MAX_ALIASES + 1; ) {
    const here = byOwner.get(name.key) ?? []
    const signaturesOf = (type: number) =>
      here.filter((record) => record.type === TYPE.RRSIG && coveredType(record) === type)
    const wanted = here.filter(({ type }) => type === question.type)
    if (wanted.length > 0) {
      answers.push(...wanted, ...signaturesOf(question.type))
      return { names, answers, isComplete: true }
    }
    const alias = question.type === TYPE.CNAME ? undefined : here.find(({ type }) => type === TYPE.CNAME)
    if (alias === undefined) return { names, answers, isComplete: false }
    answers.push(...renamings(name, records), alias, ...signaturesOf(TYPE.CNAME))
    name = targetOf(alias.data)
    if (names.some(({ key }) => key === name.key)) return null
    names.push(name)
  }
  return null
}

/** The DNAME above a name, with its signature, of which the name's CNAME was made (RFC 6672 section 3.1). */
function renamings(name: Name, records: readonly ResourceRecord[]): ResourceRecord[] {
  return records.filter(
    (record) =>
      coveredType(record) === TYPE.DNAME && record.name.key !== name.key && name.isAtOrBelow(record.name),
  )
}

function authoritiesOf(
  names: readonly Name[],
  answers: readonly ResourceRecord[],
  records: readonly ResourceRecord[],
  isNegative: boolean,
): ResourceRecord[] {
  const isAbove = (apex: Name) => names.some((name) => name.isAtOrBelow(apex))
  const soas = records.filter(({ type, name }) => type === TYPE.SOA && isAbove(name))
  const soa = soas[0] === undefined ? [] : [negativeSoa(soas[0])]
  const servers = records.filter(({ type, name }) => type === TYPE.NS && isAbove(name))
  const signers = [...answers, ...records].filter(({ type }) => type === TYPE.RRSIG).map(signerOf)
  const apexes = [...soa, ...servers].map(({ name }) => name).concat(signers.filter(isAbove))
  const proofs = records.filter(
    (record) => DNSSEC_TYPES.has(record.type) && apexes.some((apex) => record.name.isAtOrBelow(apex)),
  )
  return [...(isNegative ? soa : []), ...servers, ...proofs]
}

/** With the TTL that says how long it may be kept that something is not there. */
function negativeSoa(soa: ResourceRecord): ResourceRecord {
  const minimum = Buffer.from(soa.data).readUInt32BE(soa.data.length - 4)
  return { ...soa, ttl: Math.min(soa.ttl, minimum, MAX_NEGATIVE_TTL) }
}

function capped(record: ResourceRecord): ResourceRecord {
  return record.ttl > MAX_TTL ? { ...record, ttl: MAX_TTL } : record
}

/** The type that a signature is about; of any other record, its own. */
function coveredType({ type, data }: ResourceRecord): number {
  return type === TYPE.RRSIG && data.length >= 2 ? (data[0]! << 8) | data[1]! : type
}

/** Octets of an RRSIG before its signer's name (RFC 4034 section 3.1). */
const BEFORE_SIGNER = 18

function signerOf({ data }: ResourceRecord): Name {
  return new Reader(data.subarray(BEFORE_SIGNER), { pointers: false }).name()
}

/** Octets before the host's name in the records that lead to one. */
const BEFORE_HOST: ReadonlyMap<number, number> = new Map([
  [TYPE.NS, 0],
  [TYPE.MX, 2],
  [TYPE.SRV, 6],
  [TYPE.SVCB, 2],
  [TYPE.HTTPS, 2],
])

/** The key of the host that a record leads to; null if it leads to none. */
function hostOf({ name, type, data }: ResourceRecord): string | null {
  const before = BEFORE_HOST.get(type)
  if (before === undefined) return null
  const host = new Reader(data.subarray(before), { pointers: false }).name()
  // RFC 9460 section 2.5.2: the root stands for the owner.
  const isOwner = host === Name.root && (type === TYPE.SVCB || type === TYPE.HTTPS)
  return isOwner ? name.key : host.key
}
