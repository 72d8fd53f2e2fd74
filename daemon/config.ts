import { existsSync, readFileSync } from 'node:fs'
import { homedir, networkInterfaces } from 'node:os'
import { dirname, join, resolve, sep } from 'node:path'
import { Ajv, type ErrorObject } from 'ajv'
import { type Document, LineCounter, parseDocument } from 'yaml'
import { HOUR, MINUTE } from '../base/clock.ts'
import { HearthError, reasonOf } from '../base/errors.ts'
import { canonicalAddress } from '../base/ip.ts'
import type { LogLevel } from '../base/log.ts'
import { withoutSecrets } from '../base/url.ts'
import type { Profile } from '../ca/profile.ts'
import type { LeaseFile } from '../dns/leases/lease.ts'
import type { Secondary } from '../dns/notify.ts'
import { type ConditionalZone, parseUpstream, printUpstream, type Upstream } from '../dns/upstream.ts'
import { CONFIG_SCHEMA } from './configSchema.ts'
import { isListenedOn } from './ownListener.ts'

/** Something in the configuration is wrong; the message names file, line, key and an example. */
export class ConfigError extends HearthError<'CONFIG_INVALID'> {
  constructor(message: string, options?: ErrorOptions) {
    super('CONFIG_INVALID', message, options)
  }
}

/** Addresses and the one port on them. */
export interface Listen {
  addresses: string[]
  port: number
}

const MIB = 1024 * 1024

/** The configuration as the daemon uses it: complete, checked, paths absolute. */
export interface Config {
  dataDir: string
  domain: string
  gateway: { name: string; addresses: string[] }
  listen: { dns: Listen; dot: Listen; http: Listen; https: Listen; est: Listen }
  ca: {
    rootYears: number
    issuerYears: number
    profiles: Profile[]
    nameConstraints: boolean
    keyFile: string
  }
  enrollment: { credentialLife: number }
  dns: DnsConfig
  store: { url: string }
  tls: { minVersion: '1.2' | '1.3' }
  publicUrl: string | null
  log: { level: LogLevel }
}

export interface DnsConfig {
  /** Empty: those of the operating system. */
  upstreams: Upstream[]
  /** A PEM file of the authorities that encrypted upstreams may have besides those Node knows. */
  upstreamCa: string | null
  /** Zones asked of upstreams of their own. */
  forward: ConditionalZone[]
  rebinding: { protect: boolean; allow: string[] }
  cache: { octets: number; staleFor: number }
  /** Networks, in CIDR form, whose hosts are answered as those of the home are. */
  clients: string[]
  /** Networks, in CIDR form, whose hosts are not, though their addresses are private. */
  outside: string[]
  /** Public domains of the household's of which single names are answered here. */
  overrides: string[]
  leases: LeaseFile[]
  secondaries: Secondary[]
  /** Whether resolvers are told of DoT and DoH by `_dns.resolver.arpa` (RFC 9462). */
  ddr: boolean
  fastPath: boolean
  queryLog: { enabled: boolean; keepFor: number; octets: number }
}

/** One effective value and where it came from. */
export interface ConfigValue {
  key: string
  value: unknown
  /** `default`, or `FILE:LINE`. */
  source: string
}

export interface LoadedConfig {
  /** Null if there is none and all values are defaults. */
  file: string | null
  config: Config
  values: ConfigValue[]
}

/** What the file may say, with every default filled in. */
interface RawConfig {
  dataDir: string
  domain: string
  gateway: { name: string; addresses: string[] }
  listen: {
    addresses: string | string[]
    dns: number | string[]
    dot: number | string[]
    http: number | string[]
    https: number | string[]
    est: number | string[]
  }
  ca: {
    rootYears: number
    issuerYears: number
    profiles: { server: { days: number; renewAt: number } }
    nameConstraints: boolean
    keyFile: string | null
  }
  enrollment: { credentialMinutes: number }
  dns: {
    upstreams: string[]
    upstreamCa: string | null
    forward: { zone: string; upstreams: string[] }[]
    rebinding: { protect: boolean; allow: string[] }
    cache: { megabytes: number; staleHours: number }
    clients: string[]
    outside: string[]
    overrides: string[]
    leases: LeaseFile[]
    secondaries: { address: string; port?: number; key: string }[]
    ddr: boolean
    fastPath: boolean
    queryLog: { enabled: boolean; hours: number; megabytes: number }
  }
  store: { url: string | null }
  tls: { minVersion: '1.2' | '1.3' }
  publicUrl: string | null
  log: { level: LogLevel }
}

