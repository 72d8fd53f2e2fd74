import { reasonOf } from '../base/errors.ts'
import type { ResourceRecord } from './message.ts'
import { Name } from './name.ts'
import { parsePeriod, parseRdataTokens } from './presentation.ts'
import { CLASS, isMetaType, typeNumber } from './registry.ts'
import { brokenLine, readEntries, type Token } from './tokens.ts'

/** A record of a master file, and where it stands there. */
export interface MasterRecord extends ResourceRecord {
  line: number
}

/** No home's zone comes near; a file that does is a mistake or an attack. */
const MAX_CHARACTERS = 4 * 1024 * 1024
const MAX_RECORDS = 50_000

/**
 * Reads a master file (RFC 1035 section 5) of class IN.
 *
 * Understood are `$ORIGIN` and `$TTL` (RFC 2308 section 4), parentheses, comments, quotes and escapes,
 * `@`, and an owner left out. `$INCLUDE` is refused, since a file sent in must not read others, and so
 * is `$GENERATE`. A record without a TTL takes that of `$TTL`, else of the record before, else
 * `defaultTtl`.
 *
 * @throws {WireError} `MASTER_FILE_INVALID`; the message starts with `line N:`.
 */
export function parseMasterFile(text: string, options: { origin: Name; defaultTtl: number }): MasterRecord[] {
  if (text.length > MAX_CHARACTERS) {
    throw brokenLine(1, `the file has more than ${MAX_CHARACTERS} characters: split it`)
  }
  const records: MasterRecord[] = []
  let origin = options.origin
  let ttl = options.defaultTtl
  let fileTtl: number | null = null
  let owner: Name | null = null

  for (const { line, indented, tokens } of readEntries(text.replace(/^\uFEFF/, ''))) {
    try {
      const [first] = tokens
      if (first!.text.startsWith('$') && !indented && !first!.quoted) {
        if (/^\$ORIGIN$/i.test(first!.text)) origin = Name.parse(directiveValue(tokens), origin)
        else if (/^\$TTL$/i.test(first!.text)) fileTtl = ttlOf(directiveValue(tokens))
        else throw new Error(`${first!.text} is not supported: write the records themselves into the file`)
        continue
      }
      const words = [...tokens]
      if (!indented) owner = Name.parse(words.shift()!.text, origin)
      if (owner === null) throw new Error('the first record of a file needs an owner name at the line start')

      const given = takeTtlAndClass(words)
      ttl = given ?? fileTtl ?? ttl
      const typeWord = words.shift()
      const type = typeWord === undefined ? null : typeNumber(typeWord.text)
      if (type === null || isMetaType(type)) {
        throw new Error(
          typeWord === undefined
            ? 'the record has no type: write OWNER TTL TYPE DATA'
            : `"${typeWord.text}" is no record type`,
        )
      }
      records.push({
        line,
        name: owner,
        type,
        class: CLASS.IN,
        ttl,
        data: parseRdataTokens(type, words, (text) => Name.parse(text, origin)),
      })
    } catch (error) {
      throw brokenLine(line, reasonOf(error), error)
    }
    if (records.length > MAX_RECORDS)
      throw brokenLine(line, `more than ${MAX_RECORDS} records: split the file`)
  }
  return records
}

/** Takes TTL and class off the front, which stand in either order and may both be missing. */
function takeTtlAndClass(words: Token[]): number | null {
  let ttl: number | null = null
  let sawClass = false
  for (let next = words[0]; next !== undefined; next = words[0]) {
    if (ttl === null && /^\d/.test(next.text)) {
      ttl = ttlOf(next.text)
    } else if (!sawClass && /^(IN|CH|HS|CS|CLASS\d+)$/i.test(next.text)) {
      if (!/^(IN|CLASS1)$/i.test(next.text)) {
        throw new Error(`class ${next.text} is not served here: only IN is`)
      }
      sawClass = true
    } else {
      return ttl
    }
    words.shift()
  }
  return ttl
}

function ttlOf(text: string): number {
  const ttl = parsePeriod(text)
  if (ttl === null) throw new Error(`"${text}" is no TTL: write seconds, from 0 to 2147483647`)
  return ttl
}

function directiveValue([directive, value, ...rest]: readonly Token[]): string {
  if (value === undefined || rest.length > 0) throw new Error(`${directive!.text} takes exactly one value`)
  return value.text
}
