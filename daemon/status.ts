/** What `hearth status --json` prints and `hearth doctor` checks from outside. Times are RFC 3339. */
export interface StatusReport {
  version: string
  pid: number
  startedAt: string
  dataDir: string
  domain: string
  gateway: { name: string; addresses: string[] }
  root: { subject: string; sha256: string; notAfter: string }
  issuer: { id: string; notAfter: string; baseUrl: string }
  certificate: { serial: string; notAfter: string }
  clock: { trusted: boolean; reason?: string }
  devices: { active: number; suspended: number }
  certificates: { valid: number; revoked: number; expiringSoon: number }
  dns: { addresses: string[]; port: number; names: number; upstreams: string[] }
  listeners: { http: string; https: string; est: string }
}
