import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../support/ports.ts'
import { run } from '../support/run.ts'

/** The name in the certificates that are made here. */
export const PEER_NAME = 'dns.example.net'

/** A private CA made by OpenSSL, and a server certificate of it for a name and an address. */
export async function opensslCa(folder: string): Promise<{ ca: string; key: string; chain: string }> {
  const file = (name: string) => join(folder, name)
  const openssl = async (...args: string[]) => {
    const { code, output } = await run('openssl', args, { cwd: folder })
    if (code !== 0) throw new Error(output)
  }
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  await openssl(
    'req',
    '-x509',
    ...newKey,
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-subj',
    '/CN=Test CA',
    '-days',
    '2',
  )
  await openssl('req', ...newKey, '-keyout', 'server.key', '-out', 'server.csr', '-subj', `/CN=${PEER_NAME}`)
  writeFileSync(file('san.txt'), `subjectAltName=DNS:${PEER_NAME},IP:127.0.0.1\n`)
  const signing = [
    '-CA',
    'ca.pem',
    '-CAkey',
    'ca.key',
    '-CAcreateserial',
    '-extfile',
    'san.txt',
    '-days',
    '2',
  ]
  await openssl('x509', '-req', '-in', 'server.csr', '-out', 'server.pem', ...signing)
  return { ca: file('ca.pem'), key: file('server.key'), chain: file('server.pem') }
}

/** unbound on loopback, which knows some zones from files and nothing else. */
export class UnboundPeer {
  readonly port: number
  readonly dotPort: number
  readonly dohPort: number
  readonly #process: ChildProcess

  /** `zones` are master files by their names. `more` are lines of its `server:` section. */
  static async start(options: {
    folder: string
    zones: Record<string, string>
    tls?: { key: string; chain: string }
    more?: string[]
  }): Promise<UnboundPeer> {
    const { folder, zones, tls, more = [] } = options
    const [port, dotPort, dohPort] = [await freePort(), await freePort(), await freePort()]
    const config = [
      'server:',
      `  directory: "${folder}"`,
      '  chroot: ""',
      '  username: ""',
      '  pidfile: ""',
      '  use-syslog: no',
      '  do-daemonize: no',
      '  num-threads: 1',
      '  module-config: "iterator"',
      '  do-not-query-localhost: no',
      `  interface: 127.0.0.1@${port}`,
      ...(tls === undefined
        ? []
        : [
            `  interface: 127.0.0.1@${dotPort}`,
            `  interface: 127.0.0.1@${dohPort}`,
            `  tls-port: ${dotPort}`,
            `  https-port: ${dohPort}`,
            `  tls-service-key: "${tls.key}"`,
            `  tls-service-pem: "${tls.chain}"`,
          ]),
      ...more.map((line) => `  ${line}`),
    ]
    for (const [zone, text] of Object.entries(zones)) {
      const file = join(folder, `${zone}.zone`)
      writeFileSync(file, text)
      config.push(
        'auth-zone:',
        `  name: "${zone}"`,
        `  zonefile: "${file}"`,
        '  for-downstream: no',
        '  for-upstream: yes',
      )
    }
    writeFileSync(join(folder, 'unbound.conf'), `${config.join('\n')}\n`)
    const peer = new UnboundPeer(
      spawn('/usr/sbin/unbound', ['-d', '-c', join(folder, 'unbound.conf')], {
        stdio: ['ignore', 'ignore', 'pipe'],
      }),
      { port, dotPort, dohPort },
    )
    await peer.#ready()
    return peer
  }

  private constructor(process: ChildProcess, ports: { port: number; dotPort: number; dohPort: number }) {
    this.#process = process
    this.port = ports.port
    this.dotPort = ports.dotPort
    this.dohPort = ports.dohPort
  }

  async close(): Promise<void> {
    this.#process.kill()
    if (this.#process.exitCode === null && this.#process.signalCode === null)
      await once(this.#process, 'exit')
  }

  /** Resolves once unbound answers; rejects with its log if it ends instead. */
  #ready(): Promise<void> {
    let output = ''
    return new Promise((resolve, reject) => {
      this.#process.on('exit', () => reject(new Error(`unbound ended:\n${output}`)))
      this.#process.stderr!.on('data', (chunk) => {
        output += chunk
        if (/start of service/.test(output)) resolve()
      })
    })
  }
}

export const readPem = (file: string): string => readFileSync(file, 'utf8')
