import { writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { TestGateway } from '../support/gateway.ts'
import { run } from '../support/run.ts'

/** Revocation as others see it: OpenSSL and GnuTLS ask the running gateway. */

let gateway: TestGateway
let out: string

beforeAll(async () => {
  gateway = await new TestGateway().start()
  out = await gateway.enroll('lamp')
})

afterAll(() => gateway.dispose())

/** What `openssl ocsp` makes of the answer, times left out. */
async function ocsp(...args: string[]): Promise<string> {
  const { output } = await run('openssl', [
    'ocsp',
    '-issuer',
    `${out}/chain.pem`,
    '-cert',
    `${out}/cert.pem`,
    '-CAfile',
    `${out}/root.pem`,
    '-url',
    gateway.url('http', '/ocsp'),
    ...args,
  ])
  return output.replaceAll(`${out}/`, '').replaceAll(/^.*(Update|Revocation Time):.*\n/gm, '')
}

/** The issuer's CRL, from where the certificate says that it is. */
async function crl(): Promise<{ file: string; text: string }> {
  const { stdout } = await run('openssl', [
    'x509',
    '-in',
    `${out}/cert.pem`,
    '-noout',
    '-ext',
    'crlDistributionPoints',
  ])
  const path = /URI:http:\/\/gateway.home.arpa:\d+(\S+)/.exec(stdout)![1]!
  const file = gateway.path('issuer.crl')
  await run('curl', ['-s', '-o', file, gateway.url('http', path)])
  const { output } = await run('openssl', ['crl', '-inform', 'der', '-in', file, '-noout', '-text'])
  return { file, text: output }
}

async function verifyWithCrl(): Promise<string> {
  const { file } = await crl()
  const pem = gateway.path('crl.pem')
  writeFileSync(pem, (await run('openssl', ['crl', '-inform', 'der', '-in', file])).stdout)
  const { output } = await run('openssl', [
    'verify',
    '-x509_strict',
    '-crl_check',
    '-CRLfile',
    pem,
    '-CAfile',
    `${out}/root.pem`,
    '-untrusted',
    `${out}/chain.pem`,
    `${out}/cert.pem`,
  ])
  return output
}

async function ocsptool(): Promise<string> {
  return (
    await run('ocsptool', [
      `--ask=${gateway.url('http', '/ocsp')}`,
      '--load-cert',
      `${out}/cert.pem`,
      '--load-issuer',
      `${out}/chain.pem`,
      '--load-trust',
      `${out}/chain.pem`,
    ])
  ).output
}

describe('before (CERT-2)', () => {
  test('OpenSSL: good, with the nonce it sent; and without one', async () => {
    expect(await ocsp()).toBe('Response verify OK\ncert.pem: good\n')
    expect(await ocsp('-no_nonce')).toBe('Response verify OK\ncert.pem: good\n')
  })

  test('GnuTLS: good', async () => {
    const text = await ocsptool()
    expect(text).toContain('Certificate Status: good')
    expect(text).toContain('Verifying OCSP Response: Success.')
  })

  test('a serial that was never issued: unknown', async () => {
    const { output } = await run('openssl', [
      'ocsp',
      '-issuer',
      `${out}/chain.pem`,
      '-serial',
      '0x1234',
      '-CAfile',
      `${out}/root.pem`,
      '-url',
      gateway.url('http', '/ocsp'),
    ])
    expect(output).toContain('0x1234: unknown')
  })

  test('by GET', async () => {
    const request = gateway.path('request.der')
    await run('openssl', [
      'ocsp',
      '-issuer',
      `${out}/chain.pem`,
      '-cert',
      `${out}/cert.pem`,
      '-no_nonce',
      '-reqout',
      request,
    ])
    const base64 = (await run('base64', ['-w0', request])).stdout
    const { stdout } = await run('curl', ['-si', gateway.url('http', `/ocsp/${encodeURIComponent(base64)}`)])
    expect(stdout).toMatch(/^HTTP\/1.1 200 OK/)
    expect(stdout).toMatch(/^Content-Type: application\/ocsp-response\r$/m)
    expect(stdout).toMatch(/^Cache-Control: public, max-age=60, no-transform, must-revalidate\r$/m)
  })

  test('the CRL is served though it is empty, and OpenSSL accepts the certificate with it', async () => {
    expect((await crl()).text).toContain('No Revoked Certificates.')
    expect(await verifyWithCrl()).toContain('cert.pem: OK')
  })
})

describe("the gateway's own certificate", () => {
  const handshake = async (listener: 'https' | 'est', ...args: string[]) =>
    (
      await run('openssl', [
        's_client',
        '-connect',
        `127.0.0.1:${gateway.port(listener)}`,
        '-servername',
        'gateway.home.arpa',
        ...args,
        '-CAfile',
        `${out}/root.pem`,
        '-verify_hostname',
        'gateway.home.arpa',
        '-verify_return_error',
      ])
    ).output

  test.each(['https', 'est'] as const)(
    '%s: verifies, TLS 1.3, and a good OCSP answer is stapled (CERT-2)',
    async (listener) => {
      const text = await handshake(listener, '-status')
      expect(text).toContain('Verification: OK')
      expect(text).toContain('New, TLSv1.3')
      expect(text).toContain('OCSP Response Status: successful')
      expect(text).toContain('Cert Status: good')
    },
  )

  test('it names the gateway and its address', async () => {
    const { stdout } = await run('openssl', ['x509', '-noout', '-ext', 'subjectAltName'], {
      input: await handshake('https'),
    })
    expect(stdout).toContain('DNS:gateway.home.arpa, IP Address:127.0.0.1')
  })

  test('revoked, it is replaced at once', async () => {
    const { certificate } = await gateway.hearthJson<{ certificate: { serial: string } }>('status')
    await gateway.hearthJson('cert', 'revoke', certificate.serial)
    const serial = async () => (await gateway.hearthJson<typeof gateway.status>('status')).certificate.serial
    for (let tries = 0; tries < 50 && (await serial()) === certificate.serial; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    const text = await handshake('https', '-status')
    expect(text).toContain('Verification: OK')
    expect(text).toContain('Cert Status: good')
    expect(await serial()).not.toBe(certificate.serial)
  })
})

describe('after `hearth cert revoke` (CERT-1, CERT-2)', () => {
  beforeAll(async () => {
    const { revoked } = await gateway.hearthJson<{ revoked: string[] }>(
      'cert',
      'revoke',
      'lamp',
      '--reason',
      'keyCompromise',
    )
    expect(revoked).toHaveLength(1)
  })

  test('the very next OCSP answer says so, with the reason', async () => {
    const said = 'Response verify OK\ncert.pem: revoked\n\tReason: keyCompromise\n'
    expect(await ocsp()).toBe(said)
    expect(await ocsp('-no_nonce')).toBe(said)
    expect(await ocsptool()).toContain('Certificate Status: revoked')
  })

  test('so does the very next CRL, and OpenSSL refuses the certificate', async () => {
    const { text } = await crl()
    expect(text).toContain('Key Compromise')
    expect(await verifyWithCrl()).toContain('certificate revoked')
  })

  test('revoking again is refused: there is nothing left; the list shows the first reason', async () => {
    const again = await gateway.hearth('cert', 'revoke', 'lamp')
    expect(again.code).toBe(1)
    expect(again.stderr).toContain('lamp.home.arpa has no certificate that is still valid')
    const list = await gateway.hearthJson<{ names: string[]; status: string; reason?: string }[]>(
      'cert',
      'list',
    )
    expect(list.filter(({ names }) => names.includes('lamp.home.arpa'))).toEqual([
      expect.objectContaining({ status: 'revoked', reason: 'keyCompromise' }),
    ])
  })

  test('and it holds after a restart', async () => {
    expect(await gateway.stop()).toBe(0)
    await gateway.start()
    expect(await ocsp()).toContain('cert.pem: revoked')
  })
})
