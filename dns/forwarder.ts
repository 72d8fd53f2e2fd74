import { randomInt } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { SECOND } from '../base/clock.ts'
import { HearthError, reasonOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Message, Question } from '../wire/message.ts'
import { CLASS, OPCODE, RCODE, rcodeName } from '../wire/registry.ts'
import { exchange } from './exchange.ts'
import { printUpstream, type Upstream } from './upstream.ts'

/** Three tries of a second and a half end before the five seconds a stub resolver waits. */
const TRIES = 3
const TRY_TIMEOUT = 1.5 * SECOND

/** Each waiting question holds a socket; each waiting client, some memory. */
const MAX_QUESTIONS = 512
const MAX_CLIENTS = 4096

/** Larger ones speak of our own EDNS and mean nothing to the client, which may not even have any. */
const MAX_HEADER_RCODE = 15

/** What an answer may measure over UDP without being cut into fragments anywhere (DNS flag day 2020). */
export const UDP_PAYLOAD = 1232

export type ForwardErrorCode = 'NO_UPSTREAM' | 'NO_ANSWER' | 'TOO_BUSY'

export class ForwardError extends HearthError<ForwardErrorCode> {}

/** What a client wants to know of DNSSEC: passed on as it is, since nothing is validated here. */
export interface DnssecFlags {
  dnssecOk: boolean
  cd: boolean
}

/** An upstream's reply, and who gave it. */
export interface Forwarded {
  reply: Message
  upstream: string
}

/**
 * Asks the upstreams what the gateway does not know itself.
 *
 * The upstream that answered last is asked first, and after it the others; none is ever left out for
 * good. Clients that wait for the same question share one query.
 */
export class Forwarder {
  readonly #upstreams: readonly Upstream[]
  readonly #log: Log
  readonly #closing = new AbortController()
  readonly #waiting = new Map<string, Promise<Forwarded>>()
  #clients = 0
  /** Index of the upstream to ask first. */
  #first = 0

  constructor(options: { upstreams: readonly Upstream[]; log: Log }) {
    this.#upstreams = options.upstreams
    this.#log = options.log
    setMaxListeners(0, this.#closing.signal)
  }

  /**
   * The first usable reply of an upstream; failing that, the last error any of them gave as its answer.
   *
   * Records of other classes than the question's are left out.
   *
   * @throws {ForwardError} within five seconds; at once if no upstream is configured or reachable.
   */
  async forward(question: Question, flags: DnssecFlags): Promise<Forwarded> {
    if (this.#upstreams.length === 0) {
      throw new ForwardError('NO_UPSTREAM', 'no upstream is configured: names outside the home stay unknown')
    }
    const { name, type } = question
    const key = `${type} ${flags.dnssecOk} ${flags.cd} ${name.key}`
    let answer = this.#waiting.get(key)
    if (this.#clients >= MAX_CLIENTS || (answer === undefined && this.#waiting.size >= MAX_QUESTIONS)) {
      throw new ForwardError('TOO_BUSY', 'too many questions wait for the upstreams')
    }
    if (answer === undefined) {
      answer = this.#askInTurn(question, flags).finally(() => this.#waiting.delete(key))
      this.#waiting.set(key, answer)
    }
    this.#clients += 1
    return answer.finally(() => {
      this.#clients -= 1
    })
  }

  /** Ends every query under way; whoever waits for one gets a `ForwardError`. */
  close(): void {
    this.#closing.abort(new Error('the gateway is closing'))
  }

  async #askInTurn(question: Question, flags: DnssecFlags): Promise<Forwarded> {
    const candidates = this.#upstreams.map((_, offset) => (this.#first + offset) % this.#upstreams.length)
    let refusal: Forwarded | null = null
    let failure = 'none was asked'
    for (let tries = 0; tries < TRIES && candidates.length > 0 && !this.#closing.signal.aborted; tries += 1) {
      const index = candidates.shift()!
      const upstream = printUpstream(this.#upstreams[index]!)
      const timeout = AbortSignal.timeout(TRY_TIMEOUT)
      try {
        const reply = await this.#ask(this.#upstreams[index]!, question, flags, timeout)
        if (reply.rcode === RCODE.NOERROR || reply.rcode === RCODE.NXDOMAIN) {
          this.#first = index
          return { reply, upstream }
        }
        if (reply.rcode <= MAX_HEADER_RCODE) refusal = { reply, upstream }
        failure = `${upstream} said ${rcodeName(reply.rcode)}`
      } catch (error) {
        failure = `${upstream}: ${timeout.aborted ? 'no answer in time' : reasonOf(error)}`
        // A lost datagram is worth another try, an address that cannot be reached is not.
        if (timeout.aborted) candidates.push(index)
      }
      this.#log.debug({ upstream, name: question.name.toString(), failure }, 'upstream gave no answer')
    }
    // All that were asked failed: another time, start with the next one.
    this.#first = candidates[0] ?? (this.#first + 1) % this.#upstreams.length
    if (refusal !== null) return refusal
    throw new ForwardError('NO_ANSWER', `no upstream answered; the last one tried: ${failure}`)
  }

  async #ask(
    upstream: Upstream,
    question: Question,
    flags: DnssecFlags,
    timeout: AbortSignal,
  ): Promise<Message> {
    const signal = AbortSignal.any([this.#closing.signal, timeout])
    const query: Message = {
      id: randomInt(0x10000),
      qr: false,
      opcode: OPCODE.QUERY,
      aa: false,
      tc: false,
      rd: true,
      ra: false,
      ad: false,
      cd: flags.cd,
      rcode: RCODE.NOERROR,
      questions: [question],
      answers: [],
      authorities: [],
      additionals: [],
      edns: { udpSize: UDP_PAYLOAD, version: 0, dnssecOk: flags.dnssecOk, options: [] },
    }
    let reply = await exchange(upstream, query, signal)
    // RFC 6891 section 7: this is how a server says that it does not know EDNS.
    if (reply.rcode === RCODE.FORMERR && reply.edns === null) {
      reply = await exchange(upstream, { ...query, id: randomInt(0x10000), edns: null }, signal)
    }
    const ofClass = (records: Message['answers']) => records.filter((record) => record.class === CLASS.IN)
    return {
      ...reply,
      answers: ofClass(reply.answers),
      authorities: ofClass(reply.authorities),
      additionals: ofClass(reply.additionals),
    }
  }
}
