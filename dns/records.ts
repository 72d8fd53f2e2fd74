import { HearthError, reasonOf } from '../base/errors.ts'
import type { SourcedRecord, Surroundings, ZoneRecord } from '../store/records.ts'
import type { ZoneData } from '../store/zone.ts'
import { parseMasterFile } from '../wire/masterFile.ts'
import { Name } from '../wire/name.ts'
import { parseRdata, printRdata, printRecord } from '../wire/presentation.ts'
import { isMetaType, TYPE, typeName, typeNumber } from '../wire/registry.ts'
import { HOST_TTL, hostRecords } from './hostRecords.ts'
import { REVERSE_APEXES } from './special.ts'
import { nameAsTyped, ownerAsTyped } from './typedName.ts'
import { soaText, type ZonesOptions } from './zones.ts'

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

/** Which names can be given records. */
export type RecordOptions = Pick<ZonesOptions, 'domain' | 'gatewayName' | 'overrides'>

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
/** Octets of data, as text, of all records: the zones of a home fit into a small machine's memory several times. */
const MAX_OCTETS = 4 * 1024 * 1024
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
export function checkRecord(
  input: RecordInput,
  surroundings: Surroundings,
  options: RecordOptions,
): ZoneRecord {
  const book = new RecordBook(surroundings, options)
  const owner = readOwner(input.owner, options)
  const type = readType(input.type)
  const data = readData(type, input.data, options)
  const ttl = input.ttl ?? book.ttlOf(owner, type) ?? DEFAULT_TTL
  const record = book.admit({ owner, type, data, ttl })
  const { records } = surroundings
  if (records.some((kept) => isByHand(kept) && sameData(kept, record) && kept.ttl === record.ttl)) {
    throw new RecordError('DUPLICATE', `${record.owner} ${record.type} ${record.data} is already there`)
  }
  return record
}

/**
 * The owner that a person means, as it is kept.
 *
 * @throws {RecordError} `OWNER_INVALID`
 */
export function readOwnerText(text: string, options: RecordOptions): string {
  return ownerText(readOwner(text, options))
}

/**
 * The kept records that `hearth dns remove` means: all of an owner, of one type, or one alone.
 *
 * Those from a lease file are none of them: they would come back.
 *
 * @throws {RecordError} `NOT_FOUND` if there are none, or what is wrong with the name, type or data.
 */
