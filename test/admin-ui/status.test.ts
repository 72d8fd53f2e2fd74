import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import Koa from 'koa'
import type { BrowserContext } from 'playwright-core'
import { findings, type GatewayStatus } from '../../admin-ui/status/findings.ts'
import { statusRoutes } from '../../admin-ui/status/routes.ts'
import { DAY, HOUR } from '../../base/clock.ts'
import {
  type Listener,
  listen,
  NOW,
  openChromium,
  temporaryFolder,
  unreadableTexts,
  WELL,
} from './fixtures.ts'

describe('the findings', () => {
  test('ask for nothing when all is well', () => {
    expect(findings(WELL).map(({ level, sentence }) => `${level}: ${sentence}`)).toEqual([
      'good: The clock is right.',
      'good: The root is valid until 20 May 2034.',
      'good: The issuer is valid until 28 December 2026.',
      'good: The gateway’s own certificate has 5 days left and renews by itself.',
      'good: 9 certificates are valid, 2 revoked.',
      'good: 7 devices are active, 1 suspended.',
      'good: Port 5300 answers for 14 names in the home, and asks udp://9.9.9.9 about the rest.',
    ])
    expect(findings(WELL).every(({ action }) => action === null)).toBe(true)
  })

  test('count one as one, and none as none', () => {
    const small = {
      ...WELL,
      devices: { active: 1, suspended: 0 },
      certificates: { ...WELL.certificates, valid: 1 },
    }
    expect(findings(small).map(({ sentence }) => sentence)).toEqual(
      expect.arrayContaining(['1 device is active.', '1 certificate is valid, 2 revoked.']),
    )
    const none = findings({ ...WELL, devices: { active: 0, suspended: 0 } })
    expect(none.find(({ part }) => part === 'Devices')).toMatchObject({
      level: 'good',
      sentence: 'There are no devices yet.',
      action: expect.anything(),
    })
  })

  const certificate = (notAfter: number) => ({ serial: '4F0A19C3', notAfter })
  test.each<[string, string, string, Partial<GatewayStatus>]>([
    [
      'Clock',
      'trouble',
      'The gateway does not rely on its clock: it went back by 3 days.',
      { clock: { trusted: false, reason: 'it went back by 3 days.' } },
    ],
    ['Clock', 'trouble', 'The gateway does not rely on its clock.', { clock: { trusted: false } }],
    [
      'Home root',
      'notice',
      'The root ends in 200 days.',
      { root: { ...WELL.root, notAfter: NOW + 200 * DAY } },
    ],
    [
      'Home root',
      'trouble',
      'The root ended on 3 March 2026: nothing trusts it any more.',
      { root: { ...WELL.root, notAfter: NOW } },
    ],
    [
      'Issuer',
      'notice',
      'The issuer ends in 13 days.',
      { issuer: { ...WELL.issuer, notAfter: NOW + 13 * DAY } },
    ],
    [
      'Issuer',
      'trouble',
      'The issuer ended on 2 March 2026: no certificate can be issued.',
      { issuer: { ...WELL.issuer, notAfter: NOW - DAY } },
    ],
    [
      'Gateway’s certificate',
      'notice',
      'The gateway’s own certificate ends in 23 hours.',
      { gatewayCertificate: certificate(NOW + 23.5 * HOUR) },
    ],
    [
      'Gateway’s certificate',
      'notice',
      'The gateway’s own certificate ends in 1 hour.',
      { gatewayCertificate: certificate(NOW + HOUR) },
    ],
    [
      'Gateway’s certificate',
      'trouble',
      'The gateway’s own certificate has ended: browsers warn of it.',
      { gatewayCertificate: certificate(NOW - 1) },
    ],
    [
      'Certificates',
      'notice',
      '9 certificates are valid, 2 revoked; 3 should have been renewed by now.',
      { certificates: { valid: 9, revoked: 2, expiringSoon: 3 } },
    ],
    [
      'DNS',
      'notice',
      'Port 5300 answers for 1 name in the home, and for nothing else: there is nobody to ask about the internet.',
      { dns: { port: 5300, names: 1, upstreams: [], failing: [] } },
    ],
    [
      'DNS',
      'notice',
      'Port 5300 answers for 1 name in the home. About the rest it asks udp://9.9.9.9, without an answer at the moment.',
      { dns: { port: 5300, names: 1, upstreams: ['udp://9.9.9.9'], failing: ['udp://9.9.9.9'] } },
    ],
  ])('%s, %s: %s', (part, level, sentence, change) => {
    const found = findings({ ...WELL, ...change })
    expect(found.find((finding) => finding.part === part)).toMatchObject({
      level,
      sentence,
      action: expect.anything(),
    })
    expect(found.filter((finding) => finding.level !== 'good')).toHaveLength(1)
  })
})

