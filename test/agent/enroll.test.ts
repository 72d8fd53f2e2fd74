import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { type EnrollOptions, enroll } from '../../agent/enroll.ts'
import { makeKey } from '../../agent/key.ts'
import { DAY } from '../../base/clock.ts'
import { certsOnly } from '../../x509/cms.ts'
import { makeCsr } from '../../x509/csr.ts'
import { integer } from '../../x509/der.ts'
import { openssl, TestCa } from './testCa.ts'
import { sendBase64, TestGateway } from './testGateway.ts'
import { TestTime } from './testTime.ts'

let folder: string
let ca: TestCa
let otherCa: TestCa
let gateway: TestGateway
let out: string
let time: TestTime
let said: string[]

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hearth-agent-'))
  ca = new TestCa(folder, 'Home')
  otherCa = new TestCa(folder, 'Mallory')
})
afterAll(() => rmSync(folder, { recursive: true }))

beforeEach(async () => {
  gateway = await new TestGateway({ ca }).start()
  out = join(mkdtempSync(join(folder, 'device-')), 'tls')
  time = new TestTime()
  said = []
})
afterEach(() => gateway.stop())

function run(options: Partial<EnrollOptions> = {}) {
  return enroll({
    gateway: gateway.url,
    fingerprint: gateway.fingerprint,
    token: gateway.token,
    out,
    clock: time,
    wait: time.wait,
    log: (line) => said.push(line),
    ...options,
  })
}

const read = (file: string) => readFileSync(join(out, file), 'utf8')
const secret = () => gateway.token.split(':')[1]!

describe('a first certificate', () => {
  test('is stored with its key, chain and root, and OpenSSL agrees', async () => {
    const facts = await run()
    expect(facts.names).toEqual(['nas.home.arpa'])
    expect(facts.addresses).toEqual(['192.168.1.10'])
    expect(gateway.operations).toEqual(['cacerts', 'csrattrs', 'cacerts', 'simpleenroll'])

    const verified = openssl(
      ...['verify', '-CAfile', join(out, 'root.pem'), '-untrusted', join(out, 'chain.pem')],
      ...['-verify_hostname', 'nas.home.arpa', join(out, 'cert.pem')],
    )
    expect(verified.toString()).toContain('OK')
    const ofKey = openssl('pkey', '-in', join(out, 'key.pem'), '-pubout').toString()
    expect(openssl('x509', '-in', join(out, 'cert.pem'), '-noout', '-pubkey').toString()).toBe(ofKey)
    expect(read('fullchain.pem')).toBe(read('cert.pem') + read('chain.pem'))
    expect(statSync(join(out, 'key.pem')).mode & 0o777).toBe(0o600)
    expect(existsSync(join(out, 'pending-key.pem'))).toBe(false)

    const noted = JSON.parse(read('hearth.json'))
    expect(noted).toMatchObject({
      gateway: gateway.url,
      rootFingerprint: gateway.fingerprint.toUpperCase().match(/../g)!.join(':'),
      names: ['nas.home.arpa'],
      addresses: ['192.168.1.10'],
      serial: facts.serial,
    })
    expect(openssl('x509', '-in', join(out, 'cert.pem'), '-noout', '-serial').toString().trim()).toBe(
      `serial=${facts.serial}`,
    )
    const life = Date.parse(noted.notAfter) - Date.parse(noted.notBefore)
    expect(Date.parse(noted.renewAt) - Date.parse(noted.notBefore)).toBe((life * 2) / 3)
  })

  test('lies in a generation of its own, with nothing else around', async () => {
    const { serial } = await run()
    expect(realpathSync(join(out, 'cert.pem'))).toBe(
      realpathSync(join(out, '.generations', serial, 'cert.pem')),
    )
    expect(readdirSync(out).sort()).toEqual([
      '.current',
      '.generations',
      'cert.pem',
      'chain.pem',
      'fullchain.pem',
      'hearth.json',
      'key.pem',
      'root.pem',
    ])
  })

  test('replaces an earlier enrollment, which stays as the generation before', async () => {
    const serials = []
    for (let i = 0; i < 3; i++) serials.push((await run()).serial)
    expect(readdirSync(join(out, '.generations')).sort()).toEqual(serials.slice(1).sort())
  })

  test('takes a fingerprint as people copy it', async () => {
    await run({ fingerprint: ` ${gateway.fingerprint.toUpperCase().match(/../g)!.join(':')}\n` })
    expect(existsSync(join(out, 'cert.pem'))).toBe(true)
  })

  test('says no secret to anybody but the gateway', async () => {
    await run()
    expect(said.join('\n')).not.toContain(secret())
    for (const file of readdirSync(out, { recursive: true, withFileTypes: true })) {
      if (file.isFile())
        expect(readFileSync(join(file.parentPath, file.name), 'utf8')).not.toContain(secret())
    }
  })
})

