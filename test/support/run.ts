import { spawn } from 'node:child_process'

export interface Outcome {
  code: number | null
  stdout: string
  stderr: string
  /** Both, in the order in which they came. */
  output: string
}

/** Runs a program to its end. Never throws for what the program does; throws if it is not there. */
export function run(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string>; input?: string | Buffer } = {},
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      timeout: 60_000,
    })
    const outcome: Outcome = { code: null, stdout: '', stderr: '', output: '' }
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream].on('data', (data: Buffer) => {
        outcome[stream] += data
        outcome.output += data
      })
    }
    child.stdin.on('error', () => {}) // it may end before it has read everything
    child.on('error', reject)
    child.on('close', (code) => resolve({ ...outcome, code }))
    child.stdin.end(options.input)
  })
}
