import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { FrameReader, frame } from '../../dns/framing.ts'
import type { DnsServer } from '../../dns/server.ts'
import { decodeMessage, encodeMessage } from '../../wire/message.ts'
import { run } from '../support/run.ts'
import { tempDirs } from '../support/tempDir.ts'
import { query, startServer } from './harness.ts'
import { TlsHome } from './tlsHome.ts'

const tempDir = tempDirs()
let home: TlsHome
let server: DnsServer
let sockets: Socket[] = []

beforeAll(async () => {
  home = await TlsHome.open(tempDir())
})
afterAll(() => home.close())

beforeEach(async () => {
  const certificate = await home.certificate()
  server = await startServer({
    dot: { addresses: ['127.0.0.1'], port: 0, minVersion: 'TLSv1.3', certificate },
  })
})
afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  sockets = []
  await server.close()
})

function kdig(...words: string[]) {
  return run('kdig', ['@127.0.0.1', '-p', String(server.dotPort), '+retry=0', ...words])
}

function tls(options: object = {}): TLSSocket {
  const socket = connectTls({
    port: server.dotPort!,
    host: '127.0.0.1',
    servername: 'gateway.home.arpa',
    ca: home.root,
    ...options,
  })
  socket.on('error', () => socket.destroy())
  sockets.push(socket)
  return socket
}

function closed(socket: Socket): Promise<unknown> {
  return new Promise((resolve) => socket.resume().on('close', resolve))
}

describe('DNS over TLS', () => {
  test("kdig verifies the gateway's name against the home's root", async () => {
    const strict = ['+tls', `+tls-ca=${home.rootFile}`, '+tls-hostname=gateway.home.arpa']
    const { stdout } = await kdig(...strict, 'nas.home.arpa', 'A')
    expect(stdout).toMatch(/TLS session \(TLS1\.3\)/)
    expect(stdout).toMatch(/nas\.home\.arpa\.\s+60\s+IN\s+A\s+192\.168\.1\.20/)
    expect(stdout).toContain('PADDING')
    const { stderr, code } = await kdig(
      '+tls',
      `+tls-ca=${home.rootFile}`,
      '+tls-hostname=bank.example',
      'nas.home.arpa',
    )
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('certificate') })
  })

  test('many queries on one connection, by kdig', async () => {
    const { stdout } = await kdig(
      '+tls',
      '+keepopen',
      '+short',
      'nas.home.arpa',
      'gateway.home.arpa',
      'nas.home.arpa',
    )
    expect(stdout).toBe('192.168.1.20\n192.168.1.1\n192.168.1.20\n')
  })

  test('a new certificate is shown from the next handshake on; connections under way go on', async () => {
    const before = tls()
    await once(before, 'secureConnect')
    const renewed = await home.certificate()
    expect(before.getPeerCertificate().serialNumber).not.toBe(renewed.serial)
    server.setCertificate(renewed)
    const after = tls()
    await once(after, 'secureConnect')
    expect(after.getPeerCertificate().serialNumber).toBe(renewed.serial)
    await expect(once(tls({ maxVersion: 'TLSv1.2' }), 'secureConnect')).rejects.toThrow(/alert|protocol/)
    before.write(frame(encodeMessage(query('nas.home.arpa', 'A'))))
    const [chunk] = await once(before, 'data')
    expect(decodeMessage(new FrameReader().push(chunk)[0]!).answers).toHaveLength(1)
  })

  test('TLS 1.2 is refused, and so is whoever came to speak another protocol', async () => {
    for (const options of [{ maxVersion: 'TLSv1.2' }, { ALPNProtocols: ['h2'] }]) {
      const socket = tls(options)
      const [error] = await once(socket, 'error').catch((error) => [error])
      expect(String(error)).toMatch(/alert|protocol/)
    }
    const socket = tls({ ALPNProtocols: ['dot'] })
    await once(socket, 'secureConnect')
    expect(socket.alpnProtocol).toBe('dot')
  })

  test('whoever does not finish a handshake is cut off, and keeps nobody out meanwhile', async () => {
    const slow = Array.from({ length: 200 }, () => {
      const socket = connect({ port: server.dotPort!, host: '127.0.0.1' })
      socket.on('error', () => socket.destroy())
      sockets.push(socket)
      // A hello that never ends.
      socket.write(Buffer.from('16030100f4010000f00303', 'hex'))
      return closed(socket)
    })
    const { stdout } = await kdig('+tls', '+short', 'nas.home.arpa')
    expect(stdout).toBe('192.168.1.20\n')
    await Promise.all(slow)
  })

  test('plain DNS, and garbage, end the connection', async () => {
    for (const octets of [
      frame(encodeMessage(query('nas.home.arpa', 'A'))),
      Buffer.alloc(70_000),
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    ]) {
      const socket = connect({ port: server.dotPort!, host: '127.0.0.1' })
      socket.on('error', () => socket.destroy())
      sockets.push(socket)
      const ended = closed(socket)
      socket.write(octets)
      await ended
    }
    expect((await kdig('+tls', '+short', 'nas.home.arpa')).stdout).toBe('192.168.1.20\n')
  })
})
