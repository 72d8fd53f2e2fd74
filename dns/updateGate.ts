import { type Clock, SECOND } from '../base/clock.ts'
import { reasonOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { EXTENDED_ERROR, RCODE } from '../wire/registry.ts'
import type { Update } from './respond.ts'
import { FUDGE } from './tsig.ts'
import type { Zones } from './zones.ts'

/** A dynamic update that may be carried out: plain data, since the zone's store is elsewhere. */
export interface UpdateRequest {
  /** The message, its signature taken off. */
  octets: Uint8Array
  /** Name of the key it was signed with. */
  key: string
  /** Address it came from. */
  client: string
  /** Of the SOA of the zone that it names, as clients see it; 0 if there is none. */
  zoneSerial: number
  /** Of the last change that the DNS has followed, whatever zone that was about. */
  seenSerial: number
}

export interface UpdateResult {
  rcode: number
  /** For whoever asked; null where the rcode says it all. */
  reason: string | null
}

/** Carries an update out: resolves when it is durable and the zone shows it, or is refused. */
export type ApplyUpdate = (request: UpdateRequest) => Promise<UpdateResult>

/** Updates under way at one time: each is a transaction, and they follow one another. */
const MAX_PENDING = 64

/** Only holders of keys can fill this. */
const MAX_REMEMBERED = 4096

/**
 * Who may update, and each update once.
 *
 * A datagram that was sent again, because its answer was lost or by someone who recorded it, gets the same
 * answer as the first time and changes nothing: an old update could otherwise undo a newer one, and a
 * repeated one would fail on what it did itself (RFC 2136 section 5).
 */
export class UpdateGate {
  readonly #apply: ApplyUpdate
  readonly #zones: Zones
  readonly #clock: Clock
  readonly #log: Log
  /** By MAC, oldest first; as long as the signature is in time. */
  readonly #remembered = new Map<string, { until: number; result: Promise<UpdateResult> }>()
  #pending = 0

  constructor(options: { apply: ApplyUpdate; zones: Zones; clock: Clock; log: Log }) {
    this.#apply = options.apply
    this.#zones = options.zones
    this.#clock = options.clock
    this.#log = options.log
  }

  readonly update: Update = async ({ questions: [zone] }, octets, { signature, address }) => {
    if (signature === undefined) return refused('updates must be signed with a key')
    const { key, mac } = signature
    if (!key.mayUpdate) return refused(`the key ${key.name} may not update`)
    const { rcode, reason } = await this.#once(mac, {
      octets,
      key: key.name,
      client: address,
      zoneSerial: (zone && this.#zones.find(zone.name)?.serial) ?? 0,
      seenSerial: this.#zones.serial,
    })
    return { rcode, extendedError: reason === null ? null : { code: EXTENDED_ERROR.OTHER, text: reason } }
  }

  #once(mac: Buffer, request: UpdateRequest): Promise<UpdateResult> {
    this.#forget()
    const id = mac.toString('base64')
    const earlier = this.#remembered.get(id)
    if (earlier !== undefined) return earlier.result
    if (this.#pending >= MAX_PENDING) {
      return Promise.resolve({ rcode: RCODE.SERVFAIL, reason: 'too many updates are under way' })
    }
    const result = this.#run(request)
    result.then(({ rcode }) => rcode === RCODE.SERVFAIL && this.#remembered.delete(id))
    // A signature may be ahead of the clock by as much as it may be behind.
    this.#remembered.set(id, { until: this.#clock.now() + 2 * FUDGE * SECOND, result })
    return result
  }

  async #run(request: UpdateRequest): Promise<UpdateResult> {
    this.#pending += 1
    try {
      return await this.#apply(request)
    } catch (error) {
      this.#log.error({ reason: reasonOf(error) }, 'a DNS update failed')
      return { rcode: RCODE.SERVFAIL, reason: null }
    } finally {
      this.#pending -= 1
    }
  }

  #forget(): void {
    const now = this.#clock.now()
    for (const [id, { until }] of this.#remembered) {
      if (until > now && this.#remembered.size < MAX_REMEMBERED) return
      this.#remembered.delete(id)
    }
  }
}

function refused(text: string) {
  return { rcode: RCODE.REFUSED, extendedError: { code: EXTENDED_ERROR.PROHIBITED, text } }
}
