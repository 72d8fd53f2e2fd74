import type { Context } from 'koa'

/**
 * How EST puts DER on the wire: base64 (RFC 8951 section 3.1), written so that every client reads it.
 *
 * With a User-Agent header in lines of 64 with a line feed, without one in a single line: strongSwan
 * sends none and breaks on wrapped base64, libest sends one and breaks on unwrapped. The body goes out
 * in one piece with its length, since small clients do not read chunks.
 */
export function replyBase64(ctx: Context, type: string, der: Uint8Array): void {
  const base64 = Buffer.from(der).toString('base64')
  const wrapped = ctx.get('User-Agent') !== ''
  ctx.status = 200
  ctx.set('Content-Type', type)
  ctx.body = wrapped ? `${base64.match(/.{1,64}/g)?.join('\n') ?? ''}\n` : base64
}

/** The DER in a request's body: base64 with any white space, or the DER itself; null if it is neither. */
export function bodyDer(body: Buffer): Buffer | null {
  // DER begins with a SEQUENCE whose length takes more than one octet, which is no text.
  if (body[0] === 0x30 && (body[1] ?? 0) >= 0x80) return body
  const text = body.toString('latin1').replace(/\s+/g, '')
  if (text.length === 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return null
  return Buffer.from(text, 'base64')
}
