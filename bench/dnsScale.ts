import { systemClock } from '../base/clock.ts'
import { openStore } from '../store/database.ts'
import { insertDevice } from '../store/devices.ts'
import { putRecords } from '../store/records.ts'
import { TestGateway } from '../test/support/gateway.ts'
import { Home } from './home.ts'
import { alone, type Figure } from './measure.ts'
import type { Session } from './session.ts'

const DEVICES = 10_000

/** Changes in each round: one alone says little. */
const CHANGES = 20

/**
 * A home of 10,000 devices with five records each (A, AAAA, two PTR and a TXT by hand): the time to start,
 * and from asking for a change until it is durable and answered.
 */
export async function measureDnsScale(session: Session): Promise<Figure[]> {
  const count = session.quick ? 500 : DEVICES
  const gateway = new TestGateway({ log: { level: 'warn' } })
  session.defer(() => gateway.dispose())
  await gateway.start()
  await gateway.stop()
  await fill(gateway, count)
  const starts: number[] = []
  for (let round = 0; round < session.rounds; round += 1) {
    const begin = performance.now()
    await gateway.start()
    starts.push(performance.now() - begin)
    if (round + 1 < session.rounds) await gateway.stop()
  }
  const home = Home.of(gateway)
  const changes: number[] = []
  for (let number = 1; number <= CHANGES; number += 1) {
    const begin = performance.now()
    await home.add({ name: `new${number}.home.arpa`, address: `172.16.0.${number}` })
    changes.push(performance.now() - begin)
  }
  return [alone('start-10000-devices', 'ms', starts), alone('change-10000-devices', 'ms', changes)]
}

async function fill(gateway: TestGateway, count: number): Promise<void> {
  const store = await openStore({
    url: `sqlite:${gateway.status.dataDir}/hearth.db`,
    clock: systemClock,
    onFollowerError: (error) => {
      throw error
    },
  })
  try {
    await store.transaction(async (tx) => {
      for (let number = 0; number < count; number += 1) {
        const name = `device${number}.home.arpa`
        const address = `10.${number >> 16}.${(number >> 8) & 0xff}.${number & 0xff}`
        const addresses = [address, `fd00::${number.toString(16)}`]
        await insertDevice(tx, { kind: 'device', profile: 'server', names: [name], addresses })
        await putRecords(tx, [{ owner: name, type: 'TXT', ttl: 300, data: `"number ${number}"` }])
      }
    })
  } finally {
    await store.close()
  }
}
