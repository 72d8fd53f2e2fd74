/** What may stand in a slot of a template. Lists are joined; `null`, `undefined` and `false` leave nothing. */
export type Value = string | number | Html | readonly Value[] | null | undefined | false

/** Finished markup. Nothing but the tag `html` makes it, so what reaches a page has been escaped. */
class Markup {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  toString(): string {
    return this.#text
  }
}

export type Html = Markup

/** A slot is text, the inside of an attribute, or the whole of an attribute that holds an address. */
type Slot = 'text' | 'attribute' | 'address'

const slotsOf = new WeakMap<TemplateStringsArray, readonly Slot[]>()

/**
 * Builds markup: every value is escaped for the place it stands in, except markup made by this tag.
 *
 * The places where escaping would not help cannot be written: a value may stand in text or inside a
 * double-quoted attribute, never in a tag's own words, an unquoted attribute, an event handler, a
 * comment, a script or a style sheet. A value that is the whole of an `href` or `src` must be an
 * `http(s)` address, a path on this server or a `#fragment`. The same escapes are valid in XML.
 *
 * @throws {TypeError} if a value stands in such a place, or is such an address.
 */
export function html(strings: TemplateStringsArray, ...values: readonly Value[]): Html {
  let slots = slotsOf.get(strings)
  if (slots === undefined) {
    slots = readSlots(strings)
    slotsOf.set(strings, slots)
  }
  let text = strings[0]!
  for (const [index, value] of values.entries()) {
    text += fill(slots[index]!, value) + strings[index + 1]!
  }
  return new Markup(text)
}

function fill(slot: Slot, value: Value): string {
  if (value === null || value === undefined || value === false) return ''
  if (typeof value === 'number') return String(value)
  if (typeof value === 'string') {
    if (slot === 'address' && !/^(https?:\/\/|#|\/(?![/\\]))/.test(value)) {
      throw new TypeError(`not an address that a page may link to: ${JSON.stringify(value)}`)
    }
    return escaped(value)
  }
  if (slot !== 'text') throw new TypeError('only text may stand in an attribute')
  if (value instanceof Markup) return value.toString()
  return value.map((item) => fill(slot, item)).join('')
}

const ESCAPES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Control characters are dropped: HTML gives them no meaning and XML forbids them even escaped. */
function escaped(text: string): string {
  return (
    text
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\ufffe\uffff]/g, '')
      .replace(/[&<>"']/g, (character) => ESCAPES[character]!)
  )
}

const COMPLETE_TAG = /<!--[\s\S]*?-->|<[^<>"]*(?:"[^"]*"[^<>"]*)*>/g
const OPEN_RAW_TEXT = /<(script|style)\b[^<>"]*(?:"[^"]*"[^<>"]*)*>(?![\s\S]*<\/\1>)/i
const UNFINISHED_ATTRIBUTE = /<[\w-]+(?:\s+[\w:-]+(?:="[^"]*")?)*\s+([\w:-]+)="([^"]*)$/

/** Decides from the fixed parts alone, which only programmers write, where each slot stands. */
function readSlots(strings: TemplateStringsArray): Slot[] {
  let before = ''
  return strings.slice(0, -1).map((part) => {
    before += part
    const rest = before.replace(COMPLETE_TAG, '')
    const inRawText = OPEN_RAW_TEXT.test(before)
    const attribute = UNFINISHED_ATTRIBUTE.exec(rest)
    before += '_'
    if (!rest.includes('<') && !inRawText) return 'text'
    if (attribute === null || inRawText || /^(on.*|style|srcdoc)$/i.test(attribute[1]!)) {
      throw new TypeError(`no value may stand here: ...${before.slice(-60)}`)
    }
    return /^(href|src|action|formaction|xlink:href)$/i.test(attribute[1]!) && attribute[2] === ''
      ? 'address'
      : 'attribute'
  })
}
