import { readFileSync } from 'node:fs'
import { HearthError } from '../base/errors.ts'
import { canonicalAddress } from '../base/ip.ts'

/** A resolver outside that answers what is not the household's. */
export interface Upstream {
  /** An IP address in canonical text. */
  address: string
  port: number
  /** `udp` goes on over TCP where an answer was truncated. */
  transport: 'udp' | 'tcp'
}

/** A zone and who is asked about it, for instance the resolver of a work network. */
export interface ConditionalZone {
  /** Lower-case, no final dot. */
  zone: string
  upstreams: Upstream[]
}

export class UpstreamError extends HearthError<'UPSTREAM_INVALID'> {}

const ACCEPTED =
  'write an IP address, or udp:// or tcp:// and one, with a port if it is not 53: 9.9.9.9, udp://[2620:fe::fe]:53, tcp://192.168.1.1:5353'

/**
 * Reads one upstream as it is written in the configuration.
 *
 * Only addresses are taken, no names: a resolver cannot ask itself where its upstream is.
 *
 * @throws {UpstreamError} `UPSTREAM_INVALID`, saying what is accepted.
 */
export function parseUpstream(text: string): Upstream {
  const bare = canonicalAddress(text)
  if (bare !== null) return { address: bare, port: 53, transport: 'udp' }

  const match = /^([a-z0-9]+):\/\/(?:\[([^\]]*)\]|([^:/[\]]*))(?::(\d{1,5}))?$/i.exec(text)
  const [, scheme, bracketed, plain, portText = '53'] = match ?? []
  if (/^(tls|https):\/\//i.test(text)) {
    throw invalid(text, 'encrypted upstreams are not yet supported in this version')
  }
  const transport = scheme?.toLowerCase()
  if (transport !== 'udp' && transport !== 'tcp') throw invalid(text, 'it has no known form')
  const address = canonicalAddress(bracketed ?? plain ?? '')
  if (address === null) throw invalid(text, 'its host is no IP address')
  const port = Number(portText)
  if (port < 1 || port > 65535) throw invalid(text, `there is no port ${portText}`)
  return { address, port, transport }
}

/** `udp://9.9.9.9` or `tcp://[2620:fe::fe]:5353`, as `parseUpstream` reads it. */
export function printUpstream({ address, port, transport }: Upstream): string {
  const host = address.includes(':') ? `[${address}]` : address
  return `${transport}://${host}${port === 53 ? '' : `:${port}`}`
}

/**
 * The name servers the operating system uses, without those that are the gateway itself.
 *
 * A missing or unreadable file gives none: the home's own names work without any. Addresses with a
 * zone (`fe80::1%eth0`) are left out.
 */
export function systemUpstreams(options: { own: readonly string[]; path?: string }): Upstream[] {
  let text: string
  try {
    text = readFileSync(options.path ?? '/etc/resolv.conf', 'utf8')
  } catch {
    return []
  }
  const own = new Set(options.own.map(canonicalAddress))
  return text
    .split('\n')
    .map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1])
    .map((address) => (address === undefined ? null : canonicalAddress(address)))
    .filter((address) => address !== null)
    .filter((address, index, all) => !own.has(address) && all.indexOf(address) === index)
    .map((address) => ({ address, port: 53, transport: 'udp' }))
}

function invalid(text: string, why: string): UpstreamError {
  return new UpstreamError('UPSTREAM_INVALID', `the upstream "${text}" cannot be used: ${why}; ${ACCEPTED}`)
}