function defaults(): RawConfig {
  return {
    dataDir: './data',
    domain: 'home.arpa',
    gateway: { name: 'gateway', addresses: [] },
    listen: { addresses: loopbackAddresses(), dns: 5300, dot: 8530, http: 8080, https: 8443, est: 9443 },
    ca: {
      rootYears: 10,
      issuerYears: 1,
      profiles: { server: { days: 7, renewAt: 0.66 } },
      nameConstraints: true,
      keyFile: null,
    },
    enrollment: { credentialMinutes: 60 },
    dns: {
      upstreams: [],
      upstreamCa: null,
      forward: [],
      rebinding: { protect: true, allow: [] },
      cache: { megabytes: 16, staleHours: 24 },
      clients: [],
      outside: [],
      overrides: [],
      leases: [],
      secondaries: [],
      ddr: false,
      fastPath: true,
      queryLog: { enabled: false, hours: 24, megabytes: 64 },
    },
    store: { url: null },
    tls: { minVersion: '1.3' },
    publicUrl: null,
    log: { level: 'info' },
  }
}

/**
 * Finds, reads and checks the configuration.
 *
 * Looks at `file`, else `$HEARTH_CONFIG`, else `/etc/hearth/hearth.yaml`, else `./hearth.yaml`, else
 * takes defaults. Relative paths are relative to the file, or to the working directory without one.
 *
 * @throws {ConfigError} naming every fault, each with file, line, key and an example.
 */
export function loadConfig(file: string | undefined, env: NodeJS.ProcessEnv = process.env): LoadedConfig {
  const found = findFile(file, env)
  const source = found === null ? null : readSource(found)
  const raw = merge(defaults(), source?.values ?? {}) as RawConfig
  const faults = new Faults(source)
  const base = found === null ? process.cwd() : dirname(resolve(found))
  const config = refine(raw, base, env, faults)
  faults.throwIfAny()
  return { file: found, config, values: effectiveValues(raw, config, source) }
}

function findFile(file: string | undefined, env: NodeJS.ProcessEnv): string | null {
  const named = file ?? env.HEARTH_CONFIG
  if (named !== undefined && named !== '') {
    if (existsSync(named)) return named
    throw new ConfigError(
      `the configuration file ${resolve(named)} does not exist; create it, or name another with --config FILE`,
    )
  }
  return ['/etc/hearth/hearth.yaml', './hearth.yaml'].find((candidate) => existsSync(candidate)) ?? null
}

/** The parsed file: its values, and where each key stands. */
interface Source {
  file: string
  values: object
  lineOf: (path: readonly (string | number)[]) => number
}

/** A configuration is a page of text; anything larger is another file. */
const MAX_FILE = MIB

function readSource(file: string): Source {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError(`the configuration file ${resolve(file)} cannot be read: ${reasonOf(error)}`)
  }
  if (text.length > MAX_FILE)
    throw new ConfigError(`the configuration file ${resolve(file)} is larger than 1 MiB`)
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const unreadable = (offset: number, reason: string) =>
    new ConfigError(
      `${file}:${lines.linePos(offset).line}: this is not YAML: ${reason}. Write "key: value" lines, indented with spaces`,
    )
  const broken = document.errors[0]
  if (broken !== undefined) throw unreadable(broken.pos[0], broken.message)
  let values: unknown
  try {
    values = document.toJS({ maxAliasCount: 20 }) ?? {}
  } catch (error) {
    throw unreadable(0, reasonOf(error))
  }
  const source = { file, values: values as object, lineOf: lineFinder(document, lines) }
  checkShape(source)
  return source
}

function lineFinder(document: Document, lines: LineCounter): Source['lineOf'] {
  return (path) => {
    for (let length = path.length; length > 0; length--) {
      const parent = document.getIn(path.slice(0, length - 1), true) as { items?: unknown[] } | undefined
      const key = path[length - 1]!
      const item = parent?.items?.find(
        (pair, index) => index === key || (pair as { key?: { value?: unknown } }).key?.value === key,
      ) as { key?: { range?: number[] }; range?: number[] } | undefined
      const offset = (item?.key ?? item)?.range?.[0]
      if (offset !== undefined) return lines.linePos(offset).line
    }
    return 1
  }
}

const validate = new Ajv({ allErrors: true, verbose: true }).compile(CONFIG_SCHEMA)

function checkShape(source: Source): void {
  if (validate(source.values)) return
  const faults = new Faults(source)
  // Of an anyOf that fails, ajv names each branch too: only the whole is worth telling.
  const errors = validate.errors?.filter((error) => !error.schemaPath.includes('/anyOf/')) ?? []
  for (const error of errors) {
    const path = pathOf(error)
    faults.add(path, shapeFault(error), exampleOf(error))
  }
  faults.throwIfAny()
}

