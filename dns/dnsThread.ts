import { Worker } from 'node:worker_threads'
import { Channel, RemoteError } from '../base/channel.ts'
import type { Log } from '../base/log.ts'
import { stopLoop } from './fast/state.ts'
import type { DnsFigures } from './metrics.ts'
import type { DnsServerOptions } from './server.ts'
import type { ApplyUpdate } from './updateGate.ts'
import type { LocalOptions, LogMethod, WorkerFunctions } from './worker.ts'

export interface DnsThreadOptions extends Omit<DnsServerOptions, LocalOptions> {
  log: Log
  /** Carries out dynamic updates; without it there are none. */
  update?: ApplyUpdate
  /** The DNS ended by itself: nothing resolves any more, and the daemon has nothing better to do than end too. */
  onFailure: (error: Error) => void
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

  /**
   * Starts the thread and listens.
   *
   * @throws {RemoteError} with the codes of `DnsServerError`; then nothing listens.
   */
  static async start({ log, update, onFailure, ...options }: DnsThreadOptions): Promise<DnsThread> {
    const thread = new DnsThread({ log, onFailure, ...(update && { update }) })
    try {
      const { port, dotPort, stopHandle } = await thread.#channel.call('start', {
        ...options,
        takesUpdates: update !== undefined,
      })
      thread.#port = port
      thread.#dotPort = dotPort
      if (stopHandle !== null) thread.#stop = () => stopLoop(stopHandle)
      process.on('exit', thread.#stop)
      return thread
    } catch (error) {
      await thread.#end()
      throw error
    }
  }

  private constructor({ log, update, onFailure }: Pick<DnsThreadOptions, 'log' | 'update' | 'onFailure'>) {
    this.#onFailure = onFailure
    this.#worker = new Worker(new URL('./worker.ts', import.meta.url), { name: 'dns' })
    this.#channel = new Channel(this.#worker, {
      ...(update && { update }),
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
  answer(...args: Parameters<WorkerFunctions['answer']>): ReturnType<WorkerFunctions['answer']> {
    return this.#channel.call('answer', ...args)
  }

  /** Stops at once: connections are cut, waiting questions are not answered any more. */
  async close(): Promise<void> {
    this.#closing = true
    await this.#channel.call('close').catch(() => undefined)
    await this.#end()
  }

  async #end(): Promise<void> {
    this.#closing = true
    process.off('exit', this.#stop)
    await this.#worker.terminate()
  }
}
