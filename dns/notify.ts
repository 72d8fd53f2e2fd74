import { randomInt } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { type Clock, SECOND } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import { decodeMessage, encodeMessage, type Message, type ResourceRecord } from '../wire/message.ts'
import { Name } from '../wire/name.ts'
import { CLASS, OPCODE, RCODE, rcodeName, TYPE } from '../wire/registry.ts'
import { isSignedResponse, type Keyring, Signer, type TsigKey } from './tsig.ts'

/** A name server that keeps a copy of the home's zones; `key` names the TSIG key it has. */
export interface Secondary {
  address: string
  port: number
  key: string
}

/** Changes that come together are told together. Milliseconds. */
const GATHER = 50

/** How long an answer is waited for, and then how long until the next try: doubled each time, up to the last. */
const FIRST_WAIT = 2 * SECOND
const LAST_WAIT = 60 * SECOND

/** Over some six minutes; after that the secondary's own look at the serial, within the hour, will do. */
const TRIES = 10

/**
 * Tells the secondaries that a zone has changed, each until it answers.
 *
 * A notification carries the new SOA and is signed with the secondary's key. Any answer ends it, also a
 * refusal: whoever refuses has heard it.
 *
 * @see RFC 1996; section 3.7 for the SOA.
 */
export class Notifier {
  readonly #secondaries: readonly Secondary[]
  readonly #keyring: Keyring
  readonly #household: Name
  readonly #soaOf: (apex: Name) => ResourceRecord | null
  readonly #clock: Clock
  readonly #log: Log
  /** What is to be told, or is waited for, by secondary and zone. */
  readonly #rounds = new Map<string, Round>()
  /** What is wrong with a key, by its name. */
  readonly #complaints = new Map<string, string>()

  constructor(options: {
    secondaries: readonly Secondary[]
    keyring: Keyring
    /** The household's zone, which every secondary should have. */
    domain: string
    /** The SOA of a zone as it is now; null if there is none any more. */
    soaOf: (apex: Name) => ResourceRecord | null
    clock: Clock
    log: Log
  }) {
    this.#secondaries = options.secondaries
    this.#keyring = options.keyring
    this.#household = Name.parse(options.domain)
    this.#soaOf = options.soaOf
    this.#clock = options.clock
    this.#log = options.log
  }

  /** Tells all secondaries of these zones, soon. */
  notify(apexes: readonly Name[]): void {
    for (const secondary of this.#secondaries) {
      const key = this.#keyOf(secondary)
      if (key === null) continue
      for (const apex of apexes) {
        const id = `${secondary.address} ${secondary.port} ${apex.key}`
        const under = this.#rounds.get(id)
        // One that has not been sent yet will tell this change too.
        if (under !== undefined && under.tries === 0) continue
        under?.end()
        this.#rounds.set(id, this.#begin(id, secondary, apex))
      }
    }
  }

  close(): void {
    for (const round of this.#rounds.values()) round.end()
    this.#rounds.clear()
  }

  /** Whose key is missing is told once, with what to do, until it is there. */
  #keyOf({ address, key: name }: Secondary): TsigKey | null {
    const key = this.#keyring.find(name)
    if (key?.mayTransfer) {
      this.#complaints.delete(name)
      return key
    }
    const problem = key === null ? 'does not exist' : 'may not transfer'
    if (this.#complaints.get(name) !== problem) {
      this.#complaints.set(name, problem)
      this.#log.warn(
        `the secondary ${address} cannot copy the zones: its key ${name}, named in dns.secondaries, ${problem}. Say: hearth dns key add ${name} --transfer`,
      )
    }
    return null
  }

  #begin(id: string, secondary: Secondary, apex: Name): Round {
    const round = new Round()
    const send = () => {
      const [key, soa] = [this.#keyOf(secondary), this.#soaOf(apex)]
      const isOver = round.tries >= TRIES
      if (isOver) this.#giveUp(secondary, apex)
      if (isOver || key === null || soa === null) {
        this.#rounds.delete(id)
        return
      }
      const wait = Math.min(FIRST_WAIT * 2 ** round.tries, LAST_WAIT)
      round.tries += 1
      round.later(send, wait)
      round.send(this.#request(secondary, key, soa), secondary, (rcode) => {
        round.end()
        this.#rounds.delete(id)
        if (rcode === RCODE.NOERROR) return
        // A server that keeps no reverse zones is a good secondary all the same.
        const level = apex.key === this.#household.key ? 'warn' : 'debug'
        this.#log[level](
          { secondary: secondary.address, zone: apex.toString(), rcode: rcodeName(rcode) },
          'a secondary does not want to hear of a zone: check that it has the zone, and takes notifications from this address with its key',
        )
      })
    }
    round.later(send, GATHER)
    return round
  }

  /** An encoded notification, and how to read what comes back: the rcode, or null if it is no answer to it. */
  #request(secondary: Secondary, key: TsigKey, soa: ResourceRecord): Request {
    const message: Message = {
      id: randomInt(0x10000),
      qr: false,
      opcode: OPCODE.NOTIFY,
      aa: true,
      tc: false,
      rd: false,
      ra: false,
      ad: false,
      cd: false,
      rcode: RCODE.NOERROR,
      questions: [{ name: soa.name, type: TYPE.SOA, class: CLASS.IN }],
      answers: [soa],
      authorities: [],
      additionals: [],
      edns: null,
    }
    const signer = new Signer(key, this.#clock, null)
    const octets = signer.sign(encodeMessage(message))
    const readRcode = (bytes: Buffer): number | null => {
      try {
        const reply = decodeMessage(bytes)
        if (!reply.qr || reply.id !== message.id || reply.opcode !== OPCODE.NOTIFY) return null
        if (isSignedResponse(bytes, key, this.#clock, signer.mac!)) return reply.rcode
        // Who has another key or another time cannot sign; who does not know us need not.
        if (reply.rcode === RCODE.NOERROR) return null
        this.#log.debug({ secondary: secondary.address }, 'a secondary refuses without a signature')
        return reply.rcode
      } catch {
        return null
      }
    }
    return { octets, readRcode }
  }

  #giveUp({ address }: Secondary, apex: Name): void {
    this.#log.warn(
      { secondary: address, zone: apex.toString() },
      'a secondary did not answer: it will see the change when it looks by itself, within the hour',
    )
  }
}

interface Request {
  octets: Buffer
  readRcode: (reply: Buffer) => number | null
}

/** One notification of one secondary, as often as it takes. */
class Round {
  tries = 0
  #timer: NodeJS.Timeout | undefined
  #socket: Socket | null = null

  later(run: () => void, milliseconds: number): void {
    this.#timer = setTimeout(run, milliseconds).unref()
  }

  /** From a connected socket of its own: nothing but the secondary's answer can come in. */
  send(
    { octets, readRcode }: Request,
    { address, port }: Secondary,
    onAnswer: (rcode: number) => void,
  ): void {
    this.#socket?.close()
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4').unref()
    this.#socket = socket
    // Nobody there, or no way there: the next try may find it.
    socket.on('error', () => {})
    socket.on('message', (reply) => {
      const rcode = readRcode(reply)
      if (rcode !== null) onAnswer(rcode)
    })
    socket.connect(port, address, (error?: Error) => {
      if (error === undefined && this.#socket === socket) socket.send(octets)
    })
  }

  end(): void {
    clearTimeout(this.#timer)
    this.#socket?.close()
    this.#socket = null
  }
}
