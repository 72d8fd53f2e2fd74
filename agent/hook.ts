import { spawn } from 'node:child_process'
import { resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { MINUTE, SECOND } from '../base/clock.ts'
import { AgentError } from './errors.ts'

export interface HookOptions {
  /** For `sh -c`. */
  command: string
  /** The certificate's directory, in the hook's environment as `HEARTH_OUT`, absolute. */
  out: string
  /** In the hook's environment as `HEARTH_SERIAL`. */
  serial: string
  signal: AbortSignal | undefined
}

const TIME_LIMIT = 2 * MINUTE

/** How long to read on after the hook has ended. */
const LAST_OUTPUT = SECOND / 4

/** How much of the end of the hook's output an error repeats. */
const OUTPUT_LENGTH = 1000

/**
 * Runs what makes programs take up the new certificate, for instance `nginx -s reload`.
 *
 * After two minutes, or on the signal, it is killed with everything it started.
 *
 * @throws {AgentError} `HOOK_FAILED` with the end of what it wrote.
 */
export async function runHook({ command, out, serial, signal }: HookOptions): Promise<void> {
  signal?.throwIfAborted()
  const hook = spawn('sh', ['-c', command], {
    env: { ...process.env, HEARTH_OUT: resolve(out), HEARTH_SERIAL: serial },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let output = ''
  const keep = (chunk: Buffer) => {
    output = (output + chunk.toString('utf8')).slice(-OUTPUT_LENGTH)
  }
  hook.stdout.on('data', keep)
  hook.stderr.on('data', keep)

  const limit = AbortSignal.timeout(TIME_LIMIT)
  const ended = signal === undefined ? limit : AbortSignal.any([signal, limit])
  const kill = () => killGroup(hook.pid)
  ended.addEventListener('abort', kill)
  const closed = new Promise((done) => hook.on('close', done))
  const how = await new Promise<string | null>((done) => {
    hook.on('error', (error) => done(`could not be started (${error.message})`))
    hook.on('exit', (code, killed) => done(code === 0 ? null : `ended with ${killed ?? code}`))
  })
  ended.removeEventListener('abort', kill)
  // A daemon that the hook leaves behind may keep the pipes open for ever.
  await Promise.race([closed, setTimeout(LAST_OUTPUT)])
  hook.stdout.destroy()
  hook.stderr.destroy()

  signal?.throwIfAborted()
  if (how === null) return
  const problem = limit.aborted ? 'was stopped after two minutes' : how
  throw new AgentError(
    'HOOK_FAILED',
    `the certificate is renewed, but the hook "${command}" ${problem}${output.trim() === '' ? '' : `: ${output.trim()}`}. It runs again at the next renew`,
  )
}

/** The hook leads a process group of its own, so that its children end with it. */
function killGroup(leader: number | undefined): void {
  if (leader === undefined) return
  try {
    process.kill(-leader, 'SIGKILL')
  } catch {
    // It ended by itself meanwhile.
  }
}
