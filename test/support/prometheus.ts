/** One value, as Prometheus would store it. */
export interface Sample {
  name: string
  labels: Record<string, string>
  value: number
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const LABEL = `[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\["\\\\n])*"`
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(${LABEL}(?:,${LABEL})*)?\\})? ([0-9.eE+-]+|NaN|[+-]Inf)$`)

/**
 * Reads Prometheus' text format, strictly: each family has HELP and TYPE once, before its samples; no
 * sample comes twice; counters end in `_total`; the buckets of a histogram grow up to its count.
 *
 * @throws {Error} naming the line.
 */
export function parseMetrics(text: string): Sample[] {
  if (!text.endsWith('\n')) throw new Error('the text does not end in a line break')
  const types = new Map<string, string>()
  const helped = new Set<string>()
  const seen = new Set<string>()
  const samples: Sample[] = []
  for (const line of text.split('\n').filter((line) => line !== '')) {
    const [, kind, family = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? []
    if (kind === 'HELP') {
      if (helped.has(family)) throw new Error(`HELP comes twice: ${line}`)
      helped.add(family)
    } else if (kind === 'TYPE') {
      if (types.has(family) || !helped.has(family))
        throw new Error(`TYPE comes twice, or before HELP: ${line}`)
      if (!['counter', 'gauge', 'histogram'].includes(rest)) throw new Error(`no known type: ${line}`)
      if (rest === 'counter' && !family.endsWith('_total'))
        throw new Error(`a counter without _total: ${line}`)
      types.set(family, rest)
    } else {
      const [, name, labels = '', value] = SAMPLE.exec(line) ?? []
      if (name === undefined || value === undefined) throw new Error(`no sample: ${line}`)
      if (!types.has(name) && !types.has(name.replace(/_(bucket|sum|count)$/, '')))
        throw new Error(`no TYPE before: ${line}`)
      const series = `${name}{${labels}}`
      if (seen.has(series)) throw new Error(`comes twice: ${line}`)
      seen.add(series)
      samples.push({ name, labels: readLabels(labels), value: Number(value.replace('Inf', 'Infinity')) })
    }
  }
  checkBuckets(samples)
  return samples
}

function readLabels(text: string): Record<string, string> {
  return Object.fromEntries(
    [...text.matchAll(/([a-zA-Z0-9_]+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [name, value]),
  )
}

function checkBuckets(samples: readonly Sample[]): void {
  const buckets = samples.filter(({ name }) => name.endsWith('_bucket'))
  const series = Map.groupBy(
    buckets,
    ({ name, labels: { le: _, ...others } }) => `${name} ${JSON.stringify(others)}`,
  )
  for (const [which, steps] of series) {
    const values = steps.map(({ value }) => value)
    if (values.some((value, index) => index > 0 && value < values[index - 1]!))
      throw new Error(`buckets shrink: ${which}`)
    if (steps.at(-1)?.labels.le !== '+Inf') throw new Error(`no bucket for everything: ${which}`)
  }
}
