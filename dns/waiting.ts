import { addressOctets } from '../base/ip.ts'

/**
 * Counts who waits, in all and for each client, so that no client takes all the places. A client is an IPv4
 * address or a /64: in its own IPv6 network a host has as many addresses as it likes.
 *
 * Whoever has entered must leave.
 */
export class Waiting {
  readonly #limits: { total: number; perClient: number }
  readonly #clients = new Map<string, number>()
  #total = 0

  constructor(limits: { total: number; perClient: number }) {
    this.#limits = limits
  }

  /** False if there is no place left, or none for this client. */
  enter(address: string): boolean {
    const client = clientOf(address)
    const own = this.#clients.get(client) ?? 0
    if (this.#total >= this.#limits.total || own >= this.#limits.perClient) return false
    this.#clients.set(client, own + 1)
    this.#total += 1
    return true
  }

  leave(address: string): void {
    const client = clientOf(address)
    const own = this.#clients.get(client)! - 1
    if (own === 0) this.#clients.delete(client)
    else this.#clients.set(client, own)
    this.#total -= 1
  }
}

function clientOf(address: string): string {
  if (!address.includes(':')) return address
  return addressOctets(address.replace(/%.*/, ''))?.subarray(0, 8).join() ?? address
}
