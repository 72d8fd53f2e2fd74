import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { enroll } from '../../agent/enroll.ts'
import type { CertificateFacts } from '../../agent/facts.ts'
import { type RenewOptions, renew } from '../../agent/renew.ts'
import { DAY } from '../../base/clock.ts'
import { readPem } from '../../x509/certificate.ts'
import { openssl, TestCa } from './testCa.ts'
import { TestGateway } from './testGateway.ts'
import { TestTime } from './testTime.ts'

let folder: string
let ca: TestCa
let gateway: TestGateway
let out: string
let time: TestTime
let said: string[]
let first: CertificateFacts

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hearth-agent-'))
  ca = new TestCa(folder, 'Home')
})
afterAll(() => rmSync(folder, { recursive: true }))

beforeEach(async () => {
  gateway = await new TestGateway({ ca }).start()
  out = join(mkdtempSync(join(folder, 'device-')), 'tls')
  time = new TestTime()
  said = []
  const { url, fingerprint, token } = gateway
  first = await enroll({ gateway: url, fingerprint, token, out, clock: time })
  gateway.requests.length = 0
})
afterEach(() => gateway.stop())

const run = (options: Partial<RenewOptions> = {}) =>
  renew({ out, clock: time, wait: time.wait, log: (line) => said.push(line), ...options })
const read = (file: string) => readFileSync(join(out, file), 'utf8')

describe('time', () => {
  test('before two thirds of its life: nothing is done, and when it will be is told', async () => {
    time.pass(first.renewAt - time.now() - 1000)
    expect(await run()).toEqual({ renewed: false, certificate: first })
    expect(gateway.requests).toEqual([])
    expect(said.join()).toContain('to be renewed from 20')
  })

  test('after: a new certificate for a fresh key, asked for with the old certificate', async () => {
    time.pass(first.renewAt - time.now())
    const key = read('key.pem')
    const { renewed, certificate } = await run()
    expect(renewed).toBe(true)
    expect(certificate.serial).not.toBe(first.serial)
    expect(JSON.parse(read('hearth.json')).serial).toBe(certificate.serial)
    expect(read('key.pem')).not.toBe(key)
    expect(statSync(join(out, 'key.pem')).mode & 0o777).toBe(0o600)
    expect(gateway.operations).toEqual(['csrattrs', 'cacerts', 'simplereenroll'])
    expect(new Set(gateway.requests.map(({ client }) => client))).toEqual(new Set([first.serial]))
    expect(gateway.requests.map(({ authorization }) => authorization).join('')).toBe('')
  })

  test('by force, before it is time', async () => {
    expect((await run({ force: true })).renewed).toBe(true)
  })

  test('the names follow the gateway', async () => {
    gateway.assigned = { dns: ['storage.home.arpa', 'nas.home.arpa'], ip: [] }
    const { certificate } = await run({ force: true })
    expect(certificate.names).toEqual(['storage.home.arpa', 'nas.home.arpa'])
    expect(certificate.addresses).toEqual([])
  })

  test('up to 30 days after its end it can still renew', async () => {
    time.pass(first.notAfter + 30 * DAY - time.now() - 1000)
    gateway.days = 90
    expect((await run()).renewed).toBe(true)
  })

  test('later it has to be paired again, and says how', async () => {
    time.pass(first.notAfter + 30 * DAY - time.now() + 1000)
    await expect(run()).rejects.toMatchObject({
      code: 'EXPIRED',
      message: expect.stringMatching(/hearth device token.*hearth enroll/),
    })
    expect(gateway.requests).toEqual([])
  })
})

describe('what fails leaves the old certificate', () => {
  afterEach(() => {
    expect(JSON.parse(read('hearth.json')).serial).toBe(first.serial)
    expect(readdirSync(join(out, '.generations'))).toEqual([first.serial])
  })

  test('a gateway with a certificate from another CA', async () => {
    const port = Number(new URL(gateway.url).port)
    await gateway.stop()
    gateway = await new TestGateway({ ca: new TestCa(folder, 'Mallory') }).start(port)
    await expect(run({ force: true })).rejects.toMatchObject({ code: 'GATEWAY_UNTRUSTED' })
    expect(gateway.requests).toEqual([])
  })

  test('a device that was removed', async () => {
    gateway.fault = (operation, response) => {
      if (operation === 'cacerts') return false
      response.writeHead(403, { 'Content-Type': 'text/plain' }).end('the device "nas" was removed')
      return true
    }
    await expect(run({ force: true })).rejects.toMatchObject({
      code: 'REFUSED',
      message: expect.stringContaining('the device "nas" was removed'),
    })
  })

  test('a certificate from another CA in the reply', async () => {
    const mallory = new TestCa(folder, 'Mallory')
    gateway.issue = (csr) => mallory.certify(csr, ['nas.home.arpa', '192.168.1.10'])
    await expect(run({ force: true })).rejects.toMatchObject({ code: 'CERTIFICATE_REFUSED' })
  })
})