function pathOf(error: ErrorObject): (string | number)[] {
  const path = error.instancePath
    .split('/')
    .slice(1)
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part))
  const extra = (error.params as { additionalProperty?: string }).additionalProperty
  return extra === undefined ? path : [...path, extra]
}

function shapeFault(error: ErrorObject): string {
  if (error.keyword === 'additionalProperties') {
    const known = Object.keys((error.parentSchema as { properties: object }).properties)
    return `is no key that Hearth knows; here it knows: ${known.join(', ')}`
  }
  if (error.keyword === 'enum') {
    return `must be one of: ${(error.params as { allowedValues: unknown[] }).allowedValues.join(', ')}`
  }
  if (error.keyword === 'anyOf')
    return `has a value that does not belong there (${JSON.stringify(error.data)})`
  if (error.keyword === 'pattern') return `has a value of the wrong form (${JSON.stringify(error.data)})`
  return error.message ?? 'is wrong'
}

function exampleOf(error: ErrorObject): unknown {
  return (error.parentSchema as { examples?: unknown[] } | undefined)?.examples?.[0]
}

/** Collects what is wrong, so that a person can mend it all at once. */
class Faults {
  readonly #source: Source | null
  readonly #lines: string[] = []

  constructor(source: Source | null) {
    this.#source = source
  }

  add(path: readonly (string | number)[], problem: string, example?: unknown): void {
    const at = this.#source === null ? 'defaults' : `${this.#source.file}:${this.#source.lineOf(path)}`
    const shown = path.join('.') || 'the file'
    // Of a list, its whole is shown: one value alone would be the next fault.
    const whole = typeof path.at(-1) === 'number' && !Array.isArray(example) ? [example] : example
    const hint = example === undefined ? '' : `. Example: ${lastKey(path)}: ${JSON.stringify(whole)}`
    this.#lines.push(`${at}: ${shown} ${problem}${hint}`)
  }

  throwIfAny(): void {
    if (this.#lines.length > 0) throw new ConfigError(this.#lines.join('\n'))
  }
}

function lastKey(path: readonly (string | number)[]): string {
  return String(path.findLast((part) => typeof part === 'string') ?? '')
}

/** What a schema cannot say: addresses, names, paths that must fit together. */
function refine(raw: RawConfig, base: string, env: NodeJS.ProcessEnv, faults: Faults): Config {
  const dataDir = resolve(base, raw.dataDir)
  const domain = raw.domain.toLowerCase().replace(/\.$/, '')
  const domainFault = faultOfDomain(domain)
  if (domainFault !== null) faults.add(['domain'], domainFault, 'home.arpa')
  const keyFile = resolve(base, raw.ca.keyFile ?? defaultKeyFile(env))
  if (keyFile.startsWith(dataDir + sep)) {
    faults.add(
      ['ca', 'keyFile'],
      'lies inside dataDir: whoever copies that directory would have the key to its keys. Put it elsewhere',
      '/etc/hearth/sealing.key',
    )
  }
  if (raw.ca.issuerYears > raw.ca.rootYears)
    faults.add(['ca', 'issuerYears'], 'is longer than ca.rootYears', 1)
  const everywhere = [raw.listen.addresses].flat()
  const listen = (key: 'dns' | 'dot' | 'http' | 'https' | 'est') =>
    refineListen(raw.listen[key], everywhere, ['listen', key], faults)
  const listens = {
    dns: listen('dns'),
    dot: listen('dot'),
    http: listen('http'),
    https: listen('https'),
    est: listen('est'),
  }
  return {
    dataDir,
    domain,
    gateway: {
      name: `${raw.gateway.name}.${domain}`,
      addresses: raw.gateway.addresses.map((text, index) =>
        addressOf(text, ['gateway', 'addresses', index], faults),
      ),
    },
    listen: listens,
    ca: {
      rootYears: raw.ca.rootYears,
      issuerYears: raw.ca.issuerYears,
      profiles: [{ name: 'server', ...raw.ca.profiles.server }],
      nameConstraints: raw.ca.nameConstraints,
      keyFile,
    },
    enrollment: { credentialLife: raw.enrollment.credentialMinutes * MINUTE },
    dns: refineDns(raw.dns, { base, domain, listen: listens }, faults),
    store: { url: storeUrl(raw.store.url, dataDir, base) },
    tls: raw.tls,
    publicUrl: raw.publicUrl,
    log: raw.log,
  }
}

/** Domains that mean something else to every resolver, so that no home can have them. */
const NO_HOME = /(^|\.)(local|localhost|invalid|test|onion|example|alt|in-addr\.arpa|ip6\.arpa)$/

function faultOfDomain(domain: string): string | null {
  if (!/^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]$/.test(domain)) {
    return 'is no domain with at least two parts of letters, digits and inner hyphens'
  }
  if (NO_HOME.test(domain)) return 'has a meaning of its own in the DNS and cannot be a home'
  return null
}

