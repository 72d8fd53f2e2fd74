import { Router } from '@koa/router'
import { asset } from '../asset.ts'
import { securityHeaders } from '../headers.ts'
import { layout } from '../layout.ts'
import type { GatewayStatus } from './findings.ts'
import { statusPage, statusUnknownPage } from './page.ts'

export interface StatusOptions {
  /** The household's domain, `home.arpa`. */
  domain: string
  /** Asked at every view. A failure shows as a page that says so, with status 503. */
  status: () => Promise<GatewayStatus>
  /** Names the parts of the gateway that do not work. */
  failing: () => Promise<readonly string[]>
}

/**
 * The read-only status page `/`, what it loads, and `/healthz`.
 *
 * For the https listener. The onboarding page asks `/healthz` from another origin, so it must stay free
 * of `Cross-Origin-Resource-Policy`.
 */
export function statusRoutes({ domain, status, failing }: StatusOptions): Router {
  const style = asset('/status.css', new URL('../pages.css', import.meta.url), 'text/css; charset=utf-8')
  const icon = asset('/favicon.svg', new URL('../favicon.svg', import.meta.url), 'image/svg+xml')

  const router = new Router()
  router.use(securityHeaders(() => ({ script: false, connect: [] })))

  router.get('/', async (ctx) => {
    const frame = { title: `Hearth – ${domain}`, style: style.href, icon: icon.href, aside: false, domain }
    ctx.set('Cache-Control', 'no-store')
    ctx.type = 'text/html; charset=utf-8'
    try {
      ctx.body = layout({ ...frame, main: statusPage(await status()) })
    } catch (thrown) {
      ctx.app.emit('error', thrown, ctx)
      ctx.status = 503
      ctx.body = layout({ ...frame, main: statusUnknownPage() })
    }
  })

  router.get('/healthz', async (ctx) => {
    const parts = await failing()
    ctx.set('Cache-Control', 'no-store')
    ctx.type = 'text/plain; charset=utf-8'
    ctx.status = parts.length === 0 ? 200 : 503
    ctx.body = parts.length === 0 ? 'ok\n' : `not working: ${parts.join(', ')}\n`
  })

  router.get('/status.css', style.serve)
  router.get('/favicon.svg', icon.serve)
  return router
}
