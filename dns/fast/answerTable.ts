import { TYPE } from '../../wire/registry.ts'
import { UDP_PAYLOAD } from '../payload.ts'
import { LOWER_CASE, OPT_LENGTH, PlainQuery } from './plainQuery.ts'

/** Chains of entries; a household asks far fewer different questions. */
const BUCKETS = 1 << 14

/** An entry from its start, in octets: the question in lower case, the places of TTLs and the response follow. */
const ENTRY = {
  storedAt: 0,
  expiresAt: 8,
  next: 16,
  hash: 20,
  size: 24,
  type: 28,
  questionLength: 30,
  messageLength: 32,
  ttlCount: 34,
  flags: 36,
  ttlsStand: 37,
  rcode: 38,
  source: 39,
  isCaseBound: 40,
  question: 41,
}

/** No more records than that are worth going through for each response. */
const MAX_TTLS = 48

const HEADER = 12

/** Where the answers of an entry come from, as one octet. */
export const ENTRY_SOURCES = ['special', 'zone', 'override', 'cache'] as const
export type EntrySource = (typeof ENTRY_SOURCES)[number]

export interface Lesson {
  /** The response to the query as it was sent, with the query's own OPT if it had one. */
  response: Uint8Array
  /** Milliseconds from now on. */
  reusableFor: number
  source: EntrySource
}

/**
 * Responses that may be given again, found by the octets of a query.
 *
 * Everything lies in one stretch of memory that is used from front to back and then from the front
 * again, the oldest entries giving way: no entry is an object, so that neither a hit nor a flood of
 * different names gives the garbage collector anything to do. Nothing is decided here. A response is
 * what the server made once for the same question and flags; only id, case of the question, TTLs and the
 * OPT are set anew.
 */
export class AnswerTable {
  readonly #octets: Uint8Array
  readonly #words: Uint32Array
  readonly #halves: Uint16Array
  readonly #doubles: Float64Array
  readonly #start: number
  readonly #end: number
  readonly #buckets = new Uint32Array(BUCKETS)
  /** Where the next entry goes, and where the oldest is. */
  #head: number
  #tail: number
  /** While entries of the last round lie ahead of the head: where they end. */
  #wrap: number
  #isWrapped = false
  #count = 0
  /** The query being learned from. */
  readonly #query = new PlainQuery()
  readonly #ttlsAt = new Uint16Array(MAX_TTLS)

  /** Uses the octets from `start` to `end`, both multiples of 8. Offset 0 stands for no entry. */
  constructor(memory: Uint8Array, start: number, end: number) {
    this.#octets = memory
    this.#words = new Uint32Array(memory.buffer, memory.byteOffset, memory.length >> 2)
    this.#halves = new Uint16Array(memory.buffer, memory.byteOffset, memory.length >> 1)
    this.#doubles = new Float64Array(memory.buffer, memory.byteOffset, memory.length >> 3)
    this.#start = Math.max(start, 8)
    this.#end = end
    this.#head = this.#start
    this.#tail = this.#start
    this.#wrap = end
  }

  get count(): number {
    return this.#count
  }

