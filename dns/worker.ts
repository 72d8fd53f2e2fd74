import { parentPort } from 'node:worker_threads'
import { Channel } from '../base/channel.ts'
import { systemClock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import { stopLoop } from './fast/state.ts'
import { DnsServer, type DnsServerOptions } from './server.ts'
import type { ApplyUpdate } from './updateGate.ts'

/** What a server needs that does not go through a channel, and is made on its own side. */
export type LocalOptions = 'clock' | 'log' | 'onFailure' | 'update'

/** What the main thread may call. */
export type WorkerFunctions = ReturnType<typeof functionsOf>

/** What this thread may call. */
export interface MainFunctions {
  update: ApplyUpdate
  log(level: LogMethod, fields: object, message: string): void
}

export type LogMethod = 'debug' | 'info' | 'warn' | 'error'

const channel = new Channel<MainFunctions>(parentPort!, functionsOf())

function functionsOf() {
  let server: DnsServer
  // Also when this thread ends by an exception.
  process.on('exit', () => {
    const handle = server?.stopHandle ?? null
    if (handle !== null) stopLoop(handle)
  })
  return {
    start: async (options: Omit<DnsServerOptions, LocalOptions> & { takesUpdates: boolean }) => {
      server = new DnsServer({
        ...options,
        ...(options.takesUpdates && { update: (request) => channel.call('update', request) }),
        clock: systemClock,
        log: logThrough(),
        onFailure: (error) => {
          throw error
        },
      })
      await server.start()
      return { port: server.port, dotPort: server.dotPort, stopHandle: server.stopHandle }
    },
    replaceZone: (...args: Parameters<DnsServer['replaceZone']>) => void server.replaceZone(...args),
    patchZone: (...args: Parameters<DnsServer['patchZone']>) => void server.patchZone(...args),
    setKeys: (...args: Parameters<DnsServer['setKeys']>) => server.setKeys(...args),
    setCertificate: (...args: Parameters<DnsServer['setCertificate']>) => server.setCertificate(...args),
    figures: () => server.figures(),
    flushQueryLog: () => server.flushQueryLog(),
    clearQueryLog: () => server.clearQueryLog(),
    explain: (...args: Parameters<DnsServer['explain']>) => server.explain(...args),
    answer: async (...args: Parameters<DnsServer['answer']>) => {
      const response = await server.answer(...args)
      // Copies: with what Node cuts small buffers from, 64 KiB would go to the other thread each time.
      return { ...response, messages: Array.from(response.messages, (message) => new Uint8Array(message)) }
    },
    /** Also where it was never started. */
    close: () => server?.close(),
  }
}

/** Lines for the one log of the daemon, which the main thread writes. */
function logThrough(): Log {
  const line =
    (level: LogMethod) =>
    (fields: object | string, message = '') =>
      void (typeof fields === 'string'
        ? channel.call('log', level, {}, fields)
        : channel.call('log', level, fields, message))
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') } as Log
}
