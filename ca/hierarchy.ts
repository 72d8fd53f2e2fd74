import { ulid } from 'ulid'
import { type Clock, DAY } from '../base/clock.ts'
import { HearthError } from '../base/errors.ts'
import { HOME_RANGES } from '../base/ip.ts'
import { insertCertificate } from '../store/certificates.ts'
import type { Store, Tx } from '../store/database.ts'
import { insertIssuer, listIssuers } from '../store/issuers.ts'
import type { IssuerRow } from '../store/schema.ts'
import { readSetting, writeSetting } from '../store/settings.ts'
import { encodeTbsCertificate, serialText, signCertificate } from '../x509/certificate.ts'
import type { Extension, PermittedNames } from '../x509/extensions.ts'
import { type Signer, signerOf } from '../x509/signature.ts'
import type { ClockGuard } from './clockGuard.ts'
import { type Issuer, openIssuer } from './issuer.ts'
import { type KeyPair, type KeyStore, makeKeyPair } from './keys.ts'
import { ledgerRow } from './ledger.ts'
import { issuerExtensions, issuerName, rootExtensions, rootName, validity } from './profile.ts'
import { newSerial } from './serial.ts'

export type HierarchyErrorCode = 'DOMAIN_CHANGED' | 'CLOCK_UNTRUSTED'

export class HierarchyError extends HearthError<HierarchyErrorCode> {}

export interface HierarchyOptions {
  store: Store
  keys: KeyStore
  clock: Clock
  guard: ClockGuard
  instanceId: string
  /** The household's domain; frozen in the root's name constraints. */
  domain: string
  rootYears: number
  issuerYears: number
  nameConstraints: boolean
  /** Base of the URLs in certificates; a change makes a new issuer. */
  baseUrl: string
}

const YEAR = 365 * DAY

/** What certificates for a household's domain may name; also what the root's name constraints permit. */
export function permittedNames(domain: string): PermittedNames {
  return { dns: [domain, 'local', 'localhost'], ip: HOME_RANGES, email: [domain], uri: [`.${domain}`] }
}

/**
 * The root and its issuers.
 *
 * Made at the first start, opened at every later one. The issuer rolls over at half of its life, or
 * when the base URL changes; older issuers stay for their CRLs and OCSP answers until they expire.
 */
export class Hierarchy {
  readonly root: Issuer
  readonly #options: HierarchyOptions
  #issuers: Issuer[]

  /**
   * @throws {HierarchyError} `DOMAIN_CHANGED` if the root was made for another domain;
   *   `CLOCK_UNTRUSTED` if something has to be made and the clock is not believed.
   * @throws {SealError} if the keys cannot be opened.
   */
  static async open(options: HierarchyOptions): Promise<Hierarchy> {
    const { store, keys, domain, instanceId } = options
    const frozen = await readSetting(store.db, 'domain')
    if (frozen !== null && frozen !== domain) {
      throw new HierarchyError(
        'DOMAIN_CHANGED',
        `the root in this data directory was made for ${frozen} and can sign for no other domain; the configuration says ${domain}. Set "domain: ${frozen}", or start over in an empty dataDir and trust the new root everywhere`,
      )
    }
    let rows = await listIssuers(store.db, instanceId)
    if (!rows.some((row) => row.kind === 'root')) {
      await makeRoot(options)
      rows = await listIssuers(store.db, instanceId)
    }
    const opened = await Promise.all(rows.map((row) => openIssuer(store.db, keys, row)))
    const hierarchy = new Hierarchy(options, opened)
    await hierarchy.rollIfDue()
    return hierarchy
  }

  private constructor(options: HierarchyOptions, opened: Issuer[]) {
    this.#options = options
    this.root = opened.find((issuer) => issuer.kind === 'root')!
    this.#issuers = opened.filter((issuer) => issuer.kind === 'issuer')
  }

  /** The issuer that signs now. */
  get current(): Issuer {
    return this.#newest()!
  }

  /** Every issuer that has not expired, oldest first. */
  get issuers(): readonly Issuer[] {
    return this.#issuers
  }

