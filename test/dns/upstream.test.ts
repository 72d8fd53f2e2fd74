import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import {
  parseUpstream,
  printUpstream,
  readUpstreamCa,
  systemUpstreams,
  type Upstream,
  UpstreamError,
} from '../../dns/upstream.ts'
import { tempDirs } from '../support/tempDir.ts'
import { opensslCa } from './unboundPeer.ts'

const newDir = tempDirs()

describe('an upstream as written', () => {
  const https = { transport: 'https', port: 443, path: '/dns-query' } as const

  test.each<[string, Upstream]>([
    ['9.9.9.9', { address: '9.9.9.9', port: 53, transport: 'udp' }],
    ['2620:FE::fe', { address: '2620:fe::fe', port: 53, transport: 'udp' }],
    ['udp://9.9.9.9', { address: '9.9.9.9', port: 53, transport: 'udp' }],
    ['udp://[2620:fe::fe]:53', { address: '2620:fe::fe', port: 53, transport: 'udp' }],
    ['TCP://192.168.1.1:5353', { address: '192.168.1.1', port: 5353, transport: 'tcp' }],
    [
      'tls://9.9.9.9#dns.quad9.net',
      { transport: 'tls', address: '9.9.9.9', port: 853, name: 'dns.quad9.net' },
    ],
    ['tls://9.9.9.9', { transport: 'tls', address: '9.9.9.9', port: 853, name: null }],
    [
      'tls://[2620:fe::fe]:8853#DNS.Quad9.net',
      { transport: 'tls', address: '2620:fe::fe', port: 8853, name: 'dns.quad9.net' },
    ],
    ['https://dns.quad9.net/dns-query', { ...https, host: 'dns.quad9.net', address: null }],
    ['https://DNS.quad9.net/dns-query{?dns}', { ...https, host: 'dns.quad9.net', address: null }],
    ['https://dns.quad9.net/dns-query#9.9.9.9', { ...https, host: 'dns.quad9.net', address: '9.9.9.9' }],
    ['https://9.9.9.9/dns-query', { ...https, host: '9.9.9.9', address: '9.9.9.9' }],
    [
      'https://[2620:fe::fe]:8443/dns-query',
      { ...https, host: '2620:fe::fe', address: '2620:fe::fe', port: 8443 },
    ],
  ])('%s', (text, upstream) => {
    expect(parseUpstream(text)).toEqual(upstream)
    expect(parseUpstream(printUpstream(upstream))).toEqual(upstream)
  })

  test.each([
    ['udp://dns.quad9.net', 'its host is no IP address'],
    ['tls://dns.quad9.net', 'its host is no IP address; the name goes after #'],
    ['tls://9.9.9.9#9.9.9.9', 'after # a host name must stand'],
    ['tls://9.9.9.9/dns-query', 'DNS over TLS has no path'],
    ['udp://9.9.9.9#dns.quad9.net', 'nothing may follow the port'],
    ['tcp://9.9.9.9/', 'nothing may follow the port'],
    ['https://dns.quad9.net', 'its path is missing, mostly /dns-query'],
    ['https://localhost/dns-query', 'its host is neither name nor address'],
    ['https://dns.quad9.net/dns-query#dns.quad9.net', 'after # only the address'],
    ['https://9.9.9.9/dns-query#9.9.9.10', 'after # only the address'],
    ['http://9.9.9.9/dns-query', 'it has no known form'],
    ['quic://9.9.9.9', 'it has no known form'],
    ['9.9.9.9:53', 'it has no known form'],
    ['udp://9.9.9.9:0', 'there is no port 0'],
    ['udp://9.9.9.9:70000', 'there is no port 70000'],
    ['', 'it has no known form'],
  ])('%j is refused', (text, reason) => {
    expect(() => parseUpstream(text)).toThrow(UpstreamError)
    expect(() => parseUpstream(text)).toThrow(reason)
    expect(() => parseUpstream(text)).toThrow('write an IP address, or one after udp://, tcp:// or tls://')
  })

  test('what could be a secret is never shown', () => {
    const customer = parseUpstream('https://dns.example.com/c0ffee')
    expect(printUpstream(customer)).toBe('https://dns.example.com/...')
    for (const text of [
      'https://anna:c0ffee@dns.example.com/dns-query',
      'https://dns.example.com/c0ffee#nonsense',
      'https://dns.example.com?token=c0ffee',
      'udp://anna:c0ffee@192.0.2.1',
    ]) {
      expect(() => parseUpstream(text)).toThrow('cannot be used')
      expect(() => parseUpstream(text)).not.toThrow('c0ffee')
    }
  })
})

test("the system's name servers, each once, without our own", () => {
  const path = join(newDir(), 'resolv.conf')
  writeFileSync(
    path,
    '# made by hand\nsearch home.arpa\nnameserver 127.0.0.1\nnameserver 192.168.1.1\n nameserver fd00::0:1 \nnameserver 192.168.1.1\nnameserver fe80::1%eth0\nnameserver\n',
  )
  expect(
    systemUpstreams({ isOwn: ({ address }) => ['127.0.0.1', '::1'].includes(address), path }).map(
      printUpstream,
    ),
  ).toEqual(['udp://192.168.1.1', 'udp://[fd00::1]'])
  expect(systemUpstreams({ isOwn: () => false, path: `${path}.absent` })).toEqual([])
})

describe('the file of more authorities', () => {
  test('is read whatever else stands in it', async () => {
    const folder = newDir()
    const { ca, chain } = await opensslCa(folder)
    const both = join(folder, 'both.pem')
    writeFileSync(both, `Our own\n${readFileSync(ca)}\n---\n`)
    expect(readUpstreamCa(both).match(/BEGIN CERTIFICATE/g)).toHaveLength(1)
    expect(readUpstreamCa(chain)).toContain('BEGIN CERTIFICATE')
  })

  test.each([
    ['missing', null, 'cannot be read'],
    ['empty', '', 'holds no certificate'],
    ['a key', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n', 'holds no certificate'],
    ['broken', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n', 'cannot be read'],
    ['huge', 'x'.repeat(1_100_000), 'is larger than 1 MiB'],
  ])('is refused with a reason: %s', (_what, text, reason) => {
    const path = join(newDir(), 'ca.pem')
    if (text !== null) writeFileSync(path, text)
    expect(() => readUpstreamCa(path)).toThrow(UpstreamError)
    expect(() => readUpstreamCa(path)).toThrow(reason)
    expect(() => readUpstreamCa(path)).toThrow('dns.upstreamCa')
  })
})
