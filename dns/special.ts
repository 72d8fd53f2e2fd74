import type { Denial } from './zone.ts'

/** A domain that is answered here unless it has upstreams of its own, so that no query for it leaves the home. */
export interface SpecialDomain {
  apex: string
  denial: Denial
  /** Lines of a master file, relative to the apex. */
  records?: string
}

/**
 * Names that mean nothing to the internet's servers: those of IANA's "Special-Use Domain Names" that a
 * resolver is to keep to itself, and `internal`.
 *
 * Left to the upstreams on purpose: `example` and its like, which resolve as usual (RFC 6761 section 6.5);
 * `ipv4only.arpa`, by which clients learn of a NAT64 that only an upstream may know (RFC 8880); and `lan`,
 * `home`, `corp`, which nobody reserved and which the router upstream may well answer.
 */
const RESERVED: readonly SpecialDomain[] = [
  // RFC 6761 section 6.3: addresses are those of the loopback interface, of names below as well.
  {
    apex: 'localhost',
    denial: 'ordinary',
    records: '@ A 127.0.0.1\n@ AAAA ::1\n* A 127.0.0.1\n* AAAA ::1',
  },
  // RFC 6761 sections 6.2 and 6.4.
  { apex: 'test', denial: 'nonexistent' },
  { apex: 'invalid', denial: 'nonexistent' },
  // RFC 7686 section 2.
  { apex: 'onion', denial: 'nonexistent' },
  // RFC 9476: names of systems that are not the DNS.
  { apex: 'alt', denial: 'nonexistent' },
  // RFC 6762 section 22.1. An SOA here would tell Apple's systems that .local is no longer multicast.
  { apex: 'local', denial: 'nonexistent' },
  // RFC 9462 section 4: a resolver without a designated one says so with NODATA.
  { apex: 'resolver.arpa', denial: 'without-data' },
  // RFC 8375 section 4. If it is the household's zone too, that takes its place.
  { apex: 'home.arpa', denial: 'ordinary' },
  // RFC 9665: services registered by devices of one's own network.
  { apex: 'service.arpa', denial: 'ordinary' },
  // Reserved by ICANN for private networks. It exists, since a household's zone may lie below it.
  { apex: 'internal', denial: 'ordinary' },
  // RFC 9031, RFC 9140: realms in protocols that only look like domain names; eap.arpa follows the latter.
  { apex: '6tisch.arpa', denial: 'nonexistent' },
  { apex: 'eap-noob.arpa', denial: 'nonexistent' },
  { apex: 'eap.arpa', denial: 'nonexistent' },
  // Mozilla's canary: NXDOMAIN keeps Firefox from asking a resolver outside by default.
  { apex: 'use-application-dns.net', denial: 'nonexistent' },
]

const nibbles = (reversed: string): string => `${reversed}.ip6.arpa`

/** `::` and `::1` in nibbles: the last one, and 31 zeroes. */
const ZEROES = Array(31).fill('0').join('.')

/**
 * The reverse zones of addresses that mean something only here.
 *
 * RFC 6303 section 4 (RFC 1918, loopback, link-local, documentation, unique-local); RFC 7793 for
 * 100.64.0.0/10. `c.f.ip6.arpa` is the unassigned half of unique-local space (RFC 4193 section 3.1).
 */
const REVERSE: readonly SpecialDomain[] = [
  ...[
    '10.in-addr.arpa',
    ...range(16, 31).map((octet) => `${octet}.172.in-addr.arpa`),
    '168.192.in-addr.arpa',
    ...range(64, 127).map((octet) => `${octet}.100.in-addr.arpa`),
    '0.in-addr.arpa',
    '254.169.in-addr.arpa',
    '2.0.192.in-addr.arpa',
    '100.51.198.in-addr.arpa',
    '113.0.203.in-addr.arpa',
    '255.255.255.255.in-addr.arpa',
    nibbles(`0.${ZEROES}`),
    nibbles('d.f'),
    nibbles('c.f'),
    ...['8', '9', 'a', 'b'].map((nibble) => nibbles(`${nibble}.e.f`)),
    nibbles('8.b.d.0.1.0.0.2'),
  ].map((apex): SpecialDomain => ({ apex, denial: 'ordinary' })),
  { apex: '127.in-addr.arpa', denial: 'ordinary', records: '1.0.0 PTR localhost.' },
  { apex: nibbles(`1.${ZEROES}`), denial: 'ordinary', records: '@ PTR localhost.' },
]

/** Every domain that is never asked of an upstream, in no order. */
export const SPECIAL_DOMAINS: readonly SpecialDomain[] = [...RESERVED, ...REVERSE]

/** Apexes of the reverse zones, in which the household's PTR records live. */
export const REVERSE_APEXES: readonly string[] = REVERSE.map(({ apex }) => apex)

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}
