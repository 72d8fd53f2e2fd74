import { addressOctets } from '../base/ip.ts'
import type { Service } from '../store/services.ts'
import type { ZoneHost } from '../store/zone.ts'
import type { ResourceRecord } from '../wire/message.ts'
import { MAX_NAME, Name } from '../wire/name.ts'
import { CLASS, TYPE } from '../wire/registry.ts'
import { alpnValue, portValue, SVC_KEY, type SvcParam, svcbData } from '../wire/svcb.ts'

/** Seconds. A change at home must show within a minute, so nothing may be kept for longer. */
export const HOST_TTL = 60

const HTTPS_PORT = 443

/** Usage DANE-EE, selector SubjectPublicKeyInfo, matching type SHA-256 (RFC 6698 section 2.1). */
const DANE_EE_SPKI_SHA256 = Buffer.of(3, 1, 1)

/** Services that speak TLS from the first octet on, whatever their ALPN. */
const TLS_TYPES: ReadonlySet<string> = new Set(['_https._tcp', '_ipps._tcp'])

/** Services whose URL is `https`, if they speak TLS. */
const WEB_TYPES: ReadonlySet<string> = new Set(['_https._tcp', '_http._tcp'])

const IN_ADDR_ARPA = Name.parse('in-addr.arpa')
const IP6_ARPA = Name.parse('ip6.arpa')

/**
 * Everything that follows from a device: its addresses forward and back, the keys it has enrolled, and what
 * it offers.
 *
 * The same device makes the same records, so that they can be taken back. What cannot be made is told in
 * `problems`; the rest is made. `names` are those of the device that can be used, the principal one first.
 */
export function hostRecords(
  host: ZoneHost,
  { names, domain }: { names: readonly Name[]; domain: Name },
): { records: ResourceRecord[]; problems: string[] } {
  const made = new Made(host)
  const [principal] = names
  if (principal === undefined) return made
  for (const address of host.addresses) addAddress(made, names, address)
  for (const { sha256 } of host.keys) {
    for (const name of names) addKey(made, name, sha256)
  }
  for (const service of host.services) {
    if (WEB_TYPES.has(service.type) && speaksTls(service)) {
      for (const name of names) addWebService(made, name, service)
    }
    announce(made, principal, domain, service)
  }
  return made
}

/** The records of one device while they are gathered. */
class Made {
  readonly host: ZoneHost
  readonly records: ResourceRecord[] = []
  readonly problems: string[] = []

  constructor(host: ZoneHost) {
    this.host = host
  }

  /** Null stands for a name that would be too long. */
  add(name: Name | null, type: number, data: Uint8Array): void {
    if (name !== null) this.records.push({ name, type, class: CLASS.IN, ttl: HOST_TTL, data })
    else this.leaveOut('a record', 'its name would be too long')
  }

  leaveOut(what: string, reason: string): void {
    this.problems.push(`${what} of ${this.host.names[0]} is left out: ${reason}`)
  }
}

function addAddress(made: Made, names: readonly Name[], address: string): void {
  const octets = addressOctets(address)
  if (octets === null) {
    made.leaveOut('an address', `"${address}" is no IP address`)
    return
  }
  const reverse = reverseName(octets)
  for (const name of names) {
    made.add(name, octets.length === 4 ? TYPE.A : TYPE.AAAA, octets)
    made.add(reverse, TYPE.PTR, nameData(name))
  }
}

/**
 * A TLSA record where a client of HTTPS looks for it, and at each port on which the device speaks TLS.
 *
 * @see RFC 7671 section 5.1: of a certificate, only the key counts then, and neither name nor dates.
 */
function addKey(made: Made, name: Name, sha256: string): void {
  const data = Buffer.concat([DANE_EE_SPKI_SHA256, Buffer.from(sha256, 'hex')])
  const places = new Set([
    `_${HTTPS_PORT} _tcp`,
    ...made.host.services.filter(speaksTls).map(({ port, type }) => `_${port} ${type.split('.')[1]}`),
  ])
  for (const place of places) made.add(below(name, place.split(' ')), TYPE.TLSA, data)
}

/**
 * An HTTPS record where a browser asks for the service: at the name itself for port 443, else below it at
 * `_8443._https`, where the target must be said, since that name has no addresses.
 *
 * @see RFC 9460 section 9.1 for the name.
 */
function addWebService(made: Made, name: Name, { port, alpn }: Service): void {
  const params: SvcParam[] = alpn.length === 0 ? [] : [{ key: SVC_KEY.alpn, value: alpnValue(alpn) }]
  if (port === HTTPS_PORT) {
    made.add(name, TYPE.HTTPS, svcbData(1, Name.root, params))
    return
  }
  params.push({ key: SVC_KEY.port, value: portValue(port) })
  made.add(below(name, [`_${port}`, '_https']), TYPE.HTTPS, svcbData(1, name, params))
}

/**
 * What DNS-SD tells of a service: that there is an instance of its type, where it is, and more about it;
 * and that there is anything of that type at all.
 *
 * @see RFC 6763 sections 4.1 (PTR), 5 (SRV), 6 (TXT, of which there is always one) and 9 (the types).
 */
function announce(made: Made, host: Name, domain: Name, { instance, type, port, txt }: Service): void {
  const labels = type.split('.')
  const typeName = below(domain, labels)
  const name = typeName && below(typeName, [instance])
  if (typeName === null || name === null) {
    made.leaveOut(`the service ${instance}`, 'its name would be too long')
    return
  }
  const location = Buffer.alloc(6)
  location.writeUInt16BE(port, 4)
  made.add(below(domain, ['_services', '_dns-sd', '_udp']), TYPE.PTR, nameData(typeName))
  made.add(typeName, TYPE.PTR, nameData(name))
  made.add(name, TYPE.SRV, Buffer.concat([location, nameData(host)]))
  made.add(
    name,
    TYPE.TXT,
    Buffer.from((txt.length === 0 ? [''] : txt).map(lengthPrefixed).join(''), 'latin1'),
  )
}

const speaksTls = ({ type, alpn }: Service): boolean => alpn.length > 0 || TLS_TYPES.has(type)

/** `192.168.1.20` as `20.1.168.192.in-addr.arpa`, and IPv6 in nibbles below `ip6.arpa` (RFC 3596 section 2.5). */
export function reverseName(octets: Uint8Array): Name {
  return octets.length === 4
    ? below(IN_ADDR_ARPA, [...octets].reverse().map(String))!
    : below(IP6_ARPA, [...Buffer.from(octets).toString('hex')].reverse())!
}

/** A name made of labels and what they stand below; null if it would be too long. */
function below(ancestor: Name, labels: readonly string[]): Name | null {
  const wire = labels.map(lengthPrefixed).join('') + ancestor.wire
  return wire.length > MAX_NAME ? null : Name.fromWire(wire)
}

/** Text as octets of UTF-8, one character each, behind their number. */
function lengthPrefixed(text: string): string {
  const octets = Buffer.from(text).toString('latin1')
  return String.fromCharCode(octets.length) + octets
}

const nameData = (name: Name): Buffer => Buffer.from(name.wire, 'latin1')
