import { readdirSync, readFileSync, statSync } from 'node:fs'
import { connect } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { LoggedQuery } from '../../dns/queryLog.ts'
import { TestGateway } from '../support/gateway.ts'
import { parseMetrics } from '../support/prometheus.ts'
import { run } from '../support/run.ts'

/** Encrypted DNS as the gateway offers it, and what can be seen of the queries. */

let gateway: TestGateway
let root: string

beforeAll(async () => {
  gateway = await new TestGateway({
    dns: { upstreams: ['udp://127.0.0.1:9'], queryLog: { enabled: true } },
  }).start()
  root = await gateway.rootFile()
})
afterAll(async () => {
  expect(gateway.log).not.toContain('PRIVATE KEY')
  expect(gateway.log).not.toContain('"level":50')
  await gateway.dispose()
})

const strict = () => [`+tls-ca=${root}`, '+tls-hostname=gateway.home.arpa']
const kdig = (port: number | string, ...words: string[]) =>
  run('kdig', ['@127.0.0.1', '-p', String(port), '+retry=0', '+short', ...words, 'gateway.home.arpa', 'A'])

describe('encrypted, with the certificate of the home', () => {
  test('DNS over TLS, with a stapled OCSP answer', async () => {
    const { stdout, stderr } = await kdig(
      gateway.status.dns.dotPort!,
      '+tls',
      ...strict(),
      '+tls-ocsp-stapling=24',
    )
    expect({ stdout, stderr }).toEqual({ stdout: '127.0.0.1\n', stderr: '' })
  })

  test('DNS over HTTPS', async () => {
    expect((await kdig(gateway.port('https'), '+https', ...strict())).stdout).toBe('127.0.0.1\n')
    expect(gateway.status.dns.doh).toBe(`https://gateway.home.arpa:${gateway.port('https')}/dns-query`)
  })

  test('a revoked certificate is followed by a new one, on the door for DNS over TLS too', async () => {
    const serial = () =>
      new Promise<string>((resolve, reject) => {
        const socket = connect(
          {
            port: gateway.status.dns.dotPort!,
            host: '127.0.0.1',
            servername: 'gateway.home.arpa',
            ca: readFileSync(root),
          },
          () => {
            resolve(socket.getPeerCertificate().serialNumber)
            socket.destroy()
          },
        )
        socket.on('error', reject)
      })
    const before = await serial()
    expect((await gateway.hearth('cert', 'revoke', before)).code).toBe(0)
    while ((await serial()) === before) await new Promise((resolve) => setTimeout(resolve, 50))
    const { stdout } = await kdig(gateway.status.dns.dotPort!, '+tls', ...strict(), '+tls-ocsp-stapling=24')
    expect(stdout).toBe('127.0.0.1\n')
  })
})

describe('seeing it', () => {
  const metrics = async () => {
    const { stdout } = await run('curl', ['-s', '--cacert', root, gateway.url('https', '/metrics')])
    return parseMetrics(stdout)
  }
  const queries = async (transport: string) =>
    (await metrics())
      .filter(({ name, labels }) => name === 'hearth_dns_queries_total' && labels.transport === transport)
      .reduce((sum, { value }) => sum + value, 0)

  test('metrics count queries on every way', async () => {
    for (const [transport, port, ...how] of [
      ['udp', gateway.status.dns.port],
      ['tcp', gateway.status.dns.port, '+tcp'],
      ['tls', gateway.status.dns.dotPort!, '+tls'],
      ['https', gateway.port('https'), '+https'],
    ] as [string, number | string, ...string[]][]) {
      const before = await queries(transport)
      await kdig(port, ...how)
      expect(await queries(transport)).toBe(before + 1)
    }
    const samples = await metrics()
    expect(samples).toContainEqual({ name: 'hearth_store_up', labels: {}, value: 1 })
    expect(
      samples.find(({ name, labels }) => name === 'hearth_certificates' && labels.status === 'valid')?.value,
    ).toBeGreaterThan(0)
    expect(statSync(gateway.path('data/metrics.token')).mode & 0o777).toBe(0o600)
  })

  test('hearth dns log shows who asked for what, the newest last, and forgets it all on request', async () => {
    await run('dig', [
      '@127.0.0.1',
      '-p',
      String(gateway.status.dns.port),
      '+tries=1',
      'note.home.arpa',
      'TXT',
    ])
    await run('dig', [
      '@127.0.0.1',
      '-p',
      String(gateway.status.dns.port),
      '+tries=1',
      '+tcp',
      'deep.note.home.arpa',
      'A',
    ])
    const logged = await gateway.hearthJson<LoggedQuery[]>(
      'dns',
      'log',
      '--name',
      'note',
      '--client',
      '127.0.0.1',
    )
    expect(
      logged.map(
        ({ transport, name, type, rcode, source }) => `${transport} ${name} ${type} ${rcode} ${source}`,
      ),
    ).toEqual(['udp note.home.arpa. TXT NXDOMAIN zone', 'tcp deep.note.home.arpa. A NXDOMAIN zone'])
    expect((await gateway.hearth('dns', 'log', '--limit', '1')).stdout).toMatch(
      /^TIME .*\n.* tcp +deep\.note\.home\.arpa\. /,
    )
    expect(await gateway.hearthJson('dns', 'log', '--since', '2099-01-01')).toEqual([])
    expect((await gateway.hearth('dns', 'log', '--limit', 'many')).code).toBe(2)
    expect(statSync(gateway.path('data/queries')).mode & 0o777).toBe(0o700)
    expect((await gateway.hearth('dns', 'log', '--clear')).stdout).toContain('removed')
    expect(readdirSync(gateway.path('data/queries'))).toEqual([])
    expect(await gateway.hearthJson('dns', 'log')).toEqual([])
  })

  test('status tells the ways in, and how the upstreams are', async () => {
    await run('dig', ['@127.0.0.1', '-p', String(gateway.status.dns.port), '+tries=1', 'example.com', 'A'])
    const { stdout } = await gateway.hearth('status')
    expect(stdout).toMatch(/^DNS .*udp:\/\/127\.0\.0\.1:9 \(failing\)$/m)
    expect(stdout).toMatch(/^DNS over TLS +port \d+$/m)
    expect(stdout).toMatch(/^DNS over HTTPS +https:\/\/gateway\.home\.arpa:\d+\/dns-query$/m)
  })

  test('health is good', async () => {
    const { stdout } = await run('curl', [
      '-s',
      '-w',
      '%{http_code}',
      '--cacert',
      root,
      gateway.url('https', '/healthz'),
    ])
    expect(stdout).toBe('ok\n200')
  })
})
