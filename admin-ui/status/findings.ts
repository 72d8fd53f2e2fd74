import { DAY } from '../../base/clock.ts'
import { type Html, html } from '../html.ts'
import { day } from '../layout.ts'

/**
 * What the status page may know, all times in milliseconds since 1970.
 *
 * The page is not behind a sign-in, so this holds nothing that a person in the home network could not
 * learn anyway: counts, never names of devices, and no serial but the gateway's own.
 */
export interface GatewayStatus {
  version: string
  /** The gateway's clock when this was gathered. */
  now: number
  startedAt: number
  domain: string
  root: { subject: string; sha256: string; notAfter: number }
  issuer: { subject: string; notAfter: number }
  gatewayCertificate: { serial: string; notAfter: number }
  /** `reason` completes "The gateway does not rely on its clock: ...". */
  clock: { trusted: boolean; reason?: string }
  devices: { active: number; suspended: number }
  /** `expiringSoon`: those of `valid` that should have been renewed by now. */
  certificates: { valid: number; revoked: number; expiringSoon: number }
  /** `names` that the home's zone holds; `upstreams` in use, the system's included. */
  dns: {
    port: number
    names: number
    upstreams: string[]
    /** Those of them that did not answer when they were asked last. */
    failing: string[]
  }
  listeners: { name: string; url: string }[]
}

/** `good`: nothing to do. `notice`: look at it in the coming days. `trouble`: something does not work. */
export type Level = 'good' | 'notice' | 'trouble'

/** One sentence about one part of the gateway, and what to do about it if something is. */
export interface Finding {
  part: string
  level: Level
  sentence: string
  action: Html | null
}

/** Judges a status, part by part, in the order in which a person should read it. */
export function findings(status: GatewayStatus): Finding[] {
  return [
    clock(status),
    root(status),
    issuer(status),
    gateway(status),
    certificates(status),
    devices(status),
    dns(status),
  ]
}

function good(part: string, sentence: string, action: Html | null = null): Finding {
  return { part, level: 'good', sentence, action }
}

function clock({ clock: { trusted, reason } }: GatewayStatus): Finding {
  if (trusted) return good('Clock', 'The clock is right.')
  return {
    part: 'Clock',
    level: 'trouble',
    sentence: `The gateway does not rely on its clock${reason === undefined ? '' : `: ${reason.replace(/\.$/, '')}`}.`,
    action: html`No certificate is issued until the clock is synchronised. If it is right as it is, run <code>hearth clock accept</code> on the gateway.`,
  }
}

function root({ root: { notAfter }, now }: GatewayStatus): Finding {
  const part = 'Home root'
  const action = html`Run <code>hearth ca rotate root</code> on the gateway, then let every device trust the new root.`
  if (notAfter <= now) {
    return {
      part,
      level: 'trouble',
      sentence: `The root ended on ${day(notAfter)}: nothing trusts it any more.`,
      action,
    }
  }
  if (notAfter - now < 365 * DAY) {
    return { part, level: 'notice', sentence: `The root ends in ${remaining(notAfter - now)}.`, action }
  }
  return good(part, `The root is valid until ${day(notAfter)}.`)
}

function issuer({ issuer: { notAfter }, now }: GatewayStatus): Finding {
  const part = 'Issuer'
  const action = html`The gateway replaces it by itself. As it has not, run <code>hearth ca rotate issuer</code>, and <code>hearth doctor</code> if that fails.`
  if (notAfter <= now) {
    return {
      part,
      level: 'trouble',
      sentence: `The issuer ended on ${day(notAfter)}: no certificate can be issued.`,
      action,
    }
  }
  if (notAfter - now < 14 * DAY) {
    return { part, level: 'notice', sentence: `The issuer ends in ${remaining(notAfter - now)}.`, action }
  }
  return good(part, `The issuer is valid until ${day(notAfter)}.`)
}

function gateway({ gatewayCertificate: { notAfter }, now }: GatewayStatus): Finding {
  const part = 'Gateway’s certificate'
  const action = html`The gateway renews it by itself. As it has not, run <code>hearth doctor</code> on it.`
  if (notAfter <= now) {
    return {
      part,
      level: 'trouble',
      sentence: 'The gateway’s own certificate has ended: browsers warn of it.',
      action,
    }
  }
  if (notAfter - now < DAY) {
    return {
      part,
      level: 'notice',
      sentence: `The gateway’s own certificate ends in ${remaining(notAfter - now)}.`,
      action,
    }
  }
  return good(
    part,
    `The gateway’s own certificate has ${remaining(notAfter - now)} left and renews by itself.`,
  )
}

function certificates({ certificates: { valid, revoked, expiringSoon } }: GatewayStatus): Finding {
  const part = 'Certificates'
  const tally = `${counted(valid, 'certificate is', 'certificates are')} valid, ${revoked} revoked`
  if (expiringSoon === 0) return good(part, `${tally}.`)
  return {
    part,
    level: 'notice',
    sentence: `${tally}; ${expiringSoon} should have been renewed by now.`,
    action: html`A device that was switched off renews when it is back. See which they are: <code>hearth cert list</code>.`,
  }
}

function devices({ devices: { active, suspended } }: GatewayStatus): Finding {
  const part = 'Devices'
  if (active + suspended === 0) {
    return good(part, 'There are no devices yet.', html`Add the first: <code>hearth device add NAME</code>.`)
  }
  const rest = suspended === 0 ? '' : `, ${suspended} suspended`
  return good(part, `${counted(active, 'device is', 'devices are')} active${rest}.`)
}

function dns({ dns: { port, names, upstreams, failing } }: GatewayStatus): Finding {
  const part = 'DNS'
  const home = `Port ${port} answers for ${counted(names, 'name', 'names')} in the home`
  if (upstreams.length > 0 && failing.length === upstreams.length) {
    return {
      part,
      level: 'notice',
      sentence: `${home}. About the rest it asks ${upstreams.join(', ')}, without an answer at the moment.`,
      action: html`Names at home go on working. See whether the internet is gone.`,
    }
  }
  if (upstreams.length > 0) return good(part, `${home}, and asks ${upstreams.join(', ')} about the rest.`)
  return {
    part,
    level: 'notice',
    sentence: `${home}, and for nothing else: there is nobody to ask about the internet.`,
    action: html`Name a resolver under <code>dns.upstreams</code> in the configuration.`,
  }
}

function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`
}

/** Whole days, or hours below two days; rounded down, so that nothing is promised that is not there. */
function remaining(milliseconds: number): string {
  const hours = Math.floor((milliseconds / DAY) * 24)
  return hours < 48 ? counted(hours, 'hour', 'hours') : `${Math.floor(hours / 24)} days`
}
