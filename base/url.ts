/** A database as it may be named to a person: the path of a file, or a URL without anything that could be a password. */
export function withoutSecrets(url: string): string {
  if (url.startsWith('sqlite:')) return url.slice('sqlite:'.length)
  const { protocol, username, host, pathname } = new URL(url)
  return `${protocol}//${username === '' ? '' : `${username}@`}${host}${pathname}`
}
