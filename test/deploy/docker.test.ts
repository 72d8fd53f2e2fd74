import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from '@jest/globals'
import { parse } from 'yaml'
import { loadConfig } from '../../daemon/config.ts'

const home = join(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(join(home, file), 'utf8')

interface Service {
  image: string
  network_mode?: string
  read_only?: boolean
  user?: string
  privileged?: boolean
  cap_add?: string[]
  cap_drop?: string[]
  security_opt?: string[]
  volumes: string[]
  depends_on?: Record<string, { condition: string }>
  environment?: Record<string, string>
}

describe('docker-compose.yml, as docker-compose reads it', () => {
  let services: Record<string, Service>
  beforeAll(() => {
    const config = execFileSync('docker-compose', ['-f', join(home, 'docker-compose.yml'), 'config'], {
      encoding: 'utf8',
      stdio: 'pipe',
    })
    services = parse(config).services
  })

  test('every container has a read-only file system and no capability but low ports', () => {
    for (const service of Object.values(services)) {
      expect(service).toMatchObject({ read_only: true, cap_drop: ['ALL'], cap_add: ['NET_BIND_SERVICE'] })
      expect(service).not.toHaveProperty('user')
      expect(service).not.toHaveProperty('privileged')
    }
  })

  test('the gateway is on the network of the host, with its state and the key that opens it apart', () => {
    const { gateway } = services
    expect(gateway!.network_mode).toBe('host')
    expect(gateway!.volumes).toEqual(['state:/var/lib/hearth:rw', 'keys:/etc/hearth:rw'])
    // It would switch off the file capability by which the gateway binds its ports.
    expect(gateway!.security_opt).toBeUndefined()
  })

  test('the demo gets its credential from a step that runs once the gateway is well', () => {
    expect(services['demo-credential']!.depends_on).toEqual({ gateway: { condition: 'service_healthy' } })
    expect(services.demo!.depends_on).toEqual({
      'demo-credential': { condition: 'service_completed_successfully' },
    })
    // The state, with the control socket, is not the demo's to see.
    expect(services.demo!.volumes).toEqual(['demo:/var/lib/demo:rw'])
    expect(services.demo!.security_opt).toEqual(['no-new-privileges:true'])
    expect(JSON.stringify(services.demo!.environment)).not.toMatch(/token/i)
  })
})

describe('the image', () => {
  /** The instructions of each stage, by its name. */
  const stages = new Map(
    read('Dockerfile')
      .replace(/^#.*\n/gm, '')
      .replace(/\\\n/g, ' ')
      .split(/^FROM /m)
      .slice(1)
      .map((stage) => [/ AS (\w+)/.exec(stage)![1]!, stage] as const),
  )

  test('is, without a target, the gateway, and never root', () => {
    expect([...stages.keys()].at(-1)).toBe('gateway')
    for (const name of ['runtime', 'demo'])
      expect([...stages.get(name)!.matchAll(/^USER (.*)$/gm)].at(-1)![1]).toBe('hearth')
    expect(stages.get('gateway')).toMatch(/^runtime /)
    expect(stages.get('gateway')).not.toMatch(/^USER/m)
  })

  test('exposes the ports of the packaged configuration', () => {
    const { dns, dot, http, https, est } = parse(read('deploy/hearth.yaml')).listen
    const exposed = /^EXPOSE (.*)$/m.exec(stages.get('gateway')!)![1]!.split(' ')
    const tcp = [dns, dot, http, https, est].map((port) => `${port}/tcp`)
    expect(exposed.sort()).toEqual([`${dns}/udp`, ...tcp].sort())
  })

  test('gets every folder of the program, and nothing that is state or test', () => {
    const taken = read('.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1))
    const program = readdirSync(home, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !/^(\.|node_modules$|data$)/.test(entry.name))
      .map(({ name }) => name)
      .filter((name) => !['test', 'bench', 'soak', 'scripts', 'docs', 'deploy'].includes(name))
    expect(taken).toEqual(expect.arrayContaining(program))
    for (const kept of ['test', 'data', 'node_modules', 'deploy']) expect(taken).not.toContain(kept)
  })
})

test('the packaged configuration: the standard ports on all addresses, state and key apart', () => {
  const { config } = loadConfig(join(home, 'deploy/hearth.yaml'), { XDG_CONFIG_HOME: '/etc' })
  expect(parse(read('deploy/hearth.yaml')).listen).toEqual({
    addresses: ['0.0.0.0', '::'],
    dns: 53,
    dot: 853,
    http: 80,
    https: 443,
    est: 8444,
  })
  expect(config.dataDir).toBe('/var/lib/hearth')
  expect(config.ca.keyFile).toBe('/etc/hearth/sealing.key')
})
