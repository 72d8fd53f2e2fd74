import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { HOUR, SECOND } from '../../base/clock.ts'
import { createLog } from '../../base/log.ts'
import { LeaseRecords } from '../../daemon/leases.ts'
import { parseDnsmasqLeases } from '../../dns/leases/dnsmasq.ts'
import { parseKeaLeases } from '../../dns/leases/kea.ts'
import type { LeaseFile } from '../../dns/leases/lease.ts'
import { LeaseReader } from '../../dns/leases/leaseReader.ts'
import { deleteRecords, putRecords } from '../../store/records.ts'
import { tempDirs } from '../support/tempDir.ts'
import { TestClock } from '../support/testClock.ts'
import { waitFor } from '../support/waitFor.ts'
import { ChangingZone } from './changingZone.ts'

const tempDir = tempDirs()
let dir: string
beforeAll(() => {
  dir = tempDir()
})

describe('the lease file of dnsmasq', () => {
  test('IPv4 and IPv6, ending and endless, with and without a name', () => {
    const text = `1764000000 11:22:33:44:55:66 192.168.1.50 laptop 01:11:22:33:44:55:66
0 11:22:33:44:55:67 192.168.1.51 tv *
1764000000 11:22:33:44:55:68 192.168.1.52 * *
duid 00:01:00:01:2f:aa:bb:cc:11:22:33:44:55:66
1764000000 3355443 fd00::50 laptop 00:01:00:01:2f:aa:bb:cc:11:22:33:44:55:66
1764000000 T3355443 fd00::aaaa laptop 00:01:00:01:2f:aa:bb:cc:11:22:33:44:55:66
`
    expect(parseDnsmasqLeases(text)).toEqual([
      { address: '192.168.1.50', hostname: 'laptop', expires: 1764000000 * SECOND },
      { address: '192.168.1.51', hostname: 'tv', expires: Number.POSITIVE_INFINITY },
      { address: 'fd00::50', hostname: 'laptop', expires: 1764000000 * SECOND },
    ])
  })

  test('what is no lease is passed over', () => {
    expect(
      parseDnsmasqLeases('garbage\n\0\0\0\n1764000000 x y z\n-1 a 192.168.1.5 b *\n1e9 a 192.168.1.5 b *'),
    ).toEqual([])
  })
})

describe('the lease file of Kea', () => {
  const FOUR =
    'address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context\n'
  const SIX =
    'address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context,hwtype,hwaddr_source\n'

  test('DHCPv4: the last line of an address holds', () => {
    const text = `${FOUR}192.168.1.101,1a:1b:1c:1d:1e:1f,,3600,1764000000,1,0,0,laptop.home.arpa,0,
192.168.1.102,1a:1b:1c:1d:1e:20,,4294967295,6090491977,1,0,0,phone,0,
192.168.1.103,1a:1b:1c:1d:1e:21,,3600,1764000000,1,0,0,declined,1,
192.168.1.104,1a:1b:1c:1d:1e:22,,3600,1764000000,1,0,0,,0,
192.168.1.105,1a:1b:1c:1d:1e:23,,3600,1764000000,1,0,0,gone,0,
192.168.1.101,1a:1b:1c:1d:1e:1f,,3600,1764009999,1,0,0,laptop.home.arpa.,0,
192.168.1.105,1a:1b:1c:1d:1e:23,,0,1764000001,1,0,0,gone,0,
192.168.1.106,1a:1b`
    expect(parseKeaLeases([text])).toEqual([
      { address: '192.168.1.101', hostname: 'laptop.home.arpa.', expires: 1764009999 * SECOND },
      { address: '192.168.1.102', hostname: 'phone', expires: Number.POSITIVE_INFINITY },
    ])
  })

  test('DHCPv6: addresses of hosts, and neither prefixes nor temporary ones', () => {
    const text = `${SIX}fd00::101,00:01,3600,1764000000,1,1800,0,7,128,1,1,laptop.home.arpa.,,0,,,
fd00::102,00:01,3600,1764000000,1,1800,1,7,128,1,1,laptop.home.arpa.,,0,,,
fd00:1::,00:01,3600,1764000000,1,1800,2,7,56,1,1,laptop.home.arpa.,,0,,,
`
    expect(parseKeaLeases([text])).toEqual([
      { address: 'fd00::101', hostname: 'laptop.home.arpa.', expires: 1764000000 * SECOND },
    ])
  })

  test('a file moved aside to be cleaned up is read first; a cleaned one takes the place of both', async () => {
    const file = join(dir, 'kea-leases4.csv')
    const lease = (name: string, address: string) => `${address},,,3600,1764000000,1,0,0,${name},0,\n`
    const reader = new LeaseReader({ format: 'kea', file })
    const names = async () => (await reader.read())?.map(({ hostname }) => hostname)
    writeFileSync(`${file}.2`, FOUR + lease('oldest', '192.168.1.2'))
    writeFileSync(`${file}.1`, FOUR + lease('older', '192.168.1.1') + lease('older', '192.168.1.3'))
    writeFileSync(file, FOUR + lease('new', '192.168.1.3'))
    expect(await names()).toEqual(['oldest', 'older', 'new'])
    expect(await names()).toBeUndefined()
    writeFileSync(`${file}.completed`, FOUR + lease('cleaned', '192.168.1.1'))
    expect(await names()).toEqual(['cleaned', 'new'])
  })
})

