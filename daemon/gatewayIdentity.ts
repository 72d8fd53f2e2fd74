import { networkInterfaces } from 'node:os'
import type { SecureContextOptions } from 'node:tls'
import type { Clock } from '../base/clock.ts'
import { HearthError } from '../base/errors.ts'
import { addressOctets, canonicalAddress, isHomeAddress } from '../base/ip.ts'
import type { Authority } from '../ca/authority.ts'
import type { Hierarchy } from '../ca/hierarchy.ts'
import type { Issuer } from '../ca/issuer.ts'
import { type KeyStore, makeKeyPair } from '../ca/keys.ts'
import type { Profile } from '../ca/profile.ts'
import { findCertificate, type RecordedCertificate } from '../store/certificates.ts'
import type { Store } from '../store/database.ts'
import {
  type Device,
  findDeviceByName,
  findGatewayDevice,
  insertDevice,
  renameDevice,
  replaceAddresses,
} from '../store/devices.ts'
import { deleteReplacedKeys, findKeyId } from '../store/keys.ts'
import { pem } from '../x509/certificate.ts'
import type { Config } from './config.ts'

/** The gateway's own certificate, as its TLS listeners use it. */
export interface GatewayCertificate {
  serial: string
  notAfter: number
  issuer: Issuer
  context: SecureContextOptions
}

export class GatewayNameError extends HearthError<'GATEWAY_NAME_TAKEN'> {}

export interface GatewayIdentityOptions {
  store: Store
  keys: KeyStore
  clock: Clock
  hierarchy: Hierarchy
  authority: Authority
  profile: Profile
  /** Full name, such as `gateway.home.arpa`. */
  name: string
  /** Its addresses at this moment. */
  addresses: () => string[]
}

/**
 * The gateway as a device of its own: name and addresses in the register, a certificate from its own CA.
 *
 * So the DNS, the certificate list and revocation know it like every other device.
 */
export class GatewayIdentity {
  readonly #options: GatewayIdentityOptions
  #certificate: GatewayCertificate | null = null

  constructor(options: GatewayIdentityOptions) {
    this.#options = options
  }

  get hasCertificate(): boolean {
    return this.#certificate !== null
  }

  /** @throws if there is none yet: `refresh` makes it. */
  get certificate(): GatewayCertificate {
    if (this.#certificate === null) throw new Error('the gateway has no certificate yet')
    return this.#certificate
  }

  /**
   * Brings record and certificate up to date: addresses as they are now, a certificate that names them,
   * from the current issuer, not due for renewal, not revoked. True if the certificate is a new one.
   *
   * Where no new one can be issued, the old one is in use when this throws: better a warning than no
   * console; see `hasCertificate`.
   *
   * @throws {AuthorityError} if one is due and cannot be issued; {GatewayNameError} if its name is taken.
   */
  async refresh(): Promise<boolean> {
    const device = await this.#register()
    const usable = await this.#held()
    if (usable !== null && !this.#isDue(usable, device)) return this.#use(usable)
    try {
      return await this.#use(await this.#issue(device))
    } catch (error) {
      if (usable === null) throw error
      await this.#use(usable)
      throw error
    }
  }

  async #register(): Promise<Device> {
    const { store, name, addresses, profile } = this.#options
    const current = addresses()
    const known = await findGatewayDevice(store.db)
    const same =
      known !== null &&
      known.addresses.length === current.length &&
      current.every((address) => known.addresses.includes(address))
    if (same && known.names[0] === name) return known
    const holder = await findDeviceByName(store.db, name)
    if (holder !== null && holder.kind !== 'gateway') {
      throw new GatewayNameError(
        'GATEWAY_NAME_TAKEN',
        `the gateway cannot be called ${name}: a device has that name. Set another gateway.name, or start with the old one and remove the device first`,
      )
    }
    await store.transaction(async (tx) => {
      if (known === null) {
        await insertDevice(tx, { kind: 'gateway', profile: profile.name, names: [name], addresses: current })
      } else {
        await replaceAddresses(tx, known, current)
        if (known.names[0] !== name) await renameDevice(tx, known, name)
      }
      await tx.change('device.changed', name)
      await tx.audit({
        actor: 'gateway',
        action: 'gateway.addresses',
        subject: name,
        outcome: 'done',
        detail: current.join(', '),
      })
    })
    return (await findGatewayDevice(store.db))!
  }

  #isDue(newest: RecordedCertificate, device: Device): boolean {
    const { clock, hierarchy, profile } = this.#options
    const renewFrom = newest.not_before + (newest.not_after - newest.not_before) * profile.renewAt
    const named = JSON.parse(newest.addresses) as string[]
    const wanted = certifiable(device.addresses)
    return (
      newest.revoked_at !== null ||
      newest.not_before > clock.now() ||
      clock.now() >= renewFrom ||
      newest.issuer_id !== hierarchy.current.id ||
      newest.names.join() !== device.names.toSorted().join() ||
      named.length !== wanted.length ||
      wanted.some((address) => !named.includes(address))
    )
  }

