import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { enroll } from '../../agent/enroll.ts'
import { renew } from '../../agent/renew.ts'
import { systemClock } from '../../base/clock.ts'
import { TestCa } from '../agent/testCa.ts'
import { TestGateway } from '../agent/testGateway.ts'

const demo = join(import.meta.dirname, '../../deploy/demo')

let folder: string
let gateway: TestGateway
let nginx: ChildProcess | undefined

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hearth-demo-'))
  gateway = await new TestGateway({ ca: new TestCa(folder, 'Home') }).start()
  gateway.assigned = { dns: ['demo.home.arpa'], ip: [] }
})
afterAll(async () => {
  if (nginx?.exitCode === null) {
    nginx.kill()
    await once(nginx, 'exit')
  }
  await gateway.stop()
  rmSync(folder, { recursive: true })
})

/** The serial that nginx serves; null while it does not listen. */
async function served(socket: string): Promise<string | null> {
  const connection = connect({
    path: socket,
    servername: 'demo.home.arpa',
    ca: readFileSync(join(folder, 'tls/root.pem')),
  })
  try {
    await once(connection, 'secureConnect')
    return connection.getPeerX509Certificate()!.serialNumber
  } catch (error) {
    if (['ENOENT', 'ECONNREFUSED'].includes((error as NodeJS.ErrnoException).code ?? '')) return null
    throw error
  } finally {
    connection.destroy()
  }
}

test('nginx serves the certificate of the agent, and the renewed one after the hook', async () => {
  const out = join(folder, 'tls')
  const { url, fingerprint, token } = gateway
  const first = await enroll({ gateway: url, fingerprint, token, out, clock: systemClock })

  // The demo's own configuration, on a socket and in a folder of this test.
  const socket = join(folder, 'nginx.sock')
  const file = join(folder, 'nginx.conf')
  const own = readFileSync(join(demo, 'nginx.conf'), 'utf8')
    .replaceAll(/\/tmp\/|\/var\/lib\/demo\//g, `${folder}/`)
    .replace('listen 443 ssl', `listen unix:${socket} ssl`)
    .replaceAll('/opt/demo/', `${demo}/`)
  writeFileSync(file, own)
  nginx = spawn('nginx', ['-e', 'stderr', '-c', file, '-g', 'daemon off;'], { stdio: 'ignore' })
  while ((await served(socket)) === null) expect(nginx.exitCode).toBe(null)
  expect(await served(socket)).toBe(first.serial)

  const hook = `nginx -e stderr -c ${file} -s reload`
  const { certificate } = await renew({ out, force: true, hook, clock: systemClock })
  // nginx answers the reload at once and changes over in its own time; old and new workers overlap.
  for (let serial = first.serial; serial !== certificate.serial; serial = (await served(socket)) ?? '')
    expect(serial).toBe(first.serial)
})