describe('who is in between', () => {
  test('another root than the pinned one: both fingerprints are told, no token is sent, nothing written', async () => {
    const expected = 'ab'.repeat(32)
    await expect(run({ fingerprint: expected })).rejects.toMatchObject({
      code: 'ROOT_MISMATCH',
      message: expect.stringMatching(
        new RegExp(
          `${expected.toUpperCase().match(/../g)!.join(':')}.*${gateway.fingerprint.toUpperCase().match(/../g)!.join(':')}.*in between`,
        ),
      ),
    })
    expect(gateway.requests).toEqual([{ operation: 'cacerts', authorization: '', client: '' }])
    expect(existsSync(out)).toBe(false)
  })

  test('a man in the middle who shows the right root but has a certificate from another CA gets no token', async () => {
    const mallory = await new TestGateway({ ca, tls: otherCa.server(['127.0.0.1']) }).start()
    try {
      await expect(run({ gateway: mallory.url })).rejects.toMatchObject({ code: 'GATEWAY_UNTRUSTED' })
      expect(mallory.requests).toEqual([{ operation: 'cacerts', authorization: '', client: '' }])
      expect(existsSync(out)).toBe(false)
    } finally {
      await mallory.stop()
    }
  })

  test('a device of the home that plays gateway gets no token: its certificate has another name', async () => {
    const lamp = await new TestGateway({ ca, serverNames: ['lamp.home.arpa', '127.0.0.2'] }).start()
    try {
      await expect(run({ gateway: lamp.url })).rejects.toMatchObject({ code: 'GATEWAY_UNTRUSTED' })
      expect(lamp.requests).toEqual([{ operation: 'cacerts', authorization: '', client: '' }])
    } finally {
      await lamp.stop()
    }
  })

  test('nothing below TLS 1.3 is spoken', async () => {
    const old = await new TestGateway({ ca, tls: { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } }).start()
    try {
      await expect(run({ gateway: old.url })).rejects.toMatchObject({ code: 'UNREACHABLE' })
      expect(old.requests).toEqual([])
    } finally {
      await old.stop()
    }
  })
})

describe('names', () => {
  test.each(['nas', 'NAS.home.arpa', 'nas.home.arpa.', '192.168.1.10'])(
    '%s is one of the device',
    async (name) => {
      expect((await run({ name })).names).toEqual(['nas.home.arpa'])
    },
  )

  test('a name that is not assigned is refused before anything is requested', async () => {
    await expect(run({ name: 'printer' })).rejects.toMatchObject({
      code: 'NAME_NOT_ASSIGNED',
      message: expect.stringContaining('nas.home.arpa'),
    })
    expect(gateway.operations).not.toContain('simpleenroll')
    expect(existsSync(out)).toBe(false)
  })

  test('where the gateway says nothing beforehand, the certificate must still carry the name', async () => {
    gateway.assigned = null
    expect((await run({ name: 'nas' })).names).toEqual(['nas.home.arpa'])
    await expect(run({ name: 'printer' })).rejects.toMatchObject({ code: 'NAME_NOT_ASSIGNED' })
  })
})

