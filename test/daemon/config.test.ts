import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from '@jest/globals'
import { type Config, loadConfig } from '../../daemon/config.ts'

const dir = mkdtempSync(join(tmpdir(), 'hearth-config-'))
afterAll(() => rmSync(dir, { recursive: true }))

const FILE = join(dir, 'hearth.yaml')
const ENV = { XDG_CONFIG_HOME: join(dir, 'xdg') }

function load(yaml: string): Config {
  writeFileSync(FILE, yaml)
  return loadConfig(FILE, ENV).config
}

/** What is wrong, with the file's directory left out. */
function fault(yaml: string): string {
  try {
    load(yaml)
  } catch (error) {
    return (error as Error).message.replaceAll(`${dir}/`, '')
  }
  return 'accepted'
}

describe('defaults', () => {
  test('an empty file is a good one', () => {
    expect(load('')).toEqual(
      expect.objectContaining({
        dataDir: join(dir, 'data'),
        domain: 'home.arpa',
        gateway: { name: 'gateway.home.arpa', addresses: [] },
        publicUrl: null,
        tls: { minVersion: '1.3' },
        store: { url: `sqlite:${join(dir, 'data/hearth.db')}` },
      }),
    )
  })

  test('ports are those of the contract', () => {
    const { listen } = load('listen: { addresses: 127.0.0.1 }')
    const on = (port: number) => ({ addresses: ['127.0.0.1'], port })
    expect(listen).toEqual({ dns: on(5300), dot: on(8530), http: on(8080), https: on(8443), est: on(9443) })
  })

  test('the key that opens the keys lies outside the data directory', () => {
    expect(load('').ca.keyFile).toBe(join(dir, 'xdg/hearth/sealing.key'))
  })

  test('systemd hands it in by CREDENTIALS_DIRECTORY', () => {
    writeFileSync(join(dir, 'hearth-sealing-key'), '')
    writeFileSync(FILE, '')
    const { config } = loadConfig(FILE, { ...ENV, CREDENTIALS_DIRECTORY: dir })
    expect(config.ca.keyFile).toBe(join(dir, 'hearth-sealing-key'))
  })
})

describe('what a file may say', () => {
  test('another domain, names below it', () => {
    expect(load('domain: lan.example.org\ngateway: { name: router }').gateway.name).toBe(
      'router.lan.example.org',
    )
  })

  test('a listener of its own addresses', () => {
    expect(load('listen: { dns: ["192.168.1.1:53", "[fd00::1]:53"] }').listen.dns).toEqual({
      addresses: ['192.168.1.1', 'fd00::1'],
      port: 53,
    })
  })

  test('upstreams', () => {
    expect(load('dns: { upstreams: [9.9.9.9, "tcp://[2620:fe::fe]:5353"] }').dns.upstreams).toEqual([
      { address: '9.9.9.9', port: 53, transport: 'udp' },
      { address: '2620:fe::fe', port: 5353, transport: 'tcp' },
    ])
    const encrypted = '["tls://9.9.9.9#dns.quad9.net", "https://dns.quad9.net/dns-query"]'
    expect(load(`dns: { upstreams: ${encrypted} }`).dns.upstreams).toEqual([
      { transport: 'tls', address: '9.9.9.9', port: 853, name: 'dns.quad9.net' },
      { transport: 'https', host: 'dns.quad9.net', address: null, port: 443, path: '/dns-query' },
    ])
  })

  test('where each value comes from is told, without passwords and the paths of upstreams', () => {
    const dns = 'dns: { upstreams: ["https://dns.example.com/secret"] }\n'
    writeFileSync(FILE, `log:\n  level: warn\nstore: { url: "postgres://hearth:secret@db/hearth" }\n${dns}`)
    const { values } = loadConfig(FILE, ENV)
    expect(values).toContainEqual({ key: 'log.level', value: 'warn', source: `${FILE}:2` })
    expect(values).toContainEqual({ key: 'domain', value: 'home.arpa', source: 'default' })
    expect(JSON.stringify(values)).not.toContain('secret')
  })
})

