import { type FileHandle, open, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Clock, HOUR, MINUTE, SECOND } from '../base/clock.ts'
import { makeDirectory } from '../base/directory.ts'
import { reasonOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { rcodeName, typeName } from '../wire/registry.ts'
import type { Client, Response } from './respond.ts'

export interface QueryLogSettings {
  /** Where the files are. */
  directory: string
  enabled: boolean
  /** Milliseconds after which nobody is to know any more. */
  keepFor: number
  /** For all files together. */
  octets: number
}

/** One query, as a line of the log. */
export interface LoggedQuery {
  /** RFC 3339. */
  at: string
  client: string
  transport: string
  name: string
  type: string
  rcode: string
  /** Missing where the message alone decided. */
  source?: string
  upstream?: string
  /** Milliseconds until the answer was found. */
  ms: number
}

/** How long lines wait for others, so that a storage card is written to seldom. */
const WRITE_EVERY = SECOND

/** How long a disk that failed is left alone. */
const RETRY_AFTER = 5 * SECOND

/** Octets of lines that may wait; further ones are dropped, never waited for. */
const MAX_WAITING = 1024 * 1024

const PRUNE_EVERY = MINUTE

/** Files into which a period and an amount are divided: only whole files are removed. */
const FILES_PER_PERIOD = 8
const FILES_PER_AMOUNT = 16

/** `2026-11-24T12-00-00-000Z.jsonl`, after the time of its first line. */
const FILE_NAME = /^(\d{4}-\d\d-\d\dT\d\d)-(\d\d)-(\d\d)-(\d{3}Z)\.jsonl$/

/** The file that is written to. */
interface OpenFile {
  handle: FileHandle
  since: number
  size: number
}

/**
 * Who asked for what: lines of JSON in files of their own, for as long and as many as the household wants.
 *
 * Nobody ever waits for it. Lines are written in batches; what the disk cannot take is counted and
 * dropped, with one warning when that begins. A line is removed with the file that it is in, at most as
 * old as the settings allow by the clock there is, also while the log is turned off.
 */
export class QueryLog {
  readonly #settings: QueryLogSettings
  readonly #clock: Clock
  readonly #log: Log
  readonly #pruning: NodeJS.Timeout
  #waiting: string[] = []
  #waitingOctets = 0
  #timer: NodeJS.Timeout | null = null
  /** What is done to the files, one after the other. */
  #working: Promise<void> = Promise.resolve()
  #file: OpenFile | null = null
  #isTroubled = false
  #written = 0
  #dropped = 0

  constructor(settings: QueryLogSettings, options: { clock: Clock; log: Log }) {
    this.#settings = settings
    this.#clock = options.clock
    this.#log = options.log
    this.#pruning = setInterval(() => this.#do(() => this.#prune()), PRUNE_EVERY).unref()
    this.#do(() => this.#prune())
  }

  get isEnabled(): boolean {
    return this.#settings.enabled
  }

  /** Lines written and dropped so far. */
  get counts(): { written: number; dropped: number } {
    return { written: this.#written, dropped: this.#dropped }
  }

  /** Notes one query, unless nobody could read what was asked. */
  add(client: Client, { question, rcode, source, upstream }: Response, milliseconds: number): void {
    if (!this.#settings.enabled || question === null) return
    if (this.#waitingOctets >= MAX_WAITING) {
      this.#dropped += 1
      return
    }
    const entry: LoggedQuery = {
      at: new Date(this.#clock.now()).toISOString(),
      client: client.address,
      transport: client.transport,
      name: question.name.toString(),
      type: typeName(question.type),
      rcode: rcodeName(rcode),
      ...(source !== null && { source }),
      ...(upstream !== null && { upstream }),
      ms: Math.round(milliseconds * 10) / 10,
    }
    const line = `${JSON.stringify(entry)}\n`
    this.#waiting.push(line)
    this.#waitingOctets += line.length
    this.#timer ??= setTimeout(() => this.flush(), this.#isTroubled ? RETRY_AFTER : WRITE_EVERY).unref()
  }

  /** Resolves when everything noted so far is written, or dropped. */
  flush(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    return this.#do(() => this.#write())
  }

  /** Removes everything that was ever noted. */
  clear(): Promise<void> {
    this.#waiting = []
    this.#waitingOctets = 0
    return this.#do(async () => {
      await this.#close()
      for (const name of await fileNames(this.#settings.directory))
        await rm(join(this.#settings.directory, name))
    })
  }

  async close(): Promise<void> {
    clearInterval(this.#pruning)
    await this.flush()
    await this.#do(() => this.#close())
  }

  #do(work: () => Promise<void>): Promise<void> {
    this.#working = this.#working.then(work).catch((error: unknown) => this.#complain(error))
    return this.#working
  }

  async #write(): Promise<void> {
    if (this.#waiting.length === 0) return
    const { length } = this.#waiting
    const batch = Buffer.from(this.#waiting.join(''))
    this.#waiting = []
    this.#waitingOctets = 0
    try {
      const file = await this.#current()
      await file.handle.appendFile(batch)
      file.size += batch.length
      this.#written += length
    } catch (error) {
      this.#dropped += length
      await this.#giveUpFile()
      throw error
    }
    if (this.#isTroubled) this.#log.info('queries are logged again')
    this.#isTroubled = false
  }

  /** The file to write to: a new one where the last is old or large enough, or was for another time. */
  async #current(): Promise<OpenFile> {
    const { directory, keepFor, octets } = this.#settings
    const now = this.#clock.now()
    if (this.#file !== null) {
      const isCurrent = Math.abs(now - this.#file.since) < Math.min(HOUR, keepFor / FILES_PER_PERIOD)
      if (isCurrent && this.#file.size < octets / FILES_PER_AMOUNT) return this.#file
      await this.#close()
    }
    makeDirectory(directory)
    await this.#prune()
    const handle = await open(join(directory, fileName(now)), 'a', 0o600)
    this.#file = { handle, since: now, size: (await handle.stat()).size }
    return this.#file
  }

  async #prune(): Promise<void> {
    const { directory, keepFor, octets } = this.#settings
    const now = this.#clock.now()
    const isOver = (since: number) => now - since > keepFor
    if (this.#file !== null && isOver(this.#file.since)) await this.#close()
    // A machine whose clock does not run while it is off starts in the past, where everything logged seems to
    // be from the future. That goes only where the room is needed.
    const newestFirst = (await fileNames(directory)).reverse()
    const [past, future] = [false, true].map((isAhead) =>
      newestFirst.filter((name) => startOf(name) > now === isAhead),
    )
    let total = 0
    for (const name of [...past!, ...future!]) {
      const path = join(directory, name)
      total += (await stat(path)).size
      if (isOver(startOf(name)) || total > octets) await rm(path, { force: true })
    }
  }

  /** Cuts off what was written only in part, so that the next line begins a line. */
  async #giveUpFile(): Promise<void> {
    if (this.#file !== null) await this.#file.handle.truncate(this.#file.size).catch(() => {})
    await this.#close().catch(() => {})
  }

  async #close(): Promise<void> {
    const file = this.#file
    this.#file = null
    await file?.handle.close()
  }

  #complain(error: unknown): void {
    if (!this.#isTroubled) {
      const { directory } = this.#settings
      this.#log.warn(
        { directory, reason: reasonOf(error) },
        'queries cannot be logged; they are answered all the same',
      )
    }
    this.#isTroubled = true
  }
}

export interface QueryLogFilter {
  /** Milliseconds since 1970. */
  since?: number
  client?: string
  /** The name itself or any below it; absolute, in lower case. */
  name?: string
  limit: number
}

/** The newest lines that fit, the newest last. Passes over lines that were cut off and files removed meanwhile. */
export async function readQueryLog(directory: string, filter: QueryLogFilter): Promise<LoggedQuery[]> {
  const { since = Number.NEGATIVE_INFINITY, limit } = filter
  let found: LoggedQuery[] = []
  for (const name of (await fileNames(directory)).reverse()) {
    const older: LoggedQuery[] = []
    for await (const entry of entriesOf(join(directory, name))) {
      if (!fits(entry, filter, since)) continue
      older.push(entry)
      if (older.length > 2 * limit) older.splice(0, limit)
    }
    found = [...older, ...found].slice(-limit)
    if (found.length >= limit || startOf(name) < since) break
  }
  return found
}

async function* entriesOf(path: string): AsyncGenerator<LoggedQuery> {
  const handle = await openIfThere(path)
  if (handle === null) return
  try {
    for await (const line of handle.readLines({ encoding: 'utf8', autoClose: false })) {
      const entry = parseEntry(line)
      if (entry !== null) yield entry
    }
  } finally {
    await handle.close()
  }
}

async function openIfThere(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

function parseEntry(line: string): LoggedQuery | null {
  try {
    return JSON.parse(line) as LoggedQuery
  } catch {
    return null
  }
}

function fits(entry: LoggedQuery, { client, name }: QueryLogFilter, since: number): boolean {
  if (client !== undefined && entry.client !== client) return false
  if (name !== undefined) {
    const asked = entry.name.toLowerCase()
    if (asked !== name && !asked.endsWith(`.${name}`)) return false
  }
  return Date.parse(entry.at) >= since
}

/** The log's files, the oldest first; none if there is no such directory. */
async function fileNames(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).filter((name) => FILE_NAME.test(name)).sort()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

function fileName(at: number): string {
  return `${new Date(at).toISOString().replace(/[:.]/g, '-')}.jsonl`
}

function startOf(name: string): number {
  return Date.parse(name.replace(FILE_NAME, '$1:$2:$3.$4'))
}
