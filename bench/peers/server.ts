import { spawn } from 'node:child_process'
import { Resolver } from 'node:dns/promises'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../test/support/ports.ts'
import { processTree } from '../measure.ts'
import type { Session } from '../session.ts'

/** A server that others wrote, running for as long as the subject lasts. */
export interface Peer {
  name: string
  pid: number
  port: number
  /** Ends it before the subject is done. */
  end: () => Promise<void>
}

const READY_TRIES = 100
const READY_PAUSE = 100

/**
 * Starts a peer on a free port and waits until it answers; null, with a note, if it is not installed or
 * does not start.
 *
 * @param program.args Made for the port.
 * @param program.ready Whether it answers.
 */
export async function startPeer(
  session: Session,
  program: {
    name: string
    command: string
    args: (port: number) => string[]
    cwd: string
    ready: (port: number) => Promise<boolean>
  },
): Promise<Peer | null> {
  const port = await freePort()
  const child = spawn(program.command, program.args(port), {
    cwd: program.cwd,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let log = ''
  child.stderr.on('data', (data: Buffer) => {
    log = (log + data).slice(-1000)
  })
  const failed = new Promise<string>((resolve) => {
    child.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code === 'ENOENT' ? 'is not installed (scripts/install-peers.sh)' : error.message),
    )
    child.once('exit', (code) => resolve(`ended with ${code}: ${log.trim()}`))
  })
  let failure: string | null = null
  failed.then((reason) => {
    failure = reason
  })
  const { pid } = child
  const end = async () => {
    if (pid !== undefined) await endTree(pid)
  }
  session.defer(end)
  for (let tries = 0; tries < READY_TRIES && failure === null; tries++) {
    if (pid !== undefined && (await program.ready(port))) return { name: program.name, pid, port, end }
    await sleep(READY_PAUSE)
  }
  session.note(`no figures for ${program.name}: it ${failure ?? 'does not answer'}`)
  return null
}

/** Ends a process that we started, and its descendants after it: a parent would only start them again. */
async function endTree(pid: number): Promise<void> {
  const tree = processTree(pid)
  signal(tree, 'SIGTERM')
  await sleep(300)
  signal(tree, 'SIGKILL')
}

function signal(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, name)
    } catch {
      // Gone already.
    }
  }
}

/** Writes a peer's configuration into its directory; the path. */
export function written(directory: string, name: string, text: string): string {
  const path = join(directory, name)
  writeFileSync(path, text)
  return path
}

/** Whether a DNS server gives a name its address. */
export const resolves =
  ({ name, address }: { name: string; address: string }) =>
  async (port: number): Promise<boolean> => {
    const resolver = new Resolver({ timeout: 200, tries: 1 })
    resolver.setServers([`127.0.0.1:${port}`])
    try {
      return (await resolver.resolve4(name)).includes(address)
    } catch {
      return false
    }
  }
