import { domainToASCII, domainToUnicode } from 'node:url'
import { HearthError } from '../base/errors.ts'

export type NameErrorCode = 'NAME_INVALID' | 'NAME_RESERVED' | 'NAME_MISLEADING' | 'NAME_OUTSIDE_DOMAIN'

/** A name that no device may have; the message says why and what would do. */
export class NameError extends HearthError<NameErrorCode> {}

/**
 * Names that software asks for by itself: whatever has one of them is handed requests that were not meant
 * for it. `pick` is the gateway's own picker page.
 */
const ASKED_BY_PROGRAMS: readonly string[] = [
  'wpad',
  'isatap',
  'autodiscover',
  'autoconfig',
  'use-application-dns',
  'resolver',
  'pick',
]

/** Names that no device may have: those, and what means something else everywhere. */
const RESERVED: readonly string[] = [
  ...ASKED_BY_PROGRAMS,
  'localhost',
  'local',
  'invalid',
  'test',
  'onion',
  'example',
  'alt',
  'arpa',
]

/** Endings that make a home name look like a public one: `bank.com.home.arpa`. */
const PUBLIC_LOOKING = /^([a-z]{2}|com|net|org|edu|gov|mil|int|info|biz|app|dev|shop|bank)$/

/** Cyrillic and Greek letters that look like Latin ones (UTS 39, confusables): `рау` is not `pay`. */
const LATIN_LOOKALIKES = /^[аеорсухіјѕһԁԛԝӏқүοινρυκα0-9-]+$/u

/** Sets of scripts that one language writes together (after UTS 39, section 5.2, "highly restrictive"). */
const SCRIPTS_TOGETHER: readonly (readonly string[])[] = [
  ['Latin', 'Han', 'Hiragana', 'Katakana'],
  ['Latin', 'Han', 'Bopomofo'],
  ['Latin', 'Han', 'Hangul'],
]

const SCRIPTS: readonly string[] = [
  'Latin',
  'Greek',
  'Cyrillic',
  'Armenian',
  'Hebrew',
  'Arabic',
  'Devanagari',
  'Bengali',
  'Gurmukhi',
  'Gujarati',
  'Tamil',
  'Telugu',
  'Kannada',
  'Malayalam',
  'Thai',
  'Georgian',
  'Ethiopic',
  'Cherokee',
  'Khmer',
  'Han',
  'Hiragana',
  'Katakana',
  'Bopomofo',
  'Hangul',
]

const SCRIPT_PATTERNS = new Map(SCRIPTS.map((script) => [script, new RegExp(`\\p{Script=${script}}`, 'u')]))
const COMMON = /[\p{Script=Common}\p{Script=Inherited}]/u

/** No signs and pictures; and nothing that Node's reading of host names would cut off, such as "/" or "?". */
const WRITABLE = /^[\p{Letter}\p{Mark}\p{Decimal_Number}-]+$/u

/**
 * The full name of a device, from what a person typed: `nas`, `nas.home.arpa`, `Küche`.
 *
 * Short, readable and not mistaken for something else (IDENT-1): letters, digits and hyphens, one
 * script to a label, nothing reserved, nothing that looks like a public site. Names in other scripts
 * come back in their ASCII form (`xn--kche-0ra.home.arpa`).
 *
 * @throws {NameError} with the reason and an example.
 */
export function deviceName(typed: string, domain: string, gatewayName: string): string {
  const name = typed.trim().replace(/\.$/, '').toLowerCase()
  if (name.length === 0 || name.length > 253)
    throw invalid(shorten(typed), 'is empty or longer than 253 letters', domain)
  const relative = relativeTo(name, domain)
  const labels = relative.split('.').map((label) => asciiLabel(label, typed, domain))
  const full = [...labels, domain].join('.')
  if (full.length > 253) throw invalid(shorten(typed), 'is longer than 253 letters in all', domain)
  refuseReserved(full, labels, gatewayName)
  refuseMisleading(full, labels)
  return full
}

/** The first label of a device's name as people write it: `küche` of `xn--kche-0ra.home.arpa`. */
export function displayName(name: string): string {
  const label = name.split('.', 1)[0]!
  return domainToUnicode(label) || label
}

