import { HearthError, reasonOf } from '../base/errors.ts'
import { addressOctets } from '../base/ip.ts'
import type { ZoneData } from '../store/zone.ts'
import { parseMasterFile } from '../wire/masterFile.ts'
import { Name } from '../wire/name.ts'
import { parseRdata, printRdata } from '../wire/presentation.ts'
import { isMetaType, TYPE, typeName, typeNumber } from '../wire/registry.ts'
import { HOST_TTL, soaText, type ZoneOptions } from './snapshot.ts'
import { REVERSE_APEXES } from './special.ts'
import { nameAsTyped, ownerAsTyped } from './typedName.ts'

export type RecordErrorCode =
  | 'OWNER_INVALID'
  | 'OWNER_OUTSIDE'
  | 'TYPE_REFUSED'
  | 'DELEGATION_REFUSED'
  | 'DATA_INVALID'
  | 'TTL_INVALID'
  | 'APEX_FIXED'
  | 'GATEWAY_FIXED'
  | 'CNAME_EXCLUSIVE'
  | 'DUPLICATE'
  | 'TOO_MANY'
  | 'NOT_FOUND'
  | 'FILE_INVALID'

/** A record that may not be: the message says why, and what to write instead. */
export class RecordError extends HearthError<RecordErrorCode> {}

/** A record as it is kept: owner lower-case without the final dot, data with absolute names. */
export type HandRecord = ZoneData['records'][number]

/** A record as a person gives it. */
export interface RecordInput {
  /** `nas`, `*.apps`, `nas.home.arpa`, `@` for the zone's apex, or a name in a private reverse zone. */
  owner: string
  type: string
  data: string
  /** Seconds; by default that of the RRset, else five minutes. */
  ttl?: number | undefined
}

const DEFAULT_TTL = 300
const MAX_TTL = 0x7fffffff

const MAX_RECORDS = 10_000
/** Octets of data of one RRset: it must fit into one message, also beside others. */
const MAX_RRSET = 16 * 1024

const REVERSE_ZONES: readonly Name[] = REVERSE_APEXES.map((apex) => Name.parse(apex))

const REFUSED_TYPES: ReadonlySet<number> = new Set([
  TYPE.DNAME,
  TYPE.SIG,
  TYPE.KEY,
  TYPE.NXT,
  TYPE.RRSIG,
  TYPE.NSEC,
  TYPE.DNSKEY,
  TYPE.NSEC3,
  TYPE.NSEC3PARAM,
])

/**
 * Checks a record that is to be added and gives it back as it is kept.
 *
 * Its TTL is from then on that of its whole RRset (RFC 2181 section 5.2). A record that is already there
 * with another TTL is no duplicate: it comes back with the new one.
 *
 * @throws {RecordError} every code but `NOT_FOUND` and `FILE_INVALID`.
 */
export function checkRecord(input: RecordInput, zone: ZoneData, options: ZoneOptions): HandRecord {
  const book = new RecordBook(zone, options)
  const owner = readOwner(input.owner, options)
  const type = readType(input.type)
  const data = readData(type, input.data, options)
  const ttl = input.ttl ?? book.ttlOf(owner, type) ?? DEFAULT_TTL
  const record = book.admit({ owner, type, data, ttl })
  if (zone.records.some((kept) => sameData(kept, record) && kept.ttl === record.ttl)) {
    throw new RecordError('DUPLICATE', `${record.owner} ${record.type} ${record.data} is already there`)
  }
  return record
}

/**
 * The kept records that `hearth dns remove` means: all of an owner, of one type, or one alone.
 *
 * @throws {RecordError} `NOT_FOUND` if there are none, or what is wrong with the name, type or data.
 */
