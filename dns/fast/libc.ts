import { createRequire } from 'node:module'
import type * as koffi from 'koffi'

type Koffi = typeof koffi

/**
 * The system calls that Node has no door to, as C knows them. Pointers are addresses as numbers: nothing
 * is converted on the way, which is what makes a call cost about a microsecond.
 *
 * A result below zero means that the call failed; `errno` then says how.
 */
export interface Libc {
  socket(domain: number, type: number, protocol: number): number
  bind(fd: number, address: number, length: number): number
  getsockname(fd: number, address: number, length: number): number
  setsockopt(fd: number, level: number, option: number, value: number, length: number): number
  poll(fds: number, count: number, timeout: number): number
  eventfd(initial: number, flags: number): number
  read(fd: number, into: number, count: number): number
  close(fd: number): number
  recvmmsg(fd: number, messages: number, count: number, flags: number, timeout: number): number
  sendmmsg(fd: number, messages: number, count: number, flags: number): number
  errno(): number
  /** Where the octets lie. They stay there as long as the array lives: its memory is outside V8's heap. */
  addressOf(octets: Uint8Array): number
}

/**
 * The C library of this process; null where it cannot be called.
 *
 * Only Linux on 64 bits in little-endian order, which x64 and arm64 are: the layouts in datagrams.ts hold
 * there and nowhere else.
 */
export function openLibc(): Libc | null {
  if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) return null
  try {
    return bindLibc(createRequire(import.meta.url)('koffi') as Koffi)
  } catch {
    return null
  }
}

function bindLibc(koffi: Koffi): Libc {
  const c = koffi.load(null)
  return {
    socket: c.func('int socket(int, int, int)'),
    bind: c.func('int bind(int, uintptr_t, uint32_t)'),
    getsockname: c.func('int getsockname(int, uintptr_t, uintptr_t)'),
    setsockopt: c.func('int setsockopt(int, int, int, uintptr_t, uint32_t)'),
    poll: c.func('int poll(uintptr_t, unsigned long, int)'),
    eventfd: c.func('int eventfd(unsigned int, int)'),
    read: c.func('long read(int, uintptr_t, unsigned long)'),
    close: c.func('int close(int)'),
    recvmmsg: c.func('int recvmmsg(int, uintptr_t, unsigned int, int, uintptr_t)'),
    sendmmsg: c.func('int sendmmsg(int, uintptr_t, unsigned int, int)'),
    errno: () => koffi.errno(),
    addressOf: (octets) => Number(koffi.address(octets)),
  }
}