describe('reading', () => {
  const reader = (file: string) => new LeaseReader({ format: 'dnsmasq', file })

  test('a file that is not there, or is no file', async () => {
    await expect(reader(join(dir, 'none')).read()).rejects.toMatchObject({ code: 'FILE_MISSING' })
    await expect(reader(dir).read()).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
    await expect(reader('/dev/zero').read()).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
  })

  test('a file that is too large is not read', async () => {
    const file = join(dir, 'large')
    writeFileSync(file, '')
    truncateSync(file, 16 * 1024 * 1024 + 1)
    await expect(reader(file).read()).rejects.toMatchObject({ code: 'FILE_TOO_LARGE' })
  })

  test('a last line without an end is waited for, unless it stays so', async () => {
    const file = join(dir, 'half')
    const half = reader(file)
    writeFileSync(file, '0 aa 192.168.1.1 one *\n0 bb 192.168.1.')
    expect(await half.read()).toBeNull()
    writeFileSync(file, '0 aa 192.168.1.1 one *\n0 bb 192.168.1.2 two *\n')
    expect(await half.read()).toHaveLength(2)
    writeFileSync(file, '0 aa 192.168.1.1 one *')
    expect([await half.read(), await half.read()]).toEqual([null, [expect.anything()]])
  })
})

