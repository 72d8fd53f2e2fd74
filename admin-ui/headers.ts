import type { Context, Middleware } from 'koa'

/** What a page may load beyond nothing at all. */
export interface PagePolicy {
  /** Whether the page has a script of its own. Inline script and style never run. */
  script: boolean
  /** Other origins that the page's script may ask, such as the one whose certificate it checks. */
  connect: readonly string[]
}

/**
 * The security headers of a page.
 *
 * There is no `Strict-Transport-Security`, on purpose, also not over https: it would hold for every
 * port of the gateway's name, and so turn the onboarding page, the CRL and the OCSP responder on the
 * plain-HTTP port of that name into addresses that a browser can no longer open (RFC 6797 section
 * 8.3). For the same reason the policy does not upgrade insecure requests.
 */
export function securityHeaders(policyOf: (ctx: Context) => PagePolicy): Middleware {
  return async (ctx, next) => {
    const policy = policyOf(ctx)
    const directives = [
      "default-src 'none'",
      "style-src 'self'",
      "img-src 'self'",
      policy.script ? "script-src 'self'" : null,
      policy.connect.length > 0 ? `connect-src ${policy.connect.join(' ')}` : null,
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ]
    ctx.set('Content-Security-Policy', directives.filter((directive) => directive !== null).join('; '))
    ctx.set('X-Content-Type-Options', 'nosniff')
    ctx.set('Referrer-Policy', 'no-referrer')
    await next()
  }
}