/** Whether a name of the domain is one that software asks for by itself, or is below one. */
export function isAskedByPrograms(name: string, domain: string): boolean {
  return name
    .slice(0, -domain.length)
    .split('.')
    .some((label) => ASKED_BY_PROGRAMS.includes(label))
}

function relativeTo(name: string, domain: string): string {
  if (name === domain) throw invalid(name, 'is the name of the whole home', domain)
  if (name.endsWith(`.${domain}`)) return name.slice(0, -domain.length - 1)
  if (!name.includes('.')) return name
  throw new NameError(
    'NAME_OUTSIDE_DOMAIN',
    `${shorten(name)} lies outside ${domain}, and this home names only what is inside. Use a name such as "nas", or one that ends in .${domain}`,
  )
}

function asciiLabel(label: string, typed: string, domain: string): string {
  const shown = shorten(typed)
  if (label.includes('_')) {
    throw invalid(shown, 'has an underscore, which is for services and not for devices', domain)
  }
  if (label.includes('*')) throw invalid(shown, 'has a star; a device has a name of its own', domain)
  const unicode = label.startsWith('xn--') ? domainToUnicode(label) : label
  const ascii = asciiForm(label)
  if (!WRITABLE.test(unicode) || ascii === '') {
    throw invalid(shown, 'must be made of letters, digits and inner hyphens', domain)
  }
  refuseLookalikes(unicode, shown)
  if (ascii.length > 63) throw invalid(shown, 'has a part longer than 63 letters', domain)
  if (!/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(ascii)) {
    throw invalid(shown, 'must be made of letters, digits and inner hyphens', domain)
  }
  if (/^..--/.test(ascii) && !ascii.startsWith('xn--')) {
    throw invalid(
      shown,
      'has two hyphens in the third and fourth place, which are kept for encoded names',
      domain,
    )
  }
  return ascii
}

/** Beside another label, since Node takes digits alone for an IPv4 address; empty if there is none. */
function asciiForm(label: string): string {
  return domainToASCII(`${label}.arpa`).replace(/\.arpa$/, '')
}

function refuseLookalikes(label: string, shown: string): void {
  const used = new Set<string>()
  for (const letter of label) {
    if (COMMON.test(letter)) continue
    const script = SCRIPTS.find((candidate) => SCRIPT_PATTERNS.get(candidate)!.test(letter))
    used.add(script ?? 'another script')
  }
  if (!used.has('Latin') && used.size > 0 && LATIN_LOOKALIKES.test(label)) {
    throw new NameError(
      'NAME_MISLEADING',
      `the name ${shown} is made of ${[...used].join(' and ')} letters that all look like Latin ones, so that it reads as another name. Use a name that can be told apart`,
    )
  }
  if (used.size <= 1) return
  if (SCRIPTS_TOGETHER.some((together) => [...used].every((script) => together.includes(script)))) return
  throw new NameError(
    'NAME_MISLEADING',
    `the name ${shown} mixes letters of ${[...used].join(' and ')}, so that it can look like another name. Use letters of one script`,
  )
}

function refuseReserved(full: string, labels: string[], gatewayName: string): void {
  const reserved = full === gatewayName || labels.some((label) => RESERVED.includes(label))
  if (!reserved) return
  throw new NameError(
    'NAME_RESERVED',
    `the name ${full} is reserved: ${full === gatewayName ? 'it is the gateway itself' : 'programs give it a meaning of its own'}. Choose another, such as "nas" or "printer-2"`,
  )
}

function refuseMisleading(full: string, labels: string[]): void {
  const last = labels.at(-1)!
  if (labels.length === 1 || !PUBLIC_LOOKING.test(last)) return
  throw new NameError(
    'NAME_MISLEADING',
    `the name ${full} looks like a site on the internet (.${last}). Choose a name such as "${labels[0]}"`,
  )
}

function invalid(shown: string, problem: string, domain: string): NameError {
  return new NameError(
    'NAME_INVALID',
    `the name ${shown} ${problem}. Choose one such as "nas" (that is nas.${domain})`,
  )
}

function shorten(text: string): string {
  return text.length <= 80 ? `"${text}"` : `"${text.slice(0, 77)}..."`
}
