import { ulid } from 'ulid'
import type { Store } from '../store/database.ts'
import { readSetting, writeSetting } from '../store/settings.ts'

/** The id of this gateway, made at its first start: issuers and keys in a shared database belong to it. */
export async function openInstance(store: Store): Promise<{ id: string; first: boolean }> {
  return store.transaction(async (tx) => {
    const known = await readSetting(tx.db, 'instance_id')
    if (known !== null) return { id: known, first: false }
    const id = ulid(tx.now)
    await writeSetting(tx.db, 'instance_id', id)
    return { id, first: true }
  })
}
