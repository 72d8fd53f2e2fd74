import { addressText } from '../../base/ip.ts'
import { Name } from '../../wire/name.ts'
import { CLASS, RCODE, TYPE } from '../../wire/registry.ts'
import { scrub } from '../scrub.ts'
import type { UpstreamGroup } from './group.ts'
import type { HostFinder } from './https.ts'
import { settleOnce } from './link.ts'

/**
 * Finds the hosts of DNS over HTTPS by asking upstreams that need no finding.
 *
 * What was found is kept for good, so that an upstream in use does not depend on another one. Only when
 * none of a host's addresses could be reached, it is looked up again.
 */
export class Bootstrap implements HostFinder {
  readonly #group: UpstreamGroup
  readonly #isPrivate: (name: Name) => boolean
  /** Addresses of each host, the next to be tried first. */
  readonly #found = new Map<string, string[]>()
  readonly #looking = new Map<string, Promise<string[]>>()

  /** `isPrivate` tells the names that these upstreams must not be asked about. */
  constructor(group: UpstreamGroup, isPrivate: (name: Name) => boolean) {
    this.#group = group
    this.#isPrivate = isPrivate
  }

  async find(host: string, signal: AbortSignal): Promise<string> {
    const known = this.#found.get(host)?.[0]
    if (known !== undefined) return known
    let looking = this.#looking.get(host)
    if (looking === undefined) {
      looking = this.#lookUp(host).finally(() => this.#looking.delete(host))
      // Whoever waits hears of a failure; there may be nobody any more.
      looking.catch(() => {})
      this.#looking.set(host, looking)
    }
    const shared = looking
    const [first] = await settleOnce<string[]>(
      signal,
      (resolve, reject) => shared.then(resolve, reject),
      () => {},
    )
    return first!
  }

  passOver(host: string, address: string): void {
    const left = this.#found.get(host)?.filter((other) => other !== address) ?? []
    if (left.length > 0) this.#found.set(host, left)
    else this.#found.delete(host)
  }

  async #lookUp(host: string): Promise<string[]> {
    const name = Name.parse(host)
    const advice = `write its address after #, as in https://${host}/dns-query#192.0.2.1`
    if (this.#isPrivate(name)) {
      throw new Error(`${host} is a name of the home or of a forwarded zone and not looked up: ${advice}`)
    }
    const lookups = await Promise.allSettled([this.#ask(name, TYPE.A), this.#ask(name, TYPE.AAAA)])
    const addresses = lookups.flatMap((lookup) => (lookup.status === 'fulfilled' ? lookup.value : []))
    if (addresses.length === 0) throw new Error(`the address of ${host} cannot be found: ${advice}`)
    this.#found.set(host, addresses)
    return addresses
  }

  async #ask(name: Name, type: number): Promise<string[]> {
    const question = { name, type, class: CLASS.IN }
    const { reply } = await this.#group.ask(question, { dnssecOk: false, cd: false }, (message) => {
      const answer = message.rcode === RCODE.NOERROR ? scrub(question, message, false) : null
      return answer === null
        ? { kind: 'nothing', reason: 'it does not know' }
        : { kind: 'answer', reply: answer }
    })
    return reply.answers.filter((record) => record.type === type).map(({ data }) => addressText(data))
  }
}
