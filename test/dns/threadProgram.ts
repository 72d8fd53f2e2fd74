import { createSocket } from 'node:dgram'
import { closeSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { DnsThread } from '../../dns/dnsThread.ts'
import { serverOptions } from './harness.ts'

/**
 * A program with a DNS thread, for tests of how programs end. It prints its port and then does what its
 * first argument says.
 */
const { clock: _clock, onFailure: _onFailure, log, ...options } = serverOptions()
const thread = new DnsThread({
  cacheOctets: options.cache.octets,
  log,
  onFailure: (error) => {
    process.stdout.write(`failed: ${error.message}\n`)
    process.exit(3)
  },
})
const starting = thread.start({ ...options, udp: 'thread' })
if (process.argv[2] === 'exit during the start') {
  // Without a turn of the event loop: this thread has not heard yet how the other one is woken up.
  while (!threadNames().includes('dns-udp')) pause(10)
  pause(500)
  process.stdout.write('listening\n')
  process.exit(7)
}
await starting
process.stdout.write(`${thread.port}\n`)

const ways: Record<string, () => unknown> = {
  close: () => thread.close(),
  exit: () => process.exit(7),
  throw: () => {
    setImmediate(() => {
      throw new Error('thrown on purpose')
    })
  },
  reject: () => {
    void Promise.reject(new Error('rejected on purpose'))
  },
  'close and exit': () => {
    void thread.close()
    process.exit(7)
  },
  wait: () => {},
  fail: () => {
    closeSync(descriptorOf(thread.port))
    const socket = createSocket('udp4')
    socket.send('wake up', thread.port, '127.0.0.1', () => socket.close())
  },
}
await ways[process.argv[2]!]!()

function threadNames(): string[] {
  return readdirSync('/proc/self/task').map((id) => readFileSync(`/proc/self/task/${id}/comm`, 'utf8').trim())
}

function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}

/** The descriptor of this process's UDP socket on a port, as Linux lists them. */
function descriptorOf(port: number): number {
  const hex = port.toString(16).toUpperCase().padStart(4, '0')
  const line = readFileSync('/proc/self/net/udp', 'utf8')
    .split('\n')
    .find((text) => text.includes(`0100007F:${hex} `))
  const inode = line!.trim().split(/\s+/)[9]
  return readdirSync('/proc/self/fd')
    .map(Number)
    .find((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`) === `socket:[${inode}]`
      } catch {
        return false
      }
    })!
}
