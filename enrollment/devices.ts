import { rfc3339 } from '../base/clock.ts'
import { HearthError } from '../base/errors.ts'
import { addressOctets, canonicalAddress, isHomeAddress, isLoopback } from '../base/ip.ts'
import { revokeCertificatesOf } from '../ca/revocation.ts'
import { lastExpiryOfName } from '../store/certificates.ts'
import { expireCredentials, insertCredential } from '../store/credentials.ts'
import type { Db, Store, Tx } from '../store/database.ts'
import {
  closeDevice,
  type Device,
  findDeviceByAddress,
  findDeviceByName,
  insertDevice,
} from '../store/devices.ts'
import { findDelegation, isAlias, removeUpdatedAddresses } from '../store/records.ts'
import { deleteServicesOf } from '../store/services.ts'
import { type EnrollmentCredential, hashToken, makeCredential } from './credential.ts'
import { deviceName } from './names.ts'

export type DeviceErrorCode =
  | 'DEVICE_UNKNOWN'
  | 'DEVICE_IS_GATEWAY'
  | 'NAME_TAKEN'
  | 'NAME_QUARANTINED'
  | 'NAME_DELEGATED'
  | 'ADDRESS_INVALID'
  | 'ADDRESS_TAKEN'
  | 'TOO_MANY_ADDRESSES'
  | 'PROFILE_UNKNOWN'

export class DeviceError extends HearthError<DeviceErrorCode> {}

/** A device has a handful of addresses; more would bloat every certificate and answer. */
const MAX_ADDRESSES = 16

export interface DevicesOptions {
  store: Store
  domain: string
  gatewayName: string
  profiles: readonly string[]
  /** How long a credential may be used, milliseconds. */
  credentialLife: number
}

/** A credential as it is handed out: the only moment at which the token is known. */
export interface HandedCredential {
  deviceId: string
  name: string
  credential: EnrollmentCredential
  expires: number
}

/** The household's register: which devices there are, what they are called, who may enroll as one. */
export class Devices {
  readonly #options: DevicesOptions

  constructor(options: DevicesOptions) {
    this.#options = options
  }

  /**
   * Adds a device and makes a credential for its first enrolment. Its name and addresses are in the
   * DNS when this resolves.
   *
   * @throws {NameError} {DeviceError} with what is wrong and what would do.
   */
  async add(
    wanted: { name: string; addresses: readonly string[]; profile?: string | undefined },
    actor: string,
  ): Promise<HandedCredential> {
    const { store, domain, gatewayName } = this.#options
    const name = deviceName(wanted.name, domain, gatewayName)
    const addresses = deviceAddresses(wanted.addresses)
    const profile = this.#profile(wanted.profile)
    return store.transaction(async (tx) => {
      await refuseTaken(tx, name)
      await refuseDelegated(tx, name, domain)
      await refuseTakenAddresses(tx, addresses)
      const deviceId = await insertDevice(tx, { kind: 'device', profile, names: [name], addresses })
      await tx.change('device.added', name)
      if ((await removeUpdatedAddresses(tx, name)) > 0) await tx.change('dns.changed', name)
      await tx.audit({
        actor,
        action: 'device.add',
        subject: name,
        outcome: 'done',
        detail: addresses.length > 0 ? `addresses: ${addresses.join(', ')}` : 'no address yet',
      })
      return this.#handOut(tx, deviceId, name, actor)
    })
  }

