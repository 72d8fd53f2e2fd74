import type { Middleware } from 'koa'

/**
 * Answers only requests that name this gateway in their Host header.
 *
 * Without it, a page on the internet could have its own name resolve to the gateway's address and read
 * the gateway's pages as if they were its own (DNS rebinding).
 */
export function hostCheck(names: () => readonly string[]): Middleware {
  return async (ctx, next) => {
    const host = ctx.host
      .replace(/:\d+$/, '')
      .replace(/^\[(.*)\]$/, '$1')
      .toLowerCase()
    if (names().includes(host)) return next()
    ctx.status = 421
    ctx.type = 'text/plain'
    ctx.body = `This is the gateway ${names()[0]}; it does not answer under another name.\n`
  }
}
