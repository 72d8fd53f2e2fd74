import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import Koa from 'koa'
import type { BrowserContext, Page } from 'playwright-core'
import { onboardingRoutes } from '../../admin-ui/onboarding/routes.ts'
import { statusRoutes } from '../../admin-ui/status/routes.ts'
import {
  createRoot,
  type Listener,
  listen,
  openChromium,
  type TestRoot,
  temporaryFolder,
  unreadableTexts,
  WELL,
} from './fixtures.ts'

const BY_NAME = 'MAP gateway.home.arpa 127.0.0.1'

const authority = temporaryFolder()
let root: TestRoot
let secure: Listener
let onboarding: Listener
let httpsOrigin: string
let pageUrl: string

/** The browser's home: a new one for each test, so that what one test trusts is unknown to the next. */
let home: { path: string; remove: () => void }
let browser: BrowserContext

beforeAll(async () => {
  root = createRoot(authority.path)
  secure = await listen(
    new Koa()
      .use(statusRoutes({ domain: 'home.arpa', status: async () => WELL, failing: async () => [] }).routes())
      .callback(),
    root.gateway,
  )
  httpsOrigin = `https://gateway.home.arpa:${secure.port}`
  const routes = onboardingRoutes({
    domain: 'home.arpa',
    gatewayName: 'gateway.home.arpa',
    rootCertificate: () => root,
    httpsOrigin: () => httpsOrigin,
  })
  onboarding = await listen(new Koa().use(routes.routes()).callback())
  pageUrl = `http://gateway.home.arpa:${onboarding.port}/`
})

afterAll(async () => {
  await onboarding.close()
  await secure.close()
  authority.remove()
})

beforeEach(() => {
  home = temporaryFolder()
})

afterEach(async () => {
  await browser.close()
  home.remove()
})

/** Opens the page and collects what it asks for and complains about. */
async function open(url: string): Promise<{ page: Page; requests: string[]; complaints: string[] }> {
  const page = await browser.newPage()
  const requests: string[] = []
  const complaints: string[] = []
  page.on('request', (request) => requests.push(request.url()))
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => {
    const aboutTheCheck = message.location().url.startsWith(httpsOrigin)
    if (['error', 'warning'].includes(message.type()) && !aboutTheCheck) complaints.push(message.text())
  })
  await page.goto(url)
  return { page, requests, complaints }
}

const headline = (page: Page) => page.locator('.headline span:visible')

describe('the check', () => {
  test('says that this browser does not trust the home yet, and complains of nothing else', async () => {
    browser = await openChromium({ home: home.path, resolve: BY_NAME })
    const { page, requests, complaints } = await open(pageUrl)
    await page.locator('.headline [data-when="untrusted"]').waitFor()
    expect(await headline(page).allInnerTexts()).toEqual(['This browser does not trust your home yet'])
    expect(complaints).toEqual([])
    const elsewhere = requests.filter((url) => !url.startsWith(pageUrl))
    expect(new Set(elsewhere)).toEqual(new Set([`${httpsOrigin}/healthz`]))
  })

  test('says when the name is what is missing', async () => {
    browser = await openChromium({ home: home.path, resolve: 'MAP gateway.home.arpa ~NOTFOUND' })
    const page = await browser.newPage()
    await page.goto(`http://127.0.0.1:${onboarding.port}/`)
    await page.locator('.headline [data-when="unknown"]').waitFor()
    expect(await headline(page).allInnerTexts()).toEqual(['This device cannot find the gateway by its name'])
  })

  test('says so once the steps on the page have been followed', async () => {
    browser = await openChromium({ home: home.path, resolve: BY_NAME })
    const first = await open(pageUrl)
    const commands = await first.page.locator('#guide-chrome ol .command').allInnerTexts()
    await browser.close()

    const script = commands.join('\n').replaceAll('gateway.home.arpa:', '127.0.0.1:')
    const { stdout } = await promisify(execFile)('sh', ['-ec', script], {
      cwd: home.path,
      env: { ...process.env, HOME: home.path },
    })
    expect(stdout.replaceAll(':', '')).toContain(root.sha256)

    browser = await openChromium({ home: home.path, resolve: BY_NAME })
    const { page, complaints } = await open(pageUrl)
    await page.locator('.headline [data-when="trusted"]').waitFor()
    expect(await headline(page).allInnerTexts()).toEqual(['This browser trusts your home'])
    expect(complaints).toEqual([])
    await page.getByRole('link', { name: 'Open gateway.home.arpa' }).click()
    await page.getByRole('heading', { name: 'Everything is all right' }).waitFor()
  })

  test('without a script leaves the link that does the same', async () => {
    browser = await openChromium({ home: home.path, resolve: BY_NAME, script: false })
    const page = await browser.newPage()
    await page.goto(pageUrl)
    expect(await headline(page).count()).toBe(0)
    expect(await page.locator('.verdict a').isVisible()).toBe(false)
    const link = page.getByRole('link', { name: 'Open gateway.home.arpa' })
    expect(await link.isVisible()).toBe(true)
    expect(await link.getAttribute('href')).toBe(`${httpsOrigin}/`)
  })
})