  /** Root and issuers: everything that has a CRL. */
  get all(): readonly Issuer[] {
    return [this.root, ...this.#issuers]
  }

  find(id: string): Issuer | null {
    return this.all.find((issuer) => issuer.id === id) ?? null
  }

  /**
   * Makes a new issuer if the current one has passed half of its life or points elsewhere.
   *
   * While the clock is not believed, an issuer that still works goes on; only a missing one is an error.
   */
  async rollIfDue(): Promise<boolean> {
    const { store, keys, clock, guard, baseUrl } = this.#options
    const now = clock.now()
    if (this.#issuers.length > 0 && !guard.state().trusted) return false
    // What a root signs ends with it, and begins after it: outside of its life there is nothing to make.
    if (this.#issuers.length > 0 && (now < this.root.notBefore || now >= this.root.notAfter)) return false
    this.#issuers = this.#issuers.filter((issuer) => issuer.notAfter > now)
    const current = this.#newest()
    if (current !== undefined && current.notBefore <= now) {
      const pastHalf = now > current.notBefore + (current.notAfter - current.notBefore) / 2
      const canLiveLonger = current.notAfter < this.root.notAfter
      if (!(pastHalf && canLiveLonger) && current.baseUrl === baseUrl) return false
    }
    const row = await makeIssuer(this.#options, this.root)
    this.#issuers.push(await openIssuer(store.db, keys, row))
    return true
  }

  /**
   * The newest that points where the gateway is now; before a move is followed, the newest of all. One
   * that was made while the clock was ahead counts only where there is no other.
   */
  #newest(): Issuer | undefined {
    const { baseUrl, clock } = this.#options
    const begun = this.#issuers.filter((issuer) => issuer.notBefore <= clock.now())
    const candidates = begun.length > 0 ? begun : this.#issuers
    return candidates.findLast((issuer) => issuer.baseUrl === baseUrl) ?? candidates.at(-1)
  }
}

async function makeRoot(options: HierarchyOptions): Promise<void> {
  const { store, keys, guard, domain } = options
  requireClock(guard)
  const pair = makeKeyPair('P-384')
  await store.transaction(async (tx) => {
    const id = ulid(tx.now)
    const name = rootName(id)
    const period = validity(tx.now, (options.rootYears * YEAR) / DAY)
    const row = signCaCertificate({
      tx,
      id,
      kind: 'root',
      options,
      pair,
      name,
      period,
      signer: signerOf(pair.privateKey),
      issuerName: name,
      extensions: rootExtensions(pair.spki, constraints(options)),
      parentId: null,
    })
    await keys.put(tx, row.serial, 'root', pair)
    await insertIssuer(tx, row)
    await writeSetting(tx.db, 'domain', domain)
    await guard.advance(tx.db)
    await announce(tx, row, `the home's root was made, for ${domain}`)
  })
}

async function makeIssuer(options: HierarchyOptions, root: Issuer): Promise<IssuerRow> {
  const { store, keys, guard } = options
  requireClock(guard)
  const pair = makeKeyPair('P-256')
  return store.transaction(async (tx) => {
    const id = ulid(tx.now)
    const period = validity(tx.now, (options.issuerYears * YEAR) / DAY)
    const row = signCaCertificate({
      tx,
      id,
      kind: 'issuer',
      options,
      pair,
      name: issuerName(id),
      period: {
        notBefore: Math.max(period.notBefore, root.notBefore),
        notAfter: Math.min(period.notAfter, root.notAfter),
      },
      signer: root.signer,
      issuerName: root.name,
      extensions: issuerExtensions(pair.spki, constraints(options), root),
      parentId: root.id,
    })
    await keys.put(tx, row.serial, 'issuer', pair)
    await insertIssuer(tx, row)
    await insertCertificate(
      tx,
      ledgerRow(row.certificate, { issuerId: root.id, profile: 'issuer', actor: 'gateway' }),
      [],
    )
    await announce(tx, row, `a new issuer was made, pointing to ${options.baseUrl}`)
    return { ...row, crl_number: 0 }
  })
}

function signCaCertificate(making: {
  tx: Tx
  id: string
  kind: IssuerRow['kind']
  options: HierarchyOptions
  pair: KeyPair
  name: Buffer
  period: { notBefore: number; notAfter: number }
  signer: Signer
  issuerName: Buffer
  extensions: Extension[]
  parentId: string | null
}): Omit<IssuerRow, 'crl_number'> {
  const serial = newSerial()
  const tbs = encodeTbsCertificate(
    {
      serial,
      issuer: making.issuerName,
      subject: making.name,
      spki: making.pair.spki,
      extensions: making.extensions,
      ...making.period,
    },
    making.signer,
  )
  return {
    id: making.id,
    instance_id: making.options.instanceId,
    kind: making.kind,
    parent_id: making.parentId,
    key_id: serialText(serial),
    serial: serialText(serial),
    certificate: signCertificate(tbs, making.signer),
    not_before: making.period.notBefore,
    not_after: making.period.notAfter,
    base_url: making.options.baseUrl,
  }
}

async function announce(tx: Tx, row: Omit<IssuerRow, 'crl_number'>, detail: string): Promise<void> {
  await tx.change('issuer.added', row.id)
  await tx.audit({ actor: 'gateway', action: `${row.kind}.make`, subject: row.id, outcome: 'done', detail })
}

function constraints(options: HierarchyOptions): PermittedNames | null {
  return options.nameConstraints ? permittedNames(options.domain) : null
}

function requireClock(guard: ClockGuard): void {
  const state = guard.state()
  if (!state.trusted) throw new HierarchyError('CLOCK_UNTRUSTED', `no CA can be made: ${state.reason}`)
}