  /** Makes a new credential for a device; earlier unspent ones end. */
  async newCredential(typedName: string, actor: string): Promise<HandedCredential> {
    return this.#options.store.transaction(async (tx) => {
      const device = await this.#find(tx, typedName)
      await expireCredentials(tx, device.id)
      return this.#handOut(tx, device.id, device.names[0]!, actor)
    })
  }

  /**
   * Removes a device: its certificates are revoked, its name and services leave the DNS, its credentials end.
   *
   * The name is not given to another device until its last certificate has expired, since browsers that
   * ask nobody would go on taking the old device for the new one.
   */
  async remove(typedName: string, actor: string): Promise<{ name: string; revoked: string[] }> {
    return this.#options.store.transaction(async (tx) => {
      const device = await this.#find(tx, typedName)
      const revoked: string[] = []
      for (const name of device.names) {
        revoked.push(...(await revokeCertificatesOf(tx, name, 'cessationOfOperation', actor)))
      }
      await expireCredentials(tx, device.id)
      await deleteServicesOf(tx, device.id)
      await closeDevice(tx, device.id)
      const name = device.names[0]!
      await tx.change('device.removed', name)
      await tx.audit({
        actor,
        action: 'device.remove',
        subject: name,
        outcome: 'done',
        detail: `certificates revoked: ${revoked.length}`,
      })
      return { name, revoked }
    })
  }

  /** @throws {DeviceError} `DEVICE_UNKNOWN`. */
  async find(typedName: string, db: Db = this.#options.store.db): Promise<Device> {
    const device = await findDeviceByName(db, this.fullName(typedName))
    if (device === null) throw this.#unknown(typedName)
    return device
  }

  /** A typed name as an absolute one, without judging it: what was registered once may be asked for. */
  fullName(typed: string): string {
    const { domain } = this.#options
    const name = typed.trim().replace(/\.$/, '').toLowerCase()
    return name === domain || name.endsWith(`.${domain}`) ? name : `${name}.${domain}`
  }

  async #find(tx: Tx, typedName: string): Promise<Device> {
    const device = await findDeviceByName(tx.db, this.fullName(typedName))
    if (device === null) throw this.#unknown(typedName)
    if (device.kind === 'gateway') {
      throw new DeviceError(
        'DEVICE_IS_GATEWAY',
        `${device.names[0]} is the gateway itself; it cannot be changed like a device`,
      )
    }
    return device
  }

  #unknown(typedName: string): DeviceError {
    return new DeviceError(
      'DEVICE_UNKNOWN',
      `there is no device ${this.fullName(typedName)}; "hearth device list" shows those there are`,
    )
  }

  #profile(wanted: string | undefined): string {
    const { profiles } = this.#options
    const profile = wanted ?? profiles[0]!
    if (profiles.includes(profile)) return profile
    throw new DeviceError(
      'PROFILE_UNKNOWN',
      `there is no profile ${profile}; there are: ${profiles.join(', ')}`,
    )
  }

  async #handOut(tx: Tx, deviceId: string, name: string, actor: string): Promise<HandedCredential> {
    const credential = makeCredential()
    const expires = tx.now + this.#options.credentialLife
    await insertCredential(tx, {
      id: credential.id,
      device_id: deviceId,
      token_hash: hashToken(credential.token),
      expires_at: expires,
    })
    await tx.change('credential.added', name)
    await tx.audit({
      actor,
      action: 'credential.make',
      subject: name,
      outcome: 'done',
      detail: `credential ${credential.id}, until ${rfc3339(expires)}`,
    })
    return { deviceId, name, credential, expires }
  }
}

async function refuseTaken(tx: Tx, name: string): Promise<void> {
  if ((await findDeviceByName(tx.db, name)) !== null) {
    throw new DeviceError(
      'NAME_TAKEN',
      `there is a device ${name} already. For a new token say "hearth device token ${name}"; for another device choose another name`,
    )
  }
  if (await isAlias(tx.db, name)) {
    throw new DeviceError(
      'NAME_TAKEN',
      `${name} is an alias (CNAME) in the DNS. Remove that first: hearth dns remove ${name} CNAME; or choose another name`,
    )
  }
  const until = await lastExpiryOfName(tx.db, name, tx.now)
  if (until !== null) {
    throw new DeviceError(
      'NAME_QUARANTINED',
      `${name} belonged to a removed device whose last certificate ends at ${rfc3339(until)}. Until then the old device could pass for the new one; choose another name, or wait`,
    )
  }
}

/** Below an NS record another server answers, which knows nothing of the device. */
async function refuseDelegated(tx: Tx, name: string, domain: string): Promise<void> {
  const labels = name.slice(0, -domain.length - 1).split('.')
  const owners = labels.map((_, index) => [...labels.slice(index), domain].join('.'))
  const delegated = await findDelegation(tx.db, owners)
  if (delegated === null) return
  throw new DeviceError(
    'NAME_DELEGATED',
    `${delegated} is delegated to another name server, so that nobody would find ${name}. Choose a name that does not end in it, or remove the delegation: hearth dns remove ${delegated} NS`,
  )
}

/** Certificates name addresses too: two devices with one could pass for each other. Loopback is this machine's. */
async function refuseTakenAddresses(tx: Tx, addresses: readonly string[]): Promise<void> {
  for (const address of addresses) {
    if (isLoopback(addressOctets(address)!)) continue
    const holder = await findDeviceByAddress(tx.db, address)
    if (holder === null) continue
    throw new DeviceError(
      'ADDRESS_TAKEN',
      `${address} is the address of ${holder.names[0]} already. Give each device an address of its own; "hearth device list" shows them`,
    )
  }
}

function deviceAddresses(typed: readonly string[]): string[] {
  if (typed.length > MAX_ADDRESSES) {
    throw new DeviceError(
      'TOO_MANY_ADDRESSES',
      `${typed.length} addresses for one device; ${MAX_ADDRESSES} is the most`,
    )
  }
  return [...new Set(typed.map(deviceAddress))]
}

function deviceAddress(typed: string): string {
  const address = canonicalAddress(typed.trim())
  if (address === null) {
    throw new DeviceError(
      'ADDRESS_INVALID',
      `"${typed.slice(0, 60)}" is no IP address; write one such as 192.168.1.20 or fd00::20`,
    )
  }
  if (!isHomeAddress(addressOctets(address)!)) {
    throw new DeviceError(
      'ADDRESS_INVALID',
      `${address} is no address of a home network: the root can sign only for private ones (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7, link-local, loopback)`,
    )
  }
  return address
}
