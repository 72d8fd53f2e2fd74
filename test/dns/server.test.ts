import { execFile } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type DnsServer, DnsServerError, type DnsServerErrorCode } from '../../dns/server.ts'
import { decodeMessage, encodeMessage } from '../../wire/message.ts'
import { printRecord } from '../../wire/presentation.ts'
import { askUdp, HOUSEHOLD, query, ScriptedUpstream, startServer } from './harness.ts'
import { host } from './household.ts'

const run = promisify(execFile)

const zone = {
  ...HOUSEHOLD,
  records: [
    { owner: 'www.home.arpa', type: 'CNAME', ttl: 300, data: 'nas.home.arpa.' },
    ...['a', 'b', 'c', 'd', 'e', 'f'].map((letter) => ({
      owner: 'big.home.arpa',
      type: 'TXT',
      ttl: 300,
      data: `"${letter.repeat(250)}"`,
    })),
  ],
}

describe('real clients', () => {
  let server: DnsServer
  beforeAll(async () => {
    server = await startServer({ zone, addresses: ['127.0.0.1', '::1'] })
  })
  afterAll(() => server.close())

  const dig = async (...words: string[]): Promise<string> =>
    (await run('dig', ['@127.0.0.1', '-p', String(server.port), '+tries=1', '+nocookie', ...words])).stdout
  const kdig = async (...words: string[]): Promise<string> =>
    (await run('kdig', ['@::1', '-p', String(server.port), '+retry=0', ...words])).stdout

  test('dig over UDP, the question in odd case', async () => {
    const output = await dig('NaS.Home.Arpa', 'A')
    expect(output).toContain('status: NOERROR')
    expect(output).toContain('flags: qr aa rd ra;')
    expect(output).toMatch(/^NaS\.Home\.Arpa\.\s+60\s+IN\s+A\s+192\.168\.1\.20$/m)
    expect(output).toContain('EDNS: version: 0, flags:; udp: 1232')
  })

  test('dig over TCP, from ::1', async () => {
    const { stdout } = await run('dig', [
      '@::1',
      '-p',
      String(server.port),
      '+tcp',
      '+short',
      'nas.home.arpa',
      'AAAA',
    ])
    expect(stdout).toBe('fd00::20\n')
  })

  test('dig follows a CNAME chain', async () => {
    expect(await dig('+short', 'www.home.arpa')).toBe('nas.home.arpa.\n192.168.1.20\n')
  })

  test('dig -x', async () => {
    expect(await dig('+short', '-x', '192.168.1.20')).toBe('nas.home.arpa.\n')
    expect(await dig('+short', '-x', 'fd00::1')).toBe('gateway.home.arpa.\n')
  })

  test('dig sees NXDOMAIN with the SOA', async () => {
    const output = await dig('nope.home.arpa', 'A')
    expect(output).toContain('status: NXDOMAIN')
    expect(output).toMatch(
      /^home\.arpa\.\s+60\s+IN\s+SOA\s+gateway\.home\.arpa\. hostmaster\.home\.arpa\. 7 3600 600 604800 60$/m,
    )
  })

  test('dig without EDNS gets no OPT, and truncation above 512 octets', async () => {
    const output = await dig('+noedns', '+ignore', 'big.home.arpa', 'TXT')
    expect(output).toContain('flags: qr aa tc rd ra; QUERY: 1, ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 0')
  })

  test('dig goes on over TCP after a truncated answer', async () => {
    const output = await dig('+bufsize=4096', 'big.home.arpa', 'TXT')
    expect(output).toContain('Truncated, retrying in TCP mode')
    expect(output).toContain('ANSWER: 6')
  })

  test('dig reads the reason why there is no upstream', async () => {
    expect(await dig('www.example.com')).toContain(
      'EDE: 22 (No Reachable Authority): (no upstream is configured',
    )
  })

  test('kdig, over UDP and with several queries on one TCP connection', async () => {
    expect(await kdig('+short', 'nas.home.arpa', 'A')).toBe('192.168.1.20\n')
    const output = await kdig(
      '+tcp',
      '+keepopen',
      'nas.home.arpa',
      'A',
      'nas.home.arpa',
      'AAAA',
      'big.home.arpa',
      'TXT',
    )
    expect(output).toContain('192.168.1.20')
    expect(output).toContain('fd00::20')
    expect(output).toContain('ffff')
  })

  test('kdig with DNSSEC records wanted', async () => {
    expect(await kdig('+dnssec', 'nas.home.arpa')).toContain('Version: 0; flags: do; UDP size: 1232 B')
  })
})

