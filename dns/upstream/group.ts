import { type Clock, SECOND } from '../../base/clock.ts'
import { HearthError, reasonOf } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { Message, Question } from '../../wire/message.ts'
import { OPCODE, RCODE } from '../../wire/registry.ts'
import { UDP_PAYLOAD } from '../payload.ts'
import type { Upstream } from '../upstream.ts'
import type { Link } from './link.ts'
import { NoAnswerInTime, Peer, type UpstreamHealth } from './peer.ts'

/** A stub resolver waits five seconds: whoever is told nothing before that asks again, and so does everybody. */
export const PATIENCE = 4.5 * SECOND

/** How long each try of one upstream may take. A datagram may be lost, so one is worth asking again. */
const TRY_TIMEOUTS = [SECOND, 1.5 * SECOND, 2 * SECOND] as const

/** Without an answer for twice the usual time, but no sooner than this, the next upstream is asked too. */
const SHORTEST_HEDGE = 200
const LONGEST_HEDGE = SECOND

/** Queries under way at which nobody is asked for the sake of speed any more: each may hold a socket. */
const MAX_HEDGED = 256

export type ForwardErrorCode = 'NO_UPSTREAM' | 'NO_ANSWER'

export class ForwardError extends HearthError<ForwardErrorCode> {}

/** What a client wants to know of DNSSEC: passed on as it is, since nothing is validated here. */
export interface DnssecFlags {
  dnssecOk: boolean
  cd: boolean
}

/** A reply that is worth passing on, and who gave it. */
export interface Given<T> {
  reply: T
  upstream: string
}

/**
 * What to make of a reply: an `answer` ends the question, a `refusal` is passed on only if no other
 * upstream has more to say, and `nothing` never. `final` refusals are not asked of others.
 */
export type Judgement<T> =
  | { kind: 'answer'; reply: T }
  | { kind: 'refusal'; reply: T; final: boolean }
  | { kind: 'nothing'; reason: string }

export type Judge<T> = (reply: Message) => Judgement<T>

/**
 * Upstreams that know the same, of which any may answer.
 *
 * The fastest of those that work is asked first, and the next one too if it takes longer than usual. A
 * failing one is asked last, for longer each time it fails, but never left out for good.
 */
export class UpstreamGroup {
  /** The zone they are asked about, without the final dot; null for everything else. */
  readonly zone: string | null
  readonly #peers: readonly Peer[]
  readonly #log: Log
  #underWay = 0

  constructor(
    upstreams: readonly Upstream[],
    options: { zone: string | null; linkTo: (upstream: Upstream) => Link; clock: Clock; log: Log },
  ) {
    this.zone = options.zone
    this.#log = options.log
    this.#peers = upstreams.map((upstream) => new Peer(upstream, options.linkTo(upstream), options.clock))
  }

  /** Whether none of them answered when it was asked last. */
  get isFailing(): boolean {
    return this.#peers.every((peer) => peer.isFailing)
  }

  health(): UpstreamHealth[] {
    return this.#peers.map((peer) => ({ ...peer.health, zone: this.zone }))
  }

  /**
   * The first answer of any upstream; failing that, the last refusal any of them gave.
   *
   * @throws {ForwardError} within five seconds; at once if there is nobody to ask or nobody can be reached.
   */
  ask<T>(question: Question, flags: DnssecFlags, judge: Judge<T>): Promise<Given<T>> {
    if (this.#peers.length === 0) {
      const what = this.zone === null ? 'names outside the home stay unknown' : `nobody knows ${this.zone}`
      return Promise.reject(new ForwardError('NO_UPSTREAM', `no upstream is configured: ${what}`))
    }
    const { promise, resolve, reject } = Promise.withResolvers<Given<T>>()
    const query = queryFor(question, flags)
    let untried = this.#inOrder()
    let again: Peer[] = []
    let round = 0
    let running = 0
    let refusal: Given<T> | null = null
    let failure = 'none was asked'
    let isOver = false
    let hedge: NodeJS.Timeout | undefined

    const finish = (settle: () => void) => {
      isOver = true
      clearTimeout(hedge)
      clearTimeout(deadline)
      settle()
    }
    const giveUp = () => {
      const error = new ForwardError('NO_ANSWER', `no upstream answered; the last one tried: ${failure}`)
      finish(() => (refusal === null ? reject(error) : resolve(refusal)))
    }
    const deadline = setTimeout(giveUp, PATIENCE)

    const askNext = () => {
      clearTimeout(hedge)
      if (isOver) return
      if (untried.length === 0 && running === 0) {
        round += 1
        untried = round < TRY_TIMEOUTS.length ? again : []
        again = []
        if (untried.length === 0) return giveUp()
      }
      const peer = untried.shift()
      if (peer === undefined) return
      start(peer)
      if (untried.length > 0 && this.#underWay < MAX_HEDGED) {
        const usual = 2 * (peer.srtt ?? 0)
        hedge = setTimeout(askNext, Math.min(LONGEST_HEDGE, Math.max(SHORTEST_HEDGE, usual)))
      }
    }
    const start = async (peer: Peer) => {
      running += 1
      this.#underWay += 1
      try {
        const reply = await peer.ask(query, TRY_TIMEOUTS[round]!)
        // Those that come too late are let be all the same: it tells how their upstreams are doing.
        if (isOver) return
        const judgement = judge(reply)
        if (judgement.kind === 'nothing') {
          failure = `${peer.name}: ${judgement.reason}`
        } else {
          const given = { reply: judgement.reply, upstream: peer.name }
          if (judgement.kind === 'answer' || judgement.final) return finish(() => resolve(given))
          refusal = given
          failure = `${peer.name} refused`
        }
      } catch (error) {
        failure = `${peer.name}: ${reasonOf(error)}`
        // A lost datagram is worth another try, an address that cannot be reached is not.
        if (error instanceof NoAnswerInTime) again.push(peer)
      } finally {
        running -= 1
        this.#underWay -= 1
      }
      this.#log.debug(
        { upstream: peer.name, name: question.name.toString(), failure },
        'upstream gave no answer',
      )
      askNext()
    }

    askNext()
    return promise
  }

  close(): void {
    for (const peer of this.#peers) peer.close()
  }

  /** Those that work, the fastest first; then those that are to rest, the one with the least of it left first. */
  #inOrder(): Peer[] {
    const peers = this.#peers.map((peer) => ({ peer, rest: peer.restsFor, expected: peer.expected }))
    peers.sort((a, b) => a.rest - b.rest || a.expected - b.expected)
    for (const { peer } of peers.slice(1)) peer.passOver()
    return peers.map(({ peer }) => peer)
  }
}

function queryFor(question: Question, flags: DnssecFlags): Message {
  return {
    id: 0,
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
}
