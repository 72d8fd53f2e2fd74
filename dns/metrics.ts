import type { ConnectionCounts } from '../base/connections.ts'
import { rcodeName, typeName } from '../wire/registry.ts'
import type { Client, Response } from './respond.ts'
import type { UpstreamHealth } from './upstream/peer.ts'

/** Counts by one or two labels, a space between them. */
export type Counts = Record<string, number>

/** Observations by size; `upTo[i]` counts those of at most `LATENCY_STEPS[i]` seconds. */
export interface Histogram {
  upTo: number[]
  count: number
  sum: number
}

/** What a server has counted since it started: plain data, which may come from several threads. */
export interface ResponseFigures {
  /** By transport and type. */
  queries: Counts
  /** By rcode. */
  responses: Counts
  /** By where the answers come from. */
  sources: Counts
  /** How long answers took to find, by where they come from; without what was answered in batches. */
  latency: Record<string, Histogram>
  /** Queries that got no response at all. */
  unanswered: number
  /** Queries of clients that are not the home's. */
  outside: number
}

/** Everything that a server can tell of itself. */
export interface DnsFigures extends ResponseFigures {
  /** Responses to clients outside that were held back, or cut down to "ask again over TCP". */
  limited: { dropped: number; truncated: number }
  /** Answers of upstreams that are kept. */
  cached: number
  /** Responses that the loop for UDP keeps ready, and datagrams it had no room for; null without that loop. */
  batches: { entries: number; dropped: number } | null
  connections: ConnectionCounts
  handshakes: ConnectionCounts
  /** Lines of the query log; null without one. */
  queryLog: { written: number; dropped: number } | null
  upstreams: UpstreamHealth[]
}

/** Seconds. */
export const LATENCY_STEPS = [0.000_25, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

/** A client can ask for 65536 types, and a figure for each would be a way to fill memory. */
const OWN_FIGURE: ReadonlySet<string> = new Set([
  ...['A', 'AAAA', 'ANY', 'AXFR', 'CAA', 'CNAME', 'DNSKEY', 'DS', 'HTTPS', 'IXFR', 'MX', 'NAPTR', 'NS'],
  ...['PTR', 'SOA', 'SRV', 'SVCB', 'TLSA', 'TXT'],
])

/** Counts responses as they leave. */
export class ResponseCounter {
  readonly #queries: Counts = {}
  readonly #responses: Counts = {}
  readonly #sources: Counts = {}
  readonly #latency: Record<string, Histogram> = {}
  #unanswered = 0
  #outside = 0

  count(client: Client, response: Response, milliseconds: number): void {
    const { question, rcode, source } = response
    if (client.isLocal !== true) this.#outside += 1
    add(this.#queries, `${client.transport} ${typeLabel(question?.type ?? 0)}`)
    if (isEmpty(response.messages)) {
      this.#unanswered += 1
      return
    }
    add(this.#responses, rcodeLabel(rcode))
    if (source === null) return
    add(this.#sources, source)
    this.#latency[source] ??= { upTo: LATENCY_STEPS.map(() => 0), count: 0, sum: 0 }
    observe(this.#latency[source], milliseconds / 1000)
  }

  snapshot(): ResponseFigures {
    return structuredClone({
      queries: this.#queries,
      responses: this.#responses,
      sources: this.#sources,
      latency: this.#latency,
      unanswered: this.#unanswered,
      outside: this.#outside,
    })
  }
}

/** What the loop that answers UDP in batches has counted, in its own form. */
export interface BatchFigures {
  rcodes: readonly number[]
  /** Their names are `sourceNames`. */
  sources: readonly number[]
  types: readonly number[]
}

/** The figures of both together. */
export function withBatches(
  figures: ResponseFigures,
  batches: BatchFigures,
  sourceNames: readonly string[],
): ResponseFigures {
  const { queries, responses, sources } = figures
  for (const [type, count] of batches.types.entries()) add(queries, `udp ${typeLabel(type)}`, count)
  for (const [rcode, count] of batches.rcodes.entries()) add(responses, rcodeLabel(rcode), count)
  for (const [index, count] of batches.sources.entries()) add(sources, sourceNames[index]!, count)
  return figures
}

function add(counts: Counts, label: string, by = 1): void {
  if (by > 0) counts[label] = (counts[label] ?? 0) + by
}

function observe(histogram: Histogram, value: number): void {
  histogram.count += 1
  histogram.sum += value
  for (let index = LATENCY_STEPS.length - 1; index >= 0 && value <= LATENCY_STEPS[index]!; index -= 1) {
    histogram.upTo[index]! += 1
  }
}

function typeLabel(type: number): string {
  const name = typeName(type)
  return OWN_FIGURE.has(name) ? name : 'other'
}

function rcodeLabel(rcode: number): string {
  const name = rcodeName(rcode)
  return name.startsWith('RCODE') ? 'other' : name
}

function isEmpty(messages: Iterable<unknown>): boolean {
  return Array.isArray(messages) && messages.length === 0
}
