import { writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { HEARTH, TestGateway } from '../support/gateway.ts'
import { run } from '../support/run.ts'

/** Output into a pipe: whole, however slowly it is read, and no complaint if nobody reads on. */

let gateway: TestGateway

beforeAll(async () => {
  gateway = await new TestGateway().start()
  const lines = Array.from({ length: 9000 }, (_, index) => `host-${index} 300 IN A 192.168.1.1`)
  writeFileSync(gateway.path('many.zone'), `${lines.join('\n')}\n`)
  await gateway.hearthJson('dns', 'import', 'many.zone')
})

afterAll(() => gateway.dispose())

async function shell(pipeline: string): Promise<string> {
  const { stdout, stderr } = await run('bash', [
    '-c',
    `set -o pipefail; '${HEARTH}' --config '${gateway.configFile}' ${pipeline}`,
  ])
  expect(stderr).toBe('')
  return stdout
}

test('a slow reader gets all of it', async () => {
  const text = await shell('--json dns list | (sleep 1; cat)')
  expect(JSON.parse(text)).toHaveLength(9000)
})

test('a reader that goes away ends it quietly', async () => {
  expect(await shell('dns export | head -n 1')).toMatch(/^\$ORIGIN home.arpa\./)
})
