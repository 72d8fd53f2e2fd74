import { HearthError } from '../base/errors.ts'
import type { Store, Tx } from '../store/database.ts'
import type { Device } from '../store/devices.ts'
import {
  type DeviceService,
  deleteService,
  listServices,
  listServicesOfType,
  putService,
  type Service,
} from '../store/services.ts'
import type { Devices } from './devices.ts'
import { displayName } from './names.ts'

export type ServiceErrorCode =
  | 'SERVICE_TYPE_INVALID'
  | 'PORT_INVALID'
  | 'INSTANCE_INVALID'
  | 'INSTANCE_TAKEN'
  | 'TXT_INVALID'
  | 'ALPN_INVALID'
  | 'TOO_MANY_SERVICES'
  | 'SERVICE_UNKNOWN'
  | 'SERVICE_AMBIGUOUS'

/** A service that may not be announced; the message says why and what would do. */
export class ServiceError extends HearthError<ServiceErrorCode> {}

/** A service as it is asked for. */
export interface WantedService {
  /** `_ipp._tcp`, or `ipp` for short. */
  type: string
  port: number
  /** What people see in a list; by default the device's name. */
  instance?: string | undefined
  txt: readonly string[]
  alpn: readonly string[]
}

const MAX_SERVICES = 32
/** Octets that a label can have, and so an instance. */
const MAX_INSTANCE = 63
/** Octets of all strings with their lengths, so that the answer fits into one packet (RFC 6763 section 6.2). */
const MAX_TXT = 1300
const MAX_TXT_STRING = 255
const MAX_ALPN = 8
const MAX_ALPN_ID = 60

/** What devices offer, for DNS-SD to announce. */
export class Services {
  readonly #store: Store
  readonly #devices: Devices

  constructor({ store, devices }: { store: Store; devices: Devices }) {
    this.#store = store
    this.#devices = devices
  }

