import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { TestGateway } from '../support/gateway.ts'
import { TestPostgres } from '../support/postgres.ts'
import { run } from '../support/run.ts'

/** The whole gateway on PostgreSQL, by one line of configuration. */

let postgres: TestPostgres
let gateway: TestGateway

beforeAll(async () => {
  postgres = await TestPostgres.start()
  gateway = await new TestGateway({ store: { url: await postgres.newDatabase() } }).start()
})

afterAll(async () => {
  await gateway?.dispose()
  await postgres?.stop()
})

test('a device enrolls, resolves, renews and is revoked', async () => {
  const out = await gateway.enroll('nas')
  const dig = await run('dig', [
    '@127.0.0.1',
    '-p',
    String(gateway.status.dns.port),
    '+short',
    'nas.home.arpa',
  ])
  expect(dig.stdout).toBe('127.0.0.1\n')
  expect((await gateway.hearth('renew', '--out', out, '--force')).code).toBe(0)
  const { revoked } = await gateway.hearthJson<{ revoked: string[] }>('cert', 'revoke', 'nas')
  expect(revoked).toHaveLength(2)
  expect((await gateway.hearth('doctor')).code).toBe(0)
})

test('everything is there after a restart', async () => {
  await gateway.stop()
  await gateway.start()
  const list = await gateway.hearthJson<{ status: string; names: string[] }[]>('cert', 'list')
  expect(
    list.filter(({ names, status }) => names.includes('nas.home.arpa') && status === 'revoked'),
  ).toHaveLength(2)
})
