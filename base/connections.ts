import type { Socket } from 'node:net'

export interface ConnectionLimits {
  total: number
  perClient: number
  /** Whose connections count together; by default those of one address. */
  clientOf?: (address: string) => string
}

/** Connections held now, refused so far, and cut so far to make room. */
export interface ConnectionCounts {
  open: number
  refused: number
  displaced: number
}

/** A connection's place among those that are held at the same time. */
export interface Hold {
  /** Something is under way on it: it gives way only if no idle one can. Calls count. */
  begin(): void
  end(): void
  /** Gives up the place without closing the connection. */
  release(): void
}

/** One client's connections, the one that was used least recently first. */
type Held = Set<Place>

/**
 * Limits the connections of one or several listeners together, so that one client never keeps others out.
 *
 * A client at its own limit loses its oldest idle connection to its newest. When all places are taken,
 * one of whoever holds most gives way, idle ones first, to a newcomer that holds fewer.
 */
export class Connections {
  readonly #limits: Required<ConnectionLimits>
  readonly #clients = new Map<string, Held>()
  readonly #places = new Map<string, Place>()
  #refused = 0
  #displaced = 0

  constructor(limits: ConnectionLimits) {
    this.#limits = { clientOf: (address) => address, ...limits }
  }

  get counts(): ConnectionCounts {
    return { open: this.#places.size, refused: this.#refused, displaced: this.#displaced }
  }

  /** Takes a connection in until it closes; null if there is no place for it, and then it is destroyed. */
  admit(socket: Socket): Hold | null {
    const client = this.#limits.clientOf(socket.remoteAddress ?? '')
    if (!this.#makeRoom(client)) {
      this.#refused += 1
      socket.destroy()
      return null
    }
    const held = this.#clients.get(client) ?? new Set()
    this.#clients.set(client, held)
    const ends = endsOf(socket)
    const place = new Place(socket, held, () => {
      held.delete(place)
      if (held.size === 0) this.#clients.delete(client)
      this.#places.delete(ends)
    })
    held.add(place)
    this.#places.set(ends, place)
    socket.once('close', () => place.release())
    return place
  }

  /** The place of a connection that was admitted, also if `socket` is what TLS or HTTP/2 made of it. */
  find(socket: Socket): Hold | null {
    return this.#places.get(endsOf(socket)) ?? null
  }

  #makeRoom(client: string): boolean {
    const own = this.#clients.get(client)
    const count = own?.size ?? 0
    if (count >= this.#limits.perClient) return this.#displace(idleOf(own!))
    if (this.#places.size < this.#limits.total) return true
    const most = this.#greediest()
    if (most.size > count) return this.#displace(idleOf(most) ?? first(most))
    return this.#displace(idleOf(own!))
  }

  #greediest(): Held {
    let most: Held = new Set()
    for (const held of this.#clients.values()) if (held.size > most.size) most = held
    return most
  }

  #displace(place: Place | undefined): boolean {
    if (place === undefined) return false
    this.#displaced += 1
    place.release()
    place.socket.destroy()
    return true
  }
}

class Place implements Hold {
  readonly socket: Socket
  readonly #held: Held
  readonly #leave: () => void
  #underWay = 0
  #released = false

  constructor(socket: Socket, held: Held, leave: () => void) {
    this.socket = socket
    this.#held = held
    this.#leave = leave
  }

  get isIdle(): boolean {
    return this.#underWay === 0
  }

  begin(): void {
    this.#underWay += 1
  }

  end(): void {
    this.#underWay -= 1
    if (this.#underWay > 0 || this.#released) return
    this.#held.delete(this)
    this.#held.add(this)
  }

  release(): void {
    if (this.#released) return
    this.#released = true
    this.#leave()
  }
}

function idleOf(held: Held): Place | undefined {
  for (const place of held) if (place.isIdle) return place
  return undefined
}

function first(held: Held): Place | undefined {
  return held.values().next().value
}

/** Both ends of a connection, which no other one has at the same time. */
function endsOf({ localAddress, localPort, remoteAddress, remotePort }: Socket): string {
  return `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`
}
