import { HearthError } from './errors.ts'

/** One end of a line between two threads: a `MessagePort`, a `Worker`, or a worker's `parentPort`. */
export interface Port {
  postMessage(value: unknown): void
  on(event: 'message', listener: (value: unknown) => void): void
}

/** What failed on the other side of a channel, with its code if it had one. */
export class RemoteError extends HearthError<string> {}

/** The types of arguments are the caller's to keep: `call` takes them from what the other side says it has. */
type Functions = Record<string, (...args: never[]) => unknown>

type Packet =
  | { kind: 'call'; id: number; name: string; args: unknown[] }
  | { kind: 'result'; id: number; value: unknown }
  | { kind: 'failure'; id: number; code: string | null; message: string }

/**
 * Function calls between two threads, in both directions over one port.
 *
 * Arguments and results are copied, as `structuredClone` copies them: plain data and octets only. Calls
 * that run longer do not hold up later ones; results come in the order in which they are ready.
 */
export class Channel<Remote extends { [Name in keyof Remote]: (...args: never[]) => unknown }> {
  readonly #port: Port
  readonly #functions: Functions
  readonly #pending = new Map<number, { resolve: (value: never) => void; reject: (reason: Error) => void }>()
  #nextId = 0
  #closed: Error | null = null

  /** `functions` are what the other side may call. */
  constructor(port: Port, functions: Functions) {
    this.#port = port
    this.#functions = functions
    port.on('message', (packet) => this.#receive(packet as Packet))
  }

  /**
   * Calls a function of the other side.
   *
   * @throws {RemoteError} if that failed, or the channel's end was reported by `close`.
   */
  call<Name extends keyof Remote & string>(
    name: Name,
    ...args: Parameters<Remote[Name]>
  ): Promise<Awaited<ReturnType<Remote[Name]>>> {
    if (this.#closed !== null) return Promise.reject(this.#closed)
    const id = this.#nextId
    this.#nextId += 1
    const { promise, resolve, reject } = Promise.withResolvers<Awaited<ReturnType<Remote[Name]>>>()
    this.#pending.set(id, { resolve, reject })
    this.#port.postMessage({ kind: 'call', id, name, args } satisfies Packet)
    return promise
  }

  /** Nothing comes from the other side any more: whoever waits is told why. */
  close(reason: Error): void {
    this.#closed ??= reason
    for (const { reject } of this.#pending.values()) reject(reason)
    this.#pending.clear()
  }

  #receive(packet: Packet): void {
    if (packet.kind === 'call') {
      void this.#answer(packet)
      return
    }
    const waiting = this.#pending.get(packet.id)
    this.#pending.delete(packet.id)
    if (packet.kind === 'result') waiting?.resolve(packet.value as never)
    else waiting?.reject(new RemoteError(packet.code ?? 'FAILED', packet.message))
  }

  async #answer({ id, name, args }: Packet & { kind: 'call' }): Promise<void> {
    let packet: Packet
    try {
      packet = { kind: 'result', id, value: await this.#functions[name]!(...(args as never[])) }
    } catch (error) {
      const code = error instanceof HearthError ? error.code : null
      packet = { kind: 'failure', id, code, message: error instanceof Error ? error.message : String(error) }
    }
    this.#port.postMessage(packet)
  }
}
