import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { request } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import Koa from 'koa'
import { fingerprintGroups, fingerprintWords, WORDS } from '../../admin-ui/onboarding/fingerprint.ts'
import { mobileconfig } from '../../admin-ui/onboarding/mobileconfig.ts'
import { onboardingRoutes } from '../../admin-ui/onboarding/routes.ts'
import { detectSystem } from '../../admin-ui/onboarding/systems.ts'
import { createRoot, type Listener, listen, type TestRoot, temporaryFolder } from './fixtures.ts'

const folder = temporaryFolder()
let root: TestRoot
let shown: TestRoot
let listener: Listener
let origin: string

beforeAll(async () => {
  root = createRoot(folder.path)
  shown = root
  const routes = onboardingRoutes({
    domain: 'home.arpa',
    gatewayName: 'gateway.home.arpa',
    rootCertificate: () => shown,
    httpsOrigin: () => 'https://gateway.home.arpa:8443',
  })
  listener = await listen(new Koa().use(routes.routes()).callback())
  origin = `http://127.0.0.1:${listener.port}`
})

afterAll(async () => {
  await listener.close()
  folder.remove()
})

/** The page as it comes for a `Host` that `fetch` would not send. */
function pageFor(host: string): Promise<string> {
  return new Promise((resolve, reject) => {
    request(origin, { headers: { Host: host } }, (response) => {
      response.setEncoding('utf8')
      let text = ''
      response.on('data', (part: string) => {
        text += part
      })
      response.on('end', () => resolve(text))
    })
      .on('error', reject)
      .end()
  })
}

describe('the root', () => {
  test.each([
    ['/root.pem', 'application/x-pem-file', () => Buffer.from(root.pem)],
    ['/root.crt', 'application/x-x509-ca-cert', () => root.der],
    [
      '/root.mobileconfig',
      'application/x-apple-aspen-config',
      () => mobileconfig({ domain: 'home.arpa', ...root }),
    ],
  ])('%s has its exact type and bytes', async (path, type, bytes) => {
    const response = await fetch(`${origin}${path}`)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe(type)
    expect(response.headers.get('cache-control')).toBe('no-cache')
    expect(Buffer.from(await response.arrayBuffer())).toEqual(bytes())
  })

  test('HEAD tells the length and sends no body', async () => {
    const response = await fetch(`${origin}/root.crt`, { method: 'HEAD' })
    expect(response.headers.get('content-length')).toBe(String(root.der.length))
    expect(await response.text()).toBe('')
  })

  test('other methods change nothing', async () => {
    expect((await fetch(`${origin}/root.pem`, { method: 'POST' })).status).toBe(404)
  })
})

describe('the configuration profile', () => {
  /** What Python's independent reader of property lists makes of it. */
  function read(profile: Buffer): Record<string, unknown> {
    const script =
      'import json,plistlib,sys; print(json.dumps(plistlib.loads(sys.stdin.buffer.read()), default=lambda b: b.hex()))'
    return JSON.parse(execFileSync('python3', ['-c', script], { input: profile, encoding: 'utf8' }))
  }

  const uuid = expect.stringMatching(/^[0-9A-F]{8}-[0-9A-F]{4}-8[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}$/)

  test('is a property list that carries the root', () => {
    expect(read(mobileconfig({ domain: 'home.arpa', ...root }))).toMatchObject({
      PayloadType: 'Configuration',
      PayloadVersion: 1,
      PayloadRemovalDisallowed: false,
      PayloadIdentifier: expect.stringMatching(/^arpa\.home\.hearth\.root\.[0-9a-f]{16}$/),
      PayloadUUID: uuid,
      PayloadContent: [
        {
          PayloadType: 'com.apple.security.root',
          PayloadVersion: 1,
          PayloadDisplayName: 'Hearth root 7F3A-91C2',
          PayloadUUID: uuid,
          PayloadContent: root.der.toString('hex'),
        },
      ],
    })
  })

  test('is the same for the same root, and has other identifiers for another', () => {
    const again = mobileconfig({ domain: 'home.arpa', ...root })
    expect(again).toEqual(mobileconfig({ domain: 'home.arpa', ...root }))
    const other = read(mobileconfig({ domain: 'home.arpa', ...root, sha256: 'AB'.repeat(32) }))
    const first = read(again)
    expect(other.PayloadUUID).not.toBe(first.PayloadUUID)
    expect(other.PayloadIdentifier).not.toBe(first.PayloadIdentifier)
  })

  test('two payloads never share a UUID', () => {
    const profile = read(mobileconfig({ domain: 'home.arpa', ...root }))
    const [payload] = profile.PayloadContent as { PayloadUUID: string }[]
    expect(payload?.PayloadUUID).not.toBe(profile.PayloadUUID)
  })

  test('carries a name with special characters unharmed', () => {
    const subject = `</string><key>x</key> "A & B's" \u0007ü`
    const profile = read(mobileconfig({ domain: 'home.arpa', ...root, subject }))
    expect(profile.PayloadContent).toMatchObject([{ PayloadDisplayName: subject.replace('\u0007', '') }])
  })
})

