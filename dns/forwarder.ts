import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { Message, Question } from '../wire/message.ts'
import { Name, parentKey } from '../wire/name.ts'
import { EDNS_OPTION, EXTENDED_ERROR, RCODE, rcodeName } from '../wire/registry.ts'
import { type Answer, isReferral, scrub } from './scrub.ts'
import { Bootstrap } from './upstream/bootstrap.ts'
import { DatagramLink } from './upstream/datagram.ts'
import { type DnssecFlags, type Given, type Judgement, UpstreamGroup } from './upstream/group.ts'
import { HttpsLink } from './upstream/https.ts'
import type { Link } from './upstream/link.ts'
import type { UpstreamHealth } from './upstream/peer.ts'
import { StreamLink } from './upstream/stream.ts'
import { TrustedRoots } from './upstream/trustedRoots.ts'
import type { ConditionalZone, PlainUpstream, Upstream } from './upstream.ts'

/** Larger ones speak of our own EDNS and mean nothing to the client, which may not even have any. */
const MAX_HEADER_RCODE = 15

/** Whoever is asked next might not validate, and answer what the first one has seen to be forged. */
const DNSSEC_FAILURES = { first: EXTENDED_ERROR.DNSSEC_INDETERMINATE, last: EXTENDED_ERROR.NSEC_MISSING }

/** Why, for a person with `dig` (RFC 8914). */
export interface ExtendedError {
  code: number
  text: string
}

/** What an upstream says, as far as it is to be believed. */
export interface Forwarded extends Answer {
  /** The upstream's own reason for an error. */
  extendedError: ExtendedError | null
}

export interface ForwarderOptions {
  /** Asked about everything that no conditional zone takes. */
  upstreams: readonly Upstream[]
  forward: readonly ConditionalZone[]
  /** Asked where the hosts of DNS over HTTPS are. */
  bootstrap: readonly PlainUpstream[]
  /** Certificates, in PEM form, that encrypted upstreams are believed by besides those Node knows. */
  upstreamCa: string | null
  clock: Clock
  log: Log
}

/**
 * Asks upstreams what the gateway does not know itself: those of the zone the name is in, if it has its
 * own, and the common ones otherwise. Nothing of such a zone is ever asked of others.
 */
export class Forwarder {
  readonly #common: UpstreamGroup
  readonly #bootstrap: UpstreamGroup
  /** By the key of the apex. */
  readonly #zones: ReadonlyMap<string, UpstreamGroup>

  /** `isHome` tells the names that must stay inside. */
  constructor(options: ForwarderOptions, isHome: (name: Name) => boolean) {
    const { clock, log } = options
    const roots = new TrustedRoots(options.upstreamCa)
    const linkTo = (upstream: Upstream): Link => {
      switch (upstream.transport) {
        case 'udp':
          return new DatagramLink(upstream)
        case 'tcp':
          return StreamLink.overTcp(upstream)
        case 'tls':
          return StreamLink.overTls(upstream, roots)
        case 'https':
          return new HttpsLink(upstream, { roots, hosts })
      }
    }
    this.#bootstrap = new UpstreamGroup(options.bootstrap, { zone: null, linkTo, clock, log })
    const hosts = new Bootstrap(this.#bootstrap, (name) => isHome(name) || this.zoneOf(name) !== null)
    this.#common = new UpstreamGroup(options.upstreams, { zone: null, linkTo, clock, log })
    this.#zones = new Map(
      options.forward.map(({ zone, upstreams }) => [
        Name.parse(zone).key,
        new UpstreamGroup(upstreams, { zone, linkTo, clock, log }),
      ]),
    )
  }

  /** The zone with upstreams of its own that a name is in; null for the common upstreams. */
  zoneOf(name: Name): string | null {
    return this.#groupFor(name).zone
  }

  /** Whether none of the upstreams for a name answered when it was asked last. */
  isFailing(name: Name): boolean {
    return this.#groupFor(name).isFailing
  }

  /**
   * The first answer of an upstream; failing that, the last error any of them gave as its answer.
   *
   * @throws {ForwardError} within five seconds; at once if no upstream is configured or reachable.
   */
  forward(question: Question, flags: DnssecFlags): Promise<Given<Forwarded>> {
    return this.#groupFor(question.name).ask(question, flags, (reply) => judge(question, reply, flags))
  }

  health(): UpstreamHealth[] {
    return [this.#common, ...this.#zones.values()].flatMap((group) => group.health())
  }

  /** Ends every query under way; whoever waits for one gets a `ForwardError`. */
  close(): void {
    for (const group of [this.#common, this.#bootstrap, ...this.#zones.values()]) group.close()
  }

  #groupFor(name: Name): UpstreamGroup {
    if (this.#zones.size === 0) return this.#common
    for (let key = name.key; key !== Name.root.key; key = parentKey(key)) {
      const group = this.#zones.get(key)
      if (group !== undefined) return group
    }
    return this.#common
  }
}

function judge(question: Question, reply: Message, flags: DnssecFlags): Judgement<Forwarded> {
  const nothing = (reason: string): Judgement<Forwarded> => ({ kind: 'nothing', reason })
  if (reply.rcode === RCODE.NOERROR || reply.rcode === RCODE.NXDOMAIN) {
    if (reply.tc) return nothing('its answer is cut off even over TCP')
    const answer = scrub(question, reply, flags.dnssecOk)
    if (answer === null) return nothing('its aliases lead nowhere')
    if (isReferral(answer)) return nothing('it names other servers in place of an answer')
    return { kind: 'answer', reply: { ...answer, extendedError: null } }
  }
  if (reply.rcode > MAX_HEADER_RCODE) return nothing(`it said ${rcodeName(reply.rcode)}`)
  const extendedError = extendedErrorOf(reply)
  const code = extendedError?.code ?? -1
  return {
    kind: 'refusal',
    reply: { rcode: reply.rcode, answers: [], authorities: [], additionals: [], extendedError },
    final: code >= DNSSEC_FAILURES.first && code <= DNSSEC_FAILURES.last,
  }
}

function extendedErrorOf({ edns }: Message): ExtendedError | null {
  const option = edns?.options.find(
    ({ code, data }) => code === EDNS_OPTION.EXTENDED_ERROR && data.length >= 2,
  )
  if (option === undefined) return null
  const data = Buffer.from(option.data)
  return { code: data.readUInt16BE(0), text: data.toString('utf8', 2) }
}
