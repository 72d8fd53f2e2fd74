import { type Clock, SECOND } from '../base/clock.ts'
import { decodeMessage, encodeMessage, type Question, type ResourceRecord } from '../wire/message.ts'
import type { Name } from '../wire/name.ts'
import { OPCODE, RCODE, TYPE } from '../wire/registry.ts'
import type { Answer } from './scrub.ts'
import type { DnssecFlags } from './upstream/group.ts'

/** Of an answer's life, the part at the end in which whoever asks makes it be fetched anew. */
const REFRESH_PART = 0.1

/** What is kept so shortly is not worth fetching before somebody asks. Seconds. */
const MIN_REFRESHED_TTL = 10

/** Octets. Nearly all answers have less than a thousand, and no single one may push out thousands of others. */
const MAX_ENTRY = 16 * 1024

/** How many entries one new entry may move out of its way; those beyond are forgotten, used or not. */
const MAX_MOVES = 32

/** Type under which it is kept that a name does not exist, which is so for all types. */
const ANY_TYPE = 0

/**
 * What comes before the message of an entry: octets of the whole entry, flags, seconds it is good for, and
 * when it was stored, in milliseconds.
 */
const LENGTH_AT = 0
const FLAGS_AT = 4
const KEY_FLAGS_AT = 5
const TTL_AT = 6
const STORED_AT = 10
const HEAD = 18

/** Octets of a message's header; its question's name follows. */
const MESSAGE_HEADER = 12

/** Flags: asked for since it was stored or moved. */
const USED = 1

/** An answer as it was kept. */
export interface Kept {
  answer: Answer
  /** Seconds since it was stored. */
  age: number
  /** Milliseconds until it is stale; 0 or less if it is. */
  goodFor: number
  /** Milliseconds until it should be fetched anew if anyone asks; 0 or less from then on. */
  restsFor: number
}

/**
 * Answers of upstreams, in at most so many octets.
 *
 * They lie encoded one after another in a ring, the newest at its head. Whatever stands at the tail when
 * room is needed goes, except that an answer which somebody asked for meanwhile moves to the head once
 * more. So a hundred thousand answers are one buffer and a map of offsets, and random names push out each
 * other before they push out what the home uses.
 *
 * Kept per name, type, DO and CD; that a name does not exist is kept for all types (RFC 2308 section 5).
 */
export class AnswerCache {
  readonly #ring: Buffer
  readonly #staleFor: number
  readonly #clock: Clock
  readonly #offsets = new Map<string, number>()
  /** Where the next entry goes, and where the oldest one is. */
  #head = 0
  #tail = 0
  /** Entries in the ring, those that newer ones have replaced included. */
  #count = 0
  /** While entries go on at the beginning of the ring: where the last one before its end ends. */
  #seam: number | null = null

  constructor({ octets, staleFor, clock }: { octets: number; staleFor: number; clock: Clock }) {
    // Not filled: memory that no answer has used yet costs nothing.
    this.#ring = Buffer.allocUnsafeSlow(octets)
    this.#staleFor = staleFor
    this.#clock = clock
  }

  /** How many answers there are, stale ones included. */
  get size(): number {
    return this.#offsets.size
  }

  /**
   * What is known of a question, fresh or stale: the fresh before the stale, the newer before the older.
   * Null if that is nothing.
   */
  find(question: Question, flags: DnssecFlags): Kept | null {
    const exact = this.#read(keyOf(question.name, question.type, flags), question)
    const absent = this.#read(keyOf(question.name, ANY_TYPE, flags), question)
    if (exact === null || absent === null) return exact ?? absent
    if (exact.goodFor > 0 !== absent.goodFor > 0) return exact.goodFor > 0 ? exact : absent
    return exact.age < absent.age ? exact : absent
  }

