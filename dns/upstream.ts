import { X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { HearthError, reasonOf } from '../base/errors.ts'
import { canonicalAddress } from '../base/ip.ts'

/** A resolver outside that answers what is not the household's. */
export type Upstream = PlainUpstream | TlsUpstream | HttpsUpstream

export interface PlainUpstream {
  /** `udp` goes on over TCP where an answer was truncated. */
  transport: 'udp' | 'tcp'
  /** An IP address in canonical text. */
  address: string
  port: number
}

/** DNS over TLS (RFC 7858). */
export interface TlsUpstream {
  transport: 'tls'
  address: string
  port: number
  /** What the certificate must be for; null for the address itself. */
  name: string | null
}

/** DNS over HTTPS (RFC 8484). */
export interface HttpsUpstream {
  transport: 'https'
  /** What the certificate must be for: a name in lower case, or an IP address in canonical text. */
  host: string
  /** Where the host is; null for a name that has to be looked up. */
  address: string | null
  port: number
  /** May hold what only the customer of a provider should know: never shown. */
  path: string
}

/** A zone and who is asked about it, for instance the resolver of a work network. */
export interface ConditionalZone {
  /** Lower-case, no final dot. */
  zone: string
  upstreams: Upstream[]
}

export type UpstreamErrorCode = 'UPSTREAM_INVALID' | 'CA_UNREADABLE'

export class UpstreamError extends HearthError<UpstreamErrorCode> {}

const DEFAULT_PORT = { udp: 53, tcp: 53, tls: 853, https: 443 } as const

const ACCEPTED =
  'write an IP address, or one after udp://, tcp:// or tls://, or an https:// URL: 9.9.9.9, tcp://192.168.1.1:5353, tls://9.9.9.9#dns.quad9.net, https://dns.quad9.net/dns-query#9.9.9.9'

/** The path that most servers use; any other may be a customer's own. */
const USUAL_PATH = '/dns-query'

const FORM = /^([a-z0-9]+):\/\/(?:\[([^\]]*)\]|([^:/[\]#?@]*))(?::(\d{1,5}))?(\/[^#\s]*)?(?:#(\S*))?$/i

const HOST_NAME = /^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/

/**
 * Reads one upstream as it is written in the configuration.
 *
 * Names are taken only where a certificate proves them: after `#` for DNS over TLS, and in the URL of DNS
 * over HTTPS, whose host is looked up once if no address follows after `#`.
 *
 * @throws {UpstreamError} `UPSTREAM_INVALID`, saying what is accepted.
 */
export function parseUpstream(text: string): Upstream {
  const bare = canonicalAddress(text)
  if (bare !== null) return { transport: 'udp', address: bare, port: 53 }

  const match = FORM.exec(text)
  if (match === null) throw invalid(text, 'it has no known form')
  const [, scheme, bracketed, plain, portText, path, fragment] = match
  const transport = scheme!.toLowerCase()
  if (!(transport in DEFAULT_PORT)) throw invalid(text, 'it has no known form')
  const port = portText === undefined ? DEFAULT_PORT[transport as Upstream['transport']] : Number(portText)
  if (port < 1 || port > 65535) throw invalid(text, `there is no port ${portText}`)
  const host = (bracketed ?? plain!).toLowerCase()
  const address = canonicalAddress(host)

  switch (transport as Upstream['transport']) {
    case 'https': {
      if (address === null && !HOST_NAME.test(host))
        throw invalid(text, 'its host is neither name nor address')
      if (path === undefined) throw invalid(text, 'its path is missing, mostly /dns-query')
      const hint = fragment === undefined ? null : canonicalAddress(fragment)
      if (fragment !== undefined && (hint === null || address !== null)) {
        throw invalid(text, 'after # only the address of a host that is a name can stand')
      }
      // Many providers write down a template for GET (RFC 8484 section 4.1); POST goes to what is before it.
      const plainPath = path.replace(/\{\?dns\}$/, '')
      return { transport: 'https', host: address ?? host, address: address ?? hint, port, path: plainPath }
    }
    case 'tls': {
      if (path !== undefined) throw invalid(text, 'DNS over TLS has no path')
      if (address === null) throw invalid(text, 'its host is no IP address; the name goes after #')
      const name = fragment?.toLowerCase() ?? null
      if (name !== null && !HOST_NAME.test(name)) throw invalid(text, 'after # a host name must stand')
      return { transport: 'tls', address, port, name }
    }
    case 'udp':
    case 'tcp': {
      if (path !== undefined || fragment !== undefined) throw invalid(text, 'nothing may follow the port')
      if (address === null) throw invalid(text, 'its host is no IP address')
      return { transport: transport as 'udp' | 'tcp', address, port }
    }
  }
}

/**
 * `udp://9.9.9.9` or `tcp://[2620:fe::fe]:5353`, as `parseUpstream` reads it; only an unusual path is left
 * out, because it can be a secret.
 */
export function printUpstream(upstream: Upstream): string {
  const { transport, port } = upstream
  const bracketed = (host: string) => (host.includes(':') ? `[${host}]` : host)
  const at = port === DEFAULT_PORT[transport] ? '' : `:${port}`
  if (upstream.transport === 'https') {
    const { host, address, path } = upstream
    const hint = address === null || address === host ? '' : `#${address}`
    return `https://${bracketed(host)}${at}${path === USUAL_PATH ? path : '/...'}${hint}`
  }
  const name = upstream.transport === 'tls' && upstream.name !== null ? `#${upstream.name}` : ''
  return `${transport}://${bracketed(upstream.address)}${at}${name}`
}

export function isPlain(upstream: Upstream): upstream is PlainUpstream {
  return upstream.transport === 'udp' || upstream.transport === 'tcp'
}

/**
 * The name servers the operating system uses, without those that are the gateway itself.
 *
 * A missing or unreadable file gives none: the home's own names work without any. Addresses with a
 * zone (`fe80::1%eth0`) are left out.
 */
export function systemUpstreams(options: {
  isOwn: (upstream: PlainUpstream) => boolean
  path?: string
}): PlainUpstream[] {
  let text: string
  try {
    text = readFileSync(options.path ?? '/etc/resolv.conf', 'utf8')
  } catch {
    return []
  }
  return text
    .split('\n')
    .map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1])
    .map((address) => (address === undefined ? null : canonicalAddress(address)))
    .filter((address) => address !== null)
    .filter((address, index, all) => all.indexOf(address) === index)
    .map((address): PlainUpstream => ({ address, port: 53, transport: 'udp' }))
    .filter((upstream) => !options.isOwn(upstream))
}

/** Octets. All the authorities of the web together have less. */
const MAX_CA_FILE = 1024 * 1024

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/**
 * The certificates in the file that `dns.upstreamCa` names, in PEM form and proven readable.
 *
 * @throws {UpstreamError} `CA_UNREADABLE`
 */
export function readUpstreamCa(path: string): string {
  const unreadable = (why: string) =>
    new UpstreamError(
      'CA_UNREADABLE',
      `the file ${path}, which dns.upstreamCa names, ${why}; it must hold CA certificates in PEM form, or leave the key out`,
    )
  try {
    if (statSync(path).size > MAX_CA_FILE) throw unreadable('is larger than 1 MiB')
    const certificates = readFileSync(path, 'latin1').match(CERTIFICATE)
    if (certificates === null) throw unreadable('holds no certificate')
    return certificates.map((certificate) => new X509Certificate(certificate).toString()).join('')
  } catch (error) {
    throw error instanceof UpstreamError ? error : unreadable(`cannot be read (${reasonOf(error)})`)
  }
}

function invalid(text: string, why: string): UpstreamError {
  return new UpstreamError(
    'UPSTREAM_INVALID',
    `the upstream "${withoutSecrets(text)}" cannot be used: ${why}; ${ACCEPTED}`,
  )
}

/** Without user, password, path and query of a URL. */
function withoutSecrets(text: string): string {
  return text.replace(/\/\/[^/]*@/, '//').replace(/^(https?:\/\/[^/#?]*)[/?][^#]+/i, '$1/...')
}