export function findRecords(
  wanted: { owner: string; type?: string | undefined; data?: string | undefined },
  zone: ZoneData,
  options: ZoneOptions,
): HandRecord[] {
  const owner = ownerText(readOwner(wanted.owner, options))
  const type = wanted.type === undefined ? null : readType(wanted.type)
  const data =
    type === null || wanted.data === undefined ? null : printRdata(type, readData(type, wanted.data, options))
  const found = zone.records.filter(
    (record) =>
      record.owner === owner &&
      (type === null || record.type === typeName(type)) &&
      (data === null || record.data === data),
  )
  if (found.length > 0) return found
  const which = [owner, type === null ? null : typeName(type), data].filter((part) => part !== null).join(' ')
  const hint = zone.hosts.some(({ name }) => name === owner)
    ? 'its addresses belong to a device: change them with hearth device'
    : 'hearth dns list shows what there is'
  throw new RecordError('NOT_FOUND', `no record was added by hand as ${which}; ${hint}`)
}

/**
 * Reads a master file into records to keep: all of them, or an error and none.
 *
 * Names are read as the format wants it: without a final dot they are relative to `$ORIGIN`, at first
 * the household's zone. What the gateway makes itself is passed over, so that an export can be read:
 * SOA and NS of the apex, and addresses of the gateway's own name. A record that is already kept is
 * not an error; within an RRset the TTL of the last line wins.
 *
 * @throws {RecordError} `FILE_INVALID`, or a rule's own code; the message starts with `line N:`.
 */
export function parseImport(text: string, zone: ZoneData, options: ZoneOptions): HandRecord[] {
  const origin = Name.parse(options.domain)
  const book = new RecordBook(zone, options)
  const rrsets = new Map<string, Map<string, HandRecord>>()
  for (const { line, name, type, ttl, data } of readFile(text, origin)) {
    if (isMadeHere(name, type, options)) continue
    try {
      const record = book.admit({ owner: name.toLowerCase(), type, data: lowerCaseNames(type, data), ttl })
      const key = `${record.owner} ${record.type}`
      const rrset = rrsets.get(key) ?? new Map<string, HandRecord>()
      for (const earlier of rrset.values()) earlier.ttl = ttl
      rrsets.set(key, rrset.set(record.data, record))
    } catch (error) {
      if (!(error instanceof RecordError)) throw error
      throw new RecordError(error.code, `line ${line}: ${error.message}`, { cause: error })
    }
  }
  return [...rrsets.values()].flatMap((rrset) => [...rrset.values()])
}

/**
 * The household's zone as a master file that other servers can load, and `parseImport` too.
 *
 * Records added by hand are records there. Devices are comments: their addresses follow from enrollment,
 * and imported as records by hand they would outlive the device. The gateway's own addresses are records
 * nevertheless, because a zone whose name server has no address is broken. PTR records by hand lie in
 * other zones; a server that loads only this one passes them over.
 */
export function printExport(zone: ZoneData, options: ZoneOptions): string {
  const { domain, gatewayName } = options
  const isGateway = (host: ZoneData['hosts'][number]): boolean => host.name === gatewayName
  const addressLines = (host: ZoneData['hosts'][number]): string[] =>
    host.addresses.map((address) => {
      const type = addressOctets(address)?.length === 4 ? 'A' : 'AAAA'
      return `${host.name}. ${HOST_TTL} IN ${type} ${address}`
    })
  const devices = zone.hosts.filter((host) => !isGateway(host)).flatMap(addressLines)
  return [
    `$ORIGIN ${domain}.`,
    `$TTL ${DEFAULT_TTL}`,
    '',
    '; Made by the gateway; passed over by hearth dns import.',
    `@ ${HOST_TTL} IN SOA ${soaText(options, zone.serial)}`,
    `@ ${HOST_TTL} IN NS ${gatewayName}.`,
    ...zone.hosts.filter(isGateway).flatMap(addressLines),
    ...(devices.length === 0 ? [] : ['', '; Devices: their addresses follow from hearth device.']),
    ...devices.map((line) => `; ${line}`),
    ...(zone.records.length === 0 ? [] : ['', '; Added by hand.']),
    ...zone.records.map(({ owner, ttl, type, data }) => `${owner}. ${ttl} IN ${type} ${data}`),
    '',
  ].join('\n')
}

