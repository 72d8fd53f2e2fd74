import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pem } from '../../x509/certificate.ts'
import { type Outcome, run } from './run.ts'

/** A directory in which OpenSSL and GnuTLS work on files; commands are written as one would type them. */
export class Workbench {
  readonly dir: string

  constructor(dir: string) {
    this.dir = dir
  }

  path(name: string): string {
    return join(this.dir, name)
  }

  write(name: string, content: string | Uint8Array): void {
    writeFileSync(this.path(name), content)
  }

  writePem(name: string, certificates: readonly Uint8Array[]): void {
    this.write(name, certificates.map((der) => pem(der, 'CERTIFICATE')).join(''))
  }

  read(name: string): Buffer {
    return readFileSync(this.path(name))
  }

  /** Runs a command, whatever it ends in. No word of it may hold a space. */
  try(command: string): Promise<Outcome> {
    const [program = '', ...args] = command.split(/\s+/)
    return run(program, args, { cwd: this.dir, env: { TZ: 'UTC', LC_ALL: 'C' } })
  }

  /** Runs a command that must succeed; what it prints. */
  async run(command: string): Promise<string> {
    const { code, output } = await this.try(command)
    if (code !== 0) throw new Error(`${command}\nended with ${code}:\n${output}`)
    return output
  }
}
