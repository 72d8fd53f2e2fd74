import { randomBytes, timingSafeEqual } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Metric } from 'prom-client'
import { reasonOf } from '../base/errors.ts'
import { addressOctets, isLoopback } from '../base/ip.ts'
import type { Log } from '../base/log.ts'
import { type DnsFigures, LATENCY_STEPS } from '../dns/metrics.ts'
import { sha256 } from '../x509/spki.ts'
import type { Gathered } from './status.ts'

/** Everything there is to measure. */
export interface GatewayFigures {
  dns: DnsFigures
  /** Null if the store does not answer. */
  status: Gathered | null
}

const PATH = '/metrics'

/**
 * The secret with which a Prometheus elsewhere reads the metrics: from its file, made if it is missing.
 *
 * Names of upstreams and the times of the household's queries are nobody else's business.
 */
export function openMetricsToken(path: string): string {
  try {
    writeFileSync(path, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  return readFileSync(path, 'utf8').trim()
}

/** What is sent. */
interface Reply {
  status: number
  headers: Record<string, string>
  body: string
}

/**
 * Answers `/metrics` for clients on this machine and for those with the token; false for any other path.
 *
 * Whatever Host is named, since Prometheus may know only an address.
 */
export function metricsHandler(options: { token: string; figures: () => Promise<GatewayFigures>; log: Log }) {
  const { token, figures, log } = options
  return (request: IncomingMessage, response: ServerResponse): boolean => {
    if (request.url?.split('?')[0] !== PATH) return false
    replyTo(request, mayRead(request, token))
      .catch((error: unknown): Reply => {
        log.error({ reason: reasonOf(error) }, 'the metrics could not be gathered')
        return plain(503, 'The metrics cannot be gathered now; the log says more.')
      })
      .then(({ status, headers, body }) => {
        const length = { 'Content-Length': Buffer.byteLength(body), 'Cache-Control': 'no-store' }
        response.writeHead(status, { ...headers, ...length }).end(body)
      })
      .catch((error: unknown) => log.debug({ reason: reasonOf(error) }, 'metrics not sent'))
    return true
  }

  async function replyTo({ method }: IncomingMessage, isAllowed: boolean): Promise<Reply> {
    if (method !== 'GET' && method !== 'HEAD')
      return plain(405, 'Metrics are read by GET.', { Allow: 'GET, HEAD' })
    if (!isAllowed) {
      const sentence = 'Metrics need the bearer token in metrics.token in the data directory.'
      return plain(401, sentence, { 'WWW-Authenticate': 'Bearer realm="Hearth metrics"' })
    }
    const { contentType, text } = await renderMetrics(await figures())
    return { status: 200, headers: { 'Content-Type': contentType }, body: text }
  }
}

function plain(status: number, sentence: string, headers: Record<string, string> = {}): Reply {
  return { status, headers: { ...headers, 'Content-Type': 'text/plain' }, body: `${sentence}\n` }
}

function mayRead(request: IncomingMessage, token: string): boolean {
  const client = addressOctets(request.socket.remoteAddress ?? '')
  if (client !== null && isLoopback(client)) return true
  const [, given = ''] = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? []
  // Digests, since the comparison in constant time takes only equal lengths.
  return token !== '' && timingSafeEqual(sha256(Buffer.from(given)), sha256(Buffer.from(token)))
}

/** Values of one metric, each with its labels. */
type Values = readonly (readonly [labels: Record<string, string>, value: number])[]

/** The text that Prometheus reads. */
export async function renderMetrics({
  dns,
  status,
}: GatewayFigures): Promise<{ contentType: string; text: string }> {
  const { Counter, Gauge, Registry } = await import('prom-client')
  const registry = new Registry()
  const make = (Kind: typeof Counter | typeof Gauge, name: string, help: string, values: Values) => {
    const labelNames = [...new Set(values.flatMap(([labels]) => Object.keys(labels)))]
    const metric = new Kind({ name: `hearth_${name}`, help, labelNames, registers: [registry] })
    for (const [labels, value] of values) metric.inc(labels, value)
  }
  const counter = (name: string, help: string, values: Values) => make(Counter, name, help, values)
  const gauge = (name: string, help: string, values: Values) => make(Gauge, name, help, values)

  describeProcess(gauge, counter)
  gauge('store_up', 'Whether the database answers.', [[{}, status === null ? 0 : 1]])
  if (status !== null) describeGateway(gauge, status)
  describeDns(gauge, counter, dns)
  registry.registerMetric(latency(dns))
  return { contentType: registry.contentType, text: await registry.metrics() }
}

type Describe = (name: string, help: string, values: Values) => void

function describeProcess(gauge: Describe, counter: Describe): void {
  const { rss, heapUsed } = process.memoryUsage()
  const { user, system } = process.cpuUsage()
  gauge('memory_resident_bytes', 'Memory of the whole process.', [[{}, rss]])
  gauge('memory_heap_bytes', 'JavaScript objects of the main thread.', [[{}, heapUsed]])
  counter('cpu_seconds_total', 'CPU time of all threads.', [[{}, (user + system) / 1e6]])
  gauge('uptime_seconds', 'How long the gateway has been running.', [[{}, process.uptime()]])
}

function describeGateway(gauge: Describe, status: Gathered): void {
  const { devices, certificates } = status
  gauge('info', 'The version that runs.', [[{ version: status.version }, 1]])
  gauge('clock_trusted', 'Whether the clock is believed.', [[{}, status.clock.trusted ? 1 : 0]])
  gauge('devices', 'Devices by state.', [
    [{ state: 'active' }, devices.active],
    [{ state: 'suspended' }, devices.suspended],
  ])
  gauge('certificates', "Devices' unexpired certificates; those that are expiring are valid too.", [
    [{ status: 'valid' }, certificates.valid],
    [{ status: 'revoked' }, certificates.revoked],
    [{ status: 'expiring' }, certificates.expiringSoon],
  ])
  gauge('not_after_seconds', 'When a certificate of the gateway ends, in seconds since 1970.', [
    [{ certificate: 'root' }, status.root.notAfter / 1000],
    [{ certificate: 'issuer' }, status.issuer.notAfter / 1000],
    [{ certificate: 'gateway' }, status.gatewayCertificate.notAfter / 1000],
  ])
}

function describeDns(gauge: Describe, counter: Describe, dns: DnsFigures): void {
  counter('dns_queries_total', 'Queries by transport and type.', byLabels(dns.queries, ['transport', 'type']))
  counter('dns_responses_total', 'Responses by rcode.', byLabels(dns.responses, ['rcode']))
  counter('dns_answers_total', 'Answers by where they come from.', byLabels(dns.sources, ['source']))
  counter('dns_unanswered_total', 'Queries without any response.', [[{}, dns.unanswered]])
  counter('dns_outside_queries_total', 'Queries of clients outside the home.', [[{}, dns.outside]])
  counter('dns_limited_total', 'Responses to clients outside that were held back or cut down.', [
    [{ how: 'dropped' }, dns.limited.dropped],
    [{ how: 'truncated' }, dns.limited.truncated],
  ])
  gauge('dns_cached_answers', "Upstreams' answers that are kept.", [[{}, dns.cached]])
  if (dns.batches !== null) {
    gauge('dns_ready_responses', 'Responses kept ready for UDP.', [[{}, dns.batches.entries]])
    counter('dns_datagrams_dropped_total', 'Datagrams there was no room for.', [[{}, dns.batches.dropped]])
  }
  const stages = [
    [{ stage: 'open' }, dns.connections],
    [{ stage: 'handshake' }, dns.handshakes],
  ] as const
  gauge(
    'dns_connections',
    'Connections over TCP and TLS.',
    stages.map(([stage, { open }]) => [stage, open]),
  )
  counter(
    'dns_connections_cut_total',
    'Connections refused, and those that gave way to others.',
    stages.flatMap(
      ([stage, { refused, displaced }]): Values => [
        [{ ...stage, why: 'refused' }, refused],
        [{ ...stage, why: 'displaced' }, displaced],
      ],
    ),
  )
  if (dns.queryLog !== null) {
    counter('dns_query_log_lines_total', 'Lines of the query log.', [
      [{ outcome: 'written' }, dns.queryLog.written],
      [{ outcome: 'dropped' }, dns.queryLog.dropped],
    ])
  }
  describeUpstreams(gauge, counter, dns)
}

function describeUpstreams(gauge: Describe, counter: Describe, { upstreams }: DnsFigures): void {
  const labelled = upstreams.map((health) => {
    return [{ upstream: health.upstream, zone: health.zone ?? '' }, health] as const
  })
  gauge(
    'dns_upstream_up',
    'Whether an upstream answered when it was asked last; also before it was asked.',
    labelled.map(([labels, { state }]) => [labels, state === 'failing' ? 0 : 1]),
  )
  gauge(
    'dns_upstream_round_trip_seconds',
    'Round trip of an upstream, smoothed.',
    labelled.flatMap(([labels, { srtt }]) => (srtt === null ? [] : [[labels, srtt / 1000] as const])),
  )
  counter(
    'dns_upstream_queries_total',
    'Queries to an upstream by what became of them.',
    labelled.flatMap(
      ([labels, { answered, failed }]): Values => [
        [{ ...labels, outcome: 'answered' }, answered],
        [{ ...labels, outcome: 'failed' }, failed],
      ],
    ),
  )
}

/** Counts whose labels stand in one string, in the order of `names`. */
function byLabels(counts: Record<string, number>, names: readonly string[]): Values {
  return Object.entries(counts).map(([joined, count]) => {
    const labels = joined.split(' ')
    return [Object.fromEntries(names.map((name, index) => [name, labels[index]!])), count]
  })
}

/** A histogram that was counted elsewhere, which prom-client's own cannot take in. */
function latency({ latency }: DnsFigures): Metric {
  const name = 'hearth_dns_answer_seconds'
  const values = Object.entries(latency).flatMap(([source, { upTo, count, sum }]) => [
    ...LATENCY_STEPS.map((le, index) => ({
      metricName: `${name}_bucket`,
      labels: { source, le: String(le) },
      value: upTo[index],
    })),
    { metricName: `${name}_bucket`, labels: { source, le: '+Inf' }, value: count },
    { metricName: `${name}_sum`, labels: { source }, value: sum },
    { metricName: `${name}_count`, labels: { source }, value: count },
  ])
  const help = 'How long answers took to find, by where they come from.'
  return {
    name,
    get: async () => ({ name, help, type: 'histogram', aggregator: 'sum', values }),
  } as unknown as Metric
}