  /**
   * Announces a service of a device; it is in the DNS when this resolves. One of the same instance and type
   * takes the new port, strings and protocols.
   *
   * @throws {DeviceError} {ServiceError} with what is wrong and what would do.
   */
  async add(
    typedDevice: string,
    wanted: WantedService,
    actor: string,
  ): Promise<Service & { device: string }> {
    return this.#store.transaction(async (tx) => {
      const device = await this.#devices.find(typedDevice, tx.db)
      const service = checkService(wanted, displayName(device.names[0]!))
      await makeRoom(tx, device, service)
      await putService(tx, device.id, service)
      return this.#changed(tx, device, service, { actor, action: 'service.add' })
    })
  }

  /** @throws {DeviceError} {ServiceError} */
  async remove(
    typedDevice: string,
    which: { type: string; instance?: string | undefined },
    actor: string,
  ): Promise<Service & { device: string }> {
    return this.#store.transaction(async (tx) => {
      const device = await this.#devices.find(typedDevice, tx.db)
      const service = pick(await listServices(tx.db, [device.id]), { ...which, device: device.names[0]! })
      await deleteService(tx, service)
      return this.#changed(tx, device, service, { actor, action: 'service.remove' })
    })
  }

  /** Those of a device, or all there are. @throws {DeviceError} */
  async list(typedDevice?: string): Promise<DeviceService[]> {
    const { db } = this.#store
    if (typedDevice === undefined) return listServices(db)
    return listServices(db, [(await this.#devices.find(typedDevice)).id])
  }

  async #changed(
    tx: Tx,
    device: Device,
    { instance, type, port, txt, alpn }: Service,
    { actor, action }: { actor: string; action: string },
  ): Promise<Service & { device: string }> {
    const name = device.names[0]!
    await tx.change('device.changed', name)
    await tx.audit({
      actor,
      action,
      subject: name,
      outcome: 'done',
      detail: `${instance}: ${type}, port ${port}`,
    })
    return { device: name, instance, type, port, txt, alpn }
  }
}

/**
 * A service in the form it is kept in.
 *
 * @throws {ServiceError} with what is wrong and an example.
 */
export function checkService(wanted: WantedService, defaultInstance: string): Service {
  if (!Number.isInteger(wanted.port) || wanted.port < 1 || wanted.port > 65535) {
    throw new ServiceError('PORT_INVALID', `${wanted.port} is no port: give a number from 1 to 65535`)
  }
  return {
    instance: checkInstance(wanted.instance ?? defaultInstance),
    type: checkType(wanted.type),
    port: wanted.port,
    txt: checkTxt(wanted.txt),
    alpn: checkAlpn(wanted.alpn),
  }
}

/** @see RFC 6335 section 5.1 for the name of a service; RFC 6763 section 7 for the labels made of it. */
function checkType(typed: string): string {
  const text = typed.trim().toLowerCase().replace(/\.$/, '')
  const type = /^[a-z0-9-]+$/.test(text) ? `_${text}._tcp` : text
  const name = /^_([a-z0-9]+(?:-[a-z0-9]+)*)\._(?:tcp|udp)$/.exec(type)?.[1]
  if (name !== undefined && name.length <= 15 && /[a-z]/.test(name)) return type
  throw new ServiceError(
    'SERVICE_TYPE_INVALID',
    `"${typed.slice(0, 80)}" is no type of service: write one such as _ipp._tcp or _https._tcp, its name at most 15 letters, digits and inner hyphens`,
  )
}

/** @see RFC 6763 section 4.1.1: any text of UTF-8 in its composed form, without control characters. */
function checkInstance(typed: string): string {
  const instance = typed.trim().normalize('NFC')
  const octets = Buffer.byteLength(instance)
  if (octets < 1 || octets > MAX_INSTANCE || !instance.isWellFormed() || /\p{Cc}/u.test(instance)) {
    throw new ServiceError(
      'INSTANCE_INVALID',
      `a service needs a name of 1 to ${MAX_INSTANCE} octets without control characters, such as "Laser printer"; this one has ${octets}`,
    )
  }
  return instance
}

/** @see RFC 6763 section 6.4: a key is printable ASCII, and none stands there twice, in whatever case. */
function checkTxt(strings: readonly string[]): string[] {
  const invalid = (what: string) =>
    new ServiceError('TXT_INVALID', `${what}; write KEY=VALUE, such as rp=ipp/print`)
  const keys = new Set<string>()
  let octets = 0
  for (const text of strings) {
    const key = text.split('=', 1)[0]!
    if (!/^[ -~]+$/.test(key)) throw invalid(`"${text.slice(0, 60)}" has no key of printable ASCII`)
    if (keys.has(key.toLowerCase())) throw invalid(`the key "${key}" stands there twice`)
    keys.add(key.toLowerCase())
    const length = Buffer.byteLength(text)
    if (length > MAX_TXT_STRING)
      throw invalid(`"${key}" with its value has more than ${MAX_TXT_STRING} octets`)
    octets += 1 + length
  }
  if (octets > MAX_TXT) throw invalid(`the strings have ${octets} octets together, more than ${MAX_TXT}`)
  return [...strings]
}

function checkAlpn(protocols: readonly string[]): string[] {
  const isKnownForm = protocols.every(
    (protocol) => /^[!-~]+$/.test(protocol) && protocol.length <= MAX_ALPN_ID,
  )
  if (isKnownForm && protocols.length <= MAX_ALPN) return [...new Set(protocols)]
  throw new ServiceError(
    'ALPN_INVALID',
    `at most ${MAX_ALPN} protocols of at most ${MAX_ALPN_ID} letters each, such as h2 and http/1.1`,
  )
}

/** In the DNS an instance is the same in whatever case of its ASCII letters. */
function sameInstance(one: string, other: string): boolean {
  const lower = (text: string) => text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
  return lower(one) === lower(other)
}

/** @throws {ServiceError} if another device has the instance, or this one has as many services as it may. */
async function makeRoom(tx: Tx, device: Device, { instance, type }: Service): Promise<void> {
  const same = (await listServicesOfType(tx.db, type)).find((other) => sameInstance(other.instance, instance))
  if (same !== undefined && same.deviceId !== device.id) {
    throw new ServiceError(
      'INSTANCE_TAKEN',
      `another device announces "${same.instance}" of type ${type} already; give this one another name with --name`,
    )
  }
  if (same !== undefined) await deleteService(tx, same)
  if ((await listServices(tx.db, [device.id])).length < MAX_SERVICES) return
  throw new ServiceError(
    'TOO_MANY_SERVICES',
    `${device.names[0]} has ${MAX_SERVICES} services already: remove one first`,
  )
}

function pick(
  services: readonly Service[],
  { type: typedType, instance, device }: { type: string; instance?: string | undefined; device: string },
): Service {
  const type = checkType(typedType)
  const found = services.filter(
    (each) => each.type === type && (instance === undefined || sameInstance(each.instance, instance)),
  )
  const [service, ...others] = found
  if (service === undefined) {
    throw new ServiceError(
      'SERVICE_UNKNOWN',
      `${device} announces no such service of type ${type}; "hearth service list ${device}" shows those there are`,
    )
  }
  if (others.length > 0) {
    const names = found.map((each) => `"${each.instance}"`).join(', ')
    throw new ServiceError('SERVICE_AMBIGUOUS', `${device} has several of type ${type}: say which, ${names}`)
  }
  return service
}
