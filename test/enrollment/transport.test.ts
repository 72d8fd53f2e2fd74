import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import Koa from 'koa'
import { bodyDer, replyBase64 } from '../../enrollment/est/transport.ts'
import { octetString, sequence } from '../../x509/der.ts'

/** Something as long as a real request. */
const DER = sequence(octetString(Buffer.alloc(300, 0xab)))
const BASE64 = DER.toString('base64')
const LINES = BASE64.match(/.{1,64}/g)!.join('\n')

describe('a body of EST (RFC 8951) is', () => {
  test.each<[string, Buffer | string, Buffer | null]>([
    ['base64 in one line', BASE64, DER],
    ['base64 in lines', `${LINES}\n`, DER],
    ['base64 in lines that end in CR LF', LINES.replaceAll('\n', '\r\n'), DER],
    ['base64 with blanks and tabs', ` ${LINES.replaceAll('\n', '\n\t')} `, DER],
    ['DER itself', DER, DER],
    ['nothing', '', null],
    ['white space', ' \n ', null],
    ['PEM', `-----BEGIN CERTIFICATE REQUEST-----\n${LINES}\n-----END CERTIFICATE REQUEST-----\n`, null],
    ['base64url', '_-_-', null],
    ['padding in the middle', 'MA==MA==', null],
    ['JSON', '{"csr": "MA=="}', null],
  ])('%s', (_, body, der) => {
    expect(bodyDer(Buffer.from(body))).toEqual(der)
  })

  test('octets or null, whatever comes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => {
        const der = bodyDer(Buffer.from(octets))
        expect(der === null || Buffer.isBuffer(der)).toBe(true)
        expect(bodyDer(Buffer.from(octets).fill('A'))).toEqual(
          octets.length === 0 ? null : Buffer.from('A'.repeat(octets.length), 'base64'),
        )
      }),
      { numRuns: 2000 },
    )
  })
})

describe('a reply of EST is base64 in one piece, with its length', () => {
  async function replyTo(headers: Record<string, string>) {
    const app = new Koa()
    app.use((ctx) => replyBase64(ctx, 'application/csrattrs', DER))
    const server = createServer(app.callback()).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const asked = request({
      host: '127.0.0.1',
      port: (server.address() as AddressInfo).port,
      headers,
      agent: false,
    })
    asked.end()
    const [response] = await once(asked, 'response')
    let body = ''
    for await (const chunk of response) body += chunk
    server.close()
    return { headers: response.headers, body }
  }

  test('in lines of 64 for clients that name themselves', async () => {
    const { headers, body } = await replyTo({ 'User-Agent': 'libest' })
    expect(body).toBe(`${LINES}\n`)
    expect(headers).toMatchObject({
      'content-type': 'application/csrattrs',
      'content-length': String(body.length),
    })
    expect(headers['transfer-encoding']).toBeUndefined()
  })

  test('in a single line for those that do not', async () => {
    expect((await replyTo({})).body).toBe(BASE64)
  })
})
