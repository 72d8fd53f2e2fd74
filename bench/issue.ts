import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { makeKey } from '../agent/key.ts'
import { Authority } from '../ca/authority.ts'
import type { Ledger } from '../ca/ledger.ts'
import { SERVER_PROFILE, TestHome } from '../test/support/testHome.ts'
import { proveCsr } from '../x509/csr.ts'
import { csrOf, homeDevices } from './home.ts'
import { beside, type Figure, OURS, takeTurns } from './measure.ts'
import { timeOpensslIssue } from './peers/opensslIssue.ts'
import type { Session } from './session.ts'

/** Requests under way together, so that the durable ones share a disk flush as they do over EST. */
const TOGETHER = 64

/**
 * Certificates in this process, without a network: request parsed and proven, certificate assembled,
 * checked and signed; then the same with the record on SQLite, flushed before the certificate is let go.
 */
export async function measureIssue(session: Session): Promise<Figure[]> {
  const batches = session.quick ? 4 : 80
  const directory = session.directory()
  mkdirSync(join(directory, 'config'))
  const home = await TestHome.open(directory)
  session.defer(() => home.close())
  const unrecorded = new Authority({
    ...{ hierarchy: home.hierarchy, guard: home.guard, clock: home.clock, domain: 'home.arpa' },
    profiles: [SERVER_PROFILE],
    // Only what a ledger does when it writes nothing.
    ledger: { record: async () => true } as unknown as Ledger,
  })
  const device = homeDevices(1)[0]!
  const deviceId = await home.addDevice(device.name, [device.address])
  const csr = csrOf(device, makeKey())

  const issue = async (authority: Authority) => {
    const { key, spki } = proveCsr(csr)
    await authority.issue({
      ...{ deviceId, key, spki, profile: 'server', names: [device.name], addresses: [device.address] },
      actor: 'bench',
      claim: async () => true,
    })
  }
  const rate = async (authority: Authority, batches: number) => {
    const start = performance.now()
    for (let batch = 0; batch < batches; batch++) {
      await Promise.all(Array.from({ length: TOGETHER }, () => issue(authority)))
    }
    return ((batches * TOGETHER) / (performance.now() - start)) * 1000
  }
  const contenders = (authority: Authority) =>
    new Map([
      [OURS, () => rate(authority, batches)],
      ['openssl ca', () => timeOpensslIssue(session, csr, session.quick ? 50 : 500)],
    ])

  const figures: Figure[] = []
  for (const [name, authority] of [
    ['issue-rate', unrecorded],
    ['issue-durable-rate', home.authority],
  ] as const) {
    await rate(authority, batches / 4)
    const results = await takeTurns(session.rounds, contenders(authority))
    figures.push(...beside(name, 'certificates/s', results, (perSecond) => perSecond))
  }
  return figures
}
