import { once } from 'node:events'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { createLog } from '../../base/log.ts'
import { type GatewayFigures, metricsHandler, openMetricsToken, renderMetrics } from '../../daemon/metrics.ts'
import { ResponseCounter, withBatches } from '../../dns/metrics.ts'
import type { Response } from '../../dns/respond.ts'
import { Name } from '../../wire/name.ts'
import { parseMetrics } from '../support/prometheus.ts'
import { tempDirs } from '../support/tempDir.ts'

const tempDir = tempDirs()
const none = { open: 0, refused: 0, displaced: 0 }

function figures(counter = new ResponseCounter()): GatewayFigures {
  return {
    status: null,
    dns: {
      ...counter.snapshot(),
      limited: { dropped: 3, truncated: 2 },
      cached: 9,
      batches: { entries: 4, dropped: 0 },
      connections: { ...none, open: 5 },
      handshakes: none,
      queryLog: { written: 7, dropped: 1 },
      upstreams: [
        {
          upstream: 'udp://9.9.9.9',
          zone: null,
          srtt: 12.5,
          state: 'healthy',
          asked: 3,
          answered: 2,
          failed: 1,
        },
        {
          upstream: 'https://doh.example/a"b\\',
          zone: 'corp.example',
          srtt: null,
          state: 'failing',
          asked: 1,
          answered: 0,
          failed: 1,
        },
      ],
    },
  }
}

function response(type: number, rcode: number, part: Partial<Response> = {}): Response {
  return {
    messages: [Buffer.alloc(12)],
    question: { name: Name.parse('nas.home.arpa'), type, class: 1 },
    rcode,
    source: 'zone',
    upstream: null,
    reusableFor: 0,
    ...part,
  }
}

const LOCAL = { transport: 'udp', address: '192.168.1.9', isLocal: true } as const

describe('the text', () => {
  const render = async (counter?: ResponseCounter) =>
    parseMetrics((await renderMetrics(figures(counter))).text)

  test('is what Prometheus reads, also before anything happened', async () => {
    const samples = await render()
    expect(samples).toContainEqual({ name: 'hearth_store_up', labels: {}, value: 0 })
    expect(samples).toContainEqual({ name: 'hearth_dns_limited_total', labels: { how: 'dropped' }, value: 3 })
    expect(samples).toContainEqual({
      name: 'hearth_dns_upstream_up',
      labels: { upstream: 'https://doh.example/a\\"b\\\\', zone: 'corp.example' },
      value: 0,
    })
    expect(samples.find(({ name }) => name === 'hearth_memory_resident_bytes')?.value).toBeGreaterThan(1e6)
  })

  test('counts by type, rcode, transport, source and time', async () => {
    const counter = new ResponseCounter()
    counter.count(LOCAL, response(1, 0), 0.2)
    counter.count(LOCAL, response(1, 0), 30)
    counter.count({ ...LOCAL, transport: 'tls' }, response(28, 3, { source: 'forwarder' }), 7000)
    counter.count({ ...LOCAL, isLocal: false }, response(255, 5, { source: null }), 1)
    counter.count(LOCAL, response(1, 0, { messages: [] }), 1)
    const samples = await render(counter)
    const of = (name: string, labels: Record<string, string>) =>
      samples.find(
        (sample) => sample.name === name && JSON.stringify(sample.labels) === JSON.stringify(labels),
      )?.value
    expect(of('hearth_dns_queries_total', { transport: 'udp', type: 'A' })).toBe(3)
    expect(of('hearth_dns_queries_total', { transport: 'tls', type: 'AAAA' })).toBe(1)
    expect(of('hearth_dns_responses_total', { rcode: 'NXDOMAIN' })).toBe(1)
    expect(of('hearth_dns_answers_total', { source: 'zone' })).toBe(2)
    expect(of('hearth_dns_unanswered_total', {})).toBe(1)
    expect(of('hearth_dns_outside_queries_total', {})).toBe(1)
    expect(of('hearth_dns_answer_seconds_bucket', { source: 'zone', le: '0.00025' })).toBe(1)
    expect(of('hearth_dns_answer_seconds_bucket', { source: 'zone', le: '0.05' })).toBe(2)
    expect(of('hearth_dns_answer_seconds_count', { source: 'zone' })).toBe(2)
    expect(of('hearth_dns_answer_seconds_bucket', { source: 'forwarder', le: '5' })).toBe(0)
    expect(of('hearth_dns_answer_seconds_bucket', { source: 'forwarder', le: '+Inf' })).toBe(1)
  })

  test('does not grow with what clients think of', async () => {
    const counter = new ResponseCounter()
    for (let type = 0; type < 65536; type += 7) counter.count(LOCAL, response(type, type % 4096), 1)
    expect((await render(counter)).length).toBeLessThan(150)
  })

  test('counts what is answered in batches too', () => {
    const counter = new ResponseCounter()
    counter.count(LOCAL, response(1, 0), 1)
    const types = Array(261).fill(0)
    types[1] = 10
    types[260] = 4
    const merged = withBatches(counter.snapshot(), { rcodes: [13, 0, 0, 1], sources: [0, 14], types }, [
      'special',
      'zone',
    ])
    expect(merged.queries).toEqual({ 'udp A': 11, 'udp other': 4 })
    expect(merged.responses).toEqual({ NOERROR: 14, NXDOMAIN: 1 })
    expect(merged.sources).toEqual({ zone: 15 })
  })
})

