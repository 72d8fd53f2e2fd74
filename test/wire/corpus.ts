import { readdirSync, readFileSync } from 'node:fs'

const FOLDER = new URL('../fuzz/corpus/dns/', import.meta.url)

/** Broken messages worth keeping: hex digits, with comments after `;`. Each must stay a `WireError`. */
export const corpus: readonly { file: string; octets: Buffer }[] = readdirSync(FOLDER)
  .sort()
  .map((file) => {
    const digits = readFileSync(new URL(file, FOLDER), 'utf8').replace(/;.*$/gm, '').replace(/\s+/g, '')
    return { file, octets: Buffer.from(digits, 'hex') }
  })
