/** A database URL as it may be shown: scheme, host and path, nothing that could be a password. */
export function withoutSecrets(url: string): string {
  const { protocol, host, pathname } = new URL(url)
  return host === '' ? `${protocol}${pathname}` : `${protocol}//${host}${pathname}`
}
