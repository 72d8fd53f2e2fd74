import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { createLog } from '../../base/log.ts'
import { listenHttps, type TlsListener } from '../../daemon/listeners.ts'
import { dohHandler } from '../../dns/doh.ts'
import type { DnsServer } from '../../dns/server.ts'
import { decodeMessage, encodeMessage } from '../../wire/message.ts'
import { run } from '../support/run.ts'
import { tempDirs } from '../support/tempDir.ts'
import { HOUSEHOLD, query, startServer } from './harness.ts'
import { TlsHome } from './tlsHome.ts'

const MEDIA_TYPE = 'application/dns-message'
const NAS = encodeMessage(query('nas.home.arpa', 'A', { id: 0 }))

const tempDir = tempDirs()
const dir = tempDir()
let home: TlsHome
let server: DnsServer
let door: TlsListener

beforeAll(async () => {
  home = await TlsHome.open(dir)
})
afterAll(() => home.close())

/** The door as the gateway opens it: what is not for DoH is another page. */
async function open(options: Parameters<typeof startServer>[0] = {}): Promise<void> {
  const records = [
    { owner: 'short.home.arpa', type: 'TXT', ttl: 7, data: '"x"', source: 'hand' as const },
    { owner: 'once.home.arpa', type: 'TXT', ttl: 0, data: '"x"', source: 'hand' as const },
  ]
  server = await startServer({ zone: { ...HOUSEHOLD, records }, ...options })
  const doh = dohHandler({ answer: server.answer, log: createLog('silent') })
  const { key, chain } = await home.certificate()
  door = await listenHttps(
    'https',
    { addresses: ['127.0.0.1'], port: 0 },
    { context: () => ({ key, cert: chain }), staple: async () => null, minVersion: 'TLSv1.3' },
    (request, response) => {
      if (!doh(request, response)) response.writeHead(404).end('another page')
    },
  )
}

beforeEach(() => open())
afterEach(async () => {
  await door.close()
  await server.close()
})

const url = (path: string) => `https://127.0.0.1:${door.port}${path}`

async function curl(...words: string[]) {
  const file = join(dir, 'body')
  writeFileSync(file, '')
  const { stdout, stderr } = await run('curl', [
    '-sS',
    '--cacert',
    home.rootFile,
    '-D',
    '-',
    '-o',
    file,
    ...words,
  ])
  const [statusLine = '', ...lines] = stdout.trim().split('\r\n')
  const headers = new Map(
    lines
      .map((line) => line.split(': ') as [string, string])
      .map(([name, value]) => [name.toLowerCase(), value]),
  )
  return { status: Number(statusLine.split(' ')[1]), headers, body: readFileSync(file), stderr }
}

