import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { afterEach, describe, expect, test } from '@jest/globals'
import Database from 'better-sqlite3'
import { HEARTH, TestGateway } from '../support/gateway.ts'
import { run } from '../support/run.ts'

/** Starting, stopping, and everything that can be in the way. */

const gateways: TestGateway[] = []

function fresh(config?: Record<string, unknown>): TestGateway {
  const gateway = new TestGateway(config)
  gateways.push(gateway)
  return gateway
}

afterEach(async () => {
  for (const gateway of gateways.splice(0)) await gateway.dispose()
})

/** Starts one that must not come up, and returns what it says. */
async function refused(gateway: TestGateway): Promise<string> {
  const { code, stderr } = await gateway.hearth('serve')
  expect(code).toBe(1)
  return stderr
}

describe('start and stop', () => {
  test('SIGTERM ends it with exit code 0 and leaves no socket in use', async () => {
    const gateway = await fresh().start()
    expect(await gateway.stop('SIGTERM')).toBe(0)
    expect(gateway.log).toContain('"msg":"stopped"')
    expect((await gateway.hearth('status')).stderr).toContain('no gateway is running on')
  })

  test('a stop is not held up by open connections', async () => {
    const gateway = await fresh().start()
    const { connect } = await import('node:net')
    const sockets = [
      gateway.port('http'),
      gateway.port('https'),
      gateway.port('est'),
      gateway.status.dns.port,
    ].map((port) => connect(Number(port), '127.0.0.1').on('error', () => {}))
    await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once('connect', resolve))))
    expect(await gateway.stop('SIGTERM')).toBe(0)
    for (const socket of sockets) socket.destroy()
  })

  test('the second start keeps root, issuer and devices', async () => {
    const gateway = await fresh({ publicUrl: 'http://gateway.home.arpa:8080' }).start()
    const { root, issuer } = gateway.status
    await gateway.hearthJson('device', 'add', 'nas', '--address', '192.168.1.5')
    await gateway.stop()
    await gateway.start()
    expect(gateway.status.root).toEqual(root)
    expect(gateway.status.issuer).toEqual(issuer)
    const { stdout } = await run('dig', [
      '@127.0.0.1',
      '-p',
      String(gateway.status.dns.port),
      '+short',
      'nas.home.arpa',
    ])
    expect(stdout).toBe('192.168.1.5\n')
  })

  test('state is for its owner only; keys never lie there in the clear', async () => {
    const gateway = await fresh().start()
    expect(statSync(gateway.path('data')).mode & 0o777).toBe(0o700)
    expect(statSync(gateway.path('data/control.sock')).mode & 0o777).toBe(0o600)
    expect(statSync(gateway.path('config/sealing.key')).mode & 0o777).toBe(0o600)
    await gateway.stop()
    const database = readFileSync(gateway.path('data/hearth.db'))
    // The start of a PKCS #8 EC key: version, algorithm id-ecPublicKey.
    expect(database.includes(Buffer.from('020100301006072a8648ce3d0201', 'hex'))).toBe(false)
    expect(database.includes('PRIVATE KEY')).toBe(false)
  })
})

