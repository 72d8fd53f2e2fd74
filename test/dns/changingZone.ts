import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../../base/clock.ts'
import { createLog } from '../../base/log.ts'
import { DynamicUpdates } from '../../daemon/dynamicUpdate.ts'
import { ZoneFollower } from '../../daemon/zoneFollower.ts'
import type { DnsServer, DnsServerOptions } from '../../dns/server.ts'
import type { TsigKey } from '../../dns/tsig.ts'
import { openStore, type Store } from '../../store/database.ts'
import { insertDevice } from '../../store/devices.ts'
import { putRecords, readSurroundings } from '../../store/records.ts'
import { readZone } from '../../store/zone.ts'
import { run } from '../support/run.ts'
import { TestClock } from '../support/testClock.ts'
import { startServer } from './harness.ts'

export const SECRET = Buffer.from('0123456789abcdef0123456789abcdef')

/** A key that may do everything. */
export const KEY: TsigKey = {
  name: 'test.key',
  algorithm: 'hmac-sha256',
  secret: SECRET,
  mayUpdate: true,
  mayTransfer: true,
}

/** For `-y` of dig, kdig and nsupdate. */
export const KEY_TEXT = `${KEY.algorithm}:${KEY.name}:${SECRET.toString('base64')}`

/** A household whose zone lives in a real database, with a DNS server that follows it, all in one process. */
export class ChangingZone {
  readonly dir: string
  readonly store: Store
  readonly server: DnsServer
  /** Warnings and errors: a sentence, or a JSON object. */
  readonly log: string[]

  /** With a gateway and a device called nas. */
  static async open(
    options: Partial<DnsServerOptions> = {},
    clock: Clock & { time?: number } = new TestClock(),
  ): Promise<ChangingZone> {
    const dir = mkdtempSync(join(tmpdir(), 'hearth-zone-'))
    const store = await openStore({
      url: `sqlite:${join(dir, 'hearth.db')}`,
      clock,
      onFollowerError: (error) => {
        throw error
      },
    })
    await store.transaction(async (tx) => {
      const profile = 'server'
      await insertDevice(tx, {
        kind: 'gateway',
        profile,
        names: ['gateway.home.arpa'],
        addresses: ['192.168.1.1'],
      })
      await insertDevice(tx, {
        kind: 'device',
        profile,
        names: ['nas.home.arpa'],
        addresses: ['192.168.1.20', 'fd00::20'],
      })
      await tx.change('device.added', 'nas.home.arpa')
    })
    const lines: string[] = []
    const log = createLog('silent')
    for (const level of ['warn', 'error'] as const) {
      log[level] = (what: object | string, message?: string) =>
        void lines.push(typeof what === 'string' ? what : JSON.stringify({ ...what, message }))
    }
    const zones = {
      domain: 'home.arpa',
      gatewayName: 'gateway.home.arpa',
      overrides: [],
      forwarded: [],
      designated: null,
    }
    const updates = new DynamicUpdates({ store, zones, log })
    const zone = await readZone(store.db, clock.now())
    const server = await startServer({
      keys: [KEY],
      update: (request) => updates.apply(request),
      zone,
      clock,
      log,
      ...options,
    })
    const follower = new ZoneFollower({ store, clock, holder: server, zone })
    store.follow((changes) => follower.follow(changes))
    return new ChangingZone({ dir, store, server, log: lines })
  }

  private constructor(parts: Pick<ChangingZone, 'dir' | 'store' | 'server' | 'log'>) {
    this.dir = parts.dir
    this.store = parts.store
    this.server = parts.server
    this.log = parts.log
  }

  /** Adds records by hand: `www 300 A 192.168.1.9`, owners in full. */
  async add(...lines: string[]): Promise<void> {
    await this.store.transaction(async (tx) => {
      for (const line of lines) {
        const [owner, ttl, type, ...data] = line.split(' ')
        await putRecords(tx, [{ owner: owner!, ttl: Number(ttl), type: type!, data: data.join(' ') }])
        await tx.change('dns.changed', owner!)
      }
    })
  }

  /** The records that are kept: `update www.home.arpa 300 A 192.168.1.9`. */
  async kept(): Promise<string[]> {
    const { records } = await readSurroundings(this.store.db)
    return records.map(({ source, owner, ttl, type, data }) => `${source} ${owner} ${ttl} ${type} ${data}`)
  }

  /** Lets nsupdate do something; its exit code and what it says. */
  async nsupdate(commands: string, ...options: string[]): Promise<{ code: number | null; output: string }> {
    const target = `server 127.0.0.1 ${this.server.port}`
    const { code, output } = await run('nsupdate', ['-t', '10', ...options], {
      input: `${target}\n${commands.trim()}\nsend\n`,
    })
    return { code, output }
  }

  async dig(...words: string[]): Promise<string> {
    const { stdout } = await run('dig', ['@127.0.0.1', '-p', String(this.server.port), '+tries=1', ...words])
    return stdout
  }

  async close(): Promise<void> {
    await this.server.close()
    await this.store.close()
    rmSync(this.dir, { recursive: true })
  }
}