describe('starting', () => {
  test('port 0 is one free port for UDP and TCP on all addresses', async () => {
    const server = await startServer({ addresses: ['127.0.0.1', '::1'] })
    const octets = encodeMessage(query('nas.home.arpa', 'A'))
    expect(server.port).toBeGreaterThan(0)
    for (const address of ['127.0.0.1', '::1']) {
      expect(decodeMessage(await askUdp(server.port, octets, address)).answers).toHaveLength(1)
    }
    await server.close()
  })

  test('a port that another program has over UDP', async () => {
    const other = createSocket('udp4').bind(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address()
    const start = startServer({ port })
    await expect(start).rejects.toThrow(withCode('PORT_TAKEN'))
    await expect(start).rejects.toThrow(`DNS cannot listen on 127.0.0.1 port ${port}: another program has it`)
    other.close()
  })

  test('a port that another program has over TCP; what was bound before is free again', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as { port: number }
    await expect(startServer({ port })).rejects.toThrow(withCode('PORT_TAKEN'))
    other.close()
    await once(other, 'close')
    await (await startServer({ port })).close()
  })

  test('an address that the host does not have', async () => {
    const start = startServer({ addresses: ['127.0.0.1', '192.0.2.1'] })
    await expect(start).rejects.toThrow(DnsServerError)
    await expect(start).rejects.toThrow(withCode('ADDRESS_ABSENT'))
    await expect(start).rejects.toThrow('192.0.2.1')
  })

  test('the same port again right after closing', async () => {
    const first = await startServer()
    await first.close()
    const second = await startServer({ port: first.port })
    expect(second.port).toBe(first.port)
    await second.close()
  })
})

describe('replacing the zone', () => {
  test('shows with the next query, in the serial too', async () => {
    const server = await startServer({ zone })
    const ask = async (name: string, type: string) =>
      decodeMessage(await askUdp(server.port, encodeMessage(query(name, type)))).answers.map(printRecord)
    expect(await ask('tv.home.arpa', 'A')).toEqual([])
    server.replaceZone({
      serial: 8,
      hosts: [host('tv.home.arpa', '192.168.1.30')],
      records: [],
    })
    expect(await ask('tv.home.arpa', 'A')).toEqual(['tv.home.arpa. 60 IN A 192.168.1.30'])
    expect(await ask('30.1.168.192.in-addr.arpa', 'PTR')).toHaveLength(1)
    expect(await ask('nas.home.arpa', 'A')).toEqual([])
    expect(await ask('home.arpa', 'SOA')).toEqual([
      'home.arpa. 60 IN SOA gateway.home.arpa. hostmaster.home.arpa. 8 3600 600 604800 60',
    ])
    await server.close()
  })
})

describe('explaining', () => {
  test('an answer of the zone, of a special name, and of an upstream', async () => {
    const upstream = new ScriptedUpstream((asked) => ({ ...asked, qr: true, rcode: 3 }))
    const { port } = await upstream.start()
    const clock = { now: () => 5 }
    const server = await startServer({
      zone,
      clock,
      upstreams: [{ address: '127.0.0.1', port, transport: 'udp' }],
    })
    expect(await server.explain('www', 'a')).toEqual({
      name: 'www.home.arpa.',
      rcode: 'NOERROR',
      source: 'zone',
      milliseconds: 0,
      answers: ['www.home.arpa. 300 IN CNAME nas.home.arpa.', 'nas.home.arpa. 60 IN A 192.168.1.20'],
    })
    expect(await server.explain('foo.invalid', 'A')).toMatchObject({ rcode: 'NXDOMAIN', source: 'special' })
    expect(await server.explain('www.example.com', 'A')).toMatchObject({
      rcode: 'NXDOMAIN',
      source: 'forwarder',
      upstream: `udp://127.0.0.1:${port}`,
    })
    await server.close()
    await upstream.close()
  })

  test('why there is no answer', async () => {
    const server = await startServer()
    expect(await server.explain('www.example.com', 'A')).toMatchObject({
      rcode: 'SERVFAIL',
      source: 'forwarder',
      reason: expect.stringContaining('no upstream is configured'),
    })
    await expect(server.explain('nas', 'WHAT')).rejects.toThrow(withCode('TYPE_UNKNOWN'))
    await expect(server.explain('nas', 'AXFR')).rejects.toThrow(withCode('TYPE_UNKNOWN'))
    await expect(server.explain('a..b', 'A')).rejects.toThrow(withCode('NAME_UNREADABLE'))
    await server.close()
  })
})

function withCode(code: DnsServerErrorCode) {
  return expect.objectContaining({ code })
}