/** A record whose parts are read but not yet allowed. */
interface Candidate {
  owner: Name
  type: number
  data: Uint8Array
  ttl: number
}

/** The records there are, by owner, and the rules for one more. */
class RecordBook {
  readonly #options: ZoneOptions
  readonly #apex: Name
  readonly #hosts: ReadonlySet<string>
  readonly #byOwner = new Map<string, HandRecord[]>()
  #count = 0

  constructor(zone: ZoneData, options: ZoneOptions) {
    this.#options = options
    this.#apex = Name.parse(options.domain)
    this.#hosts = new Set(zone.hosts.map(({ name }) => name))
    for (const record of zone.records) this.#enter(record)
  }

  ttlOf(owner: Name, type: number): number | undefined {
    return this.#byOwner.get(ownerText(owner))?.find((record) => record.type === typeName(type))?.ttl
  }

  /** Allows a record and counts it in, so that the next one is held against it too. */
  admit({ owner: name, type, data, ttl }: Candidate): HandRecord {
    const owner = ownerText(name)
    const record = { owner, type: typeName(type), ttl, data: printRdata(type, data) }
    const others = (this.#byOwner.get(owner) ?? []).filter((kept) => !sameData(kept, record))
    this.#checkType(name, type)
    this.#checkOwner(name, type)
    this.#checkAlias(record, others)
    if (!Number.isInteger(ttl) || ttl < 0 || ttl > MAX_TTL) {
      throw new RecordError(
        'TTL_INVALID',
        `the TTL ${ttl} is not possible: give whole seconds from 0 to ${MAX_TTL}`,
      )
    }
    const setOctets = others
      .filter((kept) => kept.type === record.type)
      .reduce((sum, kept) => sum + kept.data.length, data.length)
    if (setOctets > MAX_RRSET) {
      throw new RecordError(
        'TOO_MANY',
        `${owner} ${record.type} would be too large for one answer: remove some first`,
      )
    }
    this.#enter(record)
    if (this.#count > MAX_RECORDS) {
      throw new RecordError('TOO_MANY', `there are already ${MAX_RECORDS} records: remove some first`)
    }
    return record
  }

  #checkType(owner: Name, type: number): void {
    const name = typeName(type)
    const isApex = owner.key === this.#apex.key
    if (type === TYPE.SOA || (isApex && type === TYPE.NS)) {
      throw new RecordError(
        'APEX_FIXED',
        `the ${name} of a zone is made by the gateway and cannot be set by hand`,
      )
    }
    if (isMetaType(type) || REFUSED_TYPES.has(type)) {
      throw new RecordError('TYPE_REFUSED', `records of type ${name} cannot be added by hand`)
    }
    if (type === TYPE.NS) this.#checkDelegation(owner)
  }

  /** Whatever lies at or below an NS record is another server's to answer. */
  #checkDelegation(owner: Name): void {
    if (owner.wire.startsWith('\x01*')) {
      throw new RecordError(
        'DELEGATION_REFUSED',
        `a wildcard cannot be delegated: give the NS to the name ${owner} stands for`,
      )
    }
    const hidden = [...this.#hosts].find((host) => Name.parse(host).isAtOrBelow(owner))
    if (hidden !== undefined) {
      throw new RecordError(
        'DELEGATION_REFUSED',
        `delegating ${owner} would hide the device ${hidden}: choose a name without devices below it`,
      )
    }
  }

