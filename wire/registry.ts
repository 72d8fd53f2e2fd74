/**
 * The numbers of the DNS, as IANA registers them ("Domain Name System (DNS) Parameters").
 *
 * Only what the code speaks of by name is here. Any other type is shown and read as `TYPE65280`
 * (RFC 3597 section 5), so that a missing line never stands in the way of a record.
 */
export const TYPE = {
  A: 1,
  NS: 2,
  MD: 3,
  MF: 4,
  CNAME: 5,
  SOA: 6,
  MB: 7,
  MG: 8,
  MR: 9,
  NULL: 10,
  WKS: 11,
  PTR: 12,
  HINFO: 13,
  MINFO: 14,
  MX: 15,
  TXT: 16,
  RP: 17,
  AFSDB: 18,
  RT: 21,
  SIG: 24,
  KEY: 25,
  PX: 26,
  AAAA: 28,
  LOC: 29,
  NXT: 30,
  SRV: 33,
  NAPTR: 35,
  KX: 36,
  CERT: 37,
  DNAME: 39,
  OPT: 41,
  DS: 43,
  SSHFP: 44,
  RRSIG: 46,
  NSEC: 47,
  DNSKEY: 48,
  DHCID: 49,
  NSEC3: 50,
  NSEC3PARAM: 51,
  TLSA: 52,
  SMIMEA: 53,
  CDS: 59,
  CDNSKEY: 60,
  OPENPGPKEY: 61,
  CSYNC: 62,
  ZONEMD: 63,
  SVCB: 64,
  HTTPS: 65,
  SPF: 99,
  TKEY: 249,
  TSIG: 250,
  IXFR: 251,
  AXFR: 252,
  MAILB: 253,
  MAILA: 254,
  ANY: 255,
  URI: 256,
  CAA: 257,
} as const

export const CLASS = { IN: 1, CH: 3, HS: 4, NONE: 254, ANY: 255 } as const

export const OPCODE = { QUERY: 0, NOTIFY: 4, UPDATE: 5 } as const

/** Above 15, an RCODE needs EDNS to carry its upper bits (RFC 6891 section 6.1.3). */
export const RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  YXDOMAIN: 6,
  YXRRSET: 7,
  NXRRSET: 8,
  NOTAUTH: 9,
  NOTZONE: 10,
  BADVERS: 16,
} as const

/** What a TSIG can say is wrong (RFC 8945); 16 is BADVERS where an OPT says it. */
export const TSIG_ERROR = { BADSIG: 16, BADKEY: 17, BADTIME: 18, BADTRUNC: 22 } as const

export const EDNS_OPTION = { TCP_KEEPALIVE: 11, PADDING: 12, EXTENDED_ERROR: 15 } as const

/** INFO-CODEs of the Extended DNS Errors in use (RFC 8914 section 4). */
export const EXTENDED_ERROR = {
  OTHER: 0,
  STALE_ANSWER: 3,
  DNSSEC_INDETERMINATE: 5,
  NSEC_MISSING: 12,
  CACHED_ERROR: 13,
  BLOCKED: 15,
  PROHIBITED: 18,
  STALE_NXDOMAIN_ANSWER: 19,
  NOT_AUTHORITATIVE: 20,
  NO_REACHABLE_AUTHORITY: 22,
} as const

const TYPE_NAMES = new Map<number, string>(Object.entries(TYPE).map(([name, number]) => [number, name]))
const TYPE_NUMBERS = new Map<string, number>(Object.entries(TYPE))
const RCODE_NAMES = new Map<number, string>(Object.entries(RCODE).map(([name, number]) => [number, name]))
const TSIG_ERROR_NAMES = new Map<number, string>(
  Object.entries(TSIG_ERROR).map(([name, number]) => [number, name]),
)

/** `AAAA`, or `TYPE65280` for a type without a name here. */
export function typeName(type: number): string {
  return TYPE_NAMES.get(type) ?? `TYPE${type}`
}

/** The number of `AAAA`, `aaaa` or `TYPE28`; null if the text names no type. */
export function typeNumber(text: string): number | null {
  const upper = text.toUpperCase()
  const known = TYPE_NUMBERS.get(upper)
  if (known !== undefined) return known
  const generic = /^TYPE(\d{1,5})$/.exec(upper)
  if (generic === null) return null
  const number = Number(generic[1])
  return number <= 0xffff ? number : null
}

/** `NXDOMAIN`, or `RCODE23` for a code without a name here. */
export function rcodeName(rcode: number): string {
  return RCODE_NAMES.get(rcode) ?? `RCODE${rcode}`
}

/** `BADKEY`, or `TSIG ERROR 19` for a code without a name here. */
export function tsigErrorName(error: number): string {
  return TSIG_ERROR_NAMES.get(error) ?? `TSIG ERROR ${error}`
}

/**
 * Whether a type can only stand in a question or in the machinery of a message, never in a zone.
 *
 * RFC 6895 section 3.1: 0 is reserved, 128 to 255 are QTYPEs and Meta-TYPEs, and OPT is the one
 * Meta-TYPE outside that range.
 */
export function isMetaType(type: number): boolean {
  return type === 0 || type === TYPE.OPT || (type >= 128 && type <= 255)
}
