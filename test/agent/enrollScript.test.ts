import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { renew } from '../../agent/renew.ts'
import { openssl, TestCa } from './testCa.ts'
import { sendBase64, TestGateway } from './testGateway.ts'
import { TestTime } from './testTime.ts'

const SCRIPT = join(import.meta.dirname, '../../deploy/hearth-enroll.sh')

let folder: string
let ca: TestCa
let gateway: TestGateway
let out: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hearth-agent-'))
  ca = new TestCa(folder, 'Home')
})
afterAll(() => rmSync(folder, { recursive: true }))

beforeEach(async () => {
  gateway = await new TestGateway({ ca }).start()
  out = join(mkdtempSync(join(folder, 'device-')), 'tls')
})
afterEach(() => gateway.stop())

interface Ended {
  code: number | null
  output: string
}

/** Runs the script without blocking the gateway, which lives in this process. */
async function run(
  args: string[] = [gateway.url, gateway.fingerprint, out],
  { environment = { HEARTH_TOKEN: gateway.token } as Record<string, string>, input = '' } = {},
): Promise<Ended> {
  const script = spawn('sh', [SCRIPT, ...args], { env: { PATH: process.env.PATH, ...environment } })
  script.stdin.end(input)
  const [output, errors, [code]] = await Promise.all([
    text(script.stdout),
    text(script.stderr),
    once(script, 'exit'),
  ])
  return { code, output: output + errors }
}

const read = (file: string) => readFileSync(join(out, file), 'utf8')

test('curl and OpenSSL alone get the same files as the agent, and the agent renews them', async () => {
  expect(await run()).toEqual({
    code: 0,
    output: expect.stringMatching(/^enrolled: nas\.home\.arpa 192\.168\.1\.10 in /),
  })
  expect(
    openssl(
      'verify',
      '-CAfile',
      join(out, 'root.pem'),
      '-untrusted',
      join(out, 'chain.pem'),
      join(out, 'cert.pem'),
    ).toString(),
  ).toContain('OK')
  expect(statSync(join(out, 'key.pem')).mode & 0o777).toBe(0o600)
  expect(statSync(join(out, 'cert.pem')).mode & 0o777).toBe(0o644)
  expect(read('fullchain.pem')).toBe(read('cert.pem') + read('chain.pem'))

  const time = new TestTime()
  const { certificate } = await renew({ out, clock: time })
  const seconds = (milliseconds: number) => new Date(milliseconds).toISOString().replace('.000', '')
  expect(JSON.parse(read('hearth.json'))).toEqual({
    ...certificate,
    notBefore: seconds(certificate.notBefore),
    notAfter: seconds(certificate.notAfter),
    renewAt: seconds(certificate.renewAt),
  })
  expect((await renew({ out, clock: time, force: true })).certificate.serial).not.toBe(certificate.serial)
  expect(readdirSync(out)).not.toContain('pending-key.pem')
})

test('the token may come on standard input, and is in no argument of any process', async () => {
  let seen = ''
  gateway.fault = (operation) => {
    if (operation !== 'simpleenroll') return false
    for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
      if (existsSync(`/proc/${pid}/cmdline`)) seen += readFileSync(`/proc/${pid}/cmdline`, 'latin1')
    }
    return false
  }
  const { code } = await run(undefined, { environment: {}, input: `${gateway.token}\n` })
  expect(code).toBe(0)
  expect(seen).toContain('simpleenroll')
  expect(seen).not.toContain(gateway.token.split(':')[1])
})

test('another root than the pinned one: no token is sent, nothing is written', async () => {
  const { code, output } = await run([gateway.url, 'ab'.repeat(32), out])
  expect(code).toBe(1)
  expect(output).toContain('AB'.repeat(32))
  expect(output).toContain(gateway.fingerprint.toUpperCase())
  expect(gateway.requests).toEqual([{ operation: 'cacerts', authorization: '', client: '' }])
  expect(existsSync(out)).toBe(false)
})

test('a man in the middle with a certificate from another CA gets no token', async () => {
  const mallory = await new TestGateway({
    ca,
    tls: new TestCa(folder, 'Mallory').server(['127.0.0.1']),
  }).start()
  try {
    const { code, output } = await run([mallory.url, gateway.fingerprint, out])
    expect(code).toBe(1)
    expect(output).toContain('does not prove to be the pinned gateway')
    expect(mallory.requests).toEqual([{ operation: 'cacerts', authorization: '', client: '' }])
  } finally {
    await mallory.stop()
  }
})