  #checkOwner(owner: Name, type: number): void {
    const { domain, gatewayName } = this.#options
    if (!owner.isAtOrBelow(this.#apex)) {
      const isReverse = REVERSE_ZONES.some((apex) => owner.isAtOrBelow(apex))
      if (!isReverse) {
        throw new RecordError(
          'OWNER_OUTSIDE',
          `${owner} is not in ${domain}: only names of the household can be given records`,
        )
      }
      if (type !== TYPE.PTR) {
        throw new RecordError(
          'OWNER_OUTSIDE',
          `${owner} belongs to an address: the only record it can be given is a PTR`,
        )
      }
    }
    const isAddress = type === TYPE.A || type === TYPE.AAAA
    if (ownerText(owner) === gatewayName && (isAddress || type === TYPE.CNAME)) {
      throw new RecordError(
        'GATEWAY_FIXED',
        `${gatewayName} is the gateway itself: set its addresses under gateway.addresses`,
      )
    }
  }

  /** A name with a CNAME has nothing else (RFC 1034 section 3.6.2), and a name has one CNAME at most. */
  #checkAlias(record: HandRecord, others: readonly HandRecord[]): void {
    const { owner } = record
    if (record.type !== 'CNAME') {
      const alias = others.find((kept) => kept.type === 'CNAME')
      if (alias === undefined) return
      throw new RecordError(
        'CNAME_EXCLUSIVE',
        `${owner} is a CNAME for ${alias.data} and can have no other records: remove the CNAME first`,
      )
    }
    if (this.#hosts.has(owner)) {
      throw new RecordError(
        'CNAME_EXCLUSIVE',
        `${owner} is a device's name and so cannot be a CNAME: choose another name`,
      )
    }
    if (owner === this.#options.domain) {
      throw new RecordError('CNAME_EXCLUSIVE', `${owner} is the zone's own name and so cannot be a CNAME`)
    }
    const [other] = others
    if (other !== undefined) {
      throw new RecordError(
        'CNAME_EXCLUSIVE',
        `${owner} has a record of type ${other.type} and so cannot be a CNAME: remove that first`,
      )
    }
  }

  #enter(record: HandRecord): void {
    const kept = this.#byOwner.get(record.owner) ?? []
    if (kept.some((other) => sameData(other, record))) return
    this.#byOwner.set(record.owner, [...kept, record])
    this.#count += 1
  }
}

function readOwner(text: string, { domain }: ZoneOptions): Name {
  try {
    return ownerAsTyped(text, Name.parse(domain))
  } catch (error) {
    throw new RecordError('OWNER_INVALID', reasonOf(error), { cause: error })
  }
}

function readType(text: string): number {
  const type = typeNumber(text)
  if (type === null) {
    throw new RecordError(
      'TYPE_REFUSED',
      `there is no record type "${text}": try A, AAAA, CNAME, TXT or TYPE65`,
    )
  }
  return type
}

function readData(type: number, text: string, { domain }: ZoneOptions): Buffer {
  try {
    return parseRdata(type, text, (word) => nameAsTyped(word, Name.parse(domain)))
  } catch (error) {
    throw new RecordError('DATA_INVALID', reasonOf(error), { cause: error })
  }
}

function readFile(text: string, origin: Name) {
  try {
    return parseMasterFile(text, { origin, defaultTtl: DEFAULT_TTL })
  } catch (error) {
    throw new RecordError('FILE_INVALID', reasonOf(error), { cause: error })
  }
}

/** Whether the gateway makes records of this owner and type itself. */
function isMadeHere(owner: Name, type: number, { domain, gatewayName }: ZoneOptions): boolean {
  const name = ownerText(owner.toLowerCase())
  if (type === TYPE.SOA || type === TYPE.NS) return name === domain
  return (type === TYPE.A || type === TYPE.AAAA) && name === gatewayName
}

/** RDATA read from a file, its names in the one case they are kept in. */
function lowerCaseNames(type: number, data: Uint8Array): Buffer {
  return parseRdata(type, printRdata(type, data), (text) => Name.parse(text).toLowerCase())
}

function ownerText(owner: Name): string {
  return owner.toString().replace(/\.$/, '')
}

const sameData = (one: HandRecord, other: HandRecord): boolean =>
  one.owner === other.owner && one.type === other.type && one.data === other.data
