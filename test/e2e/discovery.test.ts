import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { TestGateway } from '../support/gateway.ts'
import { freePort } from '../support/ports.ts'
import { run } from '../support/run.ts'

/** What a client learns from the home's DNS alone, walked with dig as a DNS-SD client walks it. */

let gateway: TestGateway

beforeAll(async () => {
  gateway = new TestGateway({
    dns: { upstreams: ['udp://127.0.0.1:9'], overrides: ['example.com'], ddr: true },
    listen: {
      addresses: ['127.0.0.1'],
      ...{ dns: 0, http: 0, est: 0, dot: await freePort(), https: await freePort() },
    },
  })
  await gateway.start()
})

afterAll(() => gateway.dispose())

/** Records of the answer section, their data alone, sorted. */
async function dig(name: string, type: string): Promise<string[]> {
  const { stdout } = await run('dig', [
    '@127.0.0.1',
    '-p',
    String(gateway.status.dns.port),
    ...['+short', '+time=5', '+tries=1', name, type],
  ])
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .toSorted()
}

async function status(name: string, type: string): Promise<string> {
  const { stdout } = await run('dig', [
    '@127.0.0.1',
    '-p',
    String(gateway.status.dns.port),
    ...['+time=5', '+tries=1', name, type],
  ])
  return /status: (\w+)/.exec(stdout)?.[1] ?? stdout
}

async function hearth(...args: string[]): Promise<void> {
  const { code, output } = await gateway.hearth(...args)
  expect({ code, output }).toEqual({ code: 0, output: expect.any(String) })
}

describe('services', () => {
  test('DISC-1: a client that knows only a domain finds every service, and where it is', async () => {
    await hearth('device', 'add', 'printer', '--address', '192.168.1.30')
    await hearth(
      'service',
      'add',
      'printer',
      '_ipp._tcp',
      '631',
      '--name',
      'Laser printer',
      '--txt',
      'rp=ipp/print',
    )
    await hearth('service', 'add', 'printer', '_http._tcp', '80')

    const found: string[] = []
    for (const domain of await dig('lb._dns-sd._udp.home.arpa', 'PTR')) {
      for (const type of await dig(`_services._dns-sd._udp.${domain}`, 'PTR')) {
        for (const instance of await dig(type, 'PTR')) {
          const [place = ''] = await dig(instance, 'SRV')
          const [, , port, host = ''] = place.split(' ')
          const [address] = await dig(host, 'A')
          found.push(`${instance} ${address}:${port} ${await dig(instance, 'TXT')}`)
        }
      }
    }
    expect(found).toEqual([
      'printer._http._tcp.home.arpa. 192.168.1.30:80 ""',
      'Laser\\032printer._ipp._tcp.home.arpa. 192.168.1.30:631 "rp=ipp/print"',
    ])
  })

  test('DISC-2: where a service speaks TLS, its name makes an https URL, and the DNS says what it speaks', async () => {
    await hearth('service', 'add', 'printer', '_https._tcp', '443', '--alpn', 'h2', '--alpn', 'http/1.1')
    expect(await dig('printer.home.arpa', 'HTTPS')).toEqual(['1 . alpn="h2,http/1.1"'])
    await hearth('service', 'add', 'printer', '_https._tcp', '8443', '--name', 'Settings')
    expect(await dig('_8443._https.printer.home.arpa', 'HTTPS')).toEqual(['1 printer.home.arpa. port=8443'])
  })

  test('a device that is removed takes everything with it', async () => {
    await hearth('device', 'remove', 'printer')
    for (const [name, type] of [
      ['printer.home.arpa', 'A'],
      ['_ipp._tcp.home.arpa', 'PTR'],
      ['_services._dns-sd._udp.home.arpa', 'PTR'],
      ['_8443._https.printer.home.arpa', 'HTTPS'],
      ['30.1.168.192.in-addr.arpa', 'PTR'],
    ] as const) {
      expect(await status(name, type)).toBe('NXDOMAIN')
    }
  })
})

describe('TRUST-3: enrolled keys', () => {
  const tlsa = () => dig('_443._tcp.nas.home.arpa', 'TLSA')
  let server: ChildProcess | null = null
  afterAll(() => {
    server?.kill()
  })

  test('a client that trusts no authority takes the device by its key alone, and nobody else', async () => {
    const out = await gateway.enroll('nas')
    const [record = ''] = await tlsa()
    expect(record).toMatch(/^3 1 1 [0-9A-F]{56} [0-9A-F]{8}$/)

    // The device shows its key under a certificate that it made itself: names and dates do not count.
    await run('openssl', [
      ...['req', '-x509', '-key', `${out}/key.pem`, '-subj', '/CN=anything', '-days', '1'],
      ...['-out', `${out}/self.pem`],
    ])
    const port = await freePort()
    server = spawn('openssl', [
      ...['s_server', '-accept', `127.0.0.1:${port}`, '-key', `${out}/key.pem`, '-cert', `${out}/self.pem`],
    ])
    await once(server.stdout!, 'data')
    const connect = (data: string) =>
      run(
        'openssl',
        [
          ...['s_client', '-connect', `127.0.0.1:${port}`, '-verify_return_error'],
          ...['-dane_tlsa_domain', 'nas.home.arpa', '-dane_tlsa_rrdata', data],
          // RFC 7671 section 5.1: OpenSSL looks at names all the same unless told not to.
          '-dane_ee_no_namechecks',
        ],
        { input: '' },
      )
    expect((await connect(record)).output).toContain('Verification: OK')
    const other = `3 1 1 ${'0'.repeat(64)}`
    expect((await connect(other)).output).toContain('no matching DANE TLSA records')
  })

  test('a key is withdrawn with its last certificate', async () => {
    await hearth('cert', 'revoke', 'nas.home.arpa', '--reason', 'keyCompromise')
    expect(await tlsa()).toEqual([])
    expect(await dig('nas.home.arpa', 'A')).toEqual(['127.0.0.1'])
  })
})

test('AVAIL-2: a public name of a device goes on resolving without the internet, with every type', async () => {
  await hearth('dns', 'add', 'nas.example.com', 'A', '192.168.1.5')
  expect(await dig('nas.example.com', 'A')).toEqual(['192.168.1.5'])
  for (const type of ['AAAA', 'HTTPS', 'MX']) expect(await status('nas.example.com', type)).toBe('NOERROR')
  expect(await status('www.example.com', 'A')).toBe('SERVFAIL')
  await hearth('dns', 'remove', 'nas.example.com')
  expect(await status('nas.example.com', 'A')).toBe('SERVFAIL')
})

test('a resolver that knows only the address learns of the encrypted ways to the gateway', async () => {
  const port = new URL(gateway.status.listeners.https).port
  expect(await dig('_dns.resolver.arpa', 'SVCB')).toEqual([
    expect.stringMatching(/^1 gateway\.home\.arpa\. alpn="dot" port=\d+ ipv4hint=127\.0\.0\.1$/),
    `2 gateway.home.arpa. alpn="h2" port=${port} ipv4hint=127.0.0.1 key7="/dns-query{?dns}"`,
  ])
})