function refineListen(
  value: number | string[],
  everywhere: string[],
  path: string[],
  faults: Faults,
): Listen {
  if (typeof value === 'number') {
    const addresses = everywhere.map((text, index) => addressOf(text, ['listen', 'addresses', index], faults))
    return { addresses: [...new Set(addresses)], port: value }
  }
  const pairs = value.map((text, index) => {
    const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text)
    if (match === null || Number(match[3]) > 65535) {
      faults.add([...path, index], `must be a port, or a list of address:port ("${text}" is neither)`, [
        '192.168.1.1:53',
      ])
      return { address: '127.0.0.1', port: 0 }
    }
    return { address: addressOf(match[1] ?? match[2]!, [...path, index], faults), port: Number(match[3]) }
  })
  const ports = new Set(pairs.map((pair) => pair.port))
  if (ports.size > 1)
    faults.add(path, 'must use one port on all of its addresses', ['192.168.1.1:53', '[fd00::1]:53'])
  return { addresses: pairs.map((pair) => pair.address), port: pairs[0]!.port }
}

function addressOf(text: string, path: (string | number)[], faults: Faults): string {
  const address = canonicalAddress(text)
  if (address === null) faults.add(path, `is no IP address ("${text}")`, '192.168.1.1')
  return address ?? '127.0.0.1'
}

function refineDns(
  raw: RawConfig['dns'],
  { base, domain, listen }: { base: string; domain: string; listen: Config['listen'] },
  faults: Faults,
): DnsConfig {
  const { cache, queryLog } = raw
  const forwarded = new Set<string>()
  return {
    upstreams: upstreamsOf(raw.upstreams, listen, ['dns', 'upstreams'], faults),
    upstreamCa: raw.upstreamCa === null ? null : resolve(base, raw.upstreamCa),
    forward: raw.forward.map(({ zone, upstreams }, index) => {
      const path = ['dns', 'forward', index]
      const name = zoneOf(zone, [...path, 'zone'], faults)
      if (isAtOrBelow(name, domain) || NEVER_FORWARDED.test(name)) {
        faults.add([...path, 'zone'], `is never forwarded ("${zone}"): it is answered here`, 'corp.example')
      }
      if (forwarded.has(name)) {
        const problem = `stands there twice ("${zone}"): write all of its upstreams in one entry`
        faults.add([...path, 'zone'], problem, 'corp.example')
      }
      forwarded.add(name)
      return { zone: name, upstreams: upstreamsOf(upstreams, listen, [...path, 'upstreams'], faults) }
    }),
    rebinding: {
      protect: raw.rebinding.protect,
      allow: raw.rebinding.allow.map((text, index) =>
        zoneOf(text, ['dns', 'rebinding', 'allow', index], faults),
      ),
    },
    cache: { octets: cache.megabytes * MIB, staleFor: cache.staleHours * HOUR },
    clients: raw.clients.map((text, index) => networkOf(text, ['dns', 'clients', index], faults)),
    outside: raw.outside.map((text, index) => networkOf(text, ['dns', 'outside', index], faults)),
    overrides: raw.overrides.map((text, index) => {
      const name = zoneOf(text, ['dns', 'overrides', index], faults)
      if (faultOfDomain(name) !== null || isAtOrBelow(name, domain)) {
        faults.add(
          ['dns', 'overrides', index],
          `is no public domain outside the home's ("${text}")`,
          'example.com',
        )
      }
      return name
    }),
    leases: raw.leases.map(({ format, file }) => ({ format, file: resolve(base, file) })),
    secondaries: raw.secondaries.map(({ address, port = 53, key }, index) => ({
      address: addressOf(address, ['dns', 'secondaries', index, 'address'], faults),
      port,
      key: zoneOf(key, ['dns', 'secondaries', index, 'key'], faults),
    })),
    ddr: raw.ddr,
    fastPath: raw.fastPath,
    queryLog: { enabled: queryLog.enabled, keepFor: queryLog.hours * HOUR, octets: queryLog.megabytes * MIB },
  }
}

/** Names whose meaning is fixed by a standard: no server anywhere can know more of them. */
const NEVER_FORWARDED = /(^|\.)(localhost|invalid|test|onion|resolver\.arpa|use-application-dns\.net)$/

