import { addressOctets } from '../base/ip.ts'
import type { ZoneHost } from '../store/zone.ts'
import type { ResourceRecord } from '../wire/message.ts'
import { Name } from '../wire/name.ts'
import { CLASS, TYPE } from '../wire/registry.ts'
import { alpnValue, portValue, SVC_KEY, type SvcParam, svcbData } from '../wire/svcb.ts'
import { HOST_TTL, reverseName } from './hostRecords.ts'

/** The encrypted ways to the gateway's resolver; null where there is none. */
export interface Designated {
  dotPort: number | null
  dohPort: number | null
}

const DOT_PORT = 853
const DOH_PORT = 443
const DOH_PATH = '/dns-query{?dns}'

/** Browsing domains: all there are, the one to begin with, and one for clients that cannot choose. */
const BROWSING = ['b', 'db', 'lb'] as const

/** Prefixes that a home's IPv4 network can have. */
const PREFIX_LENGTHS = Array.from({ length: 23 }, (_, index) => 8 + index)

/** What the gateway tells of itself beyond what every device does. */
export function gatewayRecords(
  { addresses }: ZoneHost,
  gateway: Name,
  options: { domain: Name; designated: Designated | null },
): ResourceRecord[] {
  const octets = addresses.map(addressOctets).filter((each) => each !== null)
  const networks = new Set(octets.flatMap(baseAddresses))
  return [
    ...[...networks].flatMap((base) =>
      browsingRecords(reverseName(Buffer.from(base, 'hex')), options.domain),
    ),
    ...(options.designated === null ? [] : designations(gateway, options.designated, octets)),
  ]
}

/**
 * Where to look for services if one knows only a domain, or only one's own address.
 *
 * @see RFC 6763 section 11.
 */
export function browsingRecords(where: Name, domain: Name): ResourceRecord[] {
  return BROWSING.map((which) =>
    record(Name.parse(`${which}._dns-sd._udp`, where), TYPE.PTR, Buffer.from(domain.wire, 'latin1')),
  )
}

/**
 * The base addresses of the networks that an address can be in, hexadecimal. A client knows its prefix; here
 * only the gateway's own address is known, so that each length that homes use has its turn.
 */
function baseAddresses(octets: Uint8Array): string[] {
  const base = Buffer.from(octets)
  if (octets.length === 16) return [base.fill(0, 8).toString('hex')]
  const address = base.readUInt32BE()
  return PREFIX_LENGTHS.map((length) => {
    base.writeUInt32BE((address & (0xffffffff << (32 - length))) >>> 0)
    return base.toString('hex')
  })
}

/**
 * The gateway as its own designated resolver: for who knows only its address, and for who knows its name.
 *
 * @see RFC 9462 sections 4 and 5; RFC 9461 for the parameters.
 */
function designations(
  gateway: Name,
  { dotPort, dohPort }: Designated,
  addresses: readonly Uint8Array[],
): ResourceRecord[] {
  const hint = (key: number, length: number): SvcParam[] => {
    const value = Buffer.concat(addresses.filter((octets) => octets.length === length))
    return value.length === 0 ? [] : [{ key, value }]
  }
  const hints = [...hint(SVC_KEY.ipv4hint, 4), ...hint(SVC_KEY.ipv6hint, 16)]
  const way = (protocol: string, port: number, usual: number): SvcParam[] => [
    { key: SVC_KEY.alpn, value: alpnValue([protocol]) },
    ...(port === usual ? [] : [{ key: SVC_KEY.port, value: portValue(port) }]),
    ...hints,
  ]
  const ways: SvcParam[][] = []
  if (dotPort !== null) ways.push(way('dot', dotPort, DOT_PORT))
  if (dohPort !== null) {
    const path = { key: SVC_KEY.dohpath, value: Buffer.from(DOH_PATH) }
    ways.push([...way('h2', dohPort, DOH_PORT), path])
  }
  return [Name.parse('_dns.resolver.arpa'), Name.parse('_dns', gateway)].flatMap((owner) =>
    ways.map((params, index) => record(owner, TYPE.SVCB, svcbData(index + 1, gateway, params))),
  )
}

function record(name: Name, type: number, data: Uint8Array): ResourceRecord {
  return { name, type, class: CLASS.IN, ttl: HOST_TTL, data }
}
