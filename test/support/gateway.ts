import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import type { StatusReport } from '../../daemon/status.ts'
import { type Outcome, run } from './run.ts'

export const HEARTH = new URL('../../bin/hearth', import.meta.url).pathname

/** A real gateway: `bin/hearth serve` in a directory of its own, on free ports of the loopback addresses. */
export class TestGateway {
  readonly dir: string
  readonly configFile: string
  status!: StatusReport
  #process: ChildProcess | null = null
  #log = ''
  #jump: string | undefined

  /** @param config Laid over the test's own: every port free, no upstream. */
  constructor(config: Record<string, unknown> = {}) {
    this.dir = mkdtempSync(join(tmpdir(), 'hearth-e2e-'))
    this.configFile = join(this.dir, 'hearth.yaml')
    mkdirSync(join(this.dir, 'config'))
    this.configure(config)
  }

  configure(config: Record<string, unknown>): void {
    const own = {
      dataDir: './data',
      ca: { keyFile: './config/sealing.key' },
      listen: { addresses: ['127.0.0.1'], dns: 0, dot: 0, http: 0, https: 0, est: 0 },
      // Nobody listens there: the internet is gone.
      dns: { upstreams: ['udp://127.0.0.1:9'] },
    }
    writeFileSync(this.configFile, stringify({ ...own, ...config }))
  }

  /**
   * Starts it and waits until it is ready. Throws with its log if it is not.
   *
   * @param jump Moves its clock, and from then on that of its commands: `+100d` (faketime).
   */
  async start({ jump }: { jump?: string } = {}): Promise<this> {
    this.#jump = jump
    const child = spawn(HEARTH, ['--config', this.configFile, '--json', 'serve'], {
      cwd: this.dir,
      env: { ...process.env, ...this.#clock() },
    })
    this.#process = child
    let printed = ''
    child.stderr.on('data', (data: Buffer) => {
      this.#log += data
    })
    await new Promise<void>((resolve, reject) => {
      child.stdout.on('data', (data: Buffer) => {
        printed += data
        if (printed.endsWith('}\n')) resolve()
      })
      child.once('exit', (code) => reject(new Error(`the gateway ended with ${code}:\n${this.#log}`)))
    })
    this.status = JSON.parse(printed) as StatusReport
    return this
  }

  /** What moves the clock of a process: libfaketime itself, since its command would stand between us and the process. */
  #clock(): Record<string, string> {
    if (this.#jump === undefined) return {}
    return { LD_PRELOAD: '/usr/$LIB/faketime/libfaketime.so.1', FAKETIME: this.#jump }
  }

  get pid(): number {
    return this.#process!.pid!
  }

  /** Everything it has logged. */
  get log(): string {
    return this.#log
  }

  /** Sends a signal and waits for the end; the exit code, or null if the signal killed it. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const child = this.#process
    if (child === null || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null
    const ended = once(child, 'exit')
    child.kill(signal)
    const [code] = (await ended) as [number | null]
    return code
  }

  /** Stops it and removes everything. */
  async dispose(): Promise<void> {
    await this.stop('SIGKILL')
    rmSync(this.dir, { recursive: true, force: true })
  }

  /** Runs `bin/hearth` with this gateway's configuration. */
  hearth(...args: string[]): Promise<Outcome> {
    return run(HEARTH, ['--config', this.configFile, ...args], { cwd: this.dir, env: this.#clock() })
  }

  /** Runs it with `--json` and returns what it prints; throws if it is refused. */
  async hearthJson<T>(...args: string[]): Promise<T> {
    const { code, stdout, stderr } = await this.hearth('--json', ...args)
    if (code !== 0) throw new Error(`hearth ${args.join(' ')} ended with ${code}: ${stderr}`)
    return JSON.parse(stdout) as T
  }

  path(...parts: string[]): string {
    return join(this.dir, ...parts)
  }

  /** The URL of a listener by address: tests do not depend on this machine's resolver. */
  url(listener: 'http' | 'https' | 'est', path = ''): string {
    const { protocol, port } = new URL(this.status.listeners[listener])
    return `${protocol}//127.0.0.1:${port}${path}`
  }

  port(listener: 'http' | 'https' | 'est'): string {
    return new URL(this.status.listeners[listener]).port
  }

  /** Writes the root to a file and returns its path. */
  async rootFile(): Promise<string> {
    const path = this.path('root.pem')
    writeFileSync(path, (await this.hearth('ca', 'root')).stdout)
    return path
  }

  /** Adds a device at 127.0.0.1 and returns its credential `id:token`. */
  async credential(name: string): Promise<string> {
    const { id, token } = await this.hearthJson<{ id: string; token: string }>(
      'device',
      'add',
      name,
      '--address',
      '127.0.0.1',
    )
    return `${id}:${token}`
  }

  /** Adds and enrolls a device with the agent; the directory with its key and certificate. */
  async enroll(name: string): Promise<string> {
    const out = this.path(name)
    const credential = await this.credential(name)
    const { code, stderr } = await this.hearth(
      'enroll',
      '--gateway',
      this.url('est'),
      '--fingerprint',
      this.status.root.sha256,
      '--token',
      credential,
      '--out',
      out,
    )
    if (code !== 0) throw new Error(`enroll ended with ${code}: ${stderr}`)
    return out
  }
}