describe('what is in the way is named, with what to do', () => {
  test('a taken port', async () => {
    const blocker = createServer()
    await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve))
    const { port } = blocker.address() as AddressInfo
    for (const listener of ['http', 'https', 'est', 'dns']) {
      const listen = { addresses: ['127.0.0.1'], dns: 0, dot: 0, http: 0, https: 0, est: 0, [listener]: port }
      const said = await refused(fresh({ listen }))
      expect(said).toContain(`127.0.0.1 port ${port}`)
      expect(said).toContain(`listen.${listener}`)
    }
    blocker.close()
  })

  test('an address that this machine does not have', async () => {
    const listen = { addresses: ['192.0.2.1'], dns: 0, dot: 0, http: 0, https: 0, est: 0 }
    expect(await refused(fresh({ listen }))).toContain('this machine has no address 192.0.2.1')
  })

  test('a data directory that is a file, or cannot be made', async () => {
    const file = fresh()
    writeFileSync(file.path('data'), '')
    expect(await refused(file)).toMatch(/the data directory .*\/data (cannot be made|is a file)/)
    expect(await refused(fresh({ dataDir: '/proc/hearth' }))).toContain(
      'the data directory /proc/hearth cannot be made',
    )
  })

  test('a second gateway on the same data directory', async () => {
    const gateway = await fresh().start()
    expect(await refused(gateway)).toContain('another Hearth gateway is running on the data directory')
    expect((await gateway.hearth('status')).code).toBe(0)
  })

  test('after kill -9 the data directory is free again', async () => {
    const gateway = await fresh().start()
    await gateway.stop('SIGKILL')
    await gateway.start()
    expect((await gateway.hearth('doctor')).code).toBe(0)
  })

  test('a database of a newer version, and nothing is changed', async () => {
    const gateway = await fresh().start()
    await gateway.stop()
    const database = new Database(gateway.path('data/hearth.db'))
    database.prepare('insert into kysely_migration values (?, ?)').run('9999-from-the-future', '2030-01-01')
    database.close()
    const snapshot = () =>
      createHash('sha256')
        .update(readFileSync(gateway.path('data/hearth.db')))
        .digest('hex')
    const before = snapshot()
    expect(await refused(gateway)).toMatch(
      /was last used by a newer version of Hearth \(it has 9999-from-the-future\); nothing was changed/,
    )
    expect(snapshot()).toBe(before)
  })

  test('a file that is no database', async () => {
    const gateway = fresh()
    mkdirSync(gateway.path('data'))
    writeFileSync(gateway.path('data/hearth.db'), 'this is not a database, but it is long enough to look at')
    expect(await refused(gateway)).toMatch(
      /the database .*hearth.db cannot be opened: file is not a database/,
    )
  })

  test('the key file is missing, readable by others, or of another gateway', async () => {
    const gateway = await fresh().start()
    await gateway.stop()
    const keyFile = gateway.path('config/sealing.key')
    const key = readFileSync(keyFile)
    chmodSync(keyFile, 0o644)
    expect(await refused(gateway)).toContain(`chmod 600 ${keyFile}`)
    rmSync(keyFile)
    expect(await refused(gateway)).toContain("which opens the CA's keys, is missing")
    expect(existsSync(keyFile)).toBe(false)
    const other = await fresh().start()
    writeFileSync(keyFile, readFileSync(other.path('config/sealing.key')), { mode: 0o600 })
    expect(await refused(gateway)).toContain('they belong to different gateways')
    writeFileSync(keyFile, key, { mode: 0o600 })
    await gateway.start()
  })

  test("another domain than the root's", async () => {
    const gateway = await fresh().start()
    await gateway.stop()
    gateway.configure({ domain: 'lan.example.org' })
    expect(await refused(gateway)).toContain('the root in this data directory was made for home.arpa')
  })

  test('a data directory whose path is too long for a socket', async () => {
    const dataDir = `./${'a'.repeat(120)}`
    expect(await refused(fresh({ dataDir }))).toContain('Set a shorter dataDir')
  })

  test("the gateway's new name is that of a device", async () => {
    const gateway = await fresh().start()
    await gateway.hearthJson('device', 'add', 'router')
    await gateway.stop()
    gateway.configure({ gateway: { name: 'router' } })
    expect(await refused(gateway)).toContain(
      'the gateway cannot be called router.home.arpa: a device has that name',
    )
  })

  test('a clock before this version was made: no CA is made with it', async () => {
    const gateway = fresh()
    const { code, stderr } = await run('faketime', [
      '1970-01-02 00:00:00',
      HEARTH,
      '--config',
      gateway.configFile,
      'serve',
    ])
    expect(code).toBe(1)
    expect(stderr).toMatch(/no CA can be made: the clock says 1970-01-02T/)
  })
})

describe('a clock that jumped', () => {
  test.each(['+100d', '+3y'])(
    '%s: DNS and OCSP go on, nothing is issued until a person accepts it',
    async (jump) => {
      const gateway = await fresh().start()
      const out = await gateway.enroll('nas')
      await gateway.stop()
      await gateway.start({ jump })
      const { clock } = await gateway.hearthJson<{ clock: { trusted: boolean } }>('status')
      expect(clock.trusted).toBe(false)
      const { stdout } = await run('dig', [
        '@127.0.0.1',
        '-p',
        String(gateway.status.dns.port),
        '+short',
        'nas.home.arpa',
      ])
      expect(stdout).toBe('127.0.0.1\n')
      const { output } = await run('faketime', [
        '-f',
        jump,
        'openssl',
        'ocsp',
        '-issuer',
        `${out}/chain.pem`,
        '-cert',
        `${out}/cert.pem`,
        '-noverify',
        '-url',
        gateway.url('http', '/ocsp'),
      ])
      expect(output).toMatch(/good/)
      expect((await gateway.hearth('doctor')).output).toMatch(/Clock +BAD +the clock went (forward|back) to/)

      await gateway.hearthJson('clock', 'accept')
      expect(await gateway.enroll('lamp')).toContain('lamp')
    },
  )
})