describe('what is wrong is told with file, line, key, remedy and an example', () => {
  test.each([
    [
      'domian: x.home.arpa\n',
      'hearth.yaml:1: domian is no key that Hearth knows; here it knows: dataDir, domain, gateway, listen, ca, enrollment, dns, store, tls, publicUrl, log',
    ],
    [
      'log: {}\nlisten:\n  http: "80"\n',
      'hearth.yaml:3: listen.http has a value that does not belong there ("80"). Example: http: 8080',
    ],
    [
      'listen:\n  https: 99999\n',
      'hearth.yaml:2: listen.https has a value that does not belong there (99999). Example: https: 8443',
    ],
    [
      'listen:\n  dns: [ "192.168.1.1" ]\n',
      'hearth.yaml:2: listen.dns.0 must be a port, or a list of address:port ("192.168.1.1" is neither). Example: dns: ["192.168.1.1:53"]',
    ],
    [
      'listen:\n  addresses: [ "localhost" ]\n',
      'hearth.yaml:2: listen.addresses.0 is no IP address ("localhost"). Example: addresses: ["192.168.1.1"]',
    ],
    [
      'domain: local\n',
      'hearth.yaml:1: domain is no domain with at least two parts of letters, digits and inner hyphens. Example: domain: "home.arpa"',
    ],
    [
      'domain: my.test\n',
      'hearth.yaml:1: domain has a meaning of its own in the DNS and cannot be a home. Example: domain: "home.arpa"',
    ],
    [
      'ca:\n  profiles:\n    server: { days: 400 }\n',
      'hearth.yaml:3: ca.profiles.server.days must be <= 90. Example: days: 7',
    ],
    [
      'ca:\n  keyFile: data/key\n',
      'hearth.yaml:2: ca.keyFile lies inside dataDir: whoever copies that directory would have the key to its keys. Put it elsewhere. Example: keyFile: "/etc/hearth/sealing.key"',
    ],
    [
      'tls: { minVersion: 1.1 }\n',
      'hearth.yaml:1: tls.minVersion must be one of: 1.2, 1.3. Example: minVersion: "1.3"',
    ],
    [
      'dns:\n  upstreams:\n    - 9.9.9.9\n    - tls://dns.quad9.net\n',
      'hearth.yaml:4: dns.upstreams.1 the upstream "tls://dns.quad9.net" cannot be used: its host is no IP address; the name goes after #; ',
    ],
    [
      'listen: { dns: 5300 }\ndns: { upstreams: [9.9.9.9, "tcp://127.0.0.1:5300"] }\n',
      'hearth.yaml:2: dns.upstreams.1 is this gateway itself ("tcp://127.0.0.1:5300"): questions would go round in circles. Example: upstreams: ["udp://9.9.9.9"]',
    ],
    [
      'listen: { addresses: ["0.0.0.0"], dot: 853 }\ndns:\n  forward:\n    - zone: corp.example\n      upstreams: ["tls://127.0.0.1"]\n',
      'hearth.yaml:5: dns.forward.0.upstreams.0 is this gateway itself ("tls://127.0.0.1"): ',
    ],
    [
      'listen: { https: ["192.168.1.1:443"] }\ndns: { upstreams: ["https://doh.example.com/dns-query#192.168.1.1"] }\n',
      'hearth.yaml:2: dns.upstreams.0 is this gateway itself ("https://doh.example.com/dns-query#192.168.1.1"): ',
    ],
    [
      'dns:\n  forward:\n    - { zone: corp.example, upstreams: [10.0.0.53] }\n    - { zone: Corp.Example., upstreams: [10.0.0.54] }\n',
      'hearth.yaml:4: dns.forward.1.zone stands there twice ("Corp.Example."): write all of its upstreams in one entry. Example: zone: "corp.example"',
    ],
    [
      'publicUrl: gateway\n',
      'hearth.yaml:1: publicUrl has a value that does not belong there ("gateway"). Example: publicUrl: "http://gateway.home.arpa:8080"',
    ],
    ['- a\n- list\n', 'hearth.yaml:1: the file must be object'],
    ['a: [\n', 'hearth.yaml:2: this is not YAML: '],
  ])('%j', (yaml, message) => {
    expect(fault(yaml)).toContain(message)
  })

  test('all faults at once', () => {
    expect(fault('domain: x\nlog: { level: loud }\nnonsense: 1\n').split('\n')).toHaveLength(3)
    expect(fault('domain: my.test\nlisten: { http: ["here:80"] }\n').split('\n')).toHaveLength(2)
  })

  test('aliases that grow without bound are refused, not expanded', () => {
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x]',
      'b: &b [*a,*a,*a,*a,*a,*a,*a,*a]',
      'c: [*b,*b,*b,*b,*b,*b,*b,*b]',
    ].join('\n')
    expect(fault(bomb)).toMatch(/^hearth.yaml:1: this is not YAML: .*alias/i)
  })
})