describe('in the zone', () => {
  let clock: TestClock
  let zone: ChangingZone
  let leases: LeaseRecords
  let file: string

  beforeEach(async () => {
    clock = new TestClock()
    zone = await ChangingZone.open({}, clock)
    file = join(zone.dir, 'dnsmasq.leases')
  })
  afterEach(async () => {
    await leases.close()
    await zone.close()
  })

  async function follow(files: LeaseFile[] = [{ format: 'dnsmasq', file }]): Promise<void> {
    const log = createLog('silent')
    log.warn = (message: unknown) => void zone.log.push(String(message))
    leases = new LeaseRecords({
      store: zone.store,
      clock,
      log,
      files,
      domain: 'home.arpa',
      gatewayName: 'gateway.home.arpa',
      overrides: [],
    })
    await leases.start()
    zone.store.follow((changes) => leases.follow(changes))
  }

  /** Lines of the form `192.168.1.50 laptop`, an hour long unless they say how many seconds. */
  function write(...lines: string[]): void {
    const text = lines.map((line) => {
      const [address, name, seconds = '3600'] = line.split(' ')
      return `${Math.floor(clock.now() / SECOND) + Number(seconds)} 11:22:33:44:55:66 ${address} ${name} *\n`
    })
    writeFileSync(file, text.join(''))
  }

  const serial = async () => (await zone.dig('+short', 'home.arpa', 'SOA')).split(' ')[2]

  test('a lease is there forward and back, follows the file, and goes when it ends', async () => {
    write('192.168.1.50 laptop', 'fd00::50 laptop')
    await follow()
    expect(await zone.dig('+short', 'laptop.home.arpa')).toBe('192.168.1.50\n')
    expect(await zone.dig('+short', 'laptop.home.arpa', 'AAAA')).toBe('fd00::50\n')
    expect(await zone.dig('+short', '-x', '192.168.1.50')).toBe('laptop.home.arpa.\n')
    expect(await zone.dig('+short', '-x', 'fd00::50')).toBe('laptop.home.arpa.\n')

    write('192.168.1.51 laptop', '192.168.1.52 phone 600')
    await waitFor(async () => (await zone.dig('+short', 'laptop.home.arpa')) === '192.168.1.51\n')
    expect(await zone.dig('-x', '192.168.1.50')).toContain('NXDOMAIN')

    clock.pass(600 * SECOND)
    await leases.look()
    expect(await zone.kept()).toEqual([
      'lease 51.1.168.192.in-addr.arpa 60 PTR laptop.home.arpa.',
      'lease laptop.home.arpa 60 A 192.168.1.51',
    ])
    clock.pass(HOUR)
    await leases.look()
    expect(await zone.kept()).toEqual([])
  })

  test('a file that is replaced, and one that is written by halves', async () => {
    write('192.168.1.50 laptop')
    await follow()
    writeFileSync(`${file}.new`, `0 11:22:33:44:55:66 192.168.1.60 tv *\n`)
    renameSync(`${file}.new`, file)
    await waitFor(async () => (await zone.dig('+short', 'tv.home.arpa')) === '192.168.1.60\n')
    writeFileSync(file, '0 11:22:33:44:55:66 192.168.1.60 tv *\n0 11:22:33:44:55:67 192.168.1.6')
    await leases.look()
    writeFileSync(file, '0 11:22:33:44:55:66 192.168.1.60 tv *\n0 11:22:33:44:55:67 192.168.1.61 radio *\n')
    await leases.look()
    expect((await zone.kept()).filter((line) => line.includes(' A '))).toEqual([
      'lease radio.home.arpa 60 A 192.168.1.61',
      'lease tv.home.arpa 60 A 192.168.1.60',
    ])
  })

  test('while the file is missing, what is known stays until it ends', async () => {
    write('192.168.1.50 laptop')
    await follow()
    rmSync(file)
    await leases.look()
    await leases.look()
    expect(await zone.dig('+short', 'laptop.home.arpa')).toBe('192.168.1.50\n')
    expect(zone.log.filter((text) => text.includes('is not there'))).toHaveLength(1)
    clock.pass(HOUR)
    await leases.look()
    expect(await zone.kept()).toEqual([])
  })

  test('what the zone had from an earlier run goes if the file does not say so any more', async () => {
    await zone.store.transaction((tx) =>
      putRecords(tx, [{ owner: 'old.home.arpa', type: 'A', ttl: 60, data: '192.168.1.9' }], 'lease'),
    )
    write('192.168.1.50 laptop')
    await follow()
    expect((await zone.kept()).join()).not.toContain('old.home.arpa')
  })

  describe('after a restart', () => {
    const second = () => join(zone.dir, 'second.leases')
    const both = (): LeaseFile[] => [
      { format: 'dnsmasq', file },
      { format: 'dnsmasq', file: second() },
    ]
    const addresses = async () => (await zone.kept()).filter((line) => !line.includes(' PTR '))
    const line = (address: string, name: string) => `0 11:22:33:44:55:66 ${address} ${name} *\n`

    beforeEach(async () => {
      write('192.168.1.50 laptop', '192.168.1.51 phone', '192.168.1.52 tv')
      await follow()
      await leases.close()
    })

    test('nothing goes while a file is missing; what it does not know goes when it is there', async () => {
      const before = await zone.kept()
      renameSync(file, `${file}.away`)
      await follow()
      await leases.look()
      expect(await zone.kept()).toEqual(before)
      writeFileSync(file, line('192.168.1.50', 'laptop'))
      await leases.look()
      expect(await addresses()).toEqual(['lease laptop.home.arpa 60 A 192.168.1.50'])
    })

    test('nor while it is written by halves', async () => {
      const before = await zone.kept()
      writeFileSync(file, line('192.168.1.50', 'laptop').trim())
      await follow()
      expect(await zone.kept()).toEqual(before)
    })

    test('with one of two files: what it says counts, and the rest stays unless it is taken', async () => {
      writeFileSync(file, line('192.168.1.60', 'laptop') + line('192.168.1.51', 'camera'))
      await follow(both())
      const known = [
        'lease camera.home.arpa 60 A 192.168.1.51',
        'lease laptop.home.arpa 60 A 192.168.1.60',
        'lease tv.home.arpa 60 A 192.168.1.52',
      ]
      expect(await addresses()).toEqual(known)
      await zone.add('tv.home.arpa 300 A 192.168.1.99')
      await waitFor(async () => (await addresses()).length === 3)
      expect(await zone.dig('+short', 'tv.home.arpa')).toBe('192.168.1.99\n')
      writeFileSync(second(), '')
      await leases.look()
      expect((await addresses()).filter((kept) => kept.startsWith('lease'))).toEqual(known.slice(0, 2))
    })

    test('what one file says ends, though the other was never there', async () => {
      write('192.168.1.50 laptop 600')
      await follow(both())
      clock.pass(600 * SECOND)
      await leases.look()
      expect((await addresses()).join()).not.toContain('laptop')
    })
  })

  test('what ended by a clock that was ahead is there again when that is put right', async () => {
    write('192.168.1.50 laptop')
    await follow()
    const before = await zone.kept()
    clock.pass(2 * HOUR)
    await leases.look()
    expect(await zone.kept()).toEqual([])
    clock.pass(-2 * HOUR)
    await leases.look()
    expect(await zone.kept()).toEqual(before)
  })

  test('a file written anew with the same leases changes nothing', async () => {
    write('192.168.1.50 laptop')
    await follow()
    const before = await serial()
    write('192.168.1.50 laptop 7200')
    await leases.look()
    expect(await serial()).toBe(before)
  })

  test('names that are taken stay what they are, and it is said once', async () => {
    await zone.add(
      'www.home.arpa 60 A 192.168.1.9',
      'alias.home.arpa 60 CNAME www.home.arpa.',
      'lab.home.arpa 60 NS ns.example.net.',
      '59.1.168.192.in-addr.arpa 60 PTR www.home.arpa.',
    )
    write(
      '192.168.1.50 nas',
      '192.168.1.51 gateway',
      '192.168.1.52 www',
      '192.168.1.53 alias',
      '192.168.1.54 pc.lab.home.arpa',
      '192.168.1.55 wpad',
      '192.168.1.56 bad_name',
      '192.168.1.57 localhost',
      '192.168.1.58 Laptop.LAN',
      '192.168.1.59 tv',
      '192.168.1.20 synology',
    )
    await follow()
    await leases.look()
    expect((await zone.kept()).filter((line) => line.startsWith('lease'))).toEqual([
      'lease 58.1.168.192.in-addr.arpa 60 PTR laptop.home.arpa.',
      'lease laptop.home.arpa 60 A 192.168.1.58',
      'lease synology.home.arpa 60 A 192.168.1.20',
      'lease tv.home.arpa 60 A 192.168.1.59',
    ])
    expect(await zone.dig('+short', '-x', '192.168.1.20')).toBe('nas.home.arpa.\n')
    expect(zone.log.filter((text) => text.includes('the name nas.home.arpa'))).toHaveLength(1)
  })

  test('a name that becomes free is taken, and one that is given to somebody is left', async () => {
    await zone.add('www.home.arpa 60 A 192.168.1.9')
    write('192.168.1.52 www', '192.168.1.53 tv')
    await follow()
    await zone.store.transaction(async (tx) => {
      await deleteRecords(tx, { owner: 'www.home.arpa' })
      await tx.change('dns.changed', 'www.home.arpa')
    })
    await waitFor(async () => (await zone.dig('+short', 'www.home.arpa')) === '192.168.1.52\n')
    await zone.add('tv.home.arpa 300 A 192.168.1.99')
    await waitFor(async () => (await zone.dig('+short', 'tv.home.arpa')) === '192.168.1.99\n')
  })

  test('of two hosts with one name, the one whose lease ends last has it', async () => {
    write('192.168.1.50 iphone 900', '192.168.1.51 iphone 800', '192.168.1.52 iphone 700')
    await follow()
    expect(await zone.dig('+short', 'iphone.home.arpa')).toBe('192.168.1.50\n')
  })

  test('five thousand leases, and no more', async () => {
    const lines = Array.from(
      { length: 5010 },
      (_, index) => `10.0.${index >> 8}.${index & 255} host-${index}`,
    )
    write(...lines)
    await follow()
    expect(await zone.kept()).toHaveLength(10_000)
    expect(zone.log.join()).toContain('more than 5000 leases')
    expect(await zone.dig('+short', 'host-4999.home.arpa')).toBe('10.0.19.135\n')
  })
})

