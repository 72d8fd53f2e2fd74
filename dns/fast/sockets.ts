import { addressOctets } from '../../base/ip.ts'
import type { Libc } from './libc.ts'

const AF_INET = 2
const AF_INET6 = 10
const SOCK_DGRAM = 2
const SOCK_NONBLOCK = 0o4000
const SOCK_CLOEXEC = 0o2000000

const SOL_SOCKET = 1
const SO_RCVBUF = 8
const SO_SNDBUF = 7
const IPPROTO_IP = 0
const IP_PKTINFO = 8
const IPPROTO_IPV6 = 41
const IPV6_V6ONLY = 26
const IPV6_RECVPKTINFO = 49

/** The errors of `bind` that a person can do something about, by number (asm-generic/errno.h). */
const ERRORS: Record<number, string> = {
  1: 'EPERM',
  13: 'EACCES',
  97: 'EAFNOSUPPORT',
  98: 'EADDRINUSE',
  99: 'EADDRNOTAVAIL',
}

/**
 * A UDP socket bound to an address, as a file descriptor.
 *
 * Bound to all addresses it is told with each query which one was asked, so that the answer can leave
 * from there.
 *
 * @returns the descriptor and the port, which is chosen if 0 is asked for.
 * @throws an error with the system's `code`, as Node's own sockets do.
 */
export function openUdpSocket(
  libc: Libc,
  address: string,
  port: number,
  bufferSize: number,
): { fd: number; port: number } {
  const octets = addressOctets(address)
  if (octets === null) throw new TypeError(`${address} is no IP address`)
  const isIpv6 = octets.length === 16
  const fd = libc.socket(isIpv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
  if (fd < 0) throw systemError(libc, 'socket')
  try {
    const set = (level: number, option: number, value: number) => {
      const word = Int32Array.of(value)
      const bytes = new Uint8Array(word.buffer)
      if (libc.setsockopt(fd, level, option, libc.addressOf(bytes), 4) < 0)
        throw systemError(libc, 'setsockopt')
    }
    set(SOL_SOCKET, SO_RCVBUF, bufferSize)
    set(SOL_SOCKET, SO_SNDBUF, bufferSize)
    if (isIpv6) set(IPPROTO_IPV6, IPV6_V6ONLY, 1)
    if (octets.every((octet) => octet === 0)) {
      if (isIpv6) set(IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
      else set(IPPROTO_IP, IP_PKTINFO, 1)
    }
    const name = socketAddress(octets, port)
    if (libc.bind(fd, libc.addressOf(name), name.length) < 0) throw systemError(libc, 'bind')
    return { fd, port: boundPort(libc, fd, name.length) }
  } catch (error) {
    libc.close(fd)
    throw error
  }
}

/** A `sockaddr_in` or `sockaddr_in6`. */
function socketAddress(octets: Uint8Array, port: number): Uint8Array {
  const isIpv6 = octets.length === 16
  const name = new Uint8Array(isIpv6 ? 28 : 16)
  name[0] = isIpv6 ? AF_INET6 : AF_INET
  name[2] = port >> 8
  name[3] = port & 0xff
  name.set(octets, isIpv6 ? 8 : 4)
  return name
}

function boundPort(libc: Libc, fd: number, length: number): number {
  const name = new Uint8Array(length)
  const nameLength = new Uint8Array(Uint32Array.of(length).buffer)
  if (libc.getsockname(fd, libc.addressOf(name), libc.addressOf(nameLength)) < 0) {
    throw systemError(libc, 'getsockname')
  }
  return (name[2]! << 8) | name[3]!
}

/** Where the IP address lies in a `sockaddr`, and how many octets it has. */
export function addressIn(family: number): { at: number; length: number } {
  return family === AF_INET6 ? { at: 8, length: 16 } : { at: 4, length: 4 }
}

function systemError(libc: Libc, call: string): NodeJS.ErrnoException {
  const errno = libc.errno()
  const code = ERRORS[errno] ?? `errno ${errno}`
  return Object.assign(new Error(`${call} ${code}`), { code, errno, syscall: call })
}
