import { Router } from '@koa/router'
import type { Context } from 'koa'
import { asset } from '../asset.ts'
import { securityHeaders } from '../headers.ts'
import { layout } from '../layout.ts'
import { mobileconfig } from './mobileconfig.ts'
import { onboardingPage } from './page.ts'
import { detectSystem } from './systems.ts'

/** The home root in the forms in which it is handed out. */
export interface RootCertificate {
  der: Buffer
  pem: string
  /** Fingerprint of `der`: 64 upper-case hex digits without separators. */
  sha256: string
  /** How the root names itself, as systems list it. */
  subject: string
  /** Milliseconds since 1970. */
  notAfter: number
}

export interface OnboardingOptions {
  /** The household's domain, `home.arpa`. */
  domain: string
  /** The gateway's full name, `gateway.home.arpa`. */
  gatewayName: string
  /** The root in use. Asked at every request, since it can be rotated. */
  rootCertificate: () => RootCertificate
  /** Where the console is, without a slash at the end: `https://gateway.home.arpa:8443`. */
  httpsOrigin: () => string
}

/**
 * The pages by which a household comes to trust its root: `/`, `/root.pem`, `/root.crt`,
 * `/root.mobileconfig`, and what the page loads.
 *
 * For the plain-HTTP listener: everything here is public, and none of it is proof of anything. That
 * the `Host` of a request is one of the gateway's own names is for the listener to check.
 */
export function onboardingRoutes({
  domain,
  gatewayName,
  rootCertificate,
  httpsOrigin,
}: OnboardingOptions): Router {
  const style = asset('/onboarding.css', new URL('../pages.css', import.meta.url), 'text/css; charset=utf-8')
  const script = asset(
    '/onboarding.js',
    new URL('./trustCheck.js', import.meta.url),
    'text/javascript; charset=utf-8',
  )
  const icon = asset('/favicon.svg', new URL('../favicon.svg', import.meta.url), 'image/svg+xml')

  const router = new Router()
  router.use(
    securityHeaders((ctx) => ({
      script: true,
      connect: [httpsOrigin(), originsOf(ctx, gatewayName).byName],
    })),
  )

  router.get('/', (ctx) => {
    const root = rootCertificate()
    const { asOpened, byName } = originsOf(ctx, gatewayName)
    const main = onboardingPage({
      domain,
      gatewayName,
      root,
      constrained: hasNameConstraints(root.der),
      origin: asOpened,
      shareUrl: `${isLoopback(asOpened) ? byName : asOpened}/`,
      httpsOrigin: httpsOrigin(),
      nameCheckUrl: `${byName}/favicon.svg`,
      system: detectSystem(ctx.get('User-Agent')),
    })
    ctx.set('Cache-Control', 'no-cache')
    ctx.set('Vary', 'User-Agent')
    ctx.type = 'text/html; charset=utf-8'
    ctx.body = layout({
      title: `Trust your home – ${domain}`,
      style: style.href,
      icon: icon.href,
      script: script.href,
      aside: true,
      domain,
      main,
    })
  })

  router.get('/root.pem', (ctx) => sendFile(ctx, 'application/x-pem-file', rootCertificate().pem))
  router.get('/root.crt', (ctx) => sendFile(ctx, 'application/x-x509-ca-cert', rootCertificate().der))
  router.get('/root.mobileconfig', (ctx) =>
    sendFile(ctx, 'application/x-apple-aspen-config', mobileconfig({ domain, ...rootCertificate() })),
  )

  router.get('/onboarding.css', style.serve)
  router.get('/onboarding.js', script.serve)
  router.get('/favicon.svg', icon.serve)
  return router
}

/** No `charset` and no `attachment`: systems open these by their exact type. */
function sendFile(ctx: Context, type: string, body: string | Buffer): void {
  ctx.set('Cache-Control', 'no-cache')
  ctx.set('Content-Type', type)
  ctx.body = Buffer.from(body)
}

/** This listener as the reader's browser found it, and by the gateway's name. */
interface Origins {
  asOpened: string
  byName: string
}

/**
 * Both go into commands that people copy, so a `Host` that is not simply a name or an address, with or
 * without a port, counts as none.
 */
function originsOf(ctx: Context, gatewayName: string): Origins {
  const host = ctx.get('Host')
  const simple = URL.canParse(`http://${host}`) ? SIMPLE_HOST.exec(host) : null
  const port = simple === null ? ctx.req.socket.localPort : (simple[1] ?? 80)
  const byName = Number(port) === 80 ? `http://${gatewayName}` : `http://${gatewayName}:${port}`
  return { asOpened: simple === null ? byName : `http://${host}`, byName }
}

const SIMPLE_HOST = /^(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(\d+))?$/i

function isLoopback(origin: string): boolean {
  return /^(localhost|127(\.\d+){3}|\[::1\])$/.test(new URL(origin).hostname)
}

/** The identifier of the name constraints extension, 2.5.29.30, in DER: what the certificate itself says. */
const NAME_CONSTRAINTS = Buffer.from('0603551d1e', 'hex')

function hasNameConstraints(der: Buffer): boolean {
  return der.includes(NAME_CONSTRAINTS)
}
