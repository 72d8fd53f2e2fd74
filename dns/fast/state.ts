import { writeSync } from 'node:fs'

/** Words of 32 bits at the start: what the threads tell each other. */
const WORD = { stop: 0, generation: 1, entries: 2, dropped: 3, untold: 4, rcodes: 5, sources: 21, types: 25 }

/** Types above that are counted together. */
const MAX_TYPE = 260

/**
 * What the thread that answers UDP shares with the one that started it, without a message between them.
 *
 * A new generation makes every answer kept so far worthless at once. The counters have one writer, and
 * whoever reads them may see them one query behind.
 */
export class LoopState {
  readonly memory: SharedArrayBuffer
  readonly #words: Int32Array

  constructor(memory = new SharedArrayBuffer(4 * (WORD.types + MAX_TYPE + 1))) {
    this.memory = memory
    this.#words = new Int32Array(memory)
  }

  get isStopped(): boolean {
    return Atomics.load(this.#words, WORD.stop) !== 0
  }

  stop(): void {
    Atomics.store(this.#words, WORD.stop, 1)
  }

  get generation(): number {
    return Atomics.load(this.#words, WORD.generation)
  }

  nextGeneration(): void {
    Atomics.add(this.#words, WORD.generation, 1)
  }

  /** Answers that are kept. */
  set entries(count: number) {
    this.#words[WORD.entries] = count
  }

  countHit(type: number, rcode: number, source: number): void {
    const words = this.#words
    words[WORD.rcodes + rcode]! += 1
    words[WORD.sources + source]! += 1
    words[WORD.types + Math.min(type, MAX_TYPE)]! += 1
  }

  /** Hits on their way to the query log: counted up on one side and down on the other. */
  get untold(): number {
    return Atomics.load(this.#words, WORD.untold)
  }

  addUntold(count: number): void {
    Atomics.add(this.#words, WORD.untold, count)
  }

  countDropped(): void {
    this.#words[WORD.dropped]! += 1
  }

  /** Everything counted so far, as plain data; counts are modulo 2^32. */
  snapshot() {
    const count = (word: number) => this.#words[word]! >>> 0
    const range = (first: number, length: number) =>
      Array.from({ length }, (_, index) => count(first + index))
    return {
      entries: count(WORD.entries),
      dropped: count(WORD.dropped),
      /** By rcode. */
      rcodes: range(WORD.rcodes, 16),
      /** In the order of ENTRY_SOURCES. */
      sources: range(WORD.sources, 4),
      /** By type; the last one stands for all higher types. */
      types: range(WORD.types, MAX_TYPE + 1),
    }
  }
}

/**
 * What ends a thread that waits in a system call.
 *
 * Until it has ended, neither `process.exit` nor an uncaught exception ends the process.
 */
export interface StopHandle {
  state: SharedArrayBuffer
  wakeUp: number
}

/** Ends the thread of a loop, whatever it waits for. */
export function stopLoop({ state, wakeUp }: StopHandle): void {
  new LoopState(state).stop()
  wake(wakeUp)
}

/** Adds one to the descriptor's count, which makes it readable (eventfd(2)). */
export function wake(fd: number): void {
  writeSync(fd, new BigUint64Array([1n]))
}
