import type { Clock } from '../base/clock.ts'
import { Connections } from '../base/connections.ts'
import { HearthError, reasonOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { ZoneData, ZonePatch } from '../store/zone.ts'
import { Name } from '../wire/name.ts'
import { printRecord } from '../wire/presentation.ts'
import { CLASS, isMetaType, rcodeName, TYPE, typeNumber } from '../wire/registry.ts'
import { Access, networkOf } from './access.ts'
import { type DotCertificate, DotListener, type DotOptions } from './dot.ts'
import { ENTRY_SOURCES } from './fast/answerTable.ts'
import { BatchedUdp } from './fast/batchedUdp.ts'
import { openLibc } from './fast/libc.ts'
import type { StopHandle } from './fast/state.ts'
import type { Designated } from './gatewayRecords.ts'
import { type DnsFigures, withBatches } from './metrics.ts'
import { Notifier, type Secondary } from './notify.ts'
import { QueryLog, type QueryLogSettings } from './queryLog.ts'
import { RebindingGuard } from './rebinding.ts'
import { Reception } from './reception.ts'
import { Recursor } from './recursor.ts'
import { type Resolution, resolve } from './resolve.ts'
import { type Answer, type Client, type Resolve, type Response, respond, type Update } from './respond.ts'
import { answerSigned } from './signed.ts'
import { TcpListener } from './tcp.ts'
import { Transfers } from './transfer.ts'
import { Keyring, type TsigKey } from './tsig.ts'
import { nameAsTyped } from './typedName.ts'
import { DgramUdp, type Udp } from './udp.ts'
import { type ApplyUpdate, UpdateGate } from './updateGate.ts'
import type { UpstreamHealth } from './upstream/peer.ts'
import type { ConditionalZone, PlainUpstream, Upstream } from './upstream.ts'
import type { ZoneDelta } from './zone.ts'
import { Zones, type ZonesChange } from './zones.ts'

export type DnsServerErrorCode =
  | 'PORT_TAKEN'
  | 'PORT_FORBIDDEN'
  | 'ADDRESS_ABSENT'
  | 'NAME_UNREADABLE'
  | 'TYPE_UNKNOWN'

export class DnsServerError extends HearthError<DnsServerErrorCode> {}

export interface DnsServerOptions {
  /**
   * Each gets a UDP and a TCP socket of its own. With `0.0.0.0` or `::` an answer leaves from the address
   * that was asked; by `dgram` the kernel picks one, and on a host with several addresses clients of the
   * others will not take it.
   */
  addresses: readonly string[]
  /** For UDP and TCP on every address; 0 picks one that is free on all of them. */
  port: number
  /** DNS over TLS; missing for none. */
  dot?: DotOptions
  /** Networks, in CIDR form, whose hosts are answered as those of the home are. */
  clients?: readonly string[]
  /** Networks whose hosts are not, though their addresses are private. */
  outside?: readonly string[]
  /** Missing for none, and for no care of files that are there. */
  queryLog?: QueryLogSettings
  /** The household's zone: lower-case, no final dot. */
  domain: string
  /** The name server of that zone. */
  gatewayName: string
  /** Public domains of the household's of which single names are answered here. */
  overrides: readonly string[]
  /** The encrypted ways to the gateway that are told to resolvers; null: none is. */
  designated: Designated | null
  /** Asked about everything that is not answered here. */
  upstreams: readonly Upstream[]
  /** Zones that have upstreams of their own. */
  forward: readonly ConditionalZone[]
  /** Asked where the hosts of upstreams over HTTPS are. */
  bootstrap: readonly PlainUpstream[]
  /** Certificates, in PEM form, of more authorities that encrypted upstreams may have. */
  upstreamCa: string | null
  /** Names outside, with all below them, that may have addresses of the home. */
  rebinding: { protect: boolean; allow: readonly string[] }
  /** Octets of kept answers, and milliseconds for which they may be given after they have run out. */
  cache: { octets: number; staleFor: number }
  zone: ZoneData
  /** Of the programs that may change or copy the zones. */
  keys?: readonly TsigKey[]
  /** Carries out dynamic updates; without it there are none. */
  update?: ApplyUpdate
  /** Told of every change of the zones they copy. */
  secondaries?: readonly Secondary[]
  /**
   * `thread` and `here` take and send UDP in batches, which costs a third: in a thread of its own, or
   * between this thread's other work. `dgram` does without, and is used where the system has no batches.
   */
  udp: 'thread' | 'here' | 'dgram'
  clock: Clock
  log: Log
  /** A thread ended that never should; nothing is answered over UDP from then on. */
  onFailure: (error: Error) => void
}

/** How a question is answered and by whom, for `hearth dns query`. */
export interface Explanation {
  /** What was asked for, in full. */
  name: string
  rcode: string
  source: Resolution['source']
  /** The upstream that answered, if one did. */
  upstream?: string
  /** Seconds since the answer was stored, if it was. */
  age?: number
  milliseconds: number
  /** Records of the answer section, one master-file line each. */
  answers: string[]
  /** Why there is no answer, where more is known than the rcode says. */
  reason?: string
}

/** How often port 0 is tried again when the port that was free for UDP is taken for TCP. */
const PORT_TRIES = 20

/** Connections over TCP and TLS together: what one household can need, and what a small gateway can bear. */
const CONNECTIONS = { total: 512, perClient: 128 }

/** Those of TLS that are not encrypted yet. */
const HANDSHAKES = { total: 64, perClient: 16 }

/** The home's DNS: zones of its own, the rest from the upstreams, over UDP and TCP. */
export class DnsServer {
  readonly #options: DnsServerOptions
  readonly #recursor: Recursor
  readonly #rebinding: RebindingGuard
  readonly #zones: Zones
  readonly #keyring: Keyring
  /** Answers the octets of a query, whatever way it came in. */
  readonly answer: Answer
  readonly #update: Update | undefined
  readonly #transfers: Transfers
  readonly #notifier: Notifier
  #udp: Udp | null = null
  readonly #access: Access
  readonly #queryLog: QueryLog | null
  readonly #reception: Reception
  readonly #connections: Connections
  readonly #handshakes: Connections
  #listeners: TcpListener[] = []
  #dotListeners: DotListener[] = []
  #boundPort = 0
  #boundDotPort: number | null = null

  constructor(options: DnsServerOptions) {
    this.#options = options
    this.#recursor = new Recursor(options, (name) => this.#zones.find(name) !== null)
    const { protect, allow } = options.rebinding
    this.#rebinding = new RebindingGuard({ protect, allow: [...allow, ...options.overrides] })
    this.#access = new Access({ clients: [], ...options })
    const clientOf = (address: string) =>
      this.#access.isLocalAddress(address) ? address : networkOf(address)
    this.#connections = new Connections({ ...CONNECTIONS, clientOf })
    this.#handshakes = new Connections({ ...HANDSHAKES, clientOf })
    this.#zones = new Zones({ ...options, forwarded: options.forward.map(({ zone }) => zone) })
    this.#keyring = new Keyring(options.keys ?? [], options.clock)
    this.#queryLog = options.queryLog === undefined ? null : new QueryLog(options.queryLog, options)
    this.#reception = new Reception(answerSigned(this.#respond, { ...options, keyring: this.#keyring }), {
      access: this.#access,
      queryLog: this.#queryLog,
      clock: options.clock,
    })
    this.answer = this.#reception.answer
    this.#update =
      options.update && new UpdateGate({ ...options, apply: options.update, zones: this.#zones }).update
    this.#transfers = new Transfers({ zones: this.#zones, domain: options.domain })
    this.#notifier = new Notifier({
      secondaries: [],
      ...options,
      keyring: this.#keyring,
      soaOf: (apex) => this.#zones.soaOf(apex),
    })
    this.replaceZone(options.zone)
  }

  /** The port in use; what `port: 0` became after `start`. */
  get port(): number {
    return this.#boundPort
  }

  /** The port of DNS over TLS; null without it. */
  get dotPort(): number | null {
    return this.#boundDotPort
  }

  /**
   * Listens on every address. Answers from the first moment on.
   *
   * @throws {DnsServerError} `PORT_TAKEN`, `PORT_FORBIDDEN` or `ADDRESS_ABSENT`; then nothing listens.
   */
  async start(): Promise<void> {
    const { port, dot } = this.#options
    try {
      this.#boundPort = await onFreePort(port, (tried) => this.#listen(tried))
      if (dot !== undefined) {
        this.#boundDotPort = await onFreePort(dot.port, (tried) => this.#listenDot(dot, tried))
      }
      this.#notifyAll()
    } catch (error) {
      await this.#closeListeners()
      throw error
    }
  }

  /** Takes other keys from the next message on. */
  setKeys(keys: readonly TsigKey[]): void {
    this.#keyring.replace(keys)
    this.#notifyAll()
  }

  /** Shows another certificate over TLS from the next handshake on. */
  setCertificate(certificate: DotCertificate): void {
    for (const listener of this.#dotListeners) listener.setCertificate(certificate)
  }

  /** Answers from new data from the next query on. @returns what is different in each zone that changed. */
  replaceZone(data: ZoneData): ZoneDelta[] {
    return this.#told(this.#zones.load(data))
  }

  /** The same where only some hosts and owners changed: it costs what they cost. */
  patchZone(patch: ZonePatch): ZoneDelta[] {
    return this.#told(this.#zones.patch(patch))
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
    const resolution = await this.#resolve(question, { rd: true, dnssecOk: false, cd: false, client: '' })
    const { rcode, source, upstream, age, extendedError, answers } = resolution
    return {
      name: question.name.toString(),
      rcode: rcodeName(rcode),
      source,
      ...(upstream !== null && { upstream }),
      ...(age !== null && { age }),
      milliseconds: this.#options.clock.now() - start,
      answers: answers.map(printRecord),
      ...(extendedError !== null && { reason: extendedError.text }),
    }
  }

  /** What was counted since the start. */
  figures(): DnsFigures {
    const batches = this.#udp?.counters() ?? null
    const responses = this.#reception.counter.snapshot()
    return {
      ...(batches === null ? responses : withBatches(responses, batches, ENTRY_SOURCES)),
      limited: this.#reception.limiter.counts,
      cached: this.#recursor.kept,
      batches: batches === null ? null : { entries: batches.entries, dropped: batches.dropped },
      connections: this.#connections.counts,
      handshakes: this.#handshakes.counts,
      queryLog: this.#queryLog?.counts ?? null,
      upstreams: this.health(),
    }
  }

  /** Resolves when every query answered so far is in the log's files. */
  async flushQueryLog(): Promise<void> {
    await this.#queryLog?.flush()
  }

  /** Removes the whole log. */
  async clearQueryLog(): Promise<void> {
    await this.#queryLog?.clear()
  }

  /** How the upstreams are doing. */
  health(): UpstreamHealth[] {
    return this.#recursor.health()
  }

  /** What must be told before the process can end; null where nothing waits outside the event loop. */
  get stopHandle(): StopHandle | null {
    return this.#udp?.stopHandle ?? null
  }

  /** Stops at once: connections are cut, waiting questions are not answered any more. */
  async close(): Promise<void> {
    this.#notifier.close()
    this.#recursor.close()
    await this.#closeListeners()
    await this.#queryLog?.close()
  }

  readonly #resolve: Resolve = (question, flags) =>
    resolve(question, flags, {
      zones: this.#zones,
      recursor: this.#recursor,
      rebinding: this.#rebinding,
    })

  readonly #respond: Answer = (query, client) =>
    respond(query, client, {
      resolve: this.#resolve,
      update: this.#update,
      transfer: this.#transfers.transfer,
    })

  /** Secondaries may have missed what changed while they could not be told. */
  #notifyAll(): void {
    this.#notifier.notify([...this.#transfers.zones()].map(({ apex }) => apex))
  }

  #told({ deltas, problems }: ZonesChange): ZoneDelta[] {
    for (const problem of problems) this.#options.log.warn({ problem }, 'zone data is partly unusable')
    if (deltas.length > 0) this.#udp?.forget()
    this.#notifier.notify(this.#transfers.note(deltas))
    return deltas
  }

  async #listen(wanted: number): Promise<number> {
    let port = wanted
    const udp = this.#openUdp()
    this.#udp = udp
    const options = { answer: this.answer, connections: this.#connections, log: this.#options.log }
    for (const address of this.#options.addresses) {
      try {
        port = await udp.listen(address, port)
        const tcp = new TcpListener(address, options)
        this.#listeners.push(tcp)
        await tcp.listen(port)
      } catch (error) {
        await this.#closeListeners()
        throw listenError(error, 'dns', address, port)
      }
    }
    udp.start()
    return port
  }

  async #listenDot(dot: DotOptions, wanted: number): Promise<number> {
    let port = wanted
    const options = {
      ...dot,
      answer: this.answer,
      connections: this.#connections,
      handshakes: this.#handshakes,
      log: this.#options.log,
    }
    for (const address of dot.addresses) {
      const listener = new DotListener(address, options)
      this.#dotListeners.push(listener)
      try {
        port = await listener.listen(port)
      } catch (error) {
        await Promise.all(this.#dotListeners.splice(0).map((opened) => opened.close()))
        throw listenError(error, 'dot', address, port)
      }
    }
    return port
  }

  #openUdp(): Udp {
    const { udp, clock, log, onFailure } = this.#options
    const libc = udp === 'dgram' ? null : openLibc()
    if (libc === null || udp === 'dgram') return new DgramUdp({ answer: this.answer, log })
    return new BatchedUdp({
      libc,
      mode: udp,
      answer: this.answer,
      clients: this.#options.clients ?? [],
      outside: this.#options.outside ?? [],
      isLocal: (octets, at, length) => this.#access.isLocal(octets, at, length),
      onHit: this.#queryLog?.isEnabled ? (client, hit) => this.#logHit(client, hit) : null,
      clock,
      log,
      onFailure,
    })
  }

  #logHit(client: Client, hit: Pick<Response, 'question' | 'rcode' | 'source'>): void {
    this.#queryLog?.add(client, { messages: [], upstream: null, reusableFor: 0, ...hit }, 0)
  }

  async #closeListeners(): Promise<void> {
    const listeners = [...this.#listeners.splice(0), ...this.#dotListeners.splice(0)]
    await Promise.all([this.#udp?.close(), ...listeners.map((listener) => listener.close())])
    this.#udp = null
  }
}

/** Listens, on port 0 until there is one that is free everywhere. */
async function onFreePort(port: number, listen: (port: number) => Promise<number>): Promise<number> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await listen(port)
    } catch (error) {
      const retry = port === 0 && tries < PORT_TRIES
      if (!(retry && error instanceof DnsServerError && error.code === 'PORT_TAKEN')) throw error
    }
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
function listenError(error: unknown, setting: string, address: string, port: number): unknown {
  const where = `DNS cannot listen on ${address} port ${port}`
  switch ((error as NodeJS.ErrnoException).code) {
    case 'EADDRINUSE':
      return new DnsServerError(
        'PORT_TAKEN',
        `${where}: another program has it (ss -lnptu shows which); stop that one, or set another port under listen.${setting}`,
        { cause: error },
      )
    case 'EACCES':
    case 'EPERM':
      return new DnsServerError(
        'PORT_FORBIDDEN',
        `${where}: only a privileged process may use ports below 1024; set a higher one under listen.${setting}, or give the service CAP_NET_BIND_SERVICE`,
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