describe('who may read it', () => {
  let server: Server
  let from: string
  const token = 'a-secret'

  beforeAll(async () => {
    const handle = metricsHandler({ token, figures: async () => figures(), log: createLog('silent') })
    server = createServer((request, answer) => {
      // Here, clients on loopback stand for those elsewhere.
      const seen = Object.create(request, { socket: { value: { remoteAddress: from } } }) as IncomingMessage
      if (!handle(seen, answer)) answer.writeHead(404).end()
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
  })
  afterAll(() => void server.close())

  const get = (authorization?: string, path = '/metrics', method = 'GET') =>
    fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, {
      method,
      headers: authorization === undefined ? {} : { authorization },
    })

  test.each(['127.0.0.1', '127.9.9.9', '::1'])(
    'clients on this machine (%s), without a token',
    async (address) => {
      from = address
      const answer = await get()
      expect(answer.status).toBe(200)
      expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
      parseMetrics(await answer.text())
    },
  )

  test.each(['192.168.1.9', '::ffff:127.0.0.1', ''])('others (%s) with the token only', async (address) => {
    from = address
    for (const authorization of [undefined, 'Bearer', 'Bearer wrong', `Basic ${token}`, `Bearer ${token}x`]) {
      const refused = await get(authorization)
      expect(refused.status).toBe(401)
      expect(refused.headers.get('www-authenticate')).toMatch(/^Bearer/)
      expect(await refused.text()).not.toContain('hearth_')
    }
    expect((await get(`Bearer ${token}`)).status).toBe(200)
    expect((await get(`bearer ${token}`, '/metrics?x=1')).status).toBe(200)
  })

  test('only reading, and only there', async () => {
    from = '127.0.0.1'
    expect((await get(undefined, '/metrics', 'POST')).status).toBe(405)
    expect((await get(undefined, '/metricsx')).status).toBe(404)
  })
})

test('the token is made once, and for its owner only', () => {
  const path = join(tempDir(), 'metrics.token')
  const token = openMetricsToken(path)
  expect(token).toMatch(/^[\w-]{43}$/)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(openMetricsToken(path)).toBe(token)
  expect(readFileSync(path, 'utf8')).toBe(`${token}\n`)
  writeFileSync(path, 'my-own\n')
  expect(openMetricsToken(path)).toBe('my-own')
})
