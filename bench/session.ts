import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * How long and how often to measure, and what must be undone afterwards.
 *
 * Whatever a subject opens is deferred here, so that it ends also when a measurement fails or the
 * benchmark is interrupted.
 */
export class Session {
  readonly quick: boolean
  /** How often each contender is measured. */
  readonly rounds: number
  /** How long one load lasts, seconds. */
  readonly seconds: number
  readonly #closers: (() => void | Promise<void>)[] = []
  readonly #notes = new Set<string>()

  constructor(options: { quick: boolean; rounds: number }) {
    this.quick = options.quick
    this.rounds = options.rounds
    this.seconds = options.quick ? 1 : 5
  }

  /** Runs when the subject is done, last come, first served. */
  defer(close: () => void | Promise<void>): void {
    this.#closers.push(close)
  }

  async close(): Promise<void> {
    for (let close = this.#closers.pop(); close !== undefined; close = this.#closers.pop()) await close()
  }

  /** A directory that is gone after the subject. */
  directory(): string {
    const path = mkdtempSync(join(tmpdir(), 'hearth-bench-'))
    this.defer(() => rmSync(path, { recursive: true, force: true }))
    return path
  }

  /** Something the reader must know about the figures; once each, on standard error. */
  note(text: string): void {
    if (this.#notes.has(text)) return
    this.#notes.add(text)
    process.stderr.write(`bench: ${text}\n`)
  }
}
