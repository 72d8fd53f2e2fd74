import { randomBytes } from 'node:crypto'
import { rfc3339 } from '../base/clock.ts'
import { HearthError } from '../base/errors.ts'
import type { Seal } from '../ca/seal.ts'
import { secretLength, TSIG_ALGORITHMS, type TsigAlgorithm, type TsigKey } from '../dns/tsig.ts'
import type { Store } from '../store/database.ts'
import { deleteTsigKey, insertTsigKey, listTsigKeys } from '../store/tsigKeys.ts'

export type DnsKeyErrorCode =
  | 'KEY_NAME_INVALID'
  | 'KEY_NAME_TAKEN'
  | 'KEY_USELESS'
  | 'KEY_UNKNOWN'
  | 'TOO_MANY_KEYS'

export class DnsKeyError extends HearthError<DnsKeyErrorCode> {}

/** One for each program that changes or copies the zone. */
const MAX_KEYS = 64

/** A key as it may be shown: everything but the secret. */
export interface ShownDnsKey {
  name: string
  algorithm: string
  update: boolean
  transfer: boolean
  added: string
}

/** The keys of programs that change or copy the home's zones, sealed in the database. */
export class DnsKeys {
  readonly #store: Store
  readonly #seal: Seal
  readonly #onChange: (keys: TsigKey[]) => Promise<void> | void

  /** @param options.onChange Told all keys after each change, before the change is reported as done. */
  constructor(options: { store: Store; seal: Seal; onChange: (keys: TsigKey[]) => Promise<void> | void }) {
    this.#store = options.store
    this.#seal = options.seal
    this.#onChange = options.onChange
  }

  /**
   * Makes a key. Its secret, base64, is told this once.
   *
   * @throws {DnsKeyError} every code but `KEY_UNKNOWN`.
   */
  async add(
    wanted: { name: string; algorithm: TsigAlgorithm; update: boolean; transfer: boolean },
    actor: string,
  ): Promise<{ name: string; algorithm: string; update: boolean; transfer: boolean; secret: string }> {
    const { algorithm, update, transfer } = wanted
    const name = keyName(wanted.name)
    if (!update && !transfer) {
      throw new DnsKeyError(
        'KEY_USELESS',
        'a key without rights is of no use: add --update for a program that changes the zone, --transfer for a server that copies it',
      )
    }
    const secret = randomBytes(secretLength(algorithm))
    await this.#store.transaction(async (tx) => {
      const keys = await listTsigKeys(tx.db)
      if (keys.some((key) => key.name === name)) {
        throw new DnsKeyError(
          'KEY_NAME_TAKEN',
          `there is a key ${name} already: choose another name, or say "hearth dns key remove ${name}" first`,
        )
      }
      if (keys.length >= MAX_KEYS) {
        throw new DnsKeyError(
          'TOO_MANY_KEYS',
          `there are ${MAX_KEYS} keys already: remove one that is not used`,
        )
      }
      await insertTsigKey(tx, {
        name,
        algorithm,
        sealed: this.#seal.close(sealId(name), secret),
        may_update: Number(update),
        may_transfer: Number(transfer),
      })
      await tx.audit({
        actor,
        action: 'dns.key.add',
        subject: name,
        outcome: 'done',
        detail: `${algorithm}; may ${[update && 'update', transfer && 'transfer'].filter(Boolean).join(' and ')}`,
      })
    })
    await this.#onChange(await this.open())
    return { name, algorithm, update, transfer, secret: secret.toString('base64') }
  }

  async list(): Promise<ShownDnsKey[]> {
    return (await listTsigKeys(this.#store.db)).map((row) => ({
      name: row.name,
      algorithm: row.algorithm,
      update: row.may_update === 1,
      transfer: row.may_transfer === 1,
      added: rfc3339(row.created_at),
    }))
  }

  /**
   * Ends a key: from now on what is signed with it is refused.
   *
   * @throws {DnsKeyError} `KEY_NAME_INVALID` or `KEY_UNKNOWN`
   */
  async remove(typed: string, actor: string): Promise<{ name: string }> {
    const name = keyName(typed)
    await this.#store.transaction(async (tx) => {
      if (!(await deleteTsigKey(tx, name))) {
        throw new DnsKeyError(
          'KEY_UNKNOWN',
          `there is no key ${name}; "hearth dns key list" shows those there are`,
        )
      }
      await tx.audit({ actor, action: 'dns.key.remove', subject: name, outcome: 'done', detail: '' })
    })
    await this.#onChange(await this.open())
    return { name }
  }

  /** All keys with their secrets, for the DNS. @throws {SealError} */
  async open(): Promise<TsigKey[]> {
    return (await listTsigKeys(this.#store.db)).map((row) => ({
      name: row.name,
      algorithm: TSIG_ALGORITHMS.find((algorithm) => algorithm === row.algorithm)!,
      secret: this.#seal.open(sealId(row.name), row.sealed),
      mayUpdate: row.may_update === 1,
      mayTransfer: row.may_transfer === 1,
    }))
  }
}

/** Apart from the ids of private keys, which are serial numbers. */
const sealId = (name: string): string => `tsig ${name}`

function keyName(typed: string): string {
  const name = typed.toLowerCase().replace(/\.$/, '')
  if (
    name.length > 200 ||
    !/^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(name)
  ) {
    throw new DnsKeyError(
      'KEY_NAME_INVALID',
      `"${typed.slice(0, 60)}" cannot be the name of a key: write a name of letters, digits and hyphens, such as secondary or kea.home.arpa`,
    )
  }
  return name
}
