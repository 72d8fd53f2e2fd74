import { WireError } from './errors.ts'

/** One word of a master file. Escapes are kept: what they mean depends on where the word stands. */
export interface Token {
  text: string
  quoted: boolean
  /** Stands right behind the word before: `key="value"` is two words. */
  joined: boolean
}

/** What stands between two line ends, those inside parentheses not counted. */
export interface Entry {
  /** Of its first token, counted from 1. */
  line: number
  /** Starts with white space: the owner is that of the entry before. */
  indented: boolean
  tokens: Token[]
}

/**
 * Cuts master-file text into entries, without empty ones and comments.
 *
 * @throws {WireError} `MASTER_FILE_INVALID`, with the line in the message.
 * @see RFC 1035 section 5.1.
 */
export function* readEntries(text: string): Generator<Entry> {
  let line = 1
  let depth = 0
  let entry: Entry = { line, indented: false, tokens: [] }
  let lineStart = true
  let wordEnd = -1

  for (let at = 0; at < text.length; ) {
    const character = text[at]!
    if (character === '\n') {
      if (depth === 0) {
        if (entry.tokens.length > 0) yield entry
        entry = { line: line + 1, indented: false, tokens: [] }
        lineStart = true
      }
      line += 1
      at += 1
      continue
    }
    if (/\s/.test(character)) {
      if (lineStart) entry.indented = true
      at += 1
    } else if (character === ';') {
      const end = text.indexOf('\n', at)
      at = end === -1 ? text.length : end
    } else if (character === '(') {
      depth += 1
      at += 1
    } else if (character === ')') {
      if (depth === 0) throw brokenLine(line, 'a closing parenthesis has no opening one')
      depth -= 1
      at += 1
    } else {
      const { token, next } = character === '"' ? readQuoted(text, at, line) : readBare(text, at)
      if (entry.tokens.length === 0) entry.line = line
      entry.tokens.push({ ...token, joined: at === wordEnd })
      at = next
      wordEnd = next
    }
    lineStart = false
  }
  if (depth > 0) throw brokenLine(entry.line, 'an opening parenthesis is never closed')
  if (entry.tokens.length > 0) yield entry
}

/** A word before it is known what it stands behind. */
interface Word {
  token: Omit<Token, 'joined'>
  next: number
}

function readQuoted(text: string, start: number, line: number): Word {
  let at = start + 1
  while (at < text.length && text[at] !== '"' && text[at] !== '\n') at += text[at] === '\\' ? 2 : 1
  if (text[at] !== '"') throw brokenLine(line, 'a quoted string is not closed on its line')
  return { token: { text: text.slice(start + 1, at), quoted: true }, next: at + 1 }
}

function readBare(text: string, start: number): Word {
  let at = start
  while (at < text.length && !/[\s;()"]/.test(text[at]!)) at += text[at] === '\\' ? 2 : 1
  return { token: { text: text.slice(start, at), quoted: false }, next: Math.min(at, text.length) }
}

export function brokenLine(line: number, what: string, cause?: unknown): WireError {
  return new WireError('MASTER_FILE_INVALID', `line ${line}: ${what}`, { cause })
}
