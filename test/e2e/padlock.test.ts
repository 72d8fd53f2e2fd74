import { writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Page } from 'playwright-core'
import { pem } from '../../x509/certificate.ts'
import { openBrowser } from '../support/browser.ts'
import { TestGateway } from '../support/gateway.ts'
import { forge, stealIssuer } from '../support/homeCa.ts'
import { run } from '../support/run.ts'

/**
 * The whole way: a fresh gateway with the internet gone, a device that enrolls, a browser that trusts the
 * root, a page without a warning. And what must not work, whoever holds the issuer's key.
 */

let gateway: TestGateway
let root: string
let browser: Awaited<ReturnType<typeof openBrowser>>
const servers: Server[] = []

/** A small HTTPS server of a device; certificate and key as files or PEM text. */
async function serve(identity: { cert: string; key: string }): Promise<number> {
  const server = createServer(identity, (_request, response) =>
    response.end('<h1>hello from the device</h1>'),
  )
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

async function read(path: string): Promise<string> {
  return (await run('cat', [path])).stdout
}

/** The text of the page, or the network error that the browser shows instead. */
async function visit(url: string): Promise<string> {
  const page: Page = await browser.context.newPage()
  try {
    const response = await page.goto(url)
    return (await response!.text()).trim()
  } catch (error) {
    return /net::[A-Z_]+/.exec(String(error))?.[0] ?? String(error)
  } finally {
    await page.close()
  }
}

beforeAll(async () => {
  gateway = await new TestGateway().start()
  root = await gateway.rootFile()
  browser = await openBrowser({
    trust: [root],
    rules: 'MAP *.home.arpa 127.0.0.1, MAP bank.example 127.0.0.1',
  })
})

afterAll(async () => {
  await browser?.close()
  for (const server of servers) server.close()
  await gateway.dispose()
})

describe('a device of the home (TRUST-2, AVAIL-1, UC-07)', () => {
  let out: string
  let port: number

  beforeAll(async () => {
    out = await gateway.enroll('printer')
    port = await serve({
      cert: await read(join(out, 'fullchain.pem')),
      key: await read(join(out, 'key.pem')),
    })
  })

  test('its page opens in Chromium without a warning', async () => {
    expect(await visit(`https://printer.home.arpa:${port}/`)).toBe('<h1>hello from the device</h1>')
  })

  test('its name resolves, forward and back, with no upstream reachable', async () => {
    const dig = async (...args: string[]) =>
      (
        await run('dig', ['@127.0.0.1', '-p', String(gateway.status.dns.port), '+short', ...args])
      ).stdout.trim()
    expect(await dig('printer.home.arpa', 'A')).toBe('127.0.0.1')
    expect(await dig('-x', '127.0.0.1')).toContain('printer.home.arpa.')
  })

  test('curl accepts it for its name and its address', async () => {
    const curl = (url: string) =>
      run('curl', ['-s', '--cacert', root, '--resolve', `printer.home.arpa:${port}:127.0.0.1`, url])
    expect((await curl(`https://printer.home.arpa:${port}/`)).stdout).toContain('hello')
    expect((await curl(`https://127.0.0.1:${port}/`)).stdout).toContain('hello')
  })

  test('OpenSSL verifies it strictly, GnuTLS too', async () => {
    const strict = await run('openssl', [
      'verify',
      '-x509_strict',
      '-CAfile',
      root,
      '-untrusted',
      join(out, 'chain.pem'),
      '-purpose',
      'sslserver',
      '-verify_hostname',
      'printer.home.arpa',
      join(out, 'cert.pem'),
    ])
    expect(strict.output).toContain('cert.pem: OK')
    const gnutls = await run('certtool', [
      '--verify',
      '--load-ca-certificate',
      root,
      '--verify-hostname',
      'printer.home.arpa',
      '--infile',
      join(out, 'fullchain.pem'),
    ])
    expect(gnutls.output).toContain('Chain verification output: Verified. The certificate is trusted.')
  })

  test('the console and the onboarding page open', async () => {
    expect(await visit(`${gateway.status.listeners.https}/`)).toContain('Hearth')
    expect(await visit(`${gateway.status.listeners.http}/`)).toContain('fingerprint')
  })
})

describe('what Chromium must refuse', () => {
  test('a certificate of another CA for the same name (TRUST-2)', async () => {
    const [key, cert] = [gateway.path('other.key'), gateway.path('other.pem')]
    await run('openssl', [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      key,
      '-out',
      cert,
      '-subj',
      '/CN=printer.home.arpa',
      '-addext',
      'subjectAltName=DNS:printer.home.arpa',
      '-days',
      '7',
    ])
    const port = await serve({ cert: await read(cert), key: await read(key) })
    expect(await visit(`https://printer.home.arpa:${port}/`)).toBe('net::ERR_CERT_AUTHORITY_INVALID')
  })
})

describe("what nobody accepts, though the home's own issuer signed it (CONSENT-2)", () => {
  test.each([
    { what: 'a public name', names: { dns: ['bank.example'] }, host: 'bank.example' },
    {
      what: 'a public address',
      names: { dns: ['printer.home.arpa'], ip: ['8.8.8.8'] },
      host: 'printer.home.arpa',
    },
  ])('$what', async ({ names, host }) => {
    const issuer = await stealIssuer(gateway)
    const { certificate, pair } = forge(issuer, names)
    const chain = pem(issuer.certificate, 'CERTIFICATE')
    const leaf = pem(certificate, 'CERTIFICATE')
    const key = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
    const [leafFile, chainFile, bundle] = ['leaf.pem', 'issuer.pem', 'bundle.pem'].map((name) =>
      gateway.path(name),
    )
    writeFileSync(leafFile!, leaf)
    writeFileSync(chainFile!, chain)
    writeFileSync(bundle!, leaf + chain)
    const port = await serve({ cert: leaf + chain, key })

    expect(await visit(`https://${host}:${port}/`)).toMatch(/^net::ERR_CERT_/)

    const openssl = await run('openssl', ['verify', '-CAfile', root, '-untrusted', chainFile!, leafFile!])
    expect(openssl.output).toContain('permitted subtree violation')

    const gnutls = await run('certtool', ['--verify', '--load-ca-certificate', root, '--infile', bundle!])
    expect(gnutls.output).toContain('Not verified')

    const curl = await run('curl', [
      '-sS',
      '--cacert',
      root,
      '--resolve',
      `${host}:${port}:127.0.0.1`,
      `https://${host}:${port}/`,
    ])
    expect(curl.output).toContain('permitted subtree violation')
  })
})
