import { createHmac, timingSafeEqual } from 'node:crypto'
import { type Clock, SECOND } from '../base/clock.ts'
import { WireError } from '../wire/errors.ts'
import { Name } from '../wire/name.ts'
import { malformed, Reader } from '../wire/reader.ts'
import { CLASS, TSIG_ERROR, TYPE } from '../wire/registry.ts'
import { Writer } from '../wire/writer.ts'

/**
 * What a key can be made for. Keys are made here and nowhere else, and whatever can sign at all today
 * knows SHA-256: MD5 and SHA-1 are needed by nobody.
 */
export const TSIG_ALGORITHMS = ['hmac-sha256', 'hmac-sha384', 'hmac-sha512'] as const

export type TsigAlgorithm = (typeof TSIG_ALGORITHMS)[number]

/** The hash of an algorithm, and the octets of its whole MAC. */
const HASHES: Record<TsigAlgorithm, { hash: string; octets: number }> = {
  'hmac-sha256': { hash: 'sha256', octets: 32 },
  'hmac-sha384': { hash: 'sha384', octets: 48 },
  'hmac-sha512': { hash: 'sha512', octets: 64 },
}

/** A key shared with one other program, and what that program may do with it. */
export interface TsigKey {
  /** Lower-case, without the final dot. */
  name: string
  algorithm: TsigAlgorithm
  secret: Uint8Array
  mayUpdate: boolean
  mayTransfer: boolean
}

/**
 * Seconds by which two clocks may differ, the value that RFC 8945 recommends. A sender that asks for more
 * does not get it: for that long a recorded message can be sent again.
 */
export const FUDGE = 300

/** As many random octets as the MAC has. */
export function secretLength(algorithm: TsigAlgorithm): number {
  return HASHES[algorithm].octets
}

/**
 * What a message's signature is worth.
 *
 * `malformed` is answered with FORMERR; `failed` with NOTAUTH, and `sign` puts the reason into the answer.
 */
export type Checked =
  | { outcome: 'unsigned' }
  | { outcome: 'malformed' }
  | { outcome: 'failed'; error: number; keyName: string; sign: (response: Uint8Array) => Buffer }
  | { outcome: 'good'; key: TsigKey; mac: Buffer; message: Buffer; signer: Signer }

/** The keys there are, and what they say of messages. */
export class Keyring {
  readonly #clock: Clock
  #keys: ReadonlyMap<string, TsigKey> = new Map()

  constructor(keys: readonly TsigKey[], clock: Clock) {
    this.#clock = clock
    this.replace(keys)
  }

  /** From the next message on. */
  replace(keys: readonly TsigKey[]): void {
    this.#keys = new Map(keys.map((key) => [Name.parse(key.name).key, key]))
  }

  find(name: string): TsigKey | null {
    return this.#keys.get(Name.parse(name).key) ?? null
  }

