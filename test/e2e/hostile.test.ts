import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { TestGateway } from '../support/gateway.ts'
import { run } from '../support/run.ts'

/** Whatever arrives on a listener, the gateway stays well. */

let gateway: TestGateway
let root: string

beforeAll(async () => {
  gateway = await new TestGateway().start()
  root = await gateway.rootFile()
})

afterEach(async () => {
  const { code, output } = await gateway.hearth('doctor')
  expect({ code, output }).toEqual({ code: 0, output: expect.any(String) })
})

afterAll(async () => {
  expect(gateway.log).not.toContain('"level":50')
  await gateway.dispose()
})

/** Sends octets to a TCP port and returns what comes back until the other side closes, or half a second is over. */
function exchange(port: number, octets: Buffer | string): Promise<string> {
  return new Promise((resolve) => {
    let received = ''
    const socket = connect(port, '127.0.0.1', () => socket.write(octets))
    const done = () => {
      socket.destroy()
      resolve(received)
    }
    socket.on('data', (data) => {
      received += data.toString('latin1')
    })
    socket.on('close', done).on('error', () => {})
    setTimeout(done, 500)
  })
}

const GARBAGE: [string, Buffer][] = [
  ['nothing', Buffer.alloc(0)],
  ['one octet', Buffer.of(0)],
  ['zeros', Buffer.alloc(70_000)],
  ['random octets', randomBytes(5000)],
  ['a TLS hello cut short', Buffer.from('16030100f4010000f00303', 'hex')],
  ['a request line without end', Buffer.from(`GET /${'a'.repeat(100_000)}`)],
  ['a header without end', Buffer.from(`GET / HTTP/1.1\r\nX: ${'a'.repeat(100_000)}`)],
  [
    'two lengths',
    Buffer.from('POST /ocsp HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello'),
  ],
  [
    'length and chunks',
    Buffer.from(
      'POST /ocsp HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ),
  ],
  ['an SSH greeting', Buffer.from('SSH-2.0-OpenSSH_9.2\r\n')],
]

describe('garbage', () => {
  test.each(GARBAGE)('%s, on every TCP listener', async (_what, octets) => {
    for (const port of [
      gateway.port('http'),
      gateway.port('https'),
      gateway.port('est'),
      gateway.status.dns.port,
    ]) {
      await exchange(Number(port), octets)
    }
  })

  test('on UDP, of every length', async () => {
    const socket = createSocket('udp4')
    for (let length = 0; length < 600; length += 7) {
      socket.send(randomBytes(length), gateway.status.dns.port, '127.0.0.1')
    }
    await new Promise((resolve) => setTimeout(resolve, 200))
    socket.close()
  })
})

describe('OCSP answers garbage by its own protocol', () => {
  const curl = async (...args: string[]) =>
    await run('curl', ['-s', '-w', '%{stderr}%{http_code}', ...args], {
      input: args.includes('@-') ? 'A'.repeat(5000) : '',
    })

  test('a body that is no request: malformedRequest, on HTTP 200', async () => {
    const { stdout, stderr } = await curl('--data-binary', 'garbage', gateway.url('http', '/ocsp'))
    expect(stderr).toBe('200')
    expect(Buffer.from(stdout, 'latin1').toString('hex')).toBe('30030a0101')
  })

  test('a body that is too large: 413', async () => {
    expect((await curl('--data-binary', '@-', gateway.url('http', '/ocsp'))).stderr).toBe('413')
  })

  test.each(['/ocsp/%', '/ocsp/%00', '/ocsp/....', `/ocsp/${'A'.repeat(3000)}`, '/ocsp//'])(
    'GET %s',
    async (path) => {
      const { stdout } = await curl(gateway.url('http', path))
      expect(Buffer.from(stdout, 'latin1').toString('hex')).toBe('30030a0101')
    },
  )
})

describe('pages', () => {
  const status = async (...args: string[]) =>
    (
      await run('curl', [
        '-s',
        '-o',
        '/dev/null',
        '-w',
        '%{http_code}',
        '--cacert',
        root,
        '--path-as-is',
        ...args,
      ])
    ).stdout

  test.each([
    '/../../etc/passwd',
    '/%2e%2e/%2e%2e/etc/passwd',
    '/crl/../../data/hearth.db.crl',
    '/crl/nothing.crl',
    '/ca/%00.crt',
    '/root.pem/..',
  ])('%s is not found', async (path) => {
    expect(await status(gateway.url('http', path))).toBe('404')
  })

  test('another Host than its own gets no console (DNS rebinding)', async () => {
    expect(await status('-H', 'Host: evil.example', gateway.url('https', '/'))).toBe('421')
    expect(await status('-H', 'Host: evil.example', '--http1.1', gateway.url('https', '/healthz'))).toBe(
      '421',
    )
    expect(await status(gateway.url('https', '/healthz'))).toBe('200')
  })

  test('a Host with a port that no port can have', async () => {
    expect(await status('-H', 'Host: x:99999', gateway.url('http', '/'))).toBe('200')
  })

  test('the plain listener has nothing of the console, and nothing of enrollment', async () => {
    expect(await status(gateway.url('http', '/.well-known/est/cacerts'))).toBe('404')
    expect(await status(gateway.url('http', '/healthz'))).toBe('404')
  })
})

describe('what is logged', () => {
  test('no request that broke off, and so no token that was in it', async () => {
    const { connect: connectTls } = await import('node:tls')
    const credential = await gateway.credential('secretive')
    const basic = Buffer.from(credential).toString('base64')
    const socket = connectTls({
      host: '127.0.0.1',
      port: Number(gateway.port('est')),
      rejectUnauthorized: false,
    })
    socket.on('error', () => {})
    const closed = new Promise((resolve) => socket.once('close', resolve))
    socket.write(
      `POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: x\r\nAuthorization: Basic ${basic}\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n`,
    )
    socket.resume()
    await closed
    const before = gateway.log.length
    for (let times = 0; times < 20; times++) {
      await exchange(
        Number(gateway.port('http')),
        `POST /ocsp HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ${'a'.repeat(60_000)}\r\n`,
      )
    }
    expect(gateway.log).not.toContain('rawPacket')
    expect(gateway.log).not.toContain(basic)
    expect(gateway.log.length - before).toBeLessThan(10_000)
  })
})

describe('many at once', () => {
  test('600 idle connections to each listener: it closes some, and answers when they are gone', async () => {
    for (const port of [
      gateway.port('http'),
      gateway.port('https'),
      gateway.port('est'),
      gateway.status.dns.port,
    ]) {
      const sockets = Array.from({ length: 600 }, () =>
        connect(Number(port), '127.0.0.1').on('error', () => {}),
      )
      await new Promise((resolve) => setTimeout(resolve, 300))
      for (const socket of sockets) socket.destroy()
    }
    await new Promise((resolve) => setTimeout(resolve, 300))
  })

  test('refusals fill neither audit nor log', async () => {
    const before = (await gateway.hearthJson<unknown[]>('audit')).length
    const { stdout } = await run('curl', [
      '-s',
      '--cacert',
      root,
      '-u',
      'nobody:nothing',
      '-o',
      '/dev/null',
      '-w',
      '%{http_code}\n',
      gateway.url('est', '/.well-known/est/csrattrs?[1-200]'),
    ])
    expect(new Set(stdout.trim().split('\n'))).toEqual(new Set(['401']))
    const after = (await gateway.hearthJson<unknown[]>('audit')).length
    expect(after - before).toBeLessThanOrEqual(60)
  })
})
