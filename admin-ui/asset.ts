import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Middleware } from 'koa'

/** A file that pages load: where to link to it, and what serves it. */
export interface Asset {
  /** Path and content hash, so that a browser keeps it until it changes. */
  href: string
  serve: Middleware
}

/** Reads a file that lies beside the code, once. */
export function asset(path: string, file: URL, type: string): Asset {
  const body = readFileSync(file)
  const version = createHash('sha256').update(body).digest('hex').slice(0, 12)
  return {
    href: `${path}?v=${version}`,
    serve: (ctx) => {
      ctx.set('Cache-Control', ctx.query.v === version ? 'public, max-age=31536000, immutable' : 'no-cache')
      ctx.set('Content-Type', type)
      ctx.body = body
    },
  }
}
