import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { BodyError, readBody } from '../../base/body.ts'

const LIMIT = 1000

describe('the body of a request', () => {
  let server: Server
  let port: number
  /** What reading ended in, request by request. */
  const ended: (Buffer | string)[] = []

  beforeAll(async () => {
    server = createServer(async (request, response) => {
      try {
        ended.push(await readBody(request, LIMIT))
      } catch (error) {
        if (!(error instanceof BodyError)) throw error
        ended.push(error.code)
      }
      response.end()
      server.emit('read')
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    port = (server.address() as AddressInfo).port
  })
  afterAll(() => void server.close())

  async function post(headers: string, body: string): Promise<Buffer | string> {
    const read = once(server, 'read')
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.end(`POST / HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n${headers}\r\n\r\n${body}`)
    await read
    socket.destroy()
    return ended.pop()!
  }

  test('is read whole, up to the limit', async () => {
    expect(await post(`Content-Length: ${LIMIT}`, 'x'.repeat(LIMIT))).toEqual(Buffer.alloc(LIMIT, 'x'))
    expect(await post('Transfer-Encoding: chunked', '3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n')).toEqual(
      Buffer.from('abcde'),
    )
    expect(await post('Content-Length: 0', '')).toEqual(Buffer.alloc(0))
  })

  test('that is larger is refused, announced or not', async () => {
    expect(await post(`Content-Length: ${LIMIT + 1}`, '')).toBe('BODY_TOO_LARGE')
    expect(await post('Transfer-Encoding: chunked', `3e9\r\n${'x'.repeat(1001)}\r\n0\r\n\r\n`)).toBe(
      'BODY_TOO_LARGE',
    )
  })

  test('that ends early is refused', async () => {
    expect(await post('Content-Length: 10', 'short')).toBe('BODY_INCOMPLETE')
  })
})