describe('DNS over HTTPS', () => {
  const kdig = (...words: string[]) =>
    run('kdig', [
      '@127.0.0.1',
      '-p',
      String(door.port),
      '+retry=0',
      `+tls-ca=${home.rootFile}`,
      '+tls-hostname=gateway.home.arpa',
      ...words,
    ])

  test.each([['+https'], ['+https', '+https-get']])('kdig asks over HTTP/2: %s %s', async (...how) => {
    const { stdout } = await kdig(...how, 'nas.home.arpa', 'AAAA')
    expect(stdout).toMatch(/HTTP session \(HTTP\/2/)
    expect(stdout).toMatch(/nas\.home\.arpa\.\s+60\s+IN\s+AAAA\s+fd00::20/)
  })

  describe.each(['--http1.1', '--http2'])('curl %s', (version) => {
    const get = (octets: Uint8Array, ...more: string[]) =>
      curl(version, ...more, url(`/dns-query?dns=${Buffer.from(octets).toString('base64url')}`))

    test('GET, and the answer may be kept as long as its TTL', async () => {
      const { status, headers, body } = await get(NAS)
      expect(status).toBe(200)
      expect(headers.get('content-type')).toBe(MEDIA_TYPE)
      expect(headers.get('cache-control')).toBe('private, max-age=60')
      expect(decodeMessage(body)).toMatchObject({ id: 0, rcode: 0, qr: true })
    })

    test('POST', async () => {
      const file = join(dir, 'query')
      writeFileSync(file, NAS)
      const { status, body } = await curl(
        version,
        '-H',
        `Content-Type: ${MEDIA_TYPE}`,
        '--data-binary',
        `@${file}`,
        url('/dns-query'),
      )
      expect(status).toBe(200)
      expect(decodeMessage(body).answers).toHaveLength(1)
    })

    test.each([
      ['short.home.arpa', 'TXT', 'private, max-age=7'],
      ['once.home.arpa', 'TXT', 'no-store'],
      // NXDOMAIN and NODATA: the least of the SOA's TTL and MINIMUM.
      ['nope.home.arpa', 'A', 'private, max-age=60'],
      ['nas.home.arpa', 'MX', 'private, max-age=60'],
      // SERVFAIL: there is no upstream here.
      ['example.com', 'A', 'no-store'],
    ])('how long %s %s may be kept: %s', async (name, type, caching) => {
      const { status, headers } = await get(encodeMessage(query(name, type)))
      expect([status, headers.get('cache-control')]).toEqual([200, caching])
    })

    test('whatever Host is named', async () => {
      expect((await get(NAS, '-H', 'Host: 192.0.2.7')).status).toBe(200)
    })

    test.each([
      ['no parameter', 400, '/dns-query', []],
      ['two of them', 400, '/dns-query?dns=AAAA&dns=AAAA', []],
      ['padding', 400, '/dns-query?dns=AAA=', []],
      ['what is not base64url', 400, '/dns-query?dns=%2b/%2f', []],
      ['one octet', 400, '/dns-query?dns=AA', []],
      [
        'a response instead of a query',
        400,
        `/dns-query?dns=${Buffer.from('000080000000000000000000', 'hex').toString('base64url')}`,
        [],
      ],
      [
        'an update by GET',
        405,
        `/dns-query?dns=${Buffer.from('000028000000000000000000', 'hex').toString('base64url')}`,
        [],
      ],
      ['too large a query in the URL', 414, `/dns-query?dns=${'A'.repeat(5500)}`, []],
      ['another method', 405, '/dns-query', ['-X', 'PUT', '-d', 'x']],
      ['another type of body', 415, '/dns-query', ['-d', 'x']],
      ['too large a body', 413, '/dns-query', ['-H', `Content-Type: ${MEDIA_TYPE}`, '-d', 'x'.repeat(5000)]],
      ['an empty body', 400, '/dns-query', ['-H', `Content-Type: ${MEDIA_TYPE}`, '-d', '']],
      ['another path', 404, '/dns-query/', []],
    ])('%s: %d with a sentence', async (_what, status, path, words) => {
      const reply = await curl(version, ...words, url(path))
      expect(reply.status).toBe(status)
      if (status !== 404) expect(reply.body.toString()).toMatch(/^[A-Z].*\.\n$/)
      if (status === 405) expect(reply.headers.get('allow')).toMatch(/POST/)
      expect((await get(NAS)).status).toBe(200)
    })
  })

  test('HEAD has the headers and nothing else', async () => {
    const { stdout } = await run('curl', [
      '-sS',
      '--cacert',
      home.rootFile,
      '--head',
      url(`/dns-query?dns=${NAS.toString('base64url')}`),
    ])
    expect(stdout).toMatch(/^HTTP\/2 200/)
    expect(stdout).toMatch(/content-length: \d+[\s\S]*\r\n\r\n$/)
  })

  test('what is too old a version of TLS is still so after the certificate was renewed', async () => {
    door.renew()
    const old = connectTls({ port: door.port, host: '127.0.0.1', ca: home.root, maxVersion: 'TLSv1.2' })
    await expect(once(old, 'secureConnect')).rejects.toThrow(/alert|protocol/)
    expect((await curl(url('/'))).status).toBe(404)
  })

  test('a client outside is refused by the DNS, not by HTTP', async () => {
    await door.close()
    await server.close()
    await open({ outside: ['127.0.0.0/8'] })
    const { status, headers, body } = await curl(url(`/dns-query?dns=${NAS.toString('base64url')}`))
    expect([status, headers.get('cache-control')]).toEqual([200, 'no-store'])
    expect(decodeMessage(body)).toMatchObject({ rcode: 5, ra: false, answers: [] })
  })
})

describe('hostile clients', () => {
  async function session(): Promise<ClientHttp2Session> {
    const opened = connectHttp2(url('/'), { ca: home.root, servername: 'gateway.home.arpa' })
    opened.on('error', () => {})
    await once(opened, 'remoteSettings')
    return opened
  }

  function post(opened: ClientHttp2Session, octets: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      const stream = opened.request({ ':method': 'POST', ':path': '/dns-query', 'content-type': MEDIA_TYPE })
      stream.on('response', (headers) => resolve(headers[':status']!))
      stream.on('error', reject)
      stream.resume().end(octets)
    })
  }

  test('any octets are answered as what they are, hundreds on one connection', async () => {
    const opened = await session()
    const statuses = await Promise.all(
      fc.sample(fc.uint8Array({ maxLength: 600 }), 300).map((octets) => post(opened, octets)),
    )
    expect(new Set(statuses).difference(new Set([200, 400]))).toEqual(new Set())
    expect(await post(opened, NAS)).toBe(200)
    opened.destroy()
  })

  test('a client that asks and gives up, on and on, loses its connection (rapid reset)', async () => {
    const opened = await session()
    const closed = new Promise((resolve) => opened.on('close', resolve))
    let given = 0
    const giveUp = () => {
      for (let times = 0; times < 20 && !opened.destroyed; times += 1) {
        const stream = opened.request({ ':path': `/dns-query?dns=${NAS.toString('base64url')}` })
        stream.on('error', () => {})
        stream.close(8)
        given += 1
      }
      if (!opened.destroyed && given < 100_000) setImmediate(giveUp)
    }
    giveUp()
    await closed
    expect(given).toBeLessThan(5000)
    expect(await post(await session(), NAS)).toBe(200)
  })

  test('requests beyond what is answered at a time wait or are refused; the others are answered', async () => {
    const opened = await session()
    expect(opened.remoteSettings.maxConcurrentStreams).toBe(64)
    const statuses = await Promise.all(Array.from({ length: 500 }, () => post(opened, NAS)))
    expect(new Set(statuses)).toEqual(new Set([200]))
    opened.destroy()
  })

  test('a body that never ends is given up, over HTTP/2 and 1.1', async () => {
    const opened = await session()
    const stream = opened.request({ ':method': 'POST', ':path': '/dns-query', 'content-type': MEDIA_TYPE })
    stream.write('x')
    const status = new Promise((resolve) => stream.on('response', (headers) => resolve(headers[':status'])))
    const closed = new Promise((resolve) => stream.resume().on('close', resolve))

    const plain = connectTls({
      port: door.port,
      host: '127.0.0.1',
      ca: home.root,
      servername: 'gateway.home.arpa',
    })
    plain.write(
      `POST /dns-query HTTP/1.1\r\nHost: x\r\nContent-Type: ${MEDIA_TYPE}\r\nContent-Length: 30\r\n\r\nx`,
    )
    let reply = ''
    plain.on('data', (data) => {
      reply += data
    })
    const ended = new Promise((resolve) => plain.on('close', resolve))

    expect(await status).toBe(408)
    await Promise.all([closed, ended])
    expect(reply).toMatch(/^HTTP\/1\.1 408/)
    expect(await post(opened, NAS)).toBe(200)
    opened.destroy()
  })

  test('a flood of connections keeps no other client out', async () => {
    const flood = Array.from({ length: 700 }, (_, index) => {
      const socket = connect({ port: door.port, host: '127.0.0.1', localAddress: `127.0.1.${index % 7}` })
      socket.on('error', () => socket.destroy())
      return socket
    })
    await Promise.all(
      flood.map((socket) => new Promise((resolve) => socket.on('connect', resolve).on('close', resolve))),
    )
    for (let times = 0; times < 5; times += 1) expect(await post(await session(), NAS)).toBe(200)
    for (const socket of flood) socket.destroy()
  })
})
