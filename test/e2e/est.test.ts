import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { TestGateway } from '../support/gateway.ts'
import { type Outcome, run } from '../support/run.ts'

/** EST with the clients that others wrote: curl with OpenSSL, and strongSwan. Answers are read as text. */

let gateway: TestGateway
let root: string

beforeAll(async () => {
  gateway = await new TestGateway().start()
  root = await gateway.rootFile()
})

afterAll(() => gateway.dispose())

/** A request by OpenSSL: `key` as for `openssl genpkey` or `req -newkey`. */
async function request(options: {
  key?: string[]
  subject?: string
  san?: string
  digest?: string
}): Promise<{ csr: Buffer; key: string }> {
  const id = Math.random().toString(36).slice(2)
  const [key, csr] = [gateway.path(`${id}.key`), gateway.path(`${id}.csr`)]
  const {
    key: algorithm = ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'],
    subject = '/',
    san,
  } = options
  await run('openssl', ['genpkey', ...algorithm, '-out', key])
  const made = await run('openssl', [
    'req',
    '-new',
    '-key',
    key,
    '-subj',
    subject,
    '-outform',
    'der',
    '-out',
    csr,
    ...(san === undefined ? [] : ['-addext', `subjectAltName=${san}`]),
    ...(options.digest === undefined ? [] : [`-${options.digest}`]),
  ])
  if (made.code !== 0) throw new Error(made.output)
  return { csr: readFileSync(csr), key }
}

/** `STATUS body`, as a person would see it. */
async function est(operation: string, args: string[], body?: Buffer | string): Promise<string> {
  const { stdout } = await curl(operation, args, body)
  return stdout.replace(/\n$/, '')
}

function curl(operation: string, args: string[], body?: Buffer | string): Promise<Outcome> {
  return run(
    'curl',
    [
      '-s',
      '--cacert',
      root,
      ...args,
      '-w',
      '%{stderr}%{http_code} %{content_type}',
      ...(body === undefined ? [] : ['-H', 'Content-Type: application/pkcs10', '--data-binary', '@-']),
      gateway.url('est', `/.well-known/est/${operation}`),
    ],
    { input: body ?? '' },
  )
}

const base64 = (der: Buffer): string => der.toString('base64')

async function certificatesIn(reply: string): Promise<string> {
  const der = Buffer.from(reply, 'base64')
  return (await run('openssl', ['pkcs7', '-inform', 'der', '-print_certs', '-noout'], { input: der })).stdout
}

