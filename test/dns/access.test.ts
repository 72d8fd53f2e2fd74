import { networkInterfaces } from 'node:os'
import { afterEach, describe, expect, test } from '@jest/globals'
import { systemClock } from '../../base/clock.ts'
import { addressOctets } from '../../base/ip.ts'
import { Access, networkOf } from '../../dns/access.ts'
import type { DnsServer } from '../../dns/server.ts'
import { decodeMessage, encodeMessage } from '../../wire/message.ts'
import { RCODE } from '../../wire/registry.ts'
import { askTcp, askUdp, query, startServer } from './harness.ts'

describe('who is local', () => {
  const access = new Access({
    clients: ['203.0.113.7/24', '2001:db8:1::/48'],
    outside: ['192.168.99.0/24'],
    clock: systemClock,
  })

  test.each([
    '127.0.0.1',
    '127.255.0.9',
    '10.0.0.1',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.9',
    '169.254.7.7',
    '::1',
    'fe80::1%eth0',
    'febf::1',
    'fd00::20',
    'fc00::1',
    '::ffff:192.168.1.9',
    '203.0.113.200',
    '2001:db8:1:ffff::9',
  ])('%s is', (address) => {
    expect(access.isLocalAddress(address)).toBe(true)
  })

  test.each([
    '8.8.8.8',
    '128.0.0.1',
    '11.0.0.1',
    '172.15.0.1',
    '172.32.0.1',
    '192.169.0.1',
    '169.253.0.1',
    '100.64.0.1',
    '::',
    '::2',
    '1::1',
    'fec0::1',
    'fe00::1',
    '2001:db8:2::1',
    '::ffff:8.8.8.8',
    '192.168.99.5',
    '::ffff:192.168.99.5',
    '203.0.112.1',
    'nonsense',
    '',
  ])('%s is not', (address) => {
    expect(access.isLocalAddress(address)).toBe(false)
  })

  test("this host's own addresses are", () => {
    const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
    expect(own.length).toBeGreaterThan(0)
    for (const { address } of own) expect(access.isLocalAddress(address)).toBe(true)
  })

  test('octets inside a larger memory are read where they are', () => {
    const memory = Buffer.concat([
      Buffer.alloc(3, 0xff),
      addressOctets('192.168.1.9')!,
      Buffer.alloc(20, 0xff),
    ])
    expect(access.isLocal(memory, 3, 4)).toBe(true)
    expect(access.isLocal(memory, 4, 4)).toBe(false)
    expect(access.isLocal(Buffer.concat([memory, addressOctets('fd00::1')!]), memory.length, 16)).toBe(true)
  })

  test('neighbours of an address from outside share its network: /24, and /56', () => {
    expect(networkOf('8.8.8.8')).toBe(networkOf('8.8.8.200'))
    expect(networkOf('8.8.8.8')).not.toBe(networkOf('8.8.9.8'))
    expect(networkOf('2001:db8:0:1::1')).toBe(networkOf('2001:db8:0:ff::2'))
    expect(networkOf('2001:db8:0:1::1')).not.toBe(networkOf('2001:db8:0:100::1'))
  })
})

describe('who is answered', () => {
  let server: DnsServer
  afterEach(() => server.close())

  const NAS = encodeMessage(
    query('nas.home.arpa', 'A', { edns: { udpSize: 1232, version: 0, dnssecOk: false, options: [] } }),
  )

  test('a client outside is refused, is offered no recursion, and is told why (RFC 8914)', async () => {
    server = await startServer({ outside: ['127.0.0.0/8'] })
    const replies = [await askUdp(server.port, NAS), ...(await askTcp(server.port, [NAS]))].map(decodeMessage)
    for (const reply of replies) {
      expect(reply).toMatchObject({
        rcode: RCODE.REFUSED,
        ra: false,
        aa: false,
        answers: [],
        authorities: [],
      })
      expect(reply.edns?.options).toEqual([{ code: 15, data: Buffer.from([0, 18]) }])
    }
  })

  test('a client outside learns nothing of names that never leave the home either', async () => {
    server = await startServer({ outside: ['127.0.0.0/8'] })
    for (const name of ['localhost', 'printer.local', '1.1.168.192.in-addr.arpa', 'example.com', 'nas']) {
      const reply = decodeMessage(await askUdp(server.port, encodeMessage(query(name, 'A'))))
      expect(reply).toMatchObject({ rcode: RCODE.REFUSED, edns: null })
    }
  })

  test('a client inside is answered as ever', async () => {
    server = await startServer({ outside: ['127.0.0.2/32'] })
    expect(decodeMessage(await askUdp(server.port, NAS))).toMatchObject({ rcode: 0, ra: true, aa: true })
  })
})