  async #issue(device: Device): Promise<RecordedCertificate> {
    const { authority, keys, profile, store } = this.#options
    const pair = makeKeyPair('P-256')
    const { serial } = await authority.issue({
      deviceId: device.id,
      profile: profile.name,
      names: device.names,
      addresses: certifiable(device.addresses),
      key: pair.privateKey,
      spki: pair.spki,
      actor: 'gateway',
      claim: async (tx, issued) => {
        await deleteReplacedKeys(tx, { purpose: 'gateway', keep: issued.serial })
        await keys.put(tx, issued.serial, 'gateway', pair)
        return true
      },
    })
    return (await findCertificate(store.db, serial))!
  }

  /** The certificate whose key is there; a new key takes the place of the one before. */
  async #held(): Promise<RecordedCertificate | null> {
    const { db } = this.#options.store
    const serial = await findKeyId(db, 'gateway')
    return serial === null ? null : findCertificate(db, serial)
  }

  async #use(recorded: RecordedCertificate): Promise<boolean> {
    if (this.#certificate?.serial === recorded.serial) return false
    const { keys, store, hierarchy } = this.#options
    const issuer = hierarchy.find(recorded.issuer_id) ?? hierarchy.current
    const { privateKey } = await keys.open(store.db, recorded.serial)
    this.#certificate = {
      serial: recorded.serial,
      notAfter: recorded.not_after,
      issuer,
      context: {
        cert: pem(recorded.certificate, 'CERTIFICATE') + pem(issuer.certificate, 'CERTIFICATE'),
        key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
      },
    }
    return true
  }
}

/** Addresses that the root's name constraints permit; a public IPv6 address is published but not certified. */
function certifiable(addresses: readonly string[]): string[] {
  return addresses.filter((address) => isHomeAddress(addressOctets(address)!))
}

/** The addresses that belong to the gateway's name: those configured, else those it can be reached at. */
export function gatewayAddresses(config: Config): string[] {
  return config.gateway.addresses.length > 0
    ? config.gateway.addresses
    : reachableAddresses(config.listen.https.addresses)
}

/**
 * The addresses under which this machine's listeners can be reached: those they listen on, and for "all
 * addresses" those of the network interfaces. Link-local ones are left out: they mean nothing without
 * the name of an interface.
 */
function reachableAddresses(listening: readonly string[]): string[] {
  const found = new Set<string>()
  for (const address of listening) {
    if (address === '0.0.0.0') for (const own of interfaceAddresses(4)) found.add(own)
    else if (address === '::') for (const own of interfaceAddresses(16)) found.add(own)
    else found.add(address)
  }
  return [...found]
}

function interfaceAddresses(octets: number): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal }) => !internal)
    .map(({ address }) => canonicalAddress(address))
    .filter((address) => address !== null)
    .filter((address) => addressOctets(address)!.length === octets && !/^(fe[89ab]|169\.254\.)/.test(address))
}