function isAtOrBelow(name: string, ancestor: string): boolean {
  return name === ancestor || name.endsWith(`.${ancestor}`)
}

function upstreamsOf(
  texts: readonly string[],
  listen: Config['listen'],
  path: (string | number)[],
  faults: Faults,
): Upstream[] {
  return texts.flatMap((text, index) => {
    try {
      const upstream = parseUpstream(text)
      if (isItself(upstream, listen)) {
        const problem = `is this gateway itself ("${printUpstream(upstream)}"): questions would go round in circles`
        faults.add([...path, index], problem, 'udp://9.9.9.9')
      }
      return [upstream]
    } catch (error) {
      faults.add([...path, index], reasonOf(error), 'udp://9.9.9.9')
      return []
    }
  })
}

function isItself(upstream: Upstream, listen: Config['listen']): boolean {
  const { transport, address, port } = upstream
  const listener = { udp: listen.dns, tcp: listen.dns, tls: listen.dot, https: listen.https }[transport]
  return address !== null && isListenedOn(listener, { address, port })
}

/** A domain name in lower case without the final dot. */
function zoneOf(text: string, path: (string | number)[], faults: Faults): string {
  const name = text.toLowerCase().replace(/\.$/, '')
  if (!/^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(name)) {
    faults.add(path, `is no domain name ("${text}")`, 'corp.example')
  }
  return name
}

/** A network in CIDR form; a single address is a network of one. */
function networkOf(text: string, path: (string | number)[], faults: Faults): string {
  const [address, length] = text.split('/')
  const canonical = canonicalAddress(address ?? '')
  const bits = canonical?.includes(':') ? 128 : 32
  const prefix = length === undefined ? bits : Number(length)
  if (canonical === null || !/^\d{1,3}$/.test(length ?? '0') || prefix > bits) {
    faults.add(path, `is no network ("${text}")`, '203.0.113.0/24')
  }
  return `${canonical}/${prefix}`
}

/** The key that opens the CA's keys: handed in by systemd, or a file that is not part of the state. */
function defaultKeyFile(env: NodeJS.ProcessEnv): string {
  const credential = env.CREDENTIALS_DIRECTORY ? join(env.CREDENTIALS_DIRECTORY, 'hearth-sealing-key') : null
  if (credential !== null && existsSync(credential)) return credential
  if (env.XDG_CONFIG_HOME) return join(env.XDG_CONFIG_HOME, 'hearth', 'sealing.key')
  if (process.getuid?.() === 0) return '/etc/hearth/sealing.key'
  return join(homedir(), '.config', 'hearth', 'sealing.key')
}

function storeUrl(url: string | null, dataDir: string, base: string): string {
  if (url === null) return `sqlite:${join(dataDir, 'hearth.db')}`
  return url.startsWith('sqlite:') ? `sqlite:${resolve(base, url.slice('sqlite:'.length))}` : url
}

/** 127.0.0.1, and ::1 where the machine has IPv6. */
function loopbackAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  return ['127.0.0.1', ...(all.some(({ address }) => address === '::1') ? ['::1'] : [])]
}

/** `over` laid over `under`, key by key; lists and plain values replace. */
function merge(under: unknown, over: unknown): unknown {
  if (!isMap(under) || !isMap(over)) return over ?? under
  const keys = new Set([...Object.keys(under), ...Object.keys(over)])
  return Object.fromEntries([...keys].map((key) => [key, merge(under[key], over[key])]))
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function effectiveValues(raw: RawConfig, config: Config, source: Source | null): ConfigValue[] {
  const resolved: Record<string, unknown> = {
    dataDir: config.dataDir,
    'ca.keyFile': config.ca.keyFile,
    'store.url': withoutSecrets(config.store.url),
    'dns.upstreams': config.dns.upstreams.map(printUpstream),
    'dns.upstreamCa': config.dns.upstreamCa,
    'dns.forward': config.dns.forward.map(({ zone, upstreams }) => ({
      zone,
      upstreams: upstreams.map(printUpstream),
    })),
  }
  return leaves(raw, []).map(({ path, value }) => {
    const key = path.join('.')
    const given = source !== null && hasIn(source.values, path)
    return {
      key,
      value: resolved[key] ?? value,
      source: given ? `${source.file}:${source.lineOf(path)}` : 'default',
    }
  })
}

function leaves(value: unknown, path: string[]): { path: string[]; value: unknown }[] {
  if (!isMap(value)) return [{ path, value }]
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, [...path, key]))
}

function hasIn(value: unknown, path: readonly string[]): boolean {
  return path.every((key) => {
    if (!isMap(value) || !(key in value)) return false
    value = value[key]
    return true
  })
}
