import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrowserContext, chromium, type Page } from 'playwright-core'
import type { RootCertificate } from '../../admin-ui/onboarding/routes.ts'
import type { GatewayStatus } from '../../admin-ui/status/findings.ts'
import { DAY } from '../../base/clock.ts'

/** A new folder under the system's temporary one, and what removes it. */
export function temporaryFolder(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'hearth-admin-ui-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

export interface TestRoot extends RootCertificate {
  /** Key and chain of the gateway's own certificate under this root. */
  gateway: { key: Buffer; cert: Buffer }
}

/** A throw-away root made by OpenSSL, and a certificate for `gateway.home.arpa` under it. */
export function createRoot(folder: string, { constrained = true } = {}): TestRoot {
  const file = (name: string) => join(folder, name)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' })
  const newKey = (name: string) => [
    ...['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384', '-nodes', '-keyout', file(name)],
  ]
  openssl(
    ...['req', '-x509', '-days', '3650', ...newKey('root.key'), '-out', file('root.pem')],
    ...['-subj', '/CN=Hearth root 7F3A-91C2', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
    ...(constrained ? ['-addext', 'nameConstraints=critical,permitted;DNS:home.arpa'] : []),
  )
  openssl(
    ...['req', '-x509', '-days', '7', ...newKey('gateway.key'), '-out', file('gateway.pem')],
    ...['-CA', file('root.pem'), '-CAkey', file('root.key'), '-subj', '/CN=gateway.home.arpa'],
    ...['-addext', 'subjectAltName=DNS:gateway.home.arpa', '-addext', 'basicConstraints=critical,CA:FALSE'],
    ...['-addext', 'extendedKeyUsage=serverAuth'],
  )
  const der = openssl('x509', '-in', file('root.pem'), '-outform', 'DER')
  return {
    der,
    pem: readFileSync(file('root.pem'), 'utf8'),
    sha256: createHash('sha256').update(der).digest('hex').toUpperCase(),
    subject: 'Hearth root 7F3A-91C2',
    notAfter: Date.UTC(2036, 2, 3),
    gateway: { key: readFileSync(file('gateway.key')), cert: readFileSync(file('gateway.pem')) },
  }
}

export const NOW = Date.UTC(2026, 2, 3, 9, 41)

/** A gateway with which all is well. */
export const WELL: GatewayStatus = {
  version: '0.1.0',
  now: NOW,
  startedAt: NOW - 3 * DAY,
  domain: 'home.arpa',
  root: { subject: 'Hearth root 7F3A-91C2', sha256: '0F'.repeat(32), notAfter: NOW + 3000 * DAY },
  issuer: { subject: 'Hearth issuer 0C41', notAfter: NOW + 300 * DAY },
  gatewayCertificate: { serial: '4F0A19C3', notAfter: NOW + 5 * DAY },
  clock: { trusted: true },
  devices: { active: 7, suspended: 1 },
  certificates: { valid: 9, revoked: 2, expiringSoon: 0 },
  dns: { port: 5300, names: 14, upstreams: ['udp://9.9.9.9'], failing: [] },
  listeners: [{ name: 'Console', url: 'https://gateway.home.arpa:8443/' }],
}

export interface Listener {
  port: number
  close: () => Promise<void>
}

/** Serves on a free loopback port, over TLS if there is a key. */
export async function listen(
  handler: RequestListener,
  tls?: { key: Buffer; cert: Buffer },
): Promise<Listener> {
  const server: Server = tls === undefined ? createHttpServer(handler) : createHttpsServer(tls, handler)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

export interface BrowserOptions {
  /** The browser's home, where its certificates are; also holds its profile. */
  home: string
  /** Chromium's `--host-resolver-rules`. */
  resolve?: string
  /** Whether pages may run scripts; they may unless this is false. */
  script?: boolean
  /** A `User-Agent` other than its own. */
  agent?: string
}

/** The real Chromium, with a home and a profile of its own. Whoever opens it closes it. */
export function openChromium(options: BrowserOptions): Promise<BrowserContext> {
  const { home, resolve, script = true, agent } = options
  return chromium.launchPersistentContext(join(home, 'profile'), {
    executablePath: '/usr/bin/chromium',
    env: { ...process.env, HOME: home },
    javaScriptEnabled: script,
    ...(agent === undefined ? {} : { userAgent: agent }),
    args: [
      ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
      ...(resolve === undefined ? [] : [`--host-resolver-rules=${resolve}`]),
    ],
  })
}

/**
 * The visible texts of a page whose contrast with their background is below 4.5 to 1.
 *
 * @see WCAG 2.2, success criterion 1.4.3, for the formula.
 */
export function unreadableTexts(page: Page): Promise<string[]> {
  return page.evaluate(`(() => {
    const channels = (color) => color.match(/[\\d.]+/g).map(Number)
    const luminance = (color) => {
      const [r, g, b] = channels(color).map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4))
      return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    const behind = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const color = getComputedStyle(at).backgroundColor
        if (channels(color)[3] !== 0) return color
      }
      return 'rgb(255, 255, 255)'
    }
    const found = []
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement
      if (walker.currentNode.data.trim() === '' || !element.checkVisibility()) continue
      const [light, dark] = [getComputedStyle(element).color, behind(element)].map(luminance).sort((a, b) => b - a)
      const ratio = (light + 0.05) / (dark + 0.05)
      if (ratio < 4.5) found.push(ratio.toFixed(2) + ' ' + walker.currentNode.data)
    }
    return found
  })()`)
}