describe('the page', () => {
  const home = temporaryFolder()
  const errors: unknown[] = []
  let answer: () => Promise<GatewayStatus>
  let listener: Listener
  let url: string
  let browser: BrowserContext
  let failing: string[] = []

  beforeAll(async () => {
    const app = new Koa().use(
      statusRoutes({ domain: 'home.arpa', status: () => answer(), failing: async () => failing }).routes(),
    )
    app.on('error', (error) => errors.push(error))
    listener = await listen(app.callback())
    url = `http://127.0.0.1:${listener.port}/`
    browser = await openChromium({ home: home.path })
  })

  afterAll(async () => {
    await browser.close()
    await listener.close()
    home.remove()
  })

  beforeEach(() => {
    answer = () => Promise.resolve(WELL)
  })

  afterEach(() => {
    errors.length = 0
  })

  test.each([360, 1200])(
    'is readable on %d pixels, light and dark, without complaints or strangers',
    async (width) => {
      const page = await browser.newPage()
      const complaints: string[] = []
      const requests: string[] = []
      page.on('console', (message) => complaints.push(message.text()))
      page.on('request', (request) => requests.push(new URL(request.url()).origin))
      await page.setViewportSize({ width, height: 740 })
      answer = () =>
        Promise.resolve({
          ...WELL,
          clock: { trusted: false, reason: 'it went back' },
          dns: { ...WELL.dns, upstreams: [] },
          gatewayCertificate: { serial: '4F'.repeat(20), notAfter: NOW + DAY },
        })
      await page.goto(url)
      await page.locator('summary').click()
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width)
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
        expect(await unreadableTexts(page)).toEqual([])
      }
      expect(complaints).toEqual([])
      expect(new Set(requests)).toEqual(new Set([new URL(url).origin]))
      await page.close()
    },
  )

  test.each<[string, Partial<GatewayStatus>]>([
    ['Everything is all right', {}],
    ['All works, one thing needs a look', { dns: { ...WELL.dns, upstreams: [] } }],
    ['One thing needs you now', { clock: { trusted: false } }],
    [
      '2 things need you, at least one now',
      { clock: { trusted: false }, dns: { ...WELL.dns, upstreams: [] } },
    ],
  ])('says first: %s', async (headline, change) => {
    answer = () => Promise.resolve({ ...WELL, ...change })
    expect(await (await fetch(url)).text()).toContain(`<h1>${headline}</h1>`)
  })

  test('escapes everything that it is told', async () => {
    const evil = '<script>alert(1)</script>'
    answer = () =>
      Promise.resolve({
        ...WELL,
        version: evil,
        root: { ...WELL.root, subject: evil },
        issuer: { ...WELL.issuer, subject: evil },
        gatewayCertificate: { ...WELL.gatewayCertificate, serial: evil },
        clock: { trusted: false, reason: evil },
        dns: { ...WELL.dns, upstreams: [evil] },
        listeners: [{ name: evil, url: evil }],
      })
    const page = await (await fetch(url)).text()
    expect(page).not.toContain('<script')
    expect(page.match(/&lt;script&gt;/g)).toHaveLength(8)
  })

  test('says so when the state cannot be read, and reports the reason to the listener only', async () => {
    answer = () => Promise.reject(new Error('database is locked'))
    const response = await fetch(url)
    expect(response.status).toBe(503)
    const page = await response.text()
    expect(page).toContain('hearth doctor')
    expect(page).not.toContain('database is locked')
    expect(errors).toEqual([expect.objectContaining({ message: 'database is locked' })])
  })

  test('is never kept by a cache, runs no script and does not promise https for the name', async () => {
    const { headers } = await fetch(url)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('content-security-policy')).toBe(
      `default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    )
    expect(headers.get('strict-transport-security')).toBeNull()
  })

  test('/healthz answers, also to HEAD', async () => {
    const response = await fetch(`${url}healthz`)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toMatch(/^text\/plain/)
    expect(await response.text()).toBe('ok\n')
    expect(response.headers.get('cross-origin-resource-policy')).toBeNull()
    expect((await fetch(`${url}healthz`, { method: 'HEAD' })).status).toBe(200)
  })

  test('/healthz names what does not work, with 503', async () => {
    failing = ['store']
    const response = await fetch(`${url}healthz`)
    failing = []
    expect(response.status).toBe(503)
    expect(await response.text()).toBe('not working: store\n')
  })
})