test('a lost answer: the next run sends the same key', async () => {
  gateway.fault = (operation, response, request) => {
    if (operation === 'simpleenroll')
      response.end = (() => request.socket.destroy()) as unknown as ServerResponse['end']
    return false
  }
  expect((await run()).code).toBe(1)
  const pending = read('pending-key.pem')
  expect(statSync(join(out, 'pending-key.pem')).mode & 0o777).toBe(0o600)
  gateway.fault = () => false
  expect((await run()).code).toBe(0)
  expect(read('key.pem')).toBe(pending)
})

test('waits for approval', async () => {
  let answers = 0
  gateway.fault = (operation, response) => {
    if (operation !== 'simpleenroll' || answers > 0) return false
    answers += 1
    response.writeHead(202, { 'Retry-After': '1' }).end()
    return true
  }
  expect(await run()).toEqual({ code: 0, output: expect.stringContaining('approve') })
})

test('a refusal comes in the words of the gateway', async () => {
  gateway.fault = (operation, response) => {
    if (operation !== 'simpleenroll') return false
    response.writeHead(403, { 'Content-Type': 'text/plain' }).end('the token ran out\x1b[2J\n')
    return true
  }
  const { code, output } = await run()
  expect(code).toBe(1)
  expect(output).toContain('the token ran out[2J')
})

test('a wrong token', async () => {
  const { code, output } = await run(undefined, { environment: { HEARTH_TOKEN: 'd1:wrong' } })
  expect(code).toBe(1)
  expect(output).toContain('does not accept the token')
})

test.each<[string, (response: ServerResponse) => void]>([
  ['a page', (response) => response.end('<html>router login</html>')],
  ['noise', (response) => sendBase64(response, Buffer.from('noise'))],
  ['a file without end', (response) => response.end('QUFB'.repeat(1_000_000))],
  ['a redirect', (response) => response.writeHead(302, { Location: 'https://127.0.0.1:1/' }).end()],
])('a reply that is none: %s', async (_, answer) => {
  for (const operation of ['cacerts', 'simpleenroll']) {
    gateway.fault = (asked, response) => {
      if (asked !== operation) return false
      answer(response)
      return true
    }
    expect((await run()).code).toBe(1)
    expect(existsSync(join(out, 'cert.pem'))).toBe(false)
  }
})

test('a certificate for another key, or from another CA, or with another name, is refused', async () => {
  const mallory = new TestCa(folder, 'Mallory')
  const foreign = openssl(
    'req',
    '-new',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    join(folder, 'k'),
    '-subj',
    '/',
    '-outform',
    'DER',
  )
  gateway.issue = () => ca.certify(foreign, ['nas.home.arpa'])
  expect((await run()).output).toContain('is for another key')
  rmSync(out, { recursive: true })
  gateway.issue = (csr) => mallory.certify(csr, ['nas.home.arpa'])
  expect((await run()).output).toContain('does not chain to the pinned root')
  rmSync(out, { recursive: true })
  gateway.issue = (csr) => ca.certify(csr, ['bank.home.arpa'])
  expect((await run([gateway.url, gateway.fingerprint, out, 'nas'])).output).toContain(
    'does not carry the name nas',
  )
  expect(existsSync(join(out, 'cert.pem'))).toBe(false)
})

test('files of others are not replaced', async () => {
  mkdirSync(out)
  writeFileSync(join(out, 'key.pem'), 'precious')
  expect((await run()).output).toContain('already holds key.pem')
  expect(gateway.requests).toEqual([])
})

test('a name may be given whole or without the domain', async () => {
  for (const name of ['nas', 'NAS.home.arpa.']) {
    expect((await run([gateway.url, gateway.fingerprint, out, name])).code).toBe(0)
  }
})

test('bad usage: exit 2 with the usage, or 1 with what is wrong', async () => {
  expect(await run([])).toEqual({ code: 2, output: expect.stringContaining('usage: HEARTH_TOKEN=ID:TOKEN') })
  for (const [url, fingerprint] of [
    ['http://127.0.0.1:1', gateway.fingerprint],
    [`${gateway.url}/est`, gateway.fingerprint],
    [gateway.url, 'abc'],
    [gateway.url, 'xy'.repeat(32)],
  ] as const)
    expect((await run([url, fingerprint, out])).code).toBe(1)
  expect((await run(undefined, { environment: { HEARTH_TOKEN: 'none' } })).code).toBe(1)
  expect((await run(undefined, { environment: {} })).code).toBe(1)
  expect(gateway.requests).toEqual([])
})
