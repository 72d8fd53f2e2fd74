import { type FSWatcher, watch } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { HearthError, reasonOf } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { parseDnsmasqLeases } from './dnsmasq.ts'
import { parseKeaLeases } from './kea.ts'
import type { Lease, LeaseFile } from './lease.ts'

export type LeaseFileErrorCode = 'FILE_MISSING' | 'FILE_TOO_LARGE' | 'FILE_UNREADABLE'

export class LeaseFileError extends HearthError<LeaseFileErrorCode> {}

/** Octets, of all parts together: 5,000 leases have a few hundred kilobytes. */
const MAX_OCTETS = 16 * 1024 * 1024

/** A file that is being written is looked at when that has been over for so long. Milliseconds. */
const SETTLE = 200

/** Reads one lease file whenever it has changed. */
export class LeaseReader {
  readonly #file: LeaseFile
  /** What the parts looked like when they were last read whole. */
  #seen = ''
  /** What they looked like when the last line had no end. */
  #unfinished = ''
  #watcher: FSWatcher | null = null
  #timer: NodeJS.Timeout | undefined

  constructor(file: LeaseFile) {
    this.#file = file
  }

  /**
   * The leases, if the file is another than at the last call; null if it is the same, or not yet
   * written to its end.
   *
   * @throws {LeaseFileError}
   */
  async read(): Promise<Lease[] | null> {
    const parts = await this.#parts()
    const signature = parts.map(({ path, ino, size, mtime }) => `${path} ${ino} ${size} ${mtime}`).join('\n')
    if (signature === this.#seen) return null
    const texts = await this.#readAll(parts)
    const isFinished = texts.every((text) => text === '' || text.endsWith('\n'))
    if (!isFinished && signature !== this.#unfinished) {
      this.#unfinished = signature
      return null
    }
    this.#seen = signature
    return this.#file.format === 'kea' ? parseKeaLeases(texts) : parseDnsmasqLeases(texts.join(''))
  }

  /**
   * Calls back soon after the file was written, made or replaced; more than once at times, and not where
   * the directory cannot be watched, so that one has to look now and then all the same.
   */
  watch(onChange: () => void, log: Log): void {
    const { file } = this.#file
    try {
      this.#watcher = watch(dirname(file), { persistent: false }, (_, name) => {
        if (name !== null && !name.startsWith(basename(file))) return
        clearTimeout(this.#timer)
        this.#timer = setTimeout(onChange, SETTLE).unref()
      })
      this.#watcher.on('error', () => this.close())
    } catch (error) {
      log.debug({ file, reason: reasonOf(error) }, 'the lease file is not watched, only looked at')
    }
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#watcher?.close()
    this.#watcher = null
  }

  /**
   * The files that make up the whole, oldest first.
   *
   * Kea moves its journal aside to clean it up: `.2` is what the last clean-up left, `.1` what the next one
   * works on, and `.completed` both of them, cleaned.
   */
  async #parts() {
    const { file, format } = this.#file
    const names = format === 'kea' ? ['.completed', '.2', '.1', ''] : ['']
    const found = await Promise.all(
      names.map(async (suffix) => {
        const path = `${file}${suffix}`
        try {
          const found = await stat(path)
          if (!found.isFile()) throw new Error(`${path} is no file`)
          return { suffix, path, ino: found.ino, size: found.size, mtime: found.mtimeMs }
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
          throw this.#unreadable(error)
        }
      }),
    )
    const there = found.filter((part) => part !== null)
    const isCompleted = there.some(({ suffix }) => suffix === '.completed')
    const parts = there.filter(({ suffix }) => !isCompleted || suffix === '.completed' || suffix === '')
    if (parts.length === 0) {
      throw new LeaseFileError(
        'FILE_MISSING',
        `the lease file ${file} is not there: check dns.leases, and whether the DHCP server runs`,
      )
    }
    if (parts.reduce((sum, { size }) => sum + size, 0) > MAX_OCTETS) throw this.#tooLarge()
    return parts
  }

  async #readAll(parts: readonly { path: string }[]): Promise<string[]> {
    const texts: string[] = []
    let left = MAX_OCTETS
    for (const { path } of parts) {
      try {
        const handle = await open(path)
        try {
          const buffer = Buffer.alloc(Math.min((await handle.stat()).size, left + 1))
          const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0)
          left -= bytesRead
          texts.push(buffer.toString('utf8', 0, bytesRead))
        } finally {
          await handle.close()
        }
      } catch (error) {
        throw this.#unreadable(error)
      }
      if (left < 0) throw this.#tooLarge()
    }
    return texts
  }

  #tooLarge(): LeaseFileError {
    return new LeaseFileError(
      'FILE_TOO_LARGE',
      `the lease file ${this.#file.file} has more than ${MAX_OCTETS} octets: is it the right file?`,
    )
  }

  #unreadable(error: unknown): LeaseFileError {
    return new LeaseFileError(
      'FILE_UNREADABLE',
      `the lease file ${this.#file.file} cannot be read: ${reasonOf(error)}`,
      { cause: error },
    )
  }
}