describe("Kea's DHCP server writes the file itself", () => {
  let zone: ChangingZone
  let leases: LeaseRecords
  let kea: ChildProcess
  let output = ''

  beforeAll(async () => {
    zone = await ChangingZone.open()
    const config = join(zone.dir, 'kea.json')
    const file = join(zone.dir, 'kea-leases4.csv')
    writeFileSync(
      config,
      JSON.stringify({
        Dhcp4: {
          'interfaces-config': { interfaces: [] },
          'lease-database': { type: 'memfile', name: file, 'lfc-interval': 0 },
          subnet4: [{ subnet: '192.168.1.0/24', pools: [{ pool: '192.168.1.100-192.168.1.200' }] }],
          'control-socket': { 'socket-type': 'unix', 'socket-name': join(zone.dir, 'kea.sock') },
          'hooks-libraries': [
            { library: `/usr/lib/${ARCHITECTURE}-linux-gnu/kea/hooks/libdhcp_lease_cmds.so` },
          ],
        },
      }),
    )
    kea = spawn('/usr/sbin/kea-dhcp4', ['-c', config], {
      env: { KEA_PIDFILE_DIR: zone.dir, KEA_LOCKFILE_DIR: zone.dir, KEA_LOGGER_DESTINATION: 'stdout' },
    })
    for (const stream of [kea.stdout!, kea.stderr!]) stream.on('data', (chunk) => (output += chunk))
    await waitFor(() => {
      if (kea.exitCode !== null) throw new Error(`kea-dhcp4 ended:\n${output}`)
      return output.includes('DHCP4_STARTED')
    })
    leases = new LeaseRecords({
      store: zone.store,
      clock: { now: () => Date.now() },
      log: createLog('silent'),
      files: [{ format: 'kea', file }],
      domain: 'home.arpa',
      gatewayName: 'gateway.home.arpa',
      overrides: [],
    })
    await leases.start()
  })

  afterAll(async () => {
    kea?.kill()
    if (kea?.exitCode === null) await once(kea, 'exit')
    await leases?.close()
    await zone?.close()
  })

  const ARCHITECTURE = process.arch === 'arm64' ? 'aarch64' : 'x86_64'

  async function command(name: string, lease: Record<string, string>): Promise<void> {
    const socket = connect(join(zone.dir, 'kea.sock'))
    socket.write(JSON.stringify({ command: name, arguments: lease }))
    const [reply] = await once(socket, 'data')
    socket.destroy()
    expect(JSON.parse(String(reply))).toMatchObject({ result: 0 })
  }

  test('leases come and go', async () => {
    const lease = { 'ip-address': '192.168.1.101', 'hw-address': '1a:1b:1c:1d:1e:1f', hostname: 'laptop' }
    await command('lease4-add', lease)
    await waitFor(async () => (await zone.dig('+short', 'laptop.home.arpa')) === '192.168.1.101\n')
    expect(await zone.dig('+short', '-x', '192.168.1.101')).toBe('laptop.home.arpa.\n')
    await command('lease4-del', { 'ip-address': '192.168.1.101' })
    await waitFor(async () => (await zone.dig('laptop.home.arpa')).includes('NXDOMAIN'))
  })
})
