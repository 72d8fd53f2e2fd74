import { type ChildProcess, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { freePort } from '../support/ports.ts'
import { waitFor } from '../support/waitFor.ts'
import { ChangingZone, KEY, SECRET } from './changingZone.ts'

/** Kea's DHCP-DDNS server (D2), told of leases as Kea's DHCP servers tell it, updates the home's zones. */

let zone: ChangingZone
let kea: ChildProcess
let ncrPort: number
let output = ''

beforeAll(async () => {
  zone = await ChangingZone.open()
  ncrPort = await freePort()
  const servers = [{ 'ip-address': '127.0.0.1', port: zone.server.port }]
  const domain = (name: string) => ({ name, 'key-name': KEY.name, 'dns-servers': servers })
  const config = {
    DhcpDdns: {
      'ip-address': '127.0.0.1',
      port: ncrPort,
      // Half a second by default, after which it gives the lease up: a busy machine may need more.
      'dns-server-timeout': 10_000,
      'tsig-keys': [{ name: KEY.name, algorithm: 'HMAC-SHA256', secret: SECRET.toString('base64') }],
      'forward-ddns': { 'ddns-domains': [domain('home.arpa.')] },
      'reverse-ddns': { 'ddns-domains': [domain('168.192.in-addr.arpa.')] },
      loggers: [{ name: 'kea-dhcp-ddns', severity: 'INFO', output_options: [{ output: 'stdout' }] }],
    },
  }
  const file = join(zone.dir, 'kea.json')
  writeFileSync(file, JSON.stringify(config))
  kea = spawn('/usr/sbin/kea-dhcp-ddns', ['-c', file], {
    env: { KEA_PIDFILE_DIR: zone.dir, KEA_LOCKFILE_DIR: zone.dir, KEA_LOGGER_DESTINATION: 'stdout' },
  })
  for (const stream of [kea.stdout!, kea.stderr!]) stream.on('data', (chunk) => (output += chunk))
  await waitFor(() => {
    if (kea.exitCode !== null) throw new Error(`kea-dhcp-ddns ended:\n${output}`)
    return output.includes('DHCP_DDNS_STARTED')
  })
})

afterAll(async () => {
  kea?.kill()
  if (kea?.exitCode === null) await once(kea, 'exit')
  await zone?.close()
})

/** Sends a name change request: 0 adds, 1 removes. */
async function ncr(type: 0 | 1, fqdn: string, address: string, dhcid: string): Promise<void> {
  const request = Buffer.from(
    JSON.stringify({
      'change-type': type,
      'forward-change': true,
      'reverse-change': true,
      fqdn,
      'ip-address': address,
      dhcid,
      'lease-expires-on': '20300101000000',
      'lease-length': 3600,
      'use-conflict-resolution': true,
    }),
  )
  const length = Buffer.alloc(2)
  length.writeUInt16BE(request.length)
  const socket = createSocket('udp4')
  await new Promise((sent) => socket.send(Buffer.concat([length, request]), ncrPort, '127.0.0.1', sent))
  socket.close()
}

const LAPTOP = '000001c4b2a1'
const OTHER = '000001d5c3b2'

test('a lease becomes A, PTR and DHCID, is renewed with another address, and goes', async () => {
  await ncr(0, 'laptop.home.arpa.', '192.168.1.77', LAPTOP)
  await waitFor(async () => (await zone.dig('+short', '-x', '192.168.1.77')) === 'laptop.home.arpa.\n')
  expect(await zone.dig('+short', 'laptop.home.arpa')).toBe('192.168.1.77\n')
  expect(
    (await zone.kept()).map((line) =>
      line
        .split(' ')
        .filter((_, at) => at !== 2)
        .slice(0, 3)
        .join(' '),
    ),
  ).toEqual([
    'update 77.1.168.192.in-addr.arpa DHCID',
    'update 77.1.168.192.in-addr.arpa PTR',
    'update laptop.home.arpa A',
    'update laptop.home.arpa DHCID',
  ])

  await ncr(0, 'laptop.home.arpa.', '192.168.1.78', LAPTOP)
  await waitFor(async () => (await zone.dig('+short', 'laptop.home.arpa')) === '192.168.1.78\n')

  // Another client that says it has the same name does not get it.
  await ncr(0, 'laptop.home.arpa.', '192.168.1.99', OTHER)
  await waitFor(() => /FORWARD_REPLACE_REJECTED.* laptop\.home\.arpa/.test(output))
  expect(await zone.dig('+short', 'laptop.home.arpa')).toBe('192.168.1.78\n')

  await ncr(1, 'laptop.home.arpa.', '192.168.1.78', LAPTOP)
  await waitFor(async () => (await zone.dig('laptop.home.arpa')).includes('NXDOMAIN'))
})

test("a device's name is not given to a client that calls itself so", async () => {
  await ncr(0, 'nas.home.arpa.', '192.168.1.66', OTHER)
  await waitFor(() => /REJECTED.* nas\.home\.arpa/.test(output))
  expect(await zone.dig('+short', 'nas.home.arpa')).toBe('192.168.1.20\n')
})