test('a lost answer: the next run sends the same key and gets the same certificate', async () => {
  let issued = ''
  gateway.fault = (operation, response, request) => {
    if (operation !== 'simpleenroll') return false
    // The honest server issues, but its answer never leaves.
    response.end = (() => request.socket.destroy()) as unknown as ServerResponse['end']
    return false
  }
  const honest = gateway.issue
  gateway.issue = (csr) => {
    const certificate = honest(csr)
    issued += '.'
    return certificate
  }
  await expect(run()).rejects.toMatchObject({ code: 'UNREACHABLE' })
  const pending = read('pending-key.pem')
  expect(statSync(join(out, 'pending-key.pem')).mode & 0o777).toBe(0o600)
  expect(existsSync(join(out, 'cert.pem'))).toBe(false)

  gateway.fault = () => false
  await run()
  expect(read('key.pem')).toBe(pending)
  expect(issued).toBe('.')
  expect(existsSync(join(out, 'pending-key.pem'))).toBe(false)
})

describe('approval', () => {
  test('is waited for, as long as the gateway says, and the person is told', async () => {
    gateway.undecided = 2
    await run()
    expect(time.waits).toEqual([20_000, 20_000])
    expect(said.filter((line) => line.includes('approve'))).toHaveLength(2)
  })

  test('is not waited for beyond half an hour, whatever the gateway says', async () => {
    gateway.fault = (operation, response) => {
      if (operation !== 'simpleenroll') return false
      response.writeHead(202, { 'Retry-After': '86400' }).end()
      return true
    }
    await expect(run()).rejects.toMatchObject({ code: 'NOT_APPROVED' })
    expect(time.waits).toEqual(Array(15).fill(120_000))
  })
})

describe('refusals reach the person in the words of the gateway', () => {
  const answers = (status: number, reason: string) => {
    gateway.fault = (operation, response) => {
      if (operation !== 'simpleenroll') return false
      response.writeHead(status, { 'Content-Type': 'text/plain' }).end(reason)
      return true
    }
  }

  test.each([
    [401, 'UNAUTHORIZED'],
    [403, 'REFUSED'],
    [400, 'REFUSED'],
    [503, 'GATEWAY_FAILED'],
  ])('%d', async (status, code) => {
    answers(status, 'the token ran out\x1b[2J\nget another')
    await expect(run()).rejects.toMatchObject({
      code,
      message: expect.stringContaining('the token ran out [2J get another'),
    })
    expect(existsSync(join(out, 'cert.pem'))).toBe(false)
  })

  test('a token that the gateway repeats is not repeated', async () => {
    answers(403, `${secret()} is no good`)
    await expect(run()).rejects.toMatchObject({ message: expect.not.stringContaining(secret()) })
  })

  test('a wrong token', async () => {
    await expect(run({ token: 'd1:wrong' })).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
  })
})

describe('a reply that is none', () => {
  const junk: [string, string, (response: ServerResponse) => void][] = [
    ['text', 'REPLY_INVALID', (response) => response.end('<html>router login</html>')],
    ['nothing', 'REPLY_INVALID', (response) => response.end()],
    ['base64 of noise', 'REPLY_INVALID', (response) => sendBase64(response, Buffer.from('noise, no CMS'))],
    ['a list of no certificates', 'REPLY_INVALID', (response) => gateway.sendCertificates(response, [])],
    ['a file without end', 'REPLY_INVALID', (response) => response.end('QUFB'.repeat(100_000))],
    [
      'a redirect',
      'REPLY_INVALID',
      (response) => response.writeHead(302, { Location: 'https://127.0.0.1:1/' }).end(),
    ],
    [
      'a hang-up in the middle',
      'UNREACHABLE',
      (response) => {
        response.writeHead(200, { 'Content-Length': 1000 })
        response.write('QUFB', () => response.socket?.destroy())
      },
    ],
  ]

  for (const operation of ['cacerts', 'simpleenroll']) {
    test.each(junk)(`to ${operation}: %s`, async (_, code, answer) => {
      gateway.fault = (asked, response) => {
        if (asked !== operation) return false
        answer(response)
        return true
      }
      await expect(run()).rejects.toMatchObject({ code })
      expect(existsSync(join(out, 'cert.pem'))).toBe(false)
    })
  }

  test('to csrattrs: no CSR attributes', async () => {
    gateway.fault = (operation, response) => {
      if (operation !== 'csrattrs') return false
      sendBase64(response, Buffer.from('noise'))
      return true
    }
    await expect(run()).rejects.toMatchObject({ code: 'REPLY_INVALID' })
  })
})

