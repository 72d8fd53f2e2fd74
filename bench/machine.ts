import { cpus, loadavg, release, tmpdir, totalmem } from 'node:os'

/** What the figures were measured on, and how busy it was before anything was measured. */
export function machine(): string {
  const processors = cpus()
  return [
    `${processors.length} x ${processors[0]?.model.trim() ?? 'unknown processor'}`,
    `${Math.round(totalmem() / 1e9)} GB`,
    `Linux ${release()}`,
    `Node ${process.version}`,
    `state in ${tmpdir()}`,
    `load before: ${loadavg()[0]!.toFixed(1)}`,
  ].join(', ')
}
