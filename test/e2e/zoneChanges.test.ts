import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { TestGateway } from '../support/gateway.ts'
import { run } from '../support/run.ts'
import { waitFor } from '../support/waitFor.ts'

/** Programs that change the zone of a whole gateway: keys by command, dynamic updates, a lease file, a copy. */

interface MadeKey {
  name: string
  algorithm: string
  secret: string
}

let gateway: TestGateway
let updater: string
let copier: string
let secret: string

const text = ({ algorithm, name, secret }: MadeKey) => `${algorithm}:${name}:${secret}`

beforeAll(async () => {
  gateway = new TestGateway()
  gateway.configure({
    dns: {
      upstreams: ['udp://127.0.0.1:9'],
      leases: [{ format: 'dnsmasq', file: './dnsmasq.leases' }],
    },
  })
  writeFileSync(gateway.path('dnsmasq.leases'), '0 11:22:33:44:55:66 192.168.1.50 laptop *\n')
  await gateway.start()
  const made = await gateway.hearthJson<MadeKey>('dns', 'key', 'add', 'updater', '--update')
  secret = made.secret
  updater = text(made)
  copier = text(await gateway.hearthJson<MadeKey>('dns', 'key', 'add', 'copier', '--transfer'))
})

afterAll(() => gateway.dispose())

const dig = async (...words: string[]) =>
  (await run('dig', ['@127.0.0.1', '-p', String(gateway.status.dns.port), '+tries=1', ...words])).stdout

const nsupdate = (commands: string, key = updater) =>
  run('nsupdate', ['-y', key], {
    input: `server 127.0.0.1 ${gateway.status.dns.port}\n${commands}\nsend\n`,
  })

test('a key works as soon as it is made', async () => {
  expect(await nsupdate('update add tv.home.arpa 300 A 192.168.1.60')).toMatchObject({ code: 0, output: '' })
  expect(await dig('+short', 'tv.home.arpa')).toBe('192.168.1.60\n')
  expect(await dig('-y', copier, 'home.arpa', 'AXFR')).toMatch(
    /^tv\.home\.arpa\.\s+300\s+IN\s+A\s+192\.168\.1\.60$/m,
  )
})

test('a key can do what it was made for, and nothing else', async () => {
  expect((await nsupdate('update add radio.home.arpa 300 A 192.168.1.61', copier)).output).toBe(
    'update failed: REFUSED\n',
  )
  expect(await dig('-y', updater, 'home.arpa', 'AXFR')).toContain('Transfer failed')
})

test('what an update was answered for is there after a kill, and so are the keys', async () => {
  for (let round = 0; round < 3; round += 1) {
    await nsupdate(`update add kept${round}.home.arpa 60 A 192.168.1.7`)
    await gateway.stop('SIGKILL')
    await gateway.start()
    expect(await dig('+short', `kept${round}.home.arpa`)).toBe('192.168.1.7\n')
  }
  expect(await nsupdate('update delete kept0.home.arpa')).toMatchObject({ code: 0 })
})

test('leases are in the zone, and follow their file', async () => {
  expect(await dig('+short', 'laptop.home.arpa')).toBe('192.168.1.50\n')
  writeFileSync(gateway.path('dnsmasq.leases'), '0 11:22:33:44:55:66 192.168.1.51 laptop *\n')
  await waitFor(async () => (await dig('+short', 'laptop.home.arpa')) === '192.168.1.51\n')
})

test('the serial grows with every start: secondaries see what changed while it was down', async () => {
  const serial = async () => Number((await dig('+short', 'home.arpa', 'SOA')).split(' ')[2])
  const before = await serial()
  await gateway.stop()
  writeFileSync(gateway.path('dnsmasq.leases'), '')
  await gateway.start()
  expect(await serial()).toBeGreaterThan(before)
})

test('a key that was removed is refused', async () => {
  await gateway.hearth('dns', 'key', 'remove', 'updater')
  expect((await nsupdate('update add radio.home.arpa 300 A 192.168.1.61')).output).toContain('BADKEY')
})

test('secrets of keys lie in the database sealed, and nowhere else', async () => {
  await gateway.stop()
  for (const file of ['data/hearth.db', 'data/hearth.db-wal']) {
    let octets: Buffer
    try {
      octets = readFileSync(gateway.path(file))
    } catch {
      continue
    }
    expect(octets.includes(Buffer.from(secret, 'base64'))).toBe(false)
    expect(octets.includes(secret)).toBe(false)
  }
  expect(gateway.log).not.toContain(secret)
})