describe('what EST hands out (TRUST-2, UX-2)', () => {
  test('cacerts: root and issuer, to anyone', async () => {
    const { stdout, stderr } = await curl('cacerts', [])
    expect(stderr).toBe('200 application/pkcs7-mime')
    expect(stdout).toMatch(/^([A-Za-z0-9+/]{64}\n)+[A-Za-z0-9+/=]{1,64}\n$/)
    const subjects = (await certificatesIn(stdout)).match(/subject=CN = .*/g)
    expect(subjects).toEqual([
      expect.stringMatching(/Hearth Home Root/),
      expect.stringMatching(/Hearth Issuer/),
    ])
  })

  test('a client without a User-Agent gets base64 in one line, since strongSwan reads no other', async () => {
    const { stdout } = await curl('cacerts', ['-A', ''])
    expect(stdout).toMatch(/^[A-Za-z0-9+/]+={0,2}$/)
  })

  test('csrattrs: the assigned names and the wanted key type, to the holder of the credential', async () => {
    const credential = await gateway.credential('attributes')
    const { stdout, stderr } = await curl('csrattrs', ['-u', credential])
    expect(stderr).toBe('200 application/csrattrs')
    const { output } = await run('openssl', ['asn1parse', '-inform', 'der', '-i'], {
      input: Buffer.from(stdout, 'base64'),
    })
    expect(output).toContain('prime256v1')
    expect(output).toContain('Extension Request')
    expect(output).toContain(Buffer.from('attributes.home.arpa').toString('hex').toUpperCase())
  })

  test('simpleenroll: the leaf alone, with names and addresses from the record', async () => {
    const credential = await gateway.credential('leaf')
    const { csr } = await request({})
    const { stdout, stderr } = await curl('simpleenroll', ['-u', credential], base64(csr))
    expect(stderr).toBe('200 application/pkcs7-mime; smime-type=certs-only')
    const leaf = await run('openssl', ['pkcs7', '-inform', 'der', '-print_certs'], {
      input: Buffer.from(stdout, 'base64'),
    })
    expect(leaf.stdout.match(/BEGIN CERTIFICATE/g)).toHaveLength(1)
    const text = await run('openssl', ['x509', '-noout', '-ext', 'subjectAltName,extendedKeyUsage'], {
      input: leaf.stdout,
    })
    expect(text.stdout).toContain('DNS:leaf.home.arpa, IP Address:127.0.0.1')
    expect(text.stdout).toContain('TLS Web Server Authentication, TLS Web Client Authentication')
  })

  test.each([
    ['P-384', ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384']],
    ['RSA 2048', ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048']],
  ])('a %s key is certified too', async (name, key) => {
    const credential = await gateway.credential(`key-${name.toLowerCase().replaceAll(' ', '-')}`)
    const { csr } = await request({ key })
    expect((await curl('simpleenroll', ['-u', credential], csr)).stderr).toMatch(/^200 /)
  })

  test('the label server selects the profile of that name; another is not found', async () => {
    expect((await curl('server/cacerts', [])).stderr).toMatch(/^200 /)
    expect(await est('nonsense/cacerts', [])).toBe(
      'there is no profile "nonsense"; use no label, or one of: server',
    )
  })

  test('every answer has a length, and TLS is 1.3', async () => {
    const { stdout } = await run('curl', [
      '-si',
      '--cacert',
      root,
      gateway.url('est', '/.well-known/est/cacerts'),
    ])
    expect(stdout).toMatch(/^Content-Length: \d+\r$/im)
    const old = await run('curl', [
      '-sS',
      '--tls-max',
      '1.2',
      '--cacert',
      root,
      gateway.url('est', '/.well-known/est/cacerts'),
    ])
    expect(old.code).not.toBe(0)
  })
})

describe('strongSwan (TRUST-2, CERT-3)', () => {
  test('enrolls with a credential and renews with its certificate', async () => {
    const [key, csr, conf] = [gateway.path('ss.key'), gateway.path('ss.csr'), gateway.path('strongswan.conf')]
    // It knows no IP name constraints (docs/decisions/0003), so it is told to read over critical extensions.
    writeFileSync(
      conf,
      'libtls { version_max = 1.3 }\npki { libtls { version_max = 1.3 } x509 { enforce_critical = no } }\n',
    )
    const env = { STRONGSWAN_CONF: conf }
    const issuer = gateway.path('ss-issuer.pem')
    const cacerts = Buffer.from(await est('cacerts', []), 'base64')
    const all = await run('openssl', ['pkcs7', '-inform', 'der', '-print_certs'], { input: cacerts })
    writeFileSync(issuer, all.stdout.match(/-----BEGIN[\s\S]*?END CERTIFICATE-----/g)![1]!)
    writeFileSync(
      key,
      (await run('pki', ['--gen', '--type', 'ecdsa', '--size', '256', '--outform', 'pem'])).stdout,
    )
    const requested = await run('pki', [
      '--req',
      '--in',
      key,
      '--type',
      'priv',
      '--dn',
      'CN=swan.home.arpa',
      '--san',
      'swan.home.arpa',
      '--outform',
      'pem',
    ])
    writeFileSync(csr, requested.stdout)
    const ca = ['--cacert', root, '--cacert', issuer]

    const credential = await gateway.credential('swan')
    const enrolled = await run(
      'pki',
      [
        '--est',
        '--url',
        gateway.url('est'),
        '--in',
        csr,
        ...ca,
        '--userpass',
        credential,
        '--outform',
        'pem',
      ],
      { env },
    )
    expect(enrolled.stderr).toContain('Issued certificate is trusted')
    writeFileSync(gateway.path('ss.pem'), enrolled.stdout)

    const renewed = await run(
      'pki',
      [
        '--est',
        '--url',
        gateway.url('est'),
        '--in',
        csr,
        ...ca,
        '--cert',
        gateway.path('ss.pem'),
        '--key',
        key,
        '--outform',
        'pem',
      ],
      { env },
    )
    expect(renewed.stderr).toContain('Issued certificate is trusted')
    const subject = await run('openssl', ['x509', '-noout', '-subject', '-ext', 'subjectAltName'], {
      input: renewed.stdout,
    })
    expect(subject.stdout).toContain('DNS:swan.home.arpa')
  })
})

describe('bad requests get a reason and change nothing', () => {
  let credential: string

  beforeAll(async () => {
    credential = await gateway.credential('careful')
  })

  /** A refusal neither spends nor binds the credential. */
  afterAll(async () => {
    const { csr } = await request({})
    expect((await curl('simpleenroll', ['-u', credential], base64(csr))).stderr).toMatch(/^200 /)
  })

  test.each([
    [
      'an Ed25519 key',
      { key: ['-algorithm', 'ED25519'] },
      'a key of type ed25519 is refused: browsers do not accept it in certificates.',
    ],
    [
      'a P-521 key',
      { key: ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-521'] },
      'a key on curve P-521 is refused: browsers accept P-256 and P-384.',
    ],
    [
      'an RSA key of 1024 bits',
      { key: ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:1024'] },
      'an RSA key of 1024 bits is refused: 2048 is the least that is safe.',
    ],
  ])('%s: 400', async (_what, options, reason) => {
    const { csr } = await request(options)
    const { stdout, stderr } = await curl('simpleenroll', ['-u', credential], base64(csr))
    expect(stderr).toMatch(/^400 text\/plain/)
    expect(stdout).toContain(reason)
    expect(stdout).toContain('Make a P-256 key')
  })

  test.each([
    ['the public name bank.example', { san: 'DNS:bank.example' }, 'bank.example'],
    ["another device's name", { san: 'DNS:careful.home.arpa,DNS:printer.home.arpa' }, 'printer.home.arpa'],
    ['an address that is not its own', { san: 'IP:192.168.1.99' }, '192.168.1.99'],
    ['another common name', { subject: '/CN=gateway.home.arpa' }, 'gateway.home.arpa'],
  ])('a request for %s: 403', async (_what, options, name) => {
    const { csr } = await request(options)
    const { stdout, stderr } = await curl('simpleenroll', ['-u', credential], base64(csr))
    expect(stderr).toMatch(/^403 text\/plain/)
    expect(stdout).toContain(
      `the request asks for "${name}", which is not this device's. Its own: careful.home.arpa, 127.0.0.1`,
    )
  })

  test('a request for an e-mail address: 403', async () => {
    const { csr } = await request({ san: 'email:root@home.arpa' })
    expect(await est('simpleenroll', ['-u', credential], base64(csr))).toContain('neither DNS nor IP')
  })

  test('a signature that does not hold: 400', async () => {
    const { csr } = await request({})
    csr[csr.length - 1]! ^= 1
    const { stdout, stderr } = await curl('simpleenroll', ['-u', credential], base64(csr))
    expect(stderr).toMatch(/^400 /)
    expect(stdout).toMatch(/signature of the request does not belong to its public key/)
  })

  test.each([
    ['garbage', 'not base64 at all!', 400, 'the body is not base64'],
    ['nothing', '', 400, 'the body is not base64'],
    ['base64 of garbage', base64(Buffer.alloc(300, 0x41)), 400, 'Send a PKCS #10 request'],
    ['64 KiB', 'A'.repeat(65_536), 413, 'larger than the 16384 bytes'],
  ])('%s in the body: refused', async (_what, body, status, reason) => {
    const { stdout, stderr } = await curl('simpleenroll', ['-u', credential], body)
    expect(stderr).toMatch(new RegExp(`^${status} `))
    expect(stdout).toContain(reason)
  })

  test('a truncated request, at every length', async () => {
    const { csr } = await request({})
    for (let length = 1; length < csr.length; length += 41) {
      const { stderr } = await curl('simpleenroll', ['-u', credential], base64(csr.subarray(0, length)))
      expect(stderr).toMatch(/^400 /)
    }
  })

  test('serverkeygen and fullcmc: 501, with the reason', async () => {
    for (const operation of ['serverkeygen', 'fullcmc']) {
      const { stdout, stderr } = await curl(operation, ['-u', credential], 'AAAA')
      expect(stderr).toMatch(/^501 /)
      expect(stdout).toContain('a private key never leaves the device that made it')
    }
  })
})

describe('credentials (SEC-2)', () => {
  test('none: 401, and how to send one', async () => {
    const { csr } = await request({})
    const { stdout } = await run('curl', [
      '-si',
      '--cacert',
      root,
      '--data-binary',
      base64(csr),
      gateway.url('est', '/.well-known/est/simpleenroll'),
    ])
    expect(stdout).toMatch(/^HTTP\/1.1 401/)
    expect(stdout).toMatch(/^WWW-Authenticate: Basic realm="Hearth enrollment"\r$/m)
    expect(stdout).toContain('hearth device add NAME')
  })

  test('a wrong token and a wrong id get the same answer', async () => {
    const [id] = (await gateway.credential('wrong')).split(':')
    const { csr } = await request({})
    const wrongToken = await curl('simpleenroll', ['-u', `${id}:${'0'.repeat(32)}`], base64(csr))
    const wrongId = await curl('simpleenroll', ['-u', `000000000000:${'0'.repeat(32)}`], base64(csr))
    expect(wrongToken.stdout).toBe(wrongId.stdout)
    expect(wrongToken.stderr).toMatch(/^401 /)
  })

  test('used: the same key gets the same certificate again, another key nothing', async () => {
    const credential = await gateway.credential('once')
    const { csr } = await request({})
    const first = await est('simpleenroll', ['-u', credential], base64(csr))
    expect(await est('simpleenroll', ['-u', credential], base64(csr))).toBe(first)
    const { stdout, stderr } = await curl('simpleenroll', ['-u', credential], base64((await request({})).csr))
    expect(stderr).toMatch(/^403 /)
    expect(stdout).toContain('this token was used already')
  })

  test('ten requests at once with ten keys: exactly one gets a certificate', async () => {
    const credential = await gateway.credential('race')
    const requests = await Promise.all(Array.from({ length: 10 }, () => request({})))
    const answers = await Promise.all(
      requests.map(({ csr }) => curl('simpleenroll', ['-u', credential], base64(csr))),
    )
    expect(answers.filter(({ stderr }) => stderr.startsWith('200 '))).toHaveLength(1)
    expect(answers.filter(({ stderr }) => stderr.startsWith('403 '))).toHaveLength(9)
    const { certificates } = await gateway.hearthJson<{ certificates: unknown[] }>('device', 'show', 'race')
    expect(certificates).toHaveLength(1)
  })

  test('a new one ends the one before', async () => {
    const before = await gateway.credential('twice')
    await gateway.hearthJson('device', 'token', 'twice')
    const { csr } = await request({})
    expect(await est('simpleenroll', ['-u', before], base64(csr))).toContain('this token expired at')
  })

  test('what was refused is in the audit', async () => {
    const rows = await gateway.hearthJson<{ action: string; outcome: string; detail: string }[]>('audit')
    const refused = rows
      .filter(({ outcome }) => outcome === 'refused')
      .map(({ detail }) => detail.split(':')[0])
    expect(refused).toEqual(expect.arrayContaining(['NAME_REFUSED', 'KEY_UNSUPPORTED', 'CSR_UNSIGNED']))
    expect(JSON.stringify(rows)).not.toMatch(/[0-9a-f]{32}["\\ ]/)
  })
})

describe('renewal by client certificate (CERT-3, SEC-2)', () => {
  let out: string

  beforeAll(async () => {
    out = await gateway.enroll('renewing')
  })

  const mutual = (directory: string) => [
    '--cert',
    `${directory}/fullchain.pem`,
    '--key',
    `${directory}/key.pem`,
  ]

  test('a fresh key gets a new certificate with the same names', async () => {
    const { csr } = await request({})
    const reply = await curl('simplereenroll', mutual(out), base64(csr))
    expect(reply.stderr).toMatch(/^200 /)
    expect(await certificatesIn(reply.stdout)).toContain('subject=CN = renewing.home.arpa')
  })

  test('without a certificate: 401', async () => {
    const { csr } = await request({})
    expect(await est('simplereenroll', [], base64(csr))).toContain('a client certificate is needed')
  })

  test('a certificate that names itself like ours but is not: 403', async () => {
    const forged = gateway.path('forged')
    const issuer = (
      await run('openssl', ['x509', '-noout', '-subject', '-nameopt', 'RFC2253'], {
        input: readFileSync(`${out}/chain.pem`),
      })
    ).stdout
    const name = /CN=(.*)/.exec(issuer)![1]!.trim()
    await run('mkdir', ['-p', forged])
    await run('openssl', [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      `${forged}/ca.key`,
      '-out',
      `${forged}/ca.pem`,
      '-subj',
      `/CN=${name}`,
    ])
    const { csr, key } = await request({ subject: '/CN=renewing.home.arpa' })
    writeFileSync(`${forged}/leaf.csr`, csr)
    // Already expired: the case in which the TLS library's verdict hides the bad signature.
    const serial = (
      await run('openssl', ['x509', '-noout', '-serial'], { input: readFileSync(`${out}/cert.pem`) })
    ).stdout
      .split('=')[1]!
      .trim()
    writeFileSync(`${forged}/ext`, 'extendedKeyUsage=clientAuth,serverAuth\n')
    await run('faketime', [
      '2026-11-01',
      'openssl',
      'x509',
      '-req',
      '-inform',
      'der',
      '-in',
      `${forged}/leaf.csr`,
      '-CA',
      `${forged}/ca.pem`,
      '-CAkey',
      `${forged}/ca.key`,
      '-set_serial',
      `0x${serial}`,
      '-days',
      '1',
      '-extfile',
      `${forged}/ext`,
      '-out',
      `${forged}/fullchain.pem`,
    ])
    await run('cp', [key, `${forged}/key.pem`])
    const { stdout, stderr } = await curl('simplereenroll', mutual(forged), base64((await request({})).csr))
    expect(stderr).toMatch(/^403 /)
    expect(stdout).toContain('the client certificate was not issued by this gateway')
  })

  test('a revoked certificate renews nothing', async () => {
    await gateway.hearthJson('cert', 'revoke', 'renewing', '--reason', 'keyCompromise')
    const { stdout, stderr } = await curl('simplereenroll', mutual(out), base64((await request({})).csr))
    expect(stderr).toMatch(/^403 /)
    expect(stdout).toMatch(/was revoked at .* and renews nothing/)
  })

  test('a removed device gets nothing, and its name is kept back', async () => {
    const gone = await gateway.enroll('gone')
    await gateway.hearthJson('device', 'remove', 'gone')
    const { stderr } = await curl('simplereenroll', mutual(gone), base64((await request({})).csr))
    expect(stderr).toMatch(/^403 /)
    const again = await gateway.hearth('device', 'add', 'gone')
    expect(again.code).toBe(1)
    expect(again.stderr).toMatch(/gone.home.arpa belonged to a removed device whose last certificate ends at/)
  })
})
