import type { Clock } from '../base/clock.ts'
import { HearthError, reasonOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { ZoneData } from '../store/zone.ts'
import { Name } from '../wire/name.ts'
import { printRecord } from '../wire/presentation.ts'
import { CLASS, isMetaType, rcodeName, TYPE, typeNumber } from '../wire/registry.ts'
import { Forwarder } from './forwarder.ts'
import { type Resolution, resolve } from './resolve.ts'
import { type Answer, type Resolve, respond } from './respond.ts'
import { buildSnapshot, type Snapshot } from './snapshot.ts'
import { TcpListener } from './tcp.ts'
import { nameAsTyped } from './typedName.ts'
import { UdpListener } from './udp.ts'
import type { Upstream } from './upstream.ts'

export type DnsServerErrorCode =
  | 'PORT_TAKEN'
  | 'PORT_FORBIDDEN'
  | 'ADDRESS_ABSENT'
  | 'NAME_UNREADABLE'
  | 'TYPE_UNKNOWN'

export class DnsServerError extends HearthError<DnsServerErrorCode> {}

export interface DnsServerOptions {
  /**
   * Each gets a UDP and a TCP socket of its own, so that answers leave from the address that was asked.
   * With `0.0.0.0` or `::` on a host with several addresses the kernel picks the source of UDP answers,
   * and a client that asked another address of the host will not take them.
   */
  addresses: readonly string[]
  /** For UDP and TCP on every address; 0 picks one that is free on all of them. */
  port: number
  /** The household's zone: lower-case, no final dot. */
  domain: string
  /** The name server of that zone. */
  gatewayName: string
  upstreams: readonly Upstream[]
  zone: ZoneData
  clock: Clock
  log: Log
}

/** How a question is answered and by whom, for `hearth dns query`. */
export interface Explanation {
  /** What was asked for, in full. */
  name: string
  rcode: string
  source: Resolution['source']
  /** The upstream that answered, if one did. */
  upstream?: string
  milliseconds: number
  /** Records of the answer section, one master-file line each. */
  answers: string[]
  /** Why there is no answer, where more is known than the rcode says. */
  reason?: string
}

/** How often port 0 is tried again when the port that was free for UDP is taken for TCP. */
const PORT_TRIES = 20

/** The home's DNS: zones of its own, the rest from the upstreams, over UDP and TCP. */
export class DnsServer {
  readonly #options: DnsServerOptions
  readonly #forwarder: Forwarder
  #snapshot: Snapshot
  #listeners: (UdpListener | TcpListener)[] = []
  #boundPort = 0

  constructor(options: DnsServerOptions) {
    this.#options = options
    this.#forwarder = new Forwarder(options)
    this.#snapshot = this.#build(options.zone)
  }

  /** The port in use; what `port: 0` became after `start`. */
  get port(): number {
    return this.#boundPort
  }

  /**
   * Listens on every address. Answers from the first moment on.
   *
   * @throws {DnsServerError} `PORT_TAKEN`, `PORT_FORBIDDEN` or `ADDRESS_ABSENT`; then nothing listens.
   */
  async start(): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        this.#boundPort = await this.#listen(this.#options.port)
        return
      } catch (error) {
        await this.#closeListeners()
        const retry = this.#options.port === 0 && tries < PORT_TRIES
        if (!(retry && error instanceof DnsServerError && error.code === 'PORT_TAKEN')) throw error
      }
    }
  }

  /** Answers from new data from the next query on; queries under way finish with the old. */
  replaceZone(data: ZoneData): void {
    this.#snapshot = this.#build(data)
  }

  /**
   * Answers a question as a client's query would be answered, and says where the answer comes from.
   * A name of one label is the household's, as in all commands.
   *
   * @throws {DnsServerError} `NAME_UNREADABLE` or `TYPE_UNKNOWN`
   */
  async explain(name: string, type: string): Promise<Explanation> {
    const number = typeNumber(type)
    if (number === null || (isMetaType(number) && number !== TYPE.ANY)) {
      throw new DnsServerError('TYPE_UNKNOWN', `there is no record type "${type}": try A, AAAA or TYPE65`)
    }
    const question = { name: readName(name, this.#options.domain), type: number, class: CLASS.IN }
    const start = this.#options.clock.now()
    const resolution = await this.#resolve(question, { rd: true, dnssecOk: false, cd: false })
    const { rcode, source, upstream, extendedError, answers } = resolution
    return {
      name: question.name.toString(),
      rcode: rcodeName(rcode),
      source,
      ...(upstream !== null && { upstream }),
      milliseconds: this.#options.clock.now() - start,
      answers: answers.map(printRecord),
      ...(extendedError !== null && { reason: extendedError.text }),
    }
  }

  /** Stops at once: connections are cut, waiting questions are not answered any more. */
  async close(): Promise<void> {
    this.#forwarder.close()
    await this.#closeListeners()
  }

  readonly #resolve: Resolve = (question, flags) =>
    resolve(question, flags, { snapshot: this.#snapshot, forwarder: this.#forwarder })

  readonly #answer: Answer = (query, client) => respond(query, client, this.#resolve)

  #build(data: ZoneData): Snapshot {
    const { snapshot, problems } = buildSnapshot(data, this.#options)
    for (const problem of problems) this.#options.log.warn({ problem }, 'zone data is partly unusable')
    return snapshot
  }

  async #listen(wanted: number): Promise<number> {
    let port = wanted
    for (const address of this.#options.addresses) {
      try {
        const udp = new UdpListener(address, { answer: this.#answer, log: this.#options.log })
        this.#listeners.push(udp)
        port = await udp.listen(port)
        const tcp = new TcpListener(address, { answer: this.#answer, log: this.#options.log })
        this.#listeners.push(tcp)
        await tcp.listen(port)
      } catch (error) {
        throw listenError(error, address, port)
      }
    }
    return port
  }

  async #closeListeners(): Promise<void> {
    const listeners = this.#listeners
    this.#listeners = []
    await Promise.all(listeners.map((listener) => listener.close()))
  }
}

function readName(text: string, domain: string): Name {
  try {
    return nameAsTyped(text, Name.parse(domain))
  } catch (cause) {
    throw new DnsServerError('NAME_UNREADABLE', reasonOf(cause), { cause })
  }
}

/** The system's reason in words; anything unexpected is passed on as it is. */
function listenError(error: unknown, address: string, port: number): unknown {
  const where = `DNS cannot listen on ${address} port ${port}`
  switch ((error as NodeJS.ErrnoException).code) {
    case 'EADDRINUSE':
      return new DnsServerError(
        'PORT_TAKEN',
        `${where}: another program has it (ss -lunp shows which); stop that one, or set another port under listen.dns`,
        { cause: error },
      )
    case 'EACCES':
    case 'EPERM':
      return new DnsServerError(
        'PORT_FORBIDDEN',
        `${where}: only a privileged process may use ports below 1024; set a higher one under listen.dns, or give the service CAP_NET_BIND_SERVICE`,
        { cause: error },
      )
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
      return new DnsServerError(
        'ADDRESS_ABSENT',
        `${where}: this host does not have the address; correct listen.addresses`,
        { cause: error },
      )
    default:
      return error
  }
}
