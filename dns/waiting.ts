/**
 * Counts who waits, in all and for each client, so that no client takes all the places.
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
  enter(client: string): boolean {
    const own = this.#clients.get(client) ?? 0
    if (this.#total >= this.#limits.total || own >= this.#limits.perClient) return false
    this.#clients.set(client, own + 1)
    this.#total += 1
    return true
  }

  leave(client: string): void {
    const own = this.#clients.get(client)! - 1
    if (own === 0) this.#clients.delete(client)
    else this.#clients.set(client, own)
    this.#total -= 1
  }
}
