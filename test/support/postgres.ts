import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'

const BIN = '/usr/lib/postgresql/15/bin'

/** A PostgreSQL server of our own, with its cluster in a temporary directory and nothing but a Unix socket. */
export class TestPostgres {
  readonly #dir: string
  readonly #server: ChildProcess
  #databases = 0

  static async start(): Promise<TestPostgres> {
    const dir = mkdtempSync(join(tmpdir(), 'hearth-postgres-'))
    const user = postgresUser()
    if (user !== null) chownSync(dir, user.uid, user.gid)
    const data = join(dir, 'data')
    execFileSync(`${BIN}/initdb`, ['-D', data, '-U', 'hearth', '-A', 'trust', '--no-sync'], {
      ...user,
      cwd: dir,
    })
    const settings = ['listen_addresses=', `unix_socket_directories=${dir}`, 'fsync=off']
    const server = spawn(`${BIN}/postgres`, ['-D', data, ...settings.flatMap((setting) => ['-c', setting])], {
      ...user,
      cwd: dir,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let log = ''
    await new Promise<void>((resolve, reject) => {
      server.stderr.on('data', (text: Buffer) => {
        log += text
        if (log.includes('ready to accept connections')) resolve()
      })
      server.once('exit', () => reject(new Error(`PostgreSQL did not start:\n${log}`)))
    })
    return new TestPostgres(dir, server)
  }

  private constructor(dir: string, server: ChildProcess) {
    this.#dir = dir
    this.#server = server
  }

  /** The URL of a new, empty database. */
  async newDatabase(): Promise<string> {
    const name = `home_${++this.#databases}`
    const client = new Client({ connectionString: this.#url('postgres') })
    await client.connect()
    await client.query(`create database ${name}`)
    await client.end()
    return this.#url(name)
  }

  /** Fast shutdown: ends whatever is still connected. */
  async stop(): Promise<void> {
    const ended = once(this.#server, 'exit')
    this.#server.kill('SIGINT')
    await ended
    rmSync(this.#dir, { recursive: true, force: true })
  }

  #url(database: string): string {
    return `postgres://hearth@localhost/${database}?host=${encodeURIComponent(this.#dir)}`
  }
}

/** The server refuses to run as root; whoever else runs the tests runs it as themselves. */
function postgresUser(): { uid: number; gid: number } | null {
  if (process.getuid?.() !== 0) return null
  const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
  return { uid: id('-u'), gid: id('-g') }
}