test('a directory without a certificate', async () => {
  await expect(run({ out: join(folder, 'nothing') })).rejects.toMatchObject({ code: 'NOT_ENROLLED' })
})

describe('a new root', () => {
  const roots = () => readPem(read('root.pem'), 'CERTIFICATE')

  test('is trusted when it comes beside the old one, and then alone', async () => {
    const next = new TestCa(folder, 'Home 2')
    const cross = ca.crossCertify(next)
    gateway.listed = [ca.root.der, ca.issuer.der, next.root.der, next.issuer.der, cross]
    gateway.issue = (csr) => next.certify(csr, ['nas.home.arpa', '192.168.1.10'])
    await run({ force: true })
    expect(roots()).toEqual([next.root.der, ca.root.der])
    expect(readPem(read('chain.pem'), 'CERTIFICATE')).toEqual([next.issuer.der, cross])
    // Whoever knows only the old root follows through the cross-certificate.
    const verified = openssl(
      ...[
        'verify',
        '-CAfile',
        ca.root.certificate,
        '-untrusted',
        join(out, 'chain.pem'),
        join(out, 'cert.pem'),
      ],
    )
    expect(verified.toString()).toContain('OK')

    const port = Number(new URL(gateway.url).port)
    await gateway.stop()
    const issued = gateway
    gateway = await new TestGateway({ ca: next }).start(port)
    gateway.adopt(issued)
    await run({ force: true })
    expect(roots()).toEqual([next.root.der])
  })

  test('is not trusted when it comes without the old one', async () => {
    const next = new TestCa(folder, 'Home 2')
    gateway.listed = [next.root.der, next.issuer.der]
    gateway.issue = (csr) => next.certify(csr, ['nas.home.arpa', '192.168.1.10'])
    await expect(run({ force: true })).rejects.toMatchObject({ code: 'CERTIFICATE_REFUSED' })
    expect(roots()).toEqual([ca.root.der])
  })
})

describe('the hook', () => {
  test('runs after a renewal and finds the new certificate', async () => {
    const hook = 'cp "$HEARTH_OUT/cert.pem" seen.pem; printf %s "$HEARTH_SERIAL" > "$HEARTH_OUT/../serial"'
    const { certificate } = await run({ force: true, hook: `cd "$HEARTH_OUT/.." && ${hook}` })
    expect(read('../serial')).toBe(certificate.serial)
    expect(read('../seen.pem')).toBe(read('cert.pem'))
  })

  test('does not run when nothing was renewed', async () => {
    await run({ hook: 'touch "$HEARTH_OUT/../ran"' })
    expect(existsSync(join(out, '../ran'))).toBe(false)
  })

  test('that fails is reported with its last words, and runs again at the next call until it succeeds', async () => {
    const hook =
      'echo . >> "$HEARTH_OUT/../ran"; test -e "$HEARTH_OUT/../ready" || { echo no nginx here; exit 3; }'
    await expect(run({ force: true, hook })).rejects.toMatchObject({
      code: 'HOOK_FAILED',
      message: expect.stringMatching(/ended with 3: no nginx here/),
    })
    expect(JSON.parse(read('hearth.json')).serial).not.toBe(first.serial)
    await expect(run({ hook })).rejects.toMatchObject({ code: 'HOOK_FAILED' })
    expect((await run({ hook: `touch "$HEARTH_OUT/../ready"; ${hook}` })).renewed).toBe(false)
    await run({ hook })
    expect(read('../ran')).toBe('.\n.\n.\n')
  })

  test('that leaves a daemon with its output open is not waited for', async () => {
    await run({ force: true, hook: 'sleep 600 & echo $! > "$HEARTH_OUT/../pid"' })
    process.kill(Number(read('../pid')))
  })

  test('ends with everything it started when it is interrupted', async () => {
    const stop = new AbortController()
    const running = run({
      force: true,
      signal: stop.signal,
      hook: 'sleep 600 & echo $! > "$HEARTH_OUT/../pid"; wait',
    })
    while (!existsSync(join(out, '../pid')) || read('../pid') === '') await new Promise(setImmediate)
    stop.abort()
    await expect(running).rejects.toMatchObject({ name: 'AbortError' })
    const child = Number(read('../pid'))
    await untilGone(child)
    await run({ hook: 'touch "$HEARTH_OUT/../again"' })
    expect(existsSync(join(out, '../again'))).toBe(true)
  })
})

/** A killed process may stay as a zombie for as long as its new parent likes. */
async function untilGone(pid: number): Promise<void> {
  const state = () => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.[0]
  while (existsSync(`/proc/${pid}`) && state() !== 'Z') await new Promise(setImmediate)
}