  /** Forgets everything: what was true may have changed. */
  clear(): void {
    if (this.#count === 0) return
    this.#buckets.fill(0)
    this.#head = this.#start
    this.#tail = this.#start
    this.#isWrapped = false
    this.#count = 0
  }

  /**
   * The entry that answers a query, whose octets lie in this table's memory too; 0 if there is none.
   *
   * `now` in milliseconds. An entry from the future was stored before the clock was set back, and nobody
   * knows how old it is.
   */
  find(query: PlainQuery, now: number): number {
    const octets = this.#octets
    const entry = this.#entryOf(query, octets)
    if (entry === 0) return 0
    const isFresh =
      now >= this.#doubles[(entry + ENTRY.storedAt) >> 3]! &&
      now < this.#doubles[(entry + ENTRY.expiresAt) >> 3]!
    if (!isFresh || (octets[entry + ENTRY.isCaseBound] === 1 && !this.#isSameCase(entry, query))) return 0
    return entry
  }

  /**
   * Writes the response of an entry to `at`, for the query that found it.
   *
   * @returns its length in octets; 0 if it is longer than the client can take.
   */
  write(entry: number, query: PlainQuery, at: number, now: number): number {
    const octets = this.#octets
    const { questionAt, questionLength, hasEdns } = query
    const messageLength = this.#halves[(entry + ENTRY.messageLength) >> 1]!
    const length = messageLength + (hasEdns ? OPT_LENGTH : 0)
    if (length > query.limit) return 0

    const ttls = this.#ttlsOf(entry)
    const ttlCount = this.#halves[(entry + ENTRY.ttlCount) >> 1]!
    const message = this.#messageOf(entry)
    octets.copyWithin(at, message, message + messageLength)
    octets[at] = octets[questionAt - HEADER]!
    octets[at + 1] = octets[questionAt - HEADER + 1]!
    octets.copyWithin(at + HEADER, questionAt, questionAt + questionLength)

    if (octets[entry + ENTRY.ttlsStand] === 0) {
      const age = Math.floor((now - this.#doubles[(entry + ENTRY.storedAt) >> 3]!) / 1000)
      if (age > 0) this.#age(at, ttls, ttlCount, age)
    }
    if (hasEdns) {
      octets[at + 11] = octets[at + 11]! + 1
      writeOpt(octets, at + messageLength, (query.flags & 4) !== 0)
    }
    return length
  }

  typeOf(entry: number): number {
    return this.#halves[(entry + ENTRY.type) >> 1]!
  }

  rcodeOf(entry: number): number {
    return this.#octets[entry + ENTRY.rcode]!
  }

  /** The index in ENTRY_SOURCES. */
  sourceOf(entry: number): number {
    return this.#octets[entry + ENTRY.source]!
  }

  /** Keeps the response to a query for the next one like it, if both are of the kind that can be. */
  learn(asked: Uint8Array, { response, reusableFor, source }: Lesson, now: number): void {
    const query = this.#query
    if (reusableFor <= 0 || !query.read(asked, 0, asked.length)) return
    const messageLength = lengthWithoutOpt(response, query)
    const ttlCount = messageLength === 0 ? -1 : this.#findTtls(response, messageLength, query)
    if (ttlCount < 0) return

    const { hash, questionAt, questionLength } = query
    const isStanding = source !== 'cache'
    const life = isStanding
      ? reusableFor
      : Math.min(reusableFor, 1000 * this.#smallestTtl(response, ttlCount))
    if (life <= 0) return
    const ttlsAt = align(ENTRY.question + questionLength, 2)
    const size = align(ttlsAt + 2 * ttlCount + messageLength, 8)
    if (size > (this.#end - this.#start) >> 3) return
    const known = this.#entryOf(query, asked)
    if (known !== 0) this.#unlink(known)
    const entry = this.#allocate(size)

    const octets = this.#octets
    this.#doubles[(entry + ENTRY.storedAt) >> 3] = now
    this.#doubles[(entry + ENTRY.expiresAt) >> 3] = now + life
    this.#words[(entry + ENTRY.hash) >> 2] = hash
    this.#words[(entry + ENTRY.size) >> 2] = size
    this.#halves[(entry + ENTRY.type) >> 1] = query.type
    this.#halves[(entry + ENTRY.questionLength) >> 1] = questionLength
    this.#halves[(entry + ENTRY.messageLength) >> 1] = messageLength
    this.#halves[(entry + ENTRY.ttlCount) >> 1] = ttlCount
    octets[entry + ENTRY.flags] = query.flags
    octets[entry + ENTRY.ttlsStand] = isStanding ? 1 : 0
    octets[entry + ENTRY.isCaseBound] = pointsIntoQuestion(response, questionLength) ? 1 : 0
    octets[entry + ENTRY.rcode] = response[3]! & 0xf
    octets[entry + ENTRY.source] = ENTRY_SOURCES.indexOf(source)
    for (let index = 0; index < questionLength; index += 1) {
      octets[entry + ENTRY.question + index] = LOWER_CASE[asked[questionAt + index]!]!
    }
    this.#halves.set(this.#ttlsAt.subarray(0, ttlCount), (entry + ttlsAt) >> 1)
    const message = entry + ttlsAt + 2 * ttlCount
    octets.set(response.subarray(0, messageLength), message)
    octets[message + 10] = 0
    octets[message + 11] = response[11]! - (messageLength === response.length ? 0 : 1)

    const bucket = hash & (BUCKETS - 1)
    this.#words[(entry + ENTRY.next) >> 2] = this.#buckets[bucket]!
    this.#buckets[bucket] = entry
    this.#count += 1
  }

  #ttlsOf(entry: number): number {
    return align(entry + ENTRY.question + this.#halves[(entry + ENTRY.questionLength) >> 1]!, 2)
  }

  #messageOf(entry: number): number {
    return this.#ttlsOf(entry) + 2 * this.#halves[(entry + ENTRY.ttlCount) >> 1]!
  }

  #isSameCase(entry: number, { questionAt, questionLength }: PlainQuery): boolean {
    const question = this.#messageOf(entry) + HEADER
    for (let index = 0; index < questionLength; index += 1) {
      if (this.#octets[question + index] !== this.#octets[questionAt + index]) return false
    }
    return true
  }

  #smallestTtl(response: Uint8Array, ttlCount: number): number {
    let smallest = Number.POSITIVE_INFINITY
    for (let index = 0; index < ttlCount; index += 1) {
      const at = this.#ttlsAt[index]!
      const ttl =
        2 ** 24 * response[at]! + ((response[at + 1]! << 16) | (response[at + 2]! << 8) | response[at + 3]!)
      smallest = Math.min(smallest, ttl)
    }
    return smallest
  }

  #age(at: number, ttls: number, ttlCount: number, age: number): void {
    const octets = this.#octets
    for (let index = 0; index < ttlCount; index += 1) {
      const ttlAt = at + this.#halves[(ttls >> 1) + index]!
      const ttl =
        ((octets[ttlAt]! << 24) |
          (octets[ttlAt + 1]! << 16) |
          (octets[ttlAt + 2]! << 8) |
          octets[ttlAt + 3]!) -
        age
      const left = Math.max(0, ttl)
      octets[ttlAt] = left >>> 24
      octets[ttlAt + 1] = (left >>> 16) & 0xff
      octets[ttlAt + 2] = (left >>> 8) & 0xff
      octets[ttlAt + 3] = left & 0xff
    }
  }

  /** Notes where the TTLs of a response lie; how many, or -1 if it is none to keep. */
  #findTtls(response: Uint8Array, end: number, query: PlainQuery): number {
    const records =
      ((response[6]! + response[8]!) << 8) +
      response[7]! +
      response[9]! +
      response[11]! -
      (end < response.length ? 1 : 0)
    if (records > MAX_TTLS || response[10] !== 0) return -1
    let at = HEADER + query.questionLength
    for (let index = 0; index < records; index += 1) {
      at = skipName(response, at)
      this.#ttlsAt[index] = at + 4
      at += 10 + ((response[at + 8]! << 8) | response[at + 9]!)
      if (!(at <= end)) return -1
    }
    return at === end ? records : -1
  }

  /** The entry of the same question and flags, however old; 0 if there is none. `query` was read from `asked`. */
  #entryOf({ hash, questionAt, questionLength, flags }: PlainQuery, asked: Uint8Array): number {
    const octets = this.#octets
    let entry = this.#buckets[hash & (BUCKETS - 1)]!
    search: for (; entry !== 0; entry = this.#words[(entry + ENTRY.next) >> 2]!) {
      if ((this.#words[(entry + ENTRY.hash) >> 2]! | 0) !== hash) continue
      if (octets[entry + ENTRY.flags] !== flags) continue
      if (this.#halves[(entry + ENTRY.questionLength) >> 1] !== questionLength) continue
      for (let index = 0; index < questionLength; index += 1) {
        if (octets[entry + ENTRY.question + index] !== LOWER_CASE[asked[questionAt + index]!]) continue search
      }
      return entry
    }
    return 0
  }

  /** Takes an entry out of its chain; its octets are free in their turn. */
  #unlink(entry: number): void {
    const bucket = this.#words[(entry + ENTRY.hash) >> 2]! & (BUCKETS - 1)
    const next = this.#words[(entry + ENTRY.next) >> 2]!
    let link = this.#buckets[bucket]!
    if (link === entry) {
      this.#buckets[bucket] = next
      this.#count -= 1
      return
    }
    for (; link !== 0; link = this.#words[(link + ENTRY.next) >> 2]!) {
      if (this.#words[(link + ENTRY.next) >> 2] !== entry) continue
      this.#words[(link + ENTRY.next) >> 2] = next
      this.#count -= 1
      return
    }
  }

  /** Room for an entry, made by the oldest ones if there is no other. */
  #allocate(size: number): number {
    if (this.#head + size > this.#end) {
      while (this.#isWrapped) this.#evict()
      this.#wrap = this.#head
      this.#head = this.#start
      this.#isWrapped = true
    }
    while (this.#isWrapped && this.#tail < this.#head + size) this.#evict()
    const entry = this.#head
    this.#head += size
    return entry
  }

  #evict(): void {
    if (this.#tail < this.#wrap) {
      this.#unlink(this.#tail)
      this.#tail += this.#words[(this.#tail + ENTRY.size) >> 2]!
    }
    if (this.#tail < this.#wrap) return
    this.#tail = this.#start
    this.#isWrapped = false
  }
}

/** The length of a whole, untruncated response without its OPT; 0 if it is none that can be kept. */
function lengthWithoutOpt(response: Uint8Array, { hasEdns, questionLength }: PlainQuery): number {
  const isWhole = (response[2]! & 0x82) === 0x80 && response[4] === 0 && response[5] === 1
  const length = response.length - (hasEdns ? OPT_LENGTH : 0)
  if (!isWhole || length < HEADER + questionLength) return 0
  if (!hasEdns) return length
  const isBareOpt =
    response[length] === 0 &&
    response[length + 1] === 0 &&
    response[length + 2] === TYPE.OPT &&
    response[length + 9] === 0 &&
    response[length + 10] === 0
  return isBareOpt && response[11]! > 0 ? length : 0
}

/**
 * Whether names after the question may be written as the end of its name, and so share the case that it
 * was asked in. Octets that only look like such a pointer count too: then only the same case finds the
 * entry, and nothing is said wrongly.
 */
function pointsIntoQuestion(response: Uint8Array, questionLength: number): boolean {
  const end = HEADER + questionLength
  for (let at = end; at + 1 < response.length; at += 1) {
    const low = response[at + 1]!
    if (response[at] === 0xc0 && low > HEADER && low < end) return true
  }
  return false
}

function writeOpt(octets: Uint8Array, at: number, dnssecOk: boolean): void {
  octets.fill(0, at, at + OPT_LENGTH)
  octets[at + 2] = TYPE.OPT
  octets[at + 3] = UDP_PAYLOAD >> 8
  octets[at + 4] = UDP_PAYLOAD & 0xff
  octets[at + 7] = dnssecOk ? 0x80 : 0
}

/** Where a name of a message of our own making ends. */
function skipName(message: Uint8Array, at: number): number {
  for (;;) {
    const length = message[at]!
    if (length >= 0xc0) return at + 2
    if (!(length > 0)) return at + 1
    at += 1 + length
  }
}

function align(offset: number, to: number): number {
  return Math.ceil(offset / to) * to
}
