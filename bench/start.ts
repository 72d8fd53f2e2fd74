import { TestGateway } from '../test/support/gateway.ts'
import { alone, type Figure } from './measure.ts'
import type { Session } from './session.ts'

/** From the start of `bin/hearth serve` until it says that it is ready: on an empty directory, and again. */
export async function measureStart(session: Session): Promise<Figure[]> {
  const [first, again]: [number[], number[]] = [[], []]
  for (let round = 0; round < session.rounds; round++) {
    const gateway = new TestGateway({ log: { level: 'warn' } })
    session.defer(() => gateway.dispose())
    first.push(await timeStart(gateway))
    await gateway.stop()
    again.push(await timeStart(gateway))
    await gateway.dispose()
  }
  return [alone('start-first', 'ms', first), alone('start-again', 'ms', again)]
}

async function timeStart(gateway: TestGateway): Promise<number> {
  const start = performance.now()
  await gateway.start()
  return performance.now() - start
}
