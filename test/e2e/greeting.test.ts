import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { chromium } from 'playwright-core'
import { HEARTH } from '../support/gateway.ts'
import { run } from '../support/run.ts'

/**
 * A newcomer who does what `npm start` prints, and nothing else: the commands are taken from the
 * greeting, the credential from what the first one prints. No upstream is reachable.
 */

const dir = mkdtempSync(join(tmpdir(), 'hearth-newcomer-'))
const env = { HOME: dir, XDG_CONFIG_HOME: join(dir, 'config') }
let gateway: ChildProcess
let server: ChildProcess | undefined
let greeting = ''

beforeAll(async () => {
  symlinkSync(join(HEARTH, '..'), join(dir, 'bin'))
  // Free ports, so that the test does not meet a gateway that runs; and the internet is gone.
  writeFileSync(
    join(dir, 'hearth.yaml'),
    'listen: { dns: 0, dot: 0, http: 0, https: 0, est: 0 }\ndns: { upstreams: ["udp://127.0.0.1:9"] }\n',
  )
  gateway = spawn(join(dir, 'bin/hearth'), ['serve'], { cwd: dir, env: { ...process.env, ...env } })
  await new Promise<void>((resolve, reject) => {
    gateway.once('exit', () => reject(new Error(greeting)))
    gateway.stdout!.on('data', (data: Buffer) => {
      greeting += data
      if (greeting.includes('Stop with Ctrl-C.')) resolve()
    })
  })
})

afterAll(async () => {
  for (const child of [server, gateway]) {
    if (child === undefined || child.exitCode !== null) continue
    const ended = once(child, 'exit')
    child.kill()
    await ended
  }
  rmSync(dir, { recursive: true, force: true })
})

/** The commands under one of the greeting's numbers, as they stand there. */
function commands(step: number): string {
  const text = new RegExp(`^  ${step}\\. .*\\n((?:^       .*\\n)+)`, 'm').exec(greeting)![1]!
  return text.replaceAll(/^ {7}/gm, '')
}

async function shell(script: string): Promise<string> {
  const { code, output, stdout } = await run('sh', ['-euc', script], { cwd: dir, env })
  if (code !== 0) throw new Error(output)
  return stdout
}

test('the greeting alone leads to a device that Chromium opens without a warning (TRUST-2, AVAIL-1, UX-1)', async () => {
  const credential = /^ {2}([0-9a-f]+:[0-9a-f]+)$/m.exec(await shell(commands(1)))![1]!
  await shell(commands(2).replace('ID:TOKEN', credential))
  expect(await shell(commands(3))).toBe('127.0.0.1\n')

  server = spawn('sh', ['-c', `exec ${commands(4)}`], { cwd: dir, stdio: ['pipe', 'ignore', 'ignore'] })
  await listening(4443)

  const [trust, browse] = commands(5).split(/^(?=chromium)/m)
  await shell(trust!)
  const [, rules, url] = /--host-resolver-rules="(.*)" (\S+)/.exec(browse!)!
  mkdirSync(join(dir, 'profile'))
  const browser = await chromium.launchPersistentContext(join(dir, 'profile'), {
    executablePath: '/usr/bin/chromium',
    headless: true,
    env: { ...(process.env as Record<string, string>), ...env },
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      `--host-resolver-rules=${rules}`,
    ],
  })
  const page = await browser.newPage()
  const response = await page.goto(url!)
  expect(await response!.text()).toBe('Hello from the printer')
  expect(await response!.securityDetails()).toMatchObject({
    subjectName: 'printer.home.arpa',
    protocol: 'TLS 1.3',
  })
  await browser.close()
})

async function listening(port: number): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.destroy()
        resolve(true)
      }).on('error', () => resolve(false))
    })
    if (open) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error(`nothing listens on port ${port}`)
}
