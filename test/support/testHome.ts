import { join } from 'node:path'
import { Authority, type IssuedCertificate, type IssueRequest } from '../../ca/authority.ts'
import { ClockGuard } from '../../ca/clockGuard.ts'
import { Hierarchy, type HierarchyOptions } from '../../ca/hierarchy.ts'
import { type KeyPair, KeyStore, makeKeyPair } from '../../ca/keys.ts'
import { Ledger } from '../../ca/ledger.ts'
import type { Profile } from '../../ca/profile.ts'
import { openSeal } from '../../ca/seal.ts'
import { openStore, type Store } from '../../store/database.ts'
import { findDeviceByName, insertDevice } from '../../store/devices.ts'
import { anyKey } from '../../store/keys.ts'
import { TestClock } from './testClock.ts'

export interface TestHomeOptions extends Partial<Pick<HierarchyOptions, 'domain' | 'baseUrl' | 'rootYears'>> {
  clock?: TestClock
  profiles?: Profile[]
}

export const SERVER_PROFILE: Profile = { name: 'server', days: 7, renewAt: 0.66 }

/** The CA of a home, on a real database and key file in one directory, without listeners. */
export class TestHome {
  readonly dir: string
  readonly clock: TestClock
  readonly store: Store
  readonly keys: KeyStore
  readonly guard: ClockGuard
  readonly hierarchy: Hierarchy
  readonly ledger: Ledger
  readonly authority: Authority

  /** Makes the CA at the first call on a directory, opens it at later ones. */
  static async open(dir: string, options: TestHomeOptions = {}): Promise<TestHome> {
    const { clock = new TestClock(), domain = 'home.arpa', baseUrl = 'http://gateway.home.arpa' } = options
    const store = await openStore({
      url: `sqlite:${join(dir, 'hearth.db')}`,
      clock,
      onFollowerError: (error) => {
        throw error
      },
    })
    try {
      const seal = openSeal(join(dir, 'config/sealing.key'), !(await anyKey(store.db)))
      const keys = new KeyStore({ seal, instanceId: 'test' })
      const guard = await ClockGuard.open({ store, clock, synchronised: () => false })
      const hierarchy = await Hierarchy.open({
        store,
        keys,
        clock,
        guard,
        instanceId: 'test',
        domain,
        rootYears: options.rootYears ?? 10,
        issuerYears: 1,
        nameConstraints: true,
        baseUrl,
      })
      return new TestHome({ dir, clock, store, keys, guard, hierarchy }, domain, options.profiles)
    } catch (error) {
      await store.close()
      throw error
    }
  }

  private constructor(
    parts: Pick<TestHome, 'dir' | 'clock' | 'store' | 'keys' | 'guard' | 'hierarchy'>,
    domain: string,
    profiles: Profile[] = [SERVER_PROFILE],
  ) {
    this.dir = parts.dir
    this.clock = parts.clock
    this.store = parts.store
    this.keys = parts.keys
    this.guard = parts.guard
    this.hierarchy = parts.hierarchy
    this.ledger = new Ledger(parts)
    this.authority = new Authority({ ...parts, ledger: this.ledger, domain, profiles })
  }

  /** Adds a device to the register; its id. */
  addDevice(name: string, addresses: string[] = []): Promise<string> {
    return this.store.transaction((tx) =>
      insertDevice(tx, { kind: 'device', profile: 'server', names: [name], addresses }),
    )
  }

  /** Issues to a device, which is added if there is none of this name. */
  async issue(
    name: string,
    wanted: Partial<IssueRequest> & { pair?: KeyPair } = {},
  ): Promise<IssuedCertificate & { pair: KeyPair }> {
    const { pair = makeKeyPair('P-256'), ...request } = wanted
    const device = await findDeviceByName(this.store.db, name)
    const issued = await this.authority.issue({
      deviceId: wanted.deviceId ?? device?.id ?? (await this.addDevice(name)),
      profile: 'server',
      names: [name],
      addresses: device?.addresses ?? [],
      key: pair.privateKey,
      spki: pair.spki,
      actor: 'test',
      claim: async () => true,
      ...request,
    })
    return { ...issued, pair }
  }

  close(): Promise<void> {
    return this.store.close()
  }
}
