import type { ZoneHost } from '../../store/zone.ts'

/** A device with a name and addresses and nothing else. */
export function host(name: string, ...addresses: string[]): ZoneHost {
  return { id: name, names: [name], addresses, keys: [], services: [] }
}
