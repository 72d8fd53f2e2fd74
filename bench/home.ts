import { EstClient } from '../agent/estClient.ts'
import { type DeviceKey, makeKey } from '../agent/key.ts'
import { callGateway } from '../daemon/controlClient.ts'
import { TestGateway } from '../test/support/gateway.ts'
import { readPem } from '../x509/certificate.ts'
import { makeCsr } from '../x509/csr.ts'
import type { Session } from './session.ts'

export interface HomeDevice {
  name: string
  address: string
}

/** A device with its certificate. */
export interface EnrolledDevice extends HomeDevice {
  key: DeviceKey
  /** DER. */
  certificate: Buffer
}

/** dev1.home.arpa, dev2.home.arpa... with an address each. */
export function homeDevices(count: number): HomeDevice[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `dev${index + 1}.home.arpa`,
    address: `192.168.${1 + Math.floor(index / 250)}.${(index % 250) + 1}`,
  }))
}

/** A running gateway of `bin/hearth serve`, with devices in it. */
export class Home {
  readonly gateway: TestGateway
  #roots: Buffer[] = []

  private constructor(gateway: TestGateway) {
    this.gateway = gateway
  }

  /** @param config Laid over a configuration for tests. */
  static async start(session: Session, config: Record<string, unknown> = {}): Promise<Home> {
    // Warnings only, as a gateway that runs for years would be set.
    const gateway = new TestGateway({ log: { level: 'warn' }, ...config })
    session.defer(() => gateway.dispose())
    await gateway.start()
    return new Home(gateway)
  }

  /** A gateway that runs already. */
  static of(gateway: TestGateway): Home {
    return new Home(gateway)
  }

  get pid(): number {
    return this.gateway.pid
  }

  /** Has the gateway carry out an operation, as `bin/hearth` does. */
  async call<T>(operation: string, params: object = {}): Promise<T> {
    return (await callGateway(this.gateway.status.dataDir, operation, params)) as T
  }

  /** The root and the issuer, DER. */
  async authorities(): Promise<{ root: Buffer; issuer: Buffer }> {
    const root = await this.#root()
    const client = new EstClient({
      gateway: new URL(this.gateway.url('est')),
      roots: root,
      signal: undefined,
    })
    try {
      const issuer = (await client.caCertificates()).find((certificate) => !certificate.equals(root[0]!))
      if (issuer === undefined) throw new Error('the gateway publishes no issuer')
      return { root: root[0]!, issuer }
    } finally {
      client.close()
    }
  }

  async add(device: HomeDevice): Promise<{ id: string; token: string }> {
    return this.call('device.add', { name: device.name, addresses: [device.address] })
  }

  /** Adds a device and enrolls it over EST. */
  async enroll(device: HomeDevice): Promise<EnrolledDevice> {
    const { id, token } = await this.add(device)
    const client = new EstClient({
      gateway: new URL(this.gateway.url('est')),
      roots: await this.#root(),
      token: `${id}:${token}`,
      signal: undefined,
    })
    try {
      const key = makeKey()
      const certificate = await client.enroll('simpleenroll', csrOf(device, key))
      if (!Buffer.isBuffer(certificate)) throw new Error(`${device.name} got no certificate`)
      return { ...device, key, certificate }
    } finally {
      client.close()
    }
  }

  async #root(): Promise<Buffer[]> {
    if (this.#roots.length === 0) {
      this.#roots = readPem((await this.call<{ pem: string }>('ca.root')).pem, 'CERTIFICATE')
    }
    return this.#roots
  }
}

/** A certificate request for a device's own name and address, DER. */
export function csrOf(device: HomeDevice, key: DeviceKey): Buffer {
  return makeCsr(key, { dns: [device.name], ip: [device.address] })
}
