import { randomInt } from 'node:crypto'
import { CLASS, TYPE } from '../../wire/registry.ts'
import { MINIMUM_UDP_PAYLOAD, UDP_PAYLOAD } from '../payload.ts'

/** RFC 1035 section 4.1.1: the header's length. The one question follows it. */
const HEADER = 12

/** An OPT without options: root owner, type, class, TTL, length. */
export const OPT_LENGTH = 11

/** Where hashes begin: unknown outside, or names could be chosen that all end in one chain of the table. */
const SEED = randomInt(2 ** 32)

/** Octets in lower case: only A to Z differ, and no length of a label is as large as these. */
export const LOWER_CASE = Uint8Array.from({ length: 256 }, (_, octet) =>
  octet >= 0x41 && octet <= 0x5a ? octet + 0x20 : octet,
)

/**
 * A query of the kind that nearly all are, read without making a single object.
 *
 * Plain is: one question of class IN and no other record but an OPT of version 0. What is not plain is
 * none of this class's business; whoever reads messages in earnest decides about it.
 *
 * One instance is used for query after query: its fields speak of the last one read.
 */
export class PlainQuery {
  /** Of the name in lower case, type, class and flags. */
  hash = 0
  /** Where the question lies, and its length in octets. */
  questionAt = 0
  questionLength = 0
  type = 0
  /** RD, CD and DO as bits 0, 1 and 2: with the question, all that decides the response. */
  flags = 0
  hasEdns = false
  /** Octets that the response may have. */
  limit = MINIMUM_UDP_PAYLOAD

  /** Reads the query of `length` octets at `start`; false if it is not plain. */
  read(octets: Uint8Array, start: number, length: number): boolean {
    const end = start + length
    if (length < HEADER + 5) return false
    // QR, opcode and TC clear; one question; no answers, no authorities; at most one additional record.
    if ((octets[start + 2]! & 0xfa) !== 0) return false
    if ((octets[start + 4]! | (octets[start + 5]! ^ 1)) !== 0) return false
    if ((octets[start + 6]! | octets[start + 7]! | octets[start + 8]! | octets[start + 9]!) !== 0)
      return false
    const additionals = octets[start + 11]!
    if (octets[start + 10] !== 0 || additionals > 1) return false

    let at = start + HEADER
    let hash = SEED
    for (let label = octets[at]!; label !== 0; label = octets[at]!) {
      const next = at + 1 + label
      if (label > 63 || next + 5 > end) return false
      for (; at < next; at += 1) hash = Math.imul(hash ^ LOWER_CASE[octets[at]!]!, 0x01000193)
    }
    at += 1
    if (at - start - HEADER > 255 || at + 4 > end) return false
    this.type = (octets[at]! << 8) | octets[at + 1]!
    if (octets[at + 2] !== 0 || octets[at + 3] !== CLASS.IN) return false
    at += 4
    this.questionAt = start + HEADER
    this.questionLength = at - this.questionAt

    let flags = (octets[start + 2]! & 1) | ((octets[start + 3]! >> 3) & 2)
    this.hasEdns = additionals === 1
    this.limit = MINIMUM_UDP_PAYLOAD
    if (this.hasEdns) {
      if (!isOpt(octets, at, end)) return false
      const payload = (octets[at + 3]! << 8) | octets[at + 4]!
      this.limit = Math.max(MINIMUM_UDP_PAYLOAD, Math.min(UDP_PAYLOAD, payload))
      flags |= (octets[at + 7]! >> 5) & 4
    } else if (at !== end) {
      return false
    }
    this.flags = flags
    this.hash = Math.imul(hash ^ this.type ^ (flags << 16), 0x01000193)
    return true
  }
}

/** Whether the octets from `at` to `end` are an OPT of version 0 and well-formed options (RFC 6891 section 6.1.2). */
function isOpt(octets: Uint8Array, at: number, end: number): boolean {
  if (at + OPT_LENGTH > end || octets[at] !== 0) return false
  if (octets[at + 1] !== 0 || octets[at + 2] !== TYPE.OPT || octets[at + 6] !== 0) return false
  let option = at + OPT_LENGTH
  if (option + ((octets[at + 9]! << 8) | octets[at + 10]!) !== end) return false
  while (option < end) {
    if (option + 4 > end) return false
    option += 4 + ((octets[option + 2]! << 8) | octets[option + 3]!)
  }
  return option === end
}
