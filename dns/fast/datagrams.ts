import { MAX_QUERY, UDP_PAYLOAD } from '../payload.ts'
import type { Libc } from './libc.ts'

/** Datagrams that one system call takes or sends. */
export const BATCH = 64

/** Octets of a query that are taken; one more tells that there was more. */
export const QUERY_ROOM = MAX_QUERY + 1
/** `sockaddr_in6` has 28 octets, `sockaddr_in` 16. */
export const ADDRESS_ROOM = 28
/** A control message with the address that was asked: 32 octets for IPv4, 40 for IPv6. */
export const CONTROL_ROOM = 40

/** `struct mmsghdr` on 64 bits: a `msghdr` of 56 octets, the count of octets taken or sent, and padding. */
const HEADER = {
  size: 64,
  name: 0,
  nameLength: 8,
  iov: 16,
  iovCount: 24,
  control: 32,
  controlLength: 40,
  flags: 48,
  length: 56,
}
const IOVEC = { size: 16, base: 0, length: 8 }

const MSG_DONTWAIT = 0x40
const MSG_TRUNC = 0x20

const EINTR = 4

const aligned = (octets: number): number => Math.ceil(octets / 8) * 8

/** Octets of each part of a slot, from its start. */
const SLOT = {
  query: 0,
  reply: aligned(QUERY_ROOM),
  sender: aligned(QUERY_ROOM) + aligned(UDP_PAYLOAD),
  control: aligned(QUERY_ROOM) + aligned(UDP_PAYLOAD) + aligned(ADDRESS_ROOM),
  size: aligned(QUERY_ROOM) + aligned(UDP_PAYLOAD) + aligned(ADDRESS_ROOM) + aligned(CONTROL_ROOM),
}

/**
 * Room for a batch of datagrams, and the structures by which the kernel fills and empties it.
 *
 * Slot `i` has a query, the address it came from, the control message that says which of our addresses
 * was asked, and room for the reply. A reply goes back with the same address and control message, and so
 * leaves from the address that was asked, also on a socket bound to all of them.
 *
 * @see recvmmsg(2), sendmmsg(2), ip(7) for IP_PKTINFO.
 */
export class DatagramBatch {
  /** Octets that a batch takes of the memory it is given. */
  static readonly size = BATCH * (SLOT.size + 2 * (HEADER.size + IOVEC.size))

  readonly memory: Uint8Array
  readonly #libc: Libc
  readonly #words: Uint32Array
  readonly #slots: number
  readonly #received: Headers
  readonly #staged: Headers
  #count = 0

  /** `start` is a multiple of 8. */
  constructor(libc: Libc, memory: Uint8Array, start: number) {
    this.#libc = libc
    this.memory = memory
    this.#words = new Uint32Array(memory.buffer, memory.byteOffset, memory.length >> 2)
    this.#slots = start
    const address = libc.addressOf(memory)
    const headersAt = start + BATCH * SLOT.size
    const headersSize = BATCH * (HEADER.size + IOVEC.size)
    this.#received = new Headers(memory, address, headersAt)
    this.#staged = new Headers(memory, address, headersAt + headersSize)
    for (let slot = 0; slot < BATCH; slot += 1) {
      this.#received.point(slot, this.queryAt(slot), QUERY_ROOM, this.senderAt(slot), this.#controlAt(slot))
    }
  }

  queryAt(slot: number): number {
    return this.#slots + slot * SLOT.size + SLOT.query
  }

  replyAt(slot: number): number {
    return this.#slots + slot * SLOT.size + SLOT.reply
  }

  /** Where the `sockaddr` of the sender lies. */
  senderAt(slot: number): number {
    return this.#slots + slot * SLOT.size + SLOT.sender
  }