export function findRecords(
  wanted: { owner: string; type?: string | undefined; data?: string | undefined },
  { deviceNames, records }: Surroundings,
  options: RecordOptions,
): SourcedRecord[] {
  const owner = ownerText(readOwner(wanted.owner, options))
  const type = wanted.type === undefined ? null : readType(wanted.type)
  const data =
    type === null || wanted.data === undefined ? null : printRdata(type, readData(type, wanted.data, options))
  const meant = records.filter(
    (record) =>
      record.owner === owner &&
      (type === null || record.type === typeName(type)) &&
      (data === null || record.data === data),
  )
  const found = meant.filter(({ source }) => source !== 'lease')
  if (found.length > 0) return found
  const which = [owner, type === null ? null : typeName(type), data].filter((part) => part !== null).join(' ')
  if (meant.length > 0) {
    throw new RecordError('NOT_FOUND', `${which} follows the DHCP server's lease file: end the lease there`)
  }
  const hint = deviceNames.includes(owner)
    ? 'its addresses belong to a device: change them with hearth device'
    : 'hearth dns list shows what there is'
  throw new RecordError('NOT_FOUND', `no record was added as ${which}; ${hint}`)
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
export function parseImport(text: string, surroundings: Surroundings, options: RecordOptions): ZoneRecord[] {
  const origin = Name.parse(options.domain)
  const book = new RecordBook(surroundings, options)
  const rrsets = new Map<string, Map<string, ZoneRecord>>()
  for (const { line, name, type, ttl, data } of readFile(text, origin)) {
    if (isMadeHere(name, type, options)) continue
    try {
      const record = book.admit({ owner: name.toLowerCase(), type, data: lowerCaseNames(type, data), ttl })
      const key = `${record.owner} ${record.type}`
      const rrset = rrsets.get(key) ?? new Map<string, ZoneRecord>()
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
 * Holds records that a program adds, in the form in which they are kept, against the same rules.
 *
 * @throws {RecordError} every code but `DUPLICATE`, `NOT_FOUND` and `FILE_INVALID`.
 */
export function checkKeptForm(
  records: readonly ZoneRecord[],
  surroundings: Surroundings,
  options: RecordOptions,
): void {
  const book = new RecordBook(surroundings, options)
  for (const { owner, type, ttl, data } of records) {
    const number = readType(type)
    book.admit({ owner: Name.parse(owner), type: number, ttl, data: parseRdata(number, data, Name.parse) })
  }
}

/**
 * The household's zone as a master file that other servers can load, and `parseImport` too.
 *
 * Records added by hand are records there. What follows from devices is a comment: imported as records by
 * hand it would outlive the device. The gateway's own addresses are records nevertheless, because a zone
 * whose name server has no address is broken. PTR records and overrides lie in other zones; a server that
 * loads only this one passes them over.
 */
export function printExport(
  { serial, hosts, records }: Pick<ZoneData, 'serial' | 'hosts'> & { records: readonly SourcedRecord[] },
  options: RecordOptions,
): string {
  const domain = Name.parse(options.domain)
  const gateway = Name.parse(options.gatewayName)
  const made = hosts
    .flatMap((host) => hostRecords(host, { domain, names: host.names.map(absolute) }).records)
    .filter(({ name }) => name.isAtOrBelow(domain))
  const lines = (wanted: boolean) =>
    made.filter((record) => isGatewayAddress(record, gateway) === wanted).map(printRecord)
  const ofDevices = lines(false)
  const byHand = records.filter(isByHand)
  return [
    `$ORIGIN ${domain}`,
    `$TTL ${DEFAULT_TTL}`,
    '',
    '; Made by the gateway; passed over by hearth dns import.',
    `@ ${HOST_TTL} IN SOA ${soaText(options, serial)}`,
    `@ ${HOST_TTL} IN NS ${gateway}`,
    ...lines(true),
    ...(ofDevices.length === 0 ? [] : ['', '; Devices: what follows from hearth device and hearth service.']),
    ...ofDevices.map((line) => `; ${line}`),
    ...(byHand.length === 0 ? [] : ['', '; Added by hand.']),
    ...byHand.map(({ owner, ttl, type, data }) => `${owner}. ${ttl} IN ${type} ${data}`),
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
  readonly #options: RecordOptions
  readonly #apex: Name
  readonly #overrides: readonly Name[]
  readonly #deviceNames: ReadonlySet<string>
  readonly #byOwner = new Map<string, ZoneRecord[]>()
  #count: number
  #octets: number

  constructor({ deviceNames, records, total, octets }: Surroundings, options: RecordOptions) {
    this.#options = options
    this.#apex = Name.parse(options.domain)
    this.#overrides = options.overrides.map((domain) => Name.parse(domain))
    this.#deviceNames = new Set(deviceNames)
    for (const record of records) this.#enter(record)
    this.#count = total
    this.#octets = octets
  }

  ttlOf(owner: Name, type: number): number | undefined {
    return this.#byOwner.get(ownerText(owner))?.find((record) => record.type === typeName(type))?.ttl
  }

  /** Allows a record and counts it in, so that the next one is held against it too. */
  admit({ owner: name, type, data, ttl }: Candidate): ZoneRecord {
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
    if (this.#octets > MAX_OCTETS) {
      throw new RecordError(
        'TOO_MANY',
        `the data of all records would have more than ${MAX_OCTETS} octets: remove some first`,
      )
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
    if (!owner.isAtOrBelow(this.#apex) && this.#overrides.some((override) => owner.isAtOrBelow(override))) {
      throw new RecordError(
        'DELEGATION_REFUSED',
        `${owner} is not of the home's zone, and only names of that can be delegated`,
      )
    }
    if (owner.wire.startsWith('\x01*')) {
      throw new RecordError(
        'DELEGATION_REFUSED',
        `a wildcard cannot be delegated: give the NS to the name ${owner} stands for`,
      )
    }
    const hidden = [...this.#deviceNames].find((host) => Name.parse(host).isAtOrBelow(owner))
    if (hidden !== undefined) {
      throw new RecordError(
        'DELEGATION_REFUSED',
        `delegating ${owner} would hide the device ${hidden}: choose a name without devices below it`,
      )
    }
  }

  #checkOwner(owner: Name, type: number): void {
    const { domain, gatewayName } = this.#options
    const isOverride = this.#overrides.some((override) => owner.isAtOrBelow(override))
    if (!owner.isAtOrBelow(this.#apex) && !isOverride) {
      const isReverse = REVERSE_ZONES.some((apex) => owner.isAtOrBelow(apex))
      if (!isReverse) {
        throw new RecordError(
          'OWNER_OUTSIDE',
          `${owner} is not in ${domain}: only names of the household can be given records, and those of public domains of yours that are listed under dns.overrides`,
        )
      }
      // A DHCID says which DHCP client the PTR beside it is for (RFC 4701).
      if (type !== TYPE.PTR && type !== TYPE.DHCID) {
        throw new RecordError(
          'OWNER_OUTSIDE',
          `${owner} belongs to an address: the only records it can be given are PTR and DHCID`,
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
  #checkAlias(record: ZoneRecord, others: readonly ZoneRecord[]): void {
    const { owner } = record
    if (record.type !== 'CNAME') {
      const alias = others.find((kept) => kept.type === 'CNAME')
      if (alias === undefined) return
      throw new RecordError(
        'CNAME_EXCLUSIVE',
        `${owner} is a CNAME for ${alias.data} and can have no other records: remove the CNAME first`,
      )
    }
    if (this.#deviceNames.has(owner)) {
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

  #enter(record: ZoneRecord): void {
    const kept = this.#byOwner.get(record.owner) ?? []
    if (kept.some((other) => sameData(other, record))) return
    this.#byOwner.set(record.owner, [...kept, record])
    this.#count += 1
    this.#octets += record.data.length
  }
}

function readOwner(text: string, { domain, overrides }: RecordOptions): Name {
  try {
    return ownerAsTyped(text, {
      domain: Name.parse(domain),
      overrides: overrides.map((each) => Name.parse(each)),
    })
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

function readData(type: number, text: string, { domain }: RecordOptions): Buffer {
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
function isMadeHere(owner: Name, type: number, { domain, gatewayName }: RecordOptions): boolean {
  const name = ownerText(owner.toLowerCase())
  if (type === TYPE.SOA || type === TYPE.NS) return name === domain
  return (type === TYPE.A || type === TYPE.AAAA) && name === gatewayName
}

function isGatewayAddress({ name, type }: { name: Name; type: number }, gateway: Name): boolean {
  return name.key === gateway.key && (type === TYPE.A || type === TYPE.AAAA)
}

const absolute = (text: string): Name => Name.parse(text)

const isByHand = ({ source }: SourcedRecord): boolean => source === 'hand'

/** RDATA read from a file, its names in the one case they are kept in. */
function lowerCaseNames(type: number, data: Uint8Array): Buffer {
  return parseRdata(type, printRdata(type, data), (text) => Name.parse(text).toLowerCase())
}

function ownerText(owner: Name): string {
  return owner.toString().replace(/\.$/, '')
}

const sameData = (one: ZoneRecord, other: ZoneRecord): boolean =>
  one.owner === other.owner && one.type === other.type && one.data === other.data
