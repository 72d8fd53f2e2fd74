import type { Clock } from '../base/clock.ts'
import { reasonOf } from '../base/errors.ts'
import { addressOctets } from '../base/ip.ts'
import type { Log } from '../base/log.ts'
import { HOST_TTL, reverseName } from '../dns/hostRecords.ts'
import type { Lease, LeaseFile } from '../dns/leases/lease.ts'
import { LeaseFileError, LeaseReader } from '../dns/leases/leaseReader.ts'
import { checkKeptForm, type RecordOptions } from '../dns/records.ts'
import { REVERSE_APEXES } from '../dns/special.ts'
import { deviceName } from '../enrollment/names.ts'
import { findCertifiedNames } from '../store/certificates.ts'
import type { Db, Store } from '../store/database.ts'
import { findHeldAddresses, findHeldNames } from '../store/devices.ts'
import {
  listRecordsFrom,
  octetsOf,
  putRecords,
  readRecordsOf,
  removeRecords,
  type ZoneRecord,
} from '../store/records.ts'
import type { Change } from '../store/schema.ts'
import { ALL_OWNERS, changesZone } from '../store/zone.ts'
import { Name } from '../wire/name.ts'

export interface LeaseRecordsOptions extends RecordOptions {
  store: Store
  clock: Clock
  log: Log
  files: readonly LeaseFile[]
}

const MAX_LEASES = 5000

/** With more owners in one change than this, the zone is read anew as a whole. */
const MAX_NAMED_OWNERS = 100

/** What is said once is remembered, but not without end: names come from whoever joins the network. */
const MAX_TOLD = 1000

/** What a name of a lease may not have beside it: whoever put that there decides what the name means. */
const DECIDING_TYPES: ReadonlySet<string> = new Set(['A', 'AAAA', 'CNAME', 'NS'])

const REVERSE_ZONES: readonly Name[] = REVERSE_APEXES.map((apex) => Name.parse(apex))

/** What the leases make of the zone. */
interface Difference {
  removed: ZoneRecord[]
  added: ZoneRecord[]
}

/**
 * Gives the hosts in DHCP lease files a name in the zone, for as long as their leases last.
 *
 * A lease takes a name only if nobody else has it: what a device is called, what people and updates have
 * put into the zone, and names with a certificate that is still good stay what they are.
 */
export class LeaseRecords {
  readonly #options: LeaseRecordsOptions
  /** `leases` is null until the file was read once. */
  readonly #files: { reader: LeaseReader; leases: Lease[] | null; failure: string | null }[]
  /** What an earlier run has left in the zone, as leases that hold until every file was read or one says otherwise. */
  #earlier: Lease[] = []
  readonly #told = new Set<string>()
  #last: Promise<void> = Promise.resolve()
  #isQueued = false
  /** When the next lease ends that is in the zone. */
  #nextEnd = Number.POSITIVE_INFINITY
  #lookedAt = Number.NEGATIVE_INFINITY

