import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { Channel, RemoteError } from '../base/channel.ts'
import type { Log } from '../base/log.ts'
import { stopLoop } from './fast/state.ts'
import type { DnsFigures } from './metrics.ts'
import type { Client } from './respond.ts'
import type { DnsServerOptions } from './server.ts'
import type { ApplyUpdate, UpdateRequest } from './updateGate.ts'
import type { LocalOptions, LogMethod, WorkerFunctions } from './worker.ts'

/**
 * Megabytes of objects that the thread may have besides its cache: four homes of 10,000 devices.
 *
 * The less V8 is allowed, the less it lets garbage grow before it collects: with its usual limit of
 * gigabytes, 100,000 looked-up names leave 40 MB more behind.
 */
const HEAP_MEGABYTES = 160
const YOUNG_MEGABYTES = 3

/** What is under way, a line of the query log for instance, may take that long to end. Milliseconds. */
const CLOSING_GRACE = 1500

/** What the server is started with. */
export interface DnsThreadOptions extends Omit<DnsServerOptions, LocalOptions> {
  /** Carries out dynamic updates; without it there are none. */
  update?: ApplyUpdate
}

/**
 * The DNS server in a thread of its own, so that neither a signature nor a commit ever delays an answer.
 *
 * Its functions are those of `DnsServer`, each a call to the other thread.
 */
export class DnsThread {
  readonly #worker: Worker
  readonly #channel: Channel<WorkerFunctions>
  readonly #onFailure: (error: Error) => void
  #port = 0
  #dotPort: number | null = null
  #stop = () => {}
  #closing = false

  #update: ApplyUpdate | null = null

  /**
   * Makes the thread, which then gets itself ready beside whatever else is done until `start`.
   *
   * `onFailure`: the DNS ended by itself. Nothing resolves any more, and the daemon has nothing better to
   * do than end too.
   */
  constructor(options: { cacheOctets: number; log: Log; onFailure: (error: Error) => void }) {
    const { cacheOctets, log, onFailure } = options
    this.#onFailure = onFailure
    this.#worker = new Worker(new URL('./worker.ts', import.meta.url), {
      name: 'dns',
      // The cache itself is outside V8's heap; its index takes about as much as what it finds.
      resourceLimits: {
        maxYoungGenerationSizeMb: YOUNG_MEGABYTES,
        maxOldGenerationSizeMb: HEAP_MEGABYTES + (2 * cacheOctets) / 2 ** 20,
      },
    })
    this.#channel = new Channel(this.#worker, {
      update: (request: UpdateRequest) => this.#update!(request),
      log: (level: LogMethod, fields: object, message: string) => log[level](fields, message),
    })
    let failure = new Error('the DNS thread ended')
    this.#worker.on('error', (error) => {
      failure = error as Error
    })
    this.#worker.on('exit', () => {
      this.#channel.close(new RemoteError('CLOSED', failure.message))
      if (!this.#closing) this.#onFailure(failure)
    })
  }

  /**
   * Listens and answers.
   *
   * @throws {RemoteError} with the codes of `DnsServerError`; then nothing listens.
   */
  async start({ update, ...options }: DnsThreadOptions): Promise<void> {
    this.#update = update ?? null
    const started = await this.#channel.call('start', { ...options, takesUpdates: update !== undefined })
    const { port, dotPort, stopHandle } = started
    this.#port = port
    this.#dotPort = dotPort
    if (stopHandle !== null) this.#stop = () => stopLoop(stopHandle)
    process.on('exit', this.#stop)
  }

  /** The port in use; what `port: 0` became. */
  get port(): number {
    return this.#port
  }

  /** The port of DNS over TLS; null without it. */
  get dotPort(): number | null {
    return this.#dotPort
  }

  /** Takes other TSIG keys from the next message on. */
  setKeys(...args: Parameters<WorkerFunctions['setKeys']>): Promise<void> {
    return this.#channel.call('setKeys', ...args)
  }

  /** Shows another certificate over TLS from the next handshake on. */
  setCertificate(...args: Parameters<WorkerFunctions['setCertificate']>): Promise<void> {
    return this.#channel.call('setCertificate', ...args)
  }

  /** Resolves once every answer is from the new data. */
  replaceZone(...args: Parameters<WorkerFunctions['replaceZone']>): Promise<void> {
    return this.#channel.call('replaceZone', ...args)
  }

  /** The same where only some hosts and owners changed. */
  patchZone(...args: Parameters<WorkerFunctions['patchZone']>): Promise<void> {
    return this.#channel.call('patchZone', ...args)
  }

  /** What was counted since the start. */
  figures(): Promise<DnsFigures> {
    return this.#channel.call('figures')
  }

  /** Resolves when every query answered so far is in the log's files. */
  flushQueryLog(): Promise<void> {
    return this.#channel.call('flushQueryLog')
  }

  /** Removes the whole query log. */
  clearQueryLog(): Promise<void> {
    return this.#channel.call('clearQueryLog')
  }

  explain(...args: Parameters<WorkerFunctions['explain']>): ReturnType<WorkerFunctions['explain']> {
    return this.#channel.call('explain', ...args)
  }

  /** Answers the octets of a query that came in elsewhere, over HTTPS. */
  answer(query: Uint8Array, client: Client): ReturnType<WorkerFunctions['answer']> {
    // In memory of their own: octets from Node's pool would be cloned with all 64 KiB of it.
    return this.#channel.call('answer', new Uint8Array(query), client)
  }

  /** Stops at once: connections are cut, waiting questions are not answered any more. */
  async close(): Promise<void> {
    this.#closing = true
    const closed = this.#channel.call('close').catch(() => undefined)
    await Promise.race([closed, sleep(CLOSING_GRACE, undefined, { ref: false })])
    process.off('exit', this.#stop)
    await this.#worker.terminate()
  }
}