  /**
   * Checks the signature of a request: key, MAC, time, truncation, in this order, so that nobody without
   * the key learns more than that it is wrong. Never throws.
   *
   * Only whole MACs are taken, since no peer of a home is short of space.
   *
   * @see RFC 8945 section 5.2.
   */
  check(bytes: Uint8Array): Checked {
    let found: Found | 'none' | 'misplaced'
    try {
      found = findTsig(bytes)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      return { outcome: 'malformed' }
    }
    if (found === 'none') return { outcome: 'unsigned' }
    if (found === 'misplaced') return { outcome: 'malformed' }

    const { tsig, message, digested } = found
    const key = this.#keys.get(tsig.keyName.key)
    if (key === undefined || tsig.algorithm.key !== algorithmName(key.algorithm).key) {
      return failed(tsig, TSIG_ERROR.BADKEY)
    }
    const whole = HASHES[key.algorithm].octets
    if (tsig.mac.length > whole || tsig.mac.length < Math.max(10, whole / 2)) return { outcome: 'malformed' }
    const mac = macOf(key, [...digested, variables(tsig)])
    if (!timingSafeEqual(mac.subarray(0, tsig.mac.length), tsig.mac)) return failed(tsig, TSIG_ERROR.BADSIG)

    const signer = new Signer(key, this.#clock, tsig.mac)
    const now = seconds(this.#clock)
    if (Math.abs(now - tsig.time) > Math.min(tsig.fudge, FUDGE)) {
      const part = { error: TSIG_ERROR.BADTIME, time: tsig.time, other: u48(now) }
      return { ...failed(tsig, TSIG_ERROR.BADTIME), sign: (response) => signer.sign(response, part) }
    }
    if (tsig.mac.length < whole) {
      const part = { error: TSIG_ERROR.BADTRUNC }
      return { ...failed(tsig, TSIG_ERROR.BADTRUNC), sign: (response) => signer.sign(response, part) }
    }
    return { outcome: 'good', key, mac: tsig.mac, message, signer }
  }
}

/**
 * Signs a request, or one response after the other to the same request: each MAC is made over the one
 * before, so that none can be left out.
 *
 * @see RFC 8945 sections 5.3 and 5.3.1.
 */
export class Signer {
  readonly #key: TsigKey
  readonly #clock: Clock
  #prior: Buffer | null
  #count = 0

  /** @param requestMac of the request that is answered; null to sign a request. */
  constructor(key: TsigKey, clock: Clock, requestMac: Buffer | null) {
    this.#key = key
    this.#clock = clock
    this.#prior = requestMac
  }

  /** By how much a signature lengthens a message. */
  get octets(): number {
    return tsigRecord(this.#tsig({}), Buffer.alloc(HASHES[this.#key.algorithm].octets), 0).length
  }

  /** The MAC made last. */
  get mac(): Buffer | null {
    return this.#prior
  }

  sign(message: Uint8Array, part: Partial<Pick<Tsig, 'error' | 'time' | 'other'>> = {}): Buffer {
    const tsig = this.#tsig(part)
    const parts: Uint8Array[] = this.#prior === null ? [] : [u16(this.#prior.length), this.#prior]
    parts.push(message, this.#count > 0 ? timers(tsig) : variables(tsig))
    const mac = macOf(this.#key, parts)
    this.#prior = mac
    this.#count += 1
    return withTsig(message, tsig, mac)
  }

  #tsig(part: Partial<Tsig>): Tsig {
    return {
      keyName: Name.parse(this.#key.name),
      algorithm: algorithmName(this.#key.algorithm),
      time: seconds(this.#clock),
      fudge: FUDGE,
      error: 0,
      other: Buffer.alloc(0),
      ...part,
    }
  }
}

/**
 * Whether a response to a request of ours is signed with the request's key, unharmed and in time.
 *
 * @param requestMac that `Signer.mac` gave after the request was signed.
 * @see RFC 8945 section 5.4.
 */
export function isSignedResponse(
  response: Uint8Array,
  key: TsigKey,
  clock: Clock,
  requestMac: Buffer,
): boolean {
  try {
    const found = findTsig(response)
    if (typeof found === 'string') return false
    const { tsig, digested } = found
    const mac = macOf(key, [u16(requestMac.length), requestMac, ...digested, variables(tsig)])
    return (
      tsig.keyName.key === Name.parse(key.name).key &&
      tsig.algorithm.key === algorithmName(key.algorithm).key &&
      tsig.mac.length === mac.length &&
      timingSafeEqual(mac, tsig.mac) &&
      Math.abs(seconds(clock) - tsig.time) <= Math.min(tsig.fudge, FUDGE)
    )
  } catch (error) {
    if (error instanceof WireError) return false
    throw error
  }
}

/** The fields of a TSIG record but for its MAC and the id, which follow from the message. */
interface Tsig {
  keyName: Name
  algorithm: Name
  /** Seconds since 1970. */
  time: number
  fudge: number
  error: number
  other: Buffer
}

interface Found {
  tsig: Tsig & { mac: Buffer }
  /** The message without its signature. */
  message: Buffer
  /** The same as it was signed: with the id it had then, which may have changed on the way. */
  digested: Uint8Array[]
}

/**
 * Finds the TSIG of a message, walking over all else without reading it: a message may be large, and
 * whoever sent it is not yet known.
 *
 * @throws {WireError} if the message or its TSIG is broken.
 */
function findTsig(bytes: Uint8Array): Found | 'none' | 'misplaced' {
  const reader = new Reader(bytes)
  reader.octets(4)
  const [questions, answers, authorities, additionals] = [0, 0, 0, 0].map(() => reader.u16())
  if (answers! + authorities! + additionals! === 0) return 'none'
  for (let left = questions!; left > 0; left -= 1) {
    skipName(reader)
    reader.octets(4)
  }
  let at = 0
  let tsigs = 0
  let isTsig = false
  for (let left = answers! + authorities! + additionals!; left > 0; left -= 1) {
    at = reader.offset
    skipName(reader)
    isTsig = reader.u16() === TYPE.TSIG
    if (isTsig) tsigs += 1
    reader.octets(6)
    reader.octets(reader.u16())
  }
  if (tsigs === 0) return 'none'
  if (tsigs > 1 || !isTsig || additionals === 0 || reader.left > 0) return 'misplaced'

  const { tsig, originalId } = readTsig(reader, at)
  const message = Buffer.from(bytes.subarray(0, at))
  message.writeUInt16BE(additionals! - 1, 10)
  return { tsig, message, digested: [u16(originalId), message.subarray(2)] }
}

function skipName(reader: Reader): void {
  for (let length = reader.u8(); length !== 0; length = reader.u8()) {
    if (length >= 0xc0) {
      reader.u8()
      return
    }
    reader.octets(length)
  }
}

/** @see RFC 8945 section 4.2. */
function readTsig(reader: Reader, at: number): { tsig: Found['tsig']; originalId: number } {
  reader.offset = at
  const keyName = reader.name()
  reader.u16()
  if (reader.u16() !== CLASS.ANY || reader.u32() !== 0) throw malformed('a TSIG has a class or a TTL')
  const rdata = new Reader(reader.octets(reader.u16()), { pointers: false })
  const algorithm = rdata.name()
  const time = rdata.u16() * 2 ** 32 + rdata.u32()
  const fudge = rdata.u16()
  const mac = rdata.octets(rdata.u16())
  const originalId = rdata.u16()
  const error = rdata.u16()
  const other = rdata.octets(rdata.u16())
  if (rdata.left > 0) throw malformed('a TSIG does not end where it should')
  return { tsig: { keyName, algorithm, time, fudge, error, other, mac }, originalId }
}

/** Without the key, or under a wrong one, nothing can be signed (RFC 8945 section 5.3.2). */
function failed(tsig: Tsig, error: number): Extract<Checked, { outcome: 'failed' }> {
  const sign = (response: Uint8Array) =>
    withTsig(response, { ...tsig, error, other: Buffer.alloc(0) }, Buffer.alloc(0))
  return { outcome: 'failed', error, keyName: tsig.keyName.toString(), sign }
}

function withTsig(message: Uint8Array, tsig: Tsig, mac: Buffer): Buffer {
  const signed = Buffer.concat([message, tsigRecord(tsig, mac, Buffer.from(message).readUInt16BE(0))])
  signed.writeUInt16BE(signed.readUInt16BE(10) + 1, 10)
  return signed
}

function tsigRecord(tsig: Tsig, mac: Buffer, originalId: number): Buffer {
  const writer = new Writer()
  writer.name(tsig.keyName, false)
  writer.u16(TYPE.TSIG)
  writer.u16(CLASS.ANY)
  writer.u32(0)
  const lengthAt = writer.offset
  writer.u16(0)
  writer.name(tsig.algorithm, false)
  writer.octets(timers(tsig))
  writer.u16(mac.length)
  writer.octets(mac)
  writer.u16(originalId)
  writer.u16(tsig.error)
  writer.u16(tsig.other.length)
  writer.octets(tsig.other)
  writer.patchU16(lengthAt, writer.offset - lengthAt - 2)
  return writer.finish()
}

/** What of the TSIG itself is signed (RFC 8945 section 4.3.3), names in lower case. */
function variables(tsig: Tsig): Buffer {
  const writer = new Writer()
  writer.name(tsig.keyName.toLowerCase(), false)
  writer.u16(CLASS.ANY)
  writer.u32(0)
  writer.name(tsig.algorithm.toLowerCase(), false)
  writer.octets(timers(tsig))
  writer.u16(tsig.error)
  writer.u16(tsig.other.length)
  writer.octets(tsig.other)
  return writer.finish()
}

function timers({ time, fudge }: Tsig): Buffer {
  return Buffer.concat([u48(time), u16(fudge)])
}

function macOf(key: TsigKey, parts: readonly Uint8Array[]): Buffer {
  const hmac = createHmac(HASHES[key.algorithm].hash, key.secret)
  for (const part of parts) hmac.update(part)
  return hmac.digest()
}

function algorithmName(algorithm: TsigAlgorithm): Name {
  return Name.parse(algorithm)
}

function seconds(clock: Clock): number {
  return Math.floor(clock.now() / SECOND)
}

function u16(value: number): Buffer {
  const buffer = Buffer.alloc(2)
  buffer.writeUInt16BE(value)
  return buffer
}

function u48(value: number): Buffer {
  const buffer = Buffer.alloc(6)
  buffer.writeUIntBE(value, 0, 6)
  return buffer
}
