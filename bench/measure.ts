import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/** One figure, ours beside one peer's, with a value for each round. */
export interface Figure {
  /** Stable: what `--json` calls it. */
  name: string
  unit: string
  values: number[]
  /** The program it is compared with, or null where there is none. */
  peer: string | null
  peerValues: number[]
}

/** A figure that has no peer. */
export function alone(name: string, unit: string, values: number[]): Figure {
  return { name, unit, values, peer: null, peerValues: [] }
}

/** Our name among the contenders. */
export const OURS = 'hearth'

/** A figure of ours beside that of each other contender; alone where there is none. */
export function beside<T>(
  name: string,
  unit: string,
  results: ReadonlyMap<string, readonly T[]>,
  value: (result: T) => number,
): Figure[] {
  const values = results.get(OURS)!.map(value)
  const figures = [...results]
    .filter(([contender]) => contender !== OURS)
    .map(([peer, theirs]) => ({ name, unit, values, peer, peerValues: theirs.map(value) }))
  return figures.length > 0 ? figures : [alone(name, unit, values)]
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Measures every contender once per round, one after another, so that a busy minute hits all of them. */
export async function takeTurns<T>(
  rounds: number,
  contenders: ReadonlyMap<string, () => Promise<T>>,
): Promise<Map<string, T[]>> {
  const results = new Map<string, T[]>([...contenders.keys()].map((name) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const [name, measure] of contenders) results.get(name)!.push(await measure())
  }
  return results
}

/** A process and all of its descendants. */
export function processTree(pid: number): number[] {
  const parents = new Map<number, number>()
  for (const entry of readdirSync('/proc')) {
    if (/^\d+$/.test(entry)) parents.set(Number(entry), parentOf(Number(entry)))
  }
  const tree = [pid]
  for (const member of tree) {
    for (const [child, parent] of parents) if (parent === member) tree.push(child)
  }
  return tree
}

/** Processor time, user and system, of a process with its threads and descendants, in microseconds. */
export function cpuMicros(pid: number): number {
  let ticks = 0
  for (const member of processTree(pid)) {
    const fields = statFields(member)
    // utime and stime: fields 14 and 15 of proc(5), counted from 1 with the two that were cut off.
    ticks += Number(fields[11] ?? 0) + Number(fields[12] ?? 0)
  }
  return ticks * microsPerTick()
}

/** Resident memory (VmRSS) of a process with its descendants, in megabytes of 10^6 octets. */
export function residentMegabytes(pid: number): number {
  let kibibytes = 0
  for (const member of processTree(pid)) {
    const status = readFileSync(`/proc/${member}/status`, 'utf8')
    kibibytes += Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0)
  }
  return (kibibytes * 1024) / 1e6
}

let tick: number | null = null

function microsPerTick(): number {
  tick ??= 1e6 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))
  return tick
}

function parentOf(pid: number): number {
  return Number(statFields(pid)[1] ?? 0)
}

/** What follows the program's name in /proc/PID/stat, from the state on; empty when the process is gone. */
function statFields(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
  } catch {
    return []
  }
}