describe('the page in a browser', () => {
  test.each([360, 1200])(
    'fits %d pixels with every part open, light and dark, in readable colours',
    async (width) => {
      browser = await openChromium({ home: home.path, resolve: BY_NAME })
      const { page } = await open(pageUrl)
      await page.setViewportSize({ width, height: 740 })
      await page.locator('.headline [data-when="untrusted"]').waitFor()
      const closed = page.locator('details:not([open]) > summary')
      while ((await closed.count()) > 0) await closed.first().click()
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width)
      const backgrounds = new Set()
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
        expect(await unreadableTexts(page)).toEqual([])
        backgrounds.add(await page.evaluate('getComputedStyle(document.documentElement).backgroundColor'))
      }
      expect(backgrounds.size).toBe(2)
    },
  )

  test('can be used by keyboard and reads in order', async () => {
    browser = await openChromium({ home: home.path, resolve: BY_NAME })
    const { page } = await open(pageUrl)
    await page.keyboard.press('Tab')
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to the content')
    await page.keyboard.press('Enter')
    const ios = page.locator('#guide-ios')
    await ios.locator('summary').focus()
    await page.keyboard.press('Enter')
    expect(await ios.locator('li').first().isVisible()).toBe(true)

    expect(await page.getByRole('heading', { level: 1 }).allInnerTexts()).toEqual(['Trust your home, once'])
    expect(await page.getByRole('heading', { level: 2 }).allInnerTexts()).toEqual([
      expect.stringMatching(/^1\s+What you agree to$/),
      expect.stringMatching(/^2\s+Make sure it is yours$/),
      expect.stringMatching(/^3\s+Add it to this device$/),
      expect.stringMatching(/^4\s+See whether it worked$/),
      'Good to know',
      'On another device',
    ])
    expect(await page.getByRole('img', { name: `QR code for ${pageUrl}` }).count()).toBe(1)
    expect(await page.getByRole('status').count()).toBe(1)
  })

  test('opens the steps for an iPad that calls itself a Mac', async () => {
    browser = await openChromium({
      home: home.path,
      resolve: BY_NAME,
      agent:
        'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/19.0 Safari/605.1.15',
    })
    await browser.addInitScript('Object.defineProperty(navigator, "maxTouchPoints", { get: () => 5 })')
    const { page } = await open(pageUrl)
    expect(await page.locator('#guide-ios[open]').count()).toBe(1)
    expect(await page.locator('#guide-macos[open]').count()).toBe(0)
  })

  test('gives the certificate by its button', async () => {
    browser = await openChromium({ home: home.path, resolve: BY_NAME })
    const { page } = await open(pageUrl)
    await page.locator('#guide-windows > summary').click()
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.locator('#guide-windows').getByRole('link', { name: 'Download the certificate' }).click(),
    ])
    expect(download.suggestedFilename()).toBe('hearth-root.crt')
  })
})
