import { Name } from '../wire/name.ts'

/** Endings of names outside: those of countries below a second label, and the common others. */
const PUBLIC = /^([^_]+\.){2}[a-z]{2}$|\.(com|net|org|edu|gov|info|biz|app|dev)$/i

/**
 * An owner in the household as a person types it: `@` for the apex, `nas` or `*.apps` relative to the
 * domain, `nas.home.arpa` in full. People leave the final dot out, so a name that already ends in the
 * domain or in an override, belongs to an address, or looks like a public one is taken as whole. In lower
 * case.
 *
 * @throws {WireError} `NAME_INVALID`
 */
export function ownerAsTyped(
  text: string,
  { domain, overrides }: { domain: Name; overrides: readonly Name[] },
): Name {
  if (text === '@') return domain
  const whole = Name.parse(text)
  const isReverse = /\.(in-addr|ip6)\.arpa$/i.test(text)
  const isOurs = [domain, ...overrides].some((apex) => whole.isAtOrBelow(apex))
  const isWhole = text.endsWith('.') || isReverse || isOurs || PUBLIC.test(text)
  return (isWhole ? whole : Name.parse(text, domain)).toLowerCase()
}

/**
 * Any name as a person types it, where it may also be one outside: `nas` is the household's, since
 * nothing outside has only one label, and `pages.example.net` is whole. In lower case.
 *
 * @throws {WireError} `NAME_INVALID`
 */
export function nameAsTyped(text: string, domain: Name): Name {
  if (text === '@') return domain
  const whole = Name.parse(text)
  const isShort = whole.labels().length === 1 && !text.endsWith('.')
  return (isShort ? Name.parse(text, domain) : whole).toLowerCase()
}