  constructor(options: LeaseRecordsOptions) {
    this.#options = options
    this.#files = options.files.map((file) => ({
      reader: new LeaseReader(file),
      leases: null,
      failure: null,
    }))
  }

  /** From now on follows the files. Resolves when the zone says what they say. */
  async start(): Promise<void> {
    await this.#next(async () => {
      this.#earlier = (await listRecordsFrom(this.#options.store.db, 'lease'))
        .filter(({ type }) => type !== 'PTR')
        .map(({ owner, data }) => ({ hostname: owner, address: data, expires: Number.POSITIVE_INFINITY }))
      await this.#look(true)
    })
    for (const { reader } of this.#files) reader.watch(() => void this.look(), this.#options.log)
  }

  /** Reads what has changed, and ends what is over. Never rejects for what a file says. */
  look(): Promise<void> {
    return this.#next(() => this.#look(false))
  }

  /** A name may have been taken or given back. Does not wait: what it does is a change itself. */
  follow(changes: readonly Change[]): void {
    if (this.#isQueued || !changes.some(changesZone)) return
    if (this.#leases().length + this.#earlier.length === 0) return
    this.#isQueued = true
    void this.#next(() => {
      this.#isQueued = false
      return this.#synchronise()
    })
  }

  async close(): Promise<void> {
    for (const { reader } of this.#files) reader.close()
    await this.#last
  }

  #next(work: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(work).catch((error) => {
      this.#options.log.error({ err: error }, 'the DHCP leases could not be put into the zone')
    })
    return this.#last
  }

  async #look(always: boolean): Promise<void> {
    const now = this.#options.clock.now()
    // What has ended holds again when a clock that was ahead is put right.
    let isNew = always || now >= this.#nextEnd || now < this.#lookedAt
    this.#lookedAt = now
    for (const file of this.#files) {
      try {
        const leases = await file.reader.read()
        if (file.failure !== null) this.#options.log.info(`well again: ${file.failure}`)
        file.failure = null
        if (leases === null) continue
        file.leases = leases
        this.#forgetEarlier(leases)
        isNew = true
      } catch (error) {
        if (!(error instanceof LeaseFileError)) throw error
        // What is known from it stays until it ends: a file that is missing does not say that nobody is there.
        if (file.failure !== error.message) this.#options.log.warn(error.message)
        file.failure = error.message
      }
    }
    if (isNew) await this.#synchronise()
  }

  /** An address or a name that a file speaks of is known from there. */
  #forgetEarlier(leases: readonly Lease[]): void {
    if (this.#files.every((file) => file.leases !== null)) this.#earlier = []
    if (this.#earlier.length === 0) return
    const known = new Set(leases.flatMap((lease) => [lease.address, this.#placeOf(lease)]))
    this.#earlier = this.#earlier.filter(
      (lease) => !known.has(lease.address) && !known.has(this.#placeOf(lease)),
    )
  }

  /** What only one lease can have: a name, once for each kind of address. */
  #placeOf(lease: Lease): string {
    return `${this.#nameOf(lease)} ${isIpv6(lease.address)}`
  }

  /** Writes only if there is something to write. */
  async #synchronise(): Promise<void> {
    const { store, clock, log } = this.#options
    const first = await this.#difference(store.db, clock.now())
    if (first.added.length + first.removed.length === 0) return
    const done = await store.transaction(async (tx) => {
      const { removed, added } = await this.#difference(tx.db, tx.now)
      await removeRecords(tx, removed)
      await putRecords(tx, added, 'lease')
      const owners = new Set([...removed, ...added].map(({ owner }) => owner))
      for (const owner of owners.size > MAX_NAMED_OWNERS ? [ALL_OWNERS] : owners) {
        await tx.change('dns.changed', owner)
      }
      return { added: added.length, removed: removed.length }
    })
    log.info(done, 'DHCP leases followed')
  }

  async #difference(db: Db, now: number): Promise<Difference> {
    const hosts = this.#hosts(now)
    const wanted = await this.#records(db, hosts, now)
    const there = await listRecordsFrom(db, 'lease')
    const [wantedLines, thereLines] = [new Set(wanted.map(line)), new Set(there.map(line))]
    const removed = there.filter((record) => !wantedLines.has(line(record)))
    const added = wanted.filter((record) => !thereLines.has(line(record)))
    if (added.length === 0) return { removed, added }
    const { total, octets } = await readRecordsOf(db, [])
    try {
      const left = { total: total - removed.length, octets: octets - octetsOf(removed) }
      checkKeptForm(added, { deviceNames: [], records: [], ...left }, this.#options)
      return { removed, added }
    } catch (error) {
      this.#tellOnce(`leases are left out: ${reasonOf(error)}`)
      return { removed, added: [] }
    }
  }

  /** The leases that hold, by the names they ask for. Of several with one name, the one that ends last counts. */
  #hosts(now: number): Map<string, Lease[]> {
    const holding = this.#leases().filter(({ expires }) => expires > now)
    if (holding.length > MAX_LEASES) {
      this.#tellOnce(`there are more than ${MAX_LEASES} leases: the others are left out`)
    }
    this.#nextEnd = Math.min(...holding.map(({ expires }) => expires))
    const hosts = new Map<string, Lease[]>()
    for (const lease of [...holding.slice(0, MAX_LEASES), ...this.#earlier]) {
      const name = this.#nameOf(lease)
      if (name === null) continue
      const others = hosts.get(name) ?? []
      const rival = others.find(({ address }) => isIpv6(address) === isIpv6(lease.address))
      if (rival !== undefined && rival.expires > lease.expires) continue
      hosts.set(name, [...others.filter((other) => other !== rival), lease])
    }
    return hosts
  }

  #leases(): Lease[] {
    return this.#files.flatMap(({ leases }) => leases ?? [])
  }

  /** What a host is called here. A domain that is not ours is that of another network, and means nothing. */
  #nameOf({ hostname, address }: Lease): string | null {
    const { domain, gatewayName } = this.#options
    const bare = hostname.toLowerCase().replace(/\.$/, '')
    try {
      return deviceName(bare.endsWith(`.${domain}`) ? bare : bare.split('.')[0]!, domain, gatewayName)
    } catch (error) {
      this.#tellOnce(`the lease of ${address} gets no name: ${reasonOf(error)}`)
      return null
    }
  }

  async #records(db: Db, hosts: ReadonlyMap<string, Lease[]>, now: number): Promise<ZoneRecord[]> {
    if (hosts.size === 0) return []
    const names = [...hosts.keys()]
    const addresses = [...hosts.values()].flat().map(({ address }) => address)
    const heldNames = await findHeldNames(db, names)
    const heldAddresses = await findHeldAddresses(db, addresses)
    const certified = await findCertifiedNames(db, names, now)
    const owners = new Set([...names.flatMap(withNamesAbove), ...addresses.map(reverseOwner)])
    const { records } = await readRecordsOf(db, [...owners])
    const others = Map.groupBy(
      records.filter(({ source }) => source !== 'lease'),
      ({ owner }) => owner,
    )
    const has = (owner: string, isType: (type: string) => boolean): boolean =>
      (others.get(owner) ?? []).some(({ type }) => isType(type))
    const isTaken = (name: string): boolean =>
      heldNames.has(name) ||
      certified.has(name) ||
      has(name, (type) => DECIDING_TYPES.has(type)) ||
      withNamesAbove(name).some((above) => has(above, (type) => type === 'NS'))

    const wanted: ZoneRecord[] = []
    for (const [name, leases] of hosts) {
      if (isTaken(name)) {
        this.#tellOnce(`the lease of ${leases[0]!.address} does not get the name ${name}: it is taken`)
        continue
      }
      for (const { address } of leases) {
        wanted.push({ owner: name, type: isIpv6(address) ? 'AAAA' : 'A', ttl: HOST_TTL, data: address })
        const reverse = reverseOwner(address)
        const isOurs = REVERSE_ZONES.some((zone) => Name.parse(reverse).isAtOrBelow(zone))
        if (isOurs && !others.has(reverse) && !heldAddresses.has(address)) {
          wanted.push({ owner: reverse, type: 'PTR', ttl: HOST_TTL, data: `${name}.` })
        }
      }
    }
    return wanted
  }

  #tellOnce(what: string): void {
    if (this.#told.has(what)) return
    if (this.#told.size >= MAX_TOLD) this.#told.clear()
    this.#told.add(what)
    this.#options.log.warn(what)
  }
}

const line = ({ owner, type, data }: ZoneRecord): string => `${owner} ${type} ${data}`

const isIpv6 = (address: string): boolean => address.includes(':')

function reverseOwner(address: string): string {
  return reverseName(addressOctets(address)!).toString().replace(/\.$/, '')
}

/** `a.b.home.arpa`, `b.home.arpa`, `home.arpa`, `arpa`. */
function withNamesAbove(name: string): string[] {
  const labels = name.split('.')
  return labels.map((_, index) => labels.slice(index).join('.'))
}
