import { readdirSync, readFileSync } from 'node:fs'

/** A message worth keeping: something in it once was, or easily is, read wrongly. */
export interface KeptMessage {
  file: string
  octets: Buffer
  /** Whether it is broken, and must stay a `WireError`. */
  isRefused: boolean
}

/** Hex digits, with comments after `;`. */
export const corpus: readonly KeptMessage[] = [...readKept('read'), ...readKept('refused')]

function readKept(outcome: 'read' | 'refused'): KeptMessage[] {
  const folder = new URL(`../fuzz/corpus/dns/${outcome}/`, import.meta.url)
  return readdirSync(folder)
    .sort()
    .map((file) => {
      const digits = readFileSync(new URL(file, folder), 'utf8').replace(/;.*$/gm, '').replace(/\s+/g, '')
      return { file, octets: Buffer.from(digits, 'hex'), isRefused: outcome === 'refused' }
    })
}