describe('the fingerprint', () => {
  test('is that of the certificate, in groups of four', () => {
    const opensslStyle = new X509Certificate(root.der).fingerprint256.replaceAll(':', '')
    expect(fingerprintGroups(root.sha256).join('')).toBe(opensslStyle)
    expect(fingerprintGroups(root.sha256)).toHaveLength(16)
  })

  test('has words that never change', () => {
    expect(fingerprintWords(`000102FDFEFF7F80${'0'.repeat(48)}`)).toEqual([
      ...['acorn', 'album', 'almond', 'winter', 'zebra', 'zipper', 'jelly', 'jigsaw', 'acorn', 'acorn'],
    ])
  })

  test('has 256 words that nobody takes for one another', () => {
    expect(WORDS).toHaveLength(256)
    expect(new Set(WORDS.map((word) => word.slice(0, 4))).size).toBe(256)
  })
})

describe('the page', () => {
  test('lets nothing run or load but its own files, and does not promise https for the name', async () => {
    const { headers } = await fetch(`${origin}/`)
    expect(headers.get('content-security-policy')).toBe(
      `default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; ` +
        `connect-src https://gateway.home.arpa:8443 http://gateway.home.arpa:${listener.port}; ` +
        `base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    )
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('referrer-policy')).toBe('no-referrer')
    expect(headers.get('strict-transport-security')).toBeNull()
    expect(headers.get('cache-control')).toBe('no-cache')
  })

  test('loads files that a browser may keep, since their addresses change with them', async () => {
    const page = await (await fetch(`${origin}/`)).text()
    const paths = [...page.matchAll(/(?:src|href)="(\/[^"]+\?v=[^"]+)"/g)].map(([, path]) => path)
    expect(new Set(paths).size).toBe(3)
    for (const path of paths) {
      const response = await fetch(`${origin}${path}`)
      expect(response.status).toBe(200)
      expect(response.headers.get('cache-control')).toContain('immutable')
    }
    expect((await fetch(`${origin}/onboarding.css`)).headers.get('cache-control')).toBe('no-cache')
  })

  test('shows the fingerprint in words and in full', async () => {
    const page = await (await fetch(`${origin}/`)).text()
    for (const word of fingerprintWords(root.sha256)) expect(page).toContain(`<li>${word}</li>`)
    for (const group of fingerprintGroups(root.sha256)) expect(page).toContain(`<span>${group}</span>`)
  })

  test.each(['/?a="><script>', '/root.pem/..%2f', '/onboarding.css/x'])(
    'answers %s without echo',
    async (path) => {
      expect(await (await fetch(`${origin}${path}`)).text()).not.toContain('"><script>')
    },
  )

  test('escapes how the root names itself', async () => {
    shown = { ...root, subject: '<img src=x onerror=alert(1)>' }
    try {
      const page = await (await fetch(`${origin}/`)).text()
      expect(page).toContain('&lt;img src=x onerror=alert(1)&gt;')
      expect(page).not.toContain('<img src=x')
    } finally {
      shown = root
    }
  })

  test('says it openly when the root has no name constraints', async () => {
    expect(await (await fetch(`${origin}/`)).text()).not.toContain('This root is not limited')
    const other = temporaryFolder()
    shown = createRoot(other.path, { constrained: false })
    try {
      const page = await (await fetch(`${origin}/`)).text()
      expect(page).toContain('This root is not limited')
      expect(page).not.toContain('vouch for</h3>')
    } finally {
      shown = root
      other.remove()
    }
  })

  test('puts the address by which it was opened into its commands', async () => {
    expect(await pageFor('192.168.1.2:8080')).toContain('hearth-root.pem http://192.168.1.2:8080/root.pem')
    expect(await pageFor('[fd00::2]')).toContain('hearth-root.pem http://[fd00::2]/root.pem')
  })

  test.each(['a$(reboot)', 'a;reboot', 'a b', '`a`', 'a"', 'user@a'])(
    'puts the gateway’s name there instead of the Host %s',
    async (host) => {
      expect(await pageFor(host)).toContain(
        `hearth-root.pem http://gateway.home.arpa:${listener.port}/root.pem`,
      )
    },
  )

  test('offers another device the gateway’s name when it was opened on the gateway itself', async () => {
    expect(await pageFor('localhost:8080')).toContain('QR code for http://gateway.home.arpa:8080/')
    expect(await pageFor('192.168.1.2:8080')).toContain('QR code for http://192.168.1.2:8080/')
  })
})

describe('which steps are open', () => {
  test.each([
    [
      'ios',
      'Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Mobile/15E148 Safari/604.1',
    ],
    [
      'android',
      'Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/150.0.0.0 Mobile Safari/537.36',
    ],
    ['android', 'Mozilla/5.0 (Android 15; Mobile; rv:150.0) Gecko/150.0 Firefox/150.0'],
    ['windows', 'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:150.0) Gecko/20100101 Firefox/150.0'],
    [
      'macos',
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/19.0 Safari/605.1.15',
    ],
    ['firefox', 'Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0'],
    ['chrome', 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0.0.0 Safari/537.36'],
    ['linux', 'curl/8.14.1'],
    [null, 'something else'],
  ] as const)('%s', async (system, agent) => {
    expect(detectSystem(agent)).toBe(system)
    const page = await (await fetch(`${origin}/`, { headers: { 'User-Agent': agent } })).text()
    const open = [...page.matchAll(/<details class="guide own" open id="guide-(\w+)">/g)].map(([, id]) => id)
    expect(open).toEqual(system === null ? [] : [system])
    expect(page.match(/id="guide-/g)).toHaveLength(7)
  })
})