  #controlAt(slot: number): number {
    return this.#slots + slot * SLOT.size + SLOT.control
  }

  /** Takes what waits at a socket, without waiting; how many datagrams that are. */
  receive(fd: number): number {
    for (let slot = 0; slot < BATCH; slot += 1) {
      const header = this.#received.wordAt(slot)
      this.#words[header + (HEADER.nameLength >> 2)] = ADDRESS_ROOM
      this.#words[header + (HEADER.controlLength >> 2)] = CONTROL_ROOM
    }
    const count = this.#libc.recvmmsg(fd, this.#received.address, BATCH, MSG_DONTWAIT, 0)
    return Math.max(0, count)
  }

  /** Octets of a query that was received; more than there is room for count as one more. */
  queryLength(slot: number): number {
    const header = this.#received.wordAt(slot)
    const cut = (this.#words[header + (HEADER.flags >> 2)]! & MSG_TRUNC) !== 0
    return cut ? QUERY_ROOM : this.#words[header + (HEADER.length >> 2)]!
  }

  /** The way back to a sender, to keep while the answer is looked for: its address and control message. */
  envelope(slot: number): Uint8Array {
    const header = this.#received.wordAt(slot)
    const senderLength = this.#words[header + (HEADER.nameLength >> 2)]!
    const controlLength = this.#words[header + (HEADER.controlLength >> 2)]!
    const envelope = new Uint8Array(1 + senderLength + controlLength)
    envelope[0] = senderLength
    envelope.set(this.memory.subarray(this.senderAt(slot), this.senderAt(slot) + senderLength), 1)
    const control = this.#controlAt(slot)
    envelope.set(this.memory.subarray(control, control + controlLength), 1 + senderLength)
    return envelope
  }

  /** Puts the first `length` octets at `replyAt(slot)` up for sending, to where the slot's query came from. */
  reply(slot: number, length: number): void {
    const from = this.#received.wordAt(slot)
    const to = this.#staged.point(
      this.#count,
      this.replyAt(slot),
      length,
      this.senderAt(slot),
      this.#controlAt(slot),
    )
    this.#words[to + (HEADER.nameLength >> 2)] = this.#words[from + (HEADER.nameLength >> 2)]!
    this.#words[to + (HEADER.controlLength >> 2)] = this.#words[from + (HEADER.controlLength >> 2)]!
    this.#count += 1
  }

  /** Puts a response up for sending by an envelope from earlier. Sends first what is up, if that fills the batch. */
  post(fd: number, envelope: Uint8Array, response: Uint8Array): void {
    if (this.#count === BATCH) this.send(fd)
    const slot = this.#count
    const senderLength = envelope[0]!
    this.memory.set(response, this.replyAt(slot))
    this.memory.set(envelope.subarray(1, 1 + senderLength), this.senderAt(slot))
    this.memory.set(envelope.subarray(1 + senderLength), this.#controlAt(slot))
    const header = this.#staged.point(
      slot,
      this.replyAt(slot),
      response.length,
      this.senderAt(slot),
      this.#controlAt(slot),
    )
    this.#words[header + (HEADER.nameLength >> 2)] = senderLength
    this.#words[header + (HEADER.controlLength >> 2)] = envelope.length - 1 - senderLength
    this.#count += 1
  }

  /**
   * Sends what was put up. A datagram that the kernel refuses is left out, as one lost on the way would
   * be, and the rest is sent.
   *
   * @returns how many were sent.
   */
  send(fd: number): number {
    let done = 0
    let sent = 0
    while (done < this.#count) {
      const at = this.#staged.address + done * HEADER.size
      const count = this.#libc.sendmmsg(fd, at, this.#count - done, MSG_DONTWAIT)
      if (count > 0) {
        sent += count
        done += count
      } else if (this.#libc.errno() !== EINTR) {
        done += 1
      }
    }
    this.#count = 0
    return sent
  }
}

/** An array of `struct mmsghdr`, each with an `iovec` of its own. */
class Headers {
  /** Of the first one, as the kernel wants it. */
  readonly address: number
  readonly #memoryAddress: number
  readonly #start: number
  readonly #view: DataView

  constructor(memory: Uint8Array, memoryAddress: number, start: number) {
    this.#memoryAddress = memoryAddress
    this.#start = start
    this.address = memoryAddress + start
    this.#view = new DataView(memory.buffer, memory.byteOffset, memory.length)
    for (let index = 0; index < BATCH; index += 1) {
      const header = start + index * HEADER.size
      const iov = start + BATCH * HEADER.size + index * IOVEC.size
      this.#setPointer(header + HEADER.iov, iov)
      this.#setLength(header + HEADER.iovCount, 1)
    }
  }

  /** The index of a header's first word among the memory's words of 32 bits. */
  wordAt(index: number): number {
    return (this.#start + index * HEADER.size) >> 2
  }

  /** Lets a header speak of these octets, this address and this control message; where its first word is. */
  point(index: number, octets: number, length: number, sender: number, control: number): number {
    const header = this.#start + index * HEADER.size
    const iov = this.#start + BATCH * HEADER.size + index * IOVEC.size
    this.#setPointer(header + HEADER.name, sender)
    this.#setPointer(header + HEADER.control, control)
    this.#setPointer(iov + IOVEC.base, octets)
    this.#setLength(iov + IOVEC.length, length)
    return header >> 2
  }

  #setPointer(at: number, offset: number): void {
    const address = this.#memoryAddress + offset
    this.#view.setUint32(at, address % 2 ** 32, true)
    this.#view.setUint32(at + 4, Math.floor(address / 2 ** 32), true)
  }

  #setLength(at: number, length: number): void {
    this.#view.setUint32(at, length, true)
    this.#view.setUint32(at + 4, 0, true)
  }
}