test('a clock that was ahead for a while: when it is right again, so is everything', async () => {
  const gateway = await fresh({ publicUrl: 'http://gateway.home.arpa:8080' }).start()
  await gateway.stop()
  // Far enough for a new certificate and a new OCSP signer, not far enough to be doubted.
  await gateway.start({ jump: '+60d' })
  await gateway.stop()
  await gateway.start({ jump: '+1d' })
  expect((await gateway.hearth('doctor')).output).toMatch(/Clock +BAD/)
  await gateway.hearthJson('clock', 'accept')
  expect((await gateway.hearth('doctor')).output).not.toContain('BAD')
  await gateway.enroll('nas')
  await gateway.hearthJson('cert', 'revoke', 'gateway')
  await gateway.stop()
  await gateway.start({ jump: '+2d' })
  expect((await gateway.hearth('doctor')).output).not.toContain('BAD')
})

test('a clock that went back: issuing stops with the reason, and the device is told to wait', async () => {
  const gateway = await fresh().start()
  await gateway.stop()
  await gateway.start({ jump: '-30m' })
  const credential = await gateway.credential('nas')
  const csr = await makeRequest(gateway)
  const { stdout } = await run(
    'curl',
    [
      '-si',
      '--cacert',
      await gateway.rootFile(),
      '-u',
      credential,
      '--data-binary',
      '@-',
      gateway.url('est', '/.well-known/est/simpleenroll'),
    ],
    { input: csr },
  )
  expect(stdout).toMatch(/^HTTP\/1.1 503/)
  expect(stdout).toMatch(/^Retry-After: 300\r$/m)
  expect(stdout).toContain('no certificate is issued now: the clock went back to')
})

describe('kill -9 during enrolments (SEC-2)', () => {
  test('no certificate is ever held that is not on record; the database opens; the next start works', async () => {
    const gateway = await fresh({ publicUrl: 'http://gateway.home.arpa:8080' }).start()
    const held: string[] = []
    for (let round = 0; round < 3; round++) {
      const names = Array.from({ length: 8 }, (_, index) => `crash-${round}-${index}`)
      const credentials = await Promise.all(names.map((name) => gateway.credential(name)))
      const requests = await Promise.all(names.map(() => makeRequest(gateway)))
      const root = await gateway.rootFile()
      const answers = requests.map((csr, index) =>
        run(
          'curl',
          [
            '-s',
            '--cacert',
            root,
            '-u',
            credentials[index]!,
            '--data-binary',
            '@-',
            gateway.url('est', '/.well-known/est/simpleenroll'),
          ],
          { input: csr },
        ),
      )
      // Some are answered, some are under way, some have not arrived.
      await Promise.race(answers)
      await gateway.stop('SIGKILL')
      for (const { code, stdout } of await Promise.all(answers)) {
        if (code === 0 && stdout !== '') held.push(await serialIn(stdout))
      }
      await gateway.start()
    }
    expect(held.length).toBeGreaterThan(0)
    const recorded = (await gateway.hearthJson<{ serial: string }[]>('cert', 'list')).map(
      ({ serial }) => serial,
    )
    expect(recorded).toEqual(expect.arrayContaining(held))
    await gateway.stop()
    const database = new Database(gateway.path('data/hearth.db'), { readonly: true })
    expect(database.pragma('integrity_check', { simple: true })).toBe('ok')
    database.close()
  }, 180_000)
})

async function makeRequest(gateway: TestGateway): Promise<Buffer> {
  const key = gateway.path(`${Math.random()}.key`)
  const { stdout } = await run('openssl', [
    'req',
    '-new',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    key,
    '-subj',
    '/',
    '-outform',
    'pem',
  ])
  return Buffer.from(stdout.replaceAll(/-----.*-----/g, ''))
}

async function serialIn(reply: string): Promise<string> {
  const { stdout } = await run('openssl', ['pkcs7', '-inform', 'der', '-print_certs'], {
    input: Buffer.from(reply, 'base64'),
  })
  const { stdout: serial } = await run('openssl', ['x509', '-noout', '-serial'], { input: stdout })
  return serial.trim().replace('serial=', '')
}