  /**
   * Keeps an answer if it may be kept.
   *
   * @returns how long it is good for and how long until it should be fetched anew, in milliseconds; 0 if it
   *   is not kept.
   */
  store(question: Question, flags: DnssecFlags, answer: Answer): Pick<Kept, 'goodFor' | 'restsFor'> {
    const ttl = lifetimeOf(question, answer)
    this.#offsets.delete(keyOf(question.name, question.type, flags))
    this.#offsets.delete(keyOf(question.name, ANY_TYPE, flags))
    if (ttl === 0) return { goodFor: 0, restsFor: 0 }

    // Only where no alias stands before it, the name that does not exist is the one that was asked for.
    const isAbsent = answer.rcode === RCODE.NXDOMAIN && answer.answers.length === 0
    const name = question.name.toLowerCase()
    const message = encodeMessage({
      ...EMPTY,
      ...answer,
      questions: [{ ...question, name, type: isAbsent ? ANY_TYPE : question.type }],
    })
    const entry = Buffer.allocUnsafe(HEAD + message.length)
    entry.writeUInt32LE(entry.length, LENGTH_AT)
    entry[FLAGS_AT] = 0
    entry[KEY_FLAGS_AT] = flagsOctet(flags)
    entry.writeUInt32LE(ttl, TTL_AT)
    entry.writeDoubleLE(this.#clock.now(), STORED_AT)
    entry.set(message, HEAD)
    if (entry.length <= Math.min(MAX_ENTRY, this.#ring.length)) this.#insert(entry)
    return { goodFor: ttl * SECOND, restsFor: restsFor(ttl, 0) }
  }

  #read(key: string, question: Question): Kept | null {
    const at = this.#offsets.get(key)
    if (at === undefined) return null
    const ring = this.#ring
    const ttl = ring.readUInt32LE(at + TTL_AT)
    const elapsed = this.#clock.now() - ring.readDoubleLE(at + STORED_AT)
    const goodFor = ttl * SECOND - elapsed
    // An entry of the future is older than anyone can tell: the clock has gone back.
    if (elapsed < 0 || goodFor <= -this.#staleFor) {
      this.#offsets.delete(key)
      return null
    }
    ring[at + FLAGS_AT]! |= USED
    const age = Math.floor(elapsed / SECOND)
    // A copy: the records point into it, and the ring goes on turning.
    const message = decodeMessage(
      Buffer.from(ring.subarray(at + HEAD, at + ring.readUInt32LE(at + LENGTH_AT))),
    )
    const aged = (records: readonly ResourceRecord[]) =>
      records.map((record) => ({
        ...record,
        name: record.name.equals(question.name) ? question.name : record.name,
        ttl: Math.max(0, record.ttl - age),
      }))
    // What stands beside the answer may have run out before it.
    const lasting = (records: readonly ResourceRecord[]) =>
      aged(records).filter((record) => record.ttl > 0 || goodFor <= 0)
    const { rcode, answers, authorities, additionals } = message
    return {
      answer: {
        rcode,
        answers: aged(answers),
        authorities: lasting(authorities),
        additionals: lasting(additionals),
      },
      age,
      goodFor,
      restsFor: restsFor(ttl, elapsed),
    }
  }

  /** Writes an entry at the head, after making room at the tail. */
  #insert(first: Buffer): void {
    const waiting = [first]
    for (let moves = 0; waiting.length > 0; ) {
      const entry = waiting.shift()!
      while (!this.#fits(entry.length)) {
        const rescued = this.#dropOldest(moves < MAX_MOVES)
        if (rescued === null) continue
        waiting.push(rescued)
        moves += 1
      }
      this.#ring.set(entry, this.#head)
      this.#offsets.set(keyAt(entry, 0), this.#head)
      this.#head += entry.length
      this.#count += 1
    }
  }

  /** Whether so many octets fit at the head, which goes back to the beginning of the ring if need be. */
  #fits(length: number): boolean {
    if (this.#count === 0) {
      this.#head = 0
      this.#tail = 0
      this.#seam = null
    }
    if (this.#seam === null) {
      if (this.#head + length <= this.#ring.length) return true
      this.#seam = this.#head
      this.#head = 0
    }
    return this.#head + length <= this.#tail
  }

  /** Forgets the oldest entry. If it is still of use and may move, its octets come back, to be written again. */
  #dropOldest(mayMove: boolean): Buffer | null {
    const at = this.#tail
    const length = this.#ring.readUInt32LE(at + LENGTH_AT)
    this.#tail += length
    this.#count -= 1
    if (this.#tail === this.#seam) {
      this.#tail = 0
      this.#seam = null
    }
    const key = keyAt(this.#ring, at)
    if (this.#offsets.get(key) !== at) return null
    this.#offsets.delete(key)
    const wasUsed = (this.#ring[at + FLAGS_AT]! & USED) !== 0
    if (!mayMove || !wasUsed) return null
    const entry = Buffer.from(this.#ring.subarray(at, at + length))
    entry[FLAGS_AT]! &= ~USED
    return entry
  }
}

const EMPTY = {
  id: 0,
  qr: true,
  opcode: OPCODE.QUERY,
  aa: false,
  tc: false,
  rd: false,
  ra: false,
  ad: false,
  cd: false,
  edns: null,
}

/** One character an octet, so that a hundred thousand of them stay small. */
export function keyOf(name: Name, type: number, flags: DnssecFlags): string {
  return String.fromCharCode(flagsOctet(flags), type >> 8, type & 0xff) + name.key
}

/** The key of the entry at an offset, from the question in its message. */
function keyAt(octets: Buffer, at: number): string {
  const name = at + HEAD + MESSAGE_HEADER
  let end = name
  while (octets[end] !== 0) end += 1 + octets[end]!
  const type = octets.readUInt16BE(end + 1)
  const flags = octets[at + KEY_FLAGS_AT]!
  return String.fromCharCode(flags, type >> 8, type & 0xff) + octets.toString('latin1', name, end + 1)
}

function flagsOctet({ dnssecOk, cd }: DnssecFlags): number {
  return (dnssecOk ? 1 : 0) | (cd ? 2 : 0)
}

/**
 * Seconds for which an answer may be given again: the smallest TTL in it. A negative one needs an SOA that
 * says so, or nothing ends it (RFC 2308 section 5).
 */
function lifetimeOf(question: Question, { rcode, answers, authorities }: Answer): number {
  const isPositive = rcode === RCODE.NOERROR && answers.some(({ type }) => type === question.type)
  if (!isPositive && !authorities.some(({ type }) => type === TYPE.SOA)) return 0
  const records = isPositive ? answers : [...answers, ...authorities]
  return Math.min(...records.map(({ ttl }) => ttl))
}

function restsFor(ttl: number, elapsed: number): number {
  return ttl < MIN_REFRESHED_TTL ? ttl * SECOND - elapsed : ttl * SECOND * (1 - REFRESH_PART) - elapsed
}