describe('a certificate that was not asked for is refused', () => {
  test.each<[string, (csr: Buffer) => Buffer, RegExp]>([
    [
      'for another key',
      () => ca.certify(makeCsr(makeKey(), { dns: [], ip: [] }), ['nas.home.arpa', '192.168.1.10']),
      /another key/,
    ],
    ['from another CA', (csr) => otherCa.certify(csr, ['nas.home.arpa', '192.168.1.10']), /chain/],
    [
      'with another name',
      (csr) => ca.certify(csr, ['bank.home.arpa', '192.168.1.10']),
      /bank\.home\.arpa.*nas\.home\.arpa/,
    ],
    [
      'with one name more',
      (csr) => ca.certify(csr, ['nas.home.arpa', '192.168.1.10', 'bank.home.arpa']),
      /bank/,
    ],
  ])('%s', async (_, issue, message) => {
    gateway.issue = issue
    await expect(run()).rejects.toMatchObject({
      code: 'CERTIFICATE_REFUSED',
      message: expect.stringMatching(message),
    })
    expect(existsSync(join(out, 'cert.pem'))).toBe(false)
  })

  test('that is none', async () => {
    gateway.fault = (operation, response) => {
      if (operation !== 'simpleenroll') return false
      sendBase64(response, certsOnly([integer(1)]))
      return true
    }
    await expect(run()).rejects.toMatchObject({ code: 'CERTIFICATE_REFUSED' })
  })

  test('outside its dates', async () => {
    time.pass(40 * DAY)
    await expect(run()).rejects.toMatchObject({
      code: 'CERTIFICATE_REFUSED',
      message: expect.stringContaining('clock'),
    })
  })
})

test('files of others are not replaced, and that is known before a token is spent', async () => {
  mkdirSync(out)
  writeFileSync(join(out, 'key.pem'), 'precious')
  await expect(run()).rejects.toMatchObject({
    code: 'FILES_FAILED',
    message: expect.stringContaining('key.pem'),
  })
  expect(gateway.requests).toEqual([])
  expect(read('key.pem')).toBe('precious')
})

test('two at once in one directory: the second is told to wait', async () => {
  const both = await Promise.allSettled([run(), run()])
  expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
  expect(both.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'BUSY' } })
})

test('a gateway that is off', async () => {
  await expect(run({ gateway: 'https://127.0.0.1:1' })).rejects.toMatchObject({ code: 'UNREACHABLE' })
})

test('a directory that cannot be written', async () => {
  writeFileSync(out, 'a file')
  await expect(run()).rejects.toMatchObject({ code: 'FILES_FAILED' })
})

test.each<Partial<EnrollOptions>>([
  { gateway: 'gateway.home.arpa' },
  { gateway: 'http://gateway.home.arpa:9443' },
  { gateway: 'https://user:word@gateway.home.arpa:9443' },
  { gateway: 'https://gateway.home.arpa:9443/est' },
  { fingerprint: 'ab' },
  { fingerprint: 'xy'.repeat(32) },
  { token: 'no-colon' },
  { token: 'd1:line\nbreak' },
])('unusable input is refused at once: %j', async (input) => {
  await expect(run(input)).rejects.toMatchObject({ code: 'INPUT_INVALID' })
  expect(gateway.requests).toEqual([])
})
