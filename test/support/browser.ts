import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrowserContext, chromium } from 'playwright-core'
import { run } from './run.ts'

/**
 * Chromium as a person's: certificates are checked, roots come from the NSS database of its home.
 *
 * @param rules `--host-resolver-rules`, since a browser cannot use a DNS port of its own.
 */
export async function openBrowser(options: {
  trust: readonly string[]
  rules: string
}): Promise<{ context: BrowserContext; close(): Promise<void> }> {
  const home = mkdtempSync(join(tmpdir(), 'hearth-browser-'))
  const database = `sql:${join(home, '.pki/nssdb')}`
  await run('mkdir', ['-p', join(home, '.pki/nssdb')])
  await run('certutil', ['-d', database, '-N', '--empty-password'])
  for (const [index, root] of options.trust.entries()) {
    const { code, output } = await run('certutil', [
      '-d',
      database,
      '-A',
      '-t',
      'C,,',
      '-n',
      `root ${index}`,
      '-i',
      root,
    ])
    if (code !== 0) throw new Error(`certutil: ${output}`)
  }
  const context = await chromium.launchPersistentContext(join(home, 'profile'), {
    executablePath: '/usr/bin/chromium',
    headless: true,
    env: { ...(process.env as Record<string, string>), HOME: home },
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      `--host-resolver-rules=${options.rules}`,
    ],
  })
  return {
    context,
    close: async () => {
      await context.close()
      rmSync(home, { recursive: true, force: true })
    },
  }
}
