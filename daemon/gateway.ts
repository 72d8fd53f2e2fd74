import type { RequestListener } from 'node:http'
import { join } from 'node:path'
import { Router } from '@koa/router'
import Koa, { type Middleware } from 'koa'
import { onboardingRoutes, type RootCertificate } from '../admin-ui/onboarding/routes.ts'
import { statusRoutes } from '../admin-ui/status/routes.ts'
import { type Clock, SECOND } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import { Authority } from '../ca/authority.ts'
import { ClockGuard } from '../ca/clockGuard.ts'
import { Hierarchy } from '../ca/hierarchy.ts'
import type { Issuer } from '../ca/issuer.ts'
import { KeyStore } from '../ca/keys.ts'
import { Ledger } from '../ca/ledger.ts'
import { OcspSigners } from '../ca/ocspSigner.ts'
import { openSeal } from '../ca/seal.ts'
import { DnsThread } from '../dns/dnsThread.ts'
import { dohHandler } from '../dns/doh.ts'
import { isPlain, printUpstream, readUpstreamCa, systemUpstreams } from '../dns/upstream.ts'
import { Devices } from '../enrollment/devices.ts'
import { estRoutes } from '../enrollment/est/handler.ts'
import { RefusalAudit } from '../enrollment/refusalAudit.ts'
import { Services } from '../enrollment/services.ts'
import { CrlPublisher } from '../ocsp/crlPublisher.ts'
import { revocationHandler } from '../ocsp/handler.ts'
import { Responder } from '../ocsp/responder.ts'
import { openStore } from '../store/database.ts'
import { findGatewayDevice } from '../store/devices.ts'
import { anyKey } from '../store/keys.ts'
import { lockDataDir } from '../store/lock.ts'
import { readZone } from '../store/zone.ts'
import { pem } from '../x509/certificate.ts'
import type { Config } from './config.ts'
import { openControlSocket } from './control.ts'
import { openDataDir } from './dataDir.ts'
import { DnsKeys } from './dnsKeys.ts'
import { DynamicUpdates } from './dynamicUpdate.ts'
import { GatewayIdentity, GatewayNameError, gatewayAddresses } from './gatewayIdentity.ts'
import { failingParts } from './health.ts'
import { hostCheck } from './hostCheck.ts'
import { openInstance } from './instance.ts'
import { LeaseRecords } from './leases.ts'
import { type Listener, listenHttp, listenHttps, listenMutualTls, type TlsIdentity } from './listeners.ts'
import { startMaintenance } from './maintenance.ts'
import { metricsHandler, openMetricsToken } from './metrics.ts'
import { operations } from './operations.ts'
import { isListenedOn } from './ownListener.ts'
import { fingerprint, gatherStatus, type StatusReport, statusReport, subjectOf } from './status.ts'
import { renewSerial, ZoneFollower } from './zoneFollower.ts'

/** A running gateway. */
export interface Gateway {
  status(): Promise<StatusReport>
  /** Resolves with the reason if a part of it ended that it cannot do without. */
  failed: Promise<Error>
  /** True at the first start on a data directory. */
  first: boolean
  close(): Promise<void>
}

/**
 * Starts a gateway: the one place where its parts are made and connected.
 *
 * In order: what must be there before anything else (directory, lock, database, keys), the CA, the
 * gateway's own name and certificate, then the doors. If any step fails, those before it are undone and
 * the error is the reason.
 */
export async function startGateway(config: Config, options: { clock: Clock; log: Log }): Promise<Gateway> {
  const { clock, log } = options
  const opened: (() => void | Promise<void>)[] = []
  const closeAll = async () => {
    for (const close of opened.reverse()) await close()
  }
  try {
    return await open()
  } catch (error) {
    await closeAll()
    throw error
  }

  async function open(): Promise<Gateway> {
    const startedAt = clock.now()
    const { promise: failed, resolve: fail } = Promise.withResolvers<Error>()

    // The DNS gets its thread ready while the rest is opened.
    const dns = new DnsThread({ cacheOctets: config.dns.cache.octets, log, onFailure: fail })
    opened.push(() => dns.close())

    // 1. State: one process on it, at this version's schema, with the key that opens its keys.
    openDataDir(config.dataDir)
    const lock = lockDataDir(config.dataDir)
    opened.push(() => lock.release())
    const store = await openStore({
      url: config.store.url,
      clock,
      onFollowerError: (error) => log.error({ err: error }, 'a change was stored but not followed'),
    })
    opened.push(() => store.close())
    const instance = await openInstance(store)
    const seal = openSeal(config.ca.keyFile, !(await anyKey(store.db)))
    const keys = new KeyStore({ seal, instanceId: instance.id })

    // 2. The plain listener first: the base URL in every certificate has its port.
    let answerHttp: RequestListener = (_request, response) => {
      response.writeHead(503, { 'Retry-After': '1' }).end('Hearth is starting; try again in a second.\n')
    }
    const http = await listenHttp('http', config.listen.http, (request, response) =>
      answerHttp(request, response),
    )
    const doors: Listener[] = [http]
    opened.push(async () => {
      await Promise.all(doors.map((door) => door.close()))
    })

    // 3. The CA and what follows from it.
    const guard = await ClockGuard.open({ store, clock })
    const profiles = config.ca.profiles
    const hierarchy = await Hierarchy.open({
      store,
      keys,
      clock,
      guard,
      instanceId: instance.id,
      domain: config.domain,
      rootYears: config.ca.rootYears,
      issuerYears: config.ca.issuerYears,
      nameConstraints: config.ca.nameConstraints,
      baseUrl: config.publicUrl ?? originOf('http', config.gateway.name, http.port, 80),
    })
    const ledger = new Ledger({ store, guard })
    const authority = new Authority({ hierarchy, ledger, guard, clock, domain: config.domain, profiles })
    const signers = new OcspSigners({ store, keys, clock, guard, issuers: () => hierarchy.issuers })
    await signers.refresh()
    const responder = new Responder({ ledger, clock, signers: () => signers.current })
    const crls = new CrlPublisher({ ledger, clock, issuers: () => hierarchy.all })
    await crls.publish()

    // 4. The gateway itself, as a device with a name and a certificate.
    const identity = new GatewayIdentity({
      store,
      keys,
      clock,
      hierarchy,
      authority,
      profile: profiles[0]!,
      name: config.gateway.name,
      addresses: () => gatewayAddresses(config),
    })
    await identity.refresh().catch((error: unknown) => {
      if (!identity.hasCertificate || error instanceof GatewayNameError) throw error
      log.error(
        { err: error },
        "the gateway's certificate is due, and none can be issued; the old one is used",
      )
    })
    const tls: TlsIdentity = {
      context: () => identity.certificate.context,
      staple: () => {
        const { issuer, serial } = identity.certificate
        return responder.staple(issuer, Buffer.from(serial, 'hex'))
      },
      minVersion: config.tls.minVersion === '1.2' ? 'TLSv1.2' : 'TLSv1.3',
    }

    /** The same for the DNS, as data that goes to its thread. */
    const dotCertificate = async () => {
      const { key, cert } = identity.certificate.context
      return { key: String(key), chain: String(cert), staple: await tls.staple() }
    }

    // 5. DNS: from here on names resolve, and follow every change.
    const system = systemUpstreams({ isOwn: (upstream) => isListenedOn(config.listen.dns, upstream) })
    const upstreams = config.dns.upstreams.length > 0 ? config.dns.upstreams : system
    const plain = upstreams.filter(isPlain)
    await renewSerial(store)
    const zone = await readZone(store.db, clock.now())
    const dnsKeys = new DnsKeys({ store, seal, onChange: (keys) => dns.setKeys(keys) })
    const zones = {
      domain: config.domain,
      gatewayName: config.gateway.name,
      overrides: config.dns.overrides,
      designated: config.dns.ddr
        ? { dotPort: config.listen.dot.port || null, dohPort: config.listen.https.port || null }
        : null,
    }
    const queryLog = { ...config.dns.queryLog, directory: join(config.dataDir, 'queries') }
    const forwarded = config.dns.forward.map((forward) => forward.zone)
    const updates = new DynamicUpdates({ store, zones: { ...zones, forwarded }, log })
    // Before it listens: an update may come with the first message.
    const zoneFollower = new ZoneFollower({ store, clock, holder: dns, zone })
    store.follow((changes) => zoneFollower.follow(changes))
    await dns.start({
      ...config.listen.dns,
      dot: { ...config.listen.dot, minVersion: tls.minVersion, certificate: await dotCertificate() },
      clients: config.dns.clients,
      outside: config.dns.outside,
      queryLog,
      ...zones,
      upstreams,
      forward: config.dns.forward,
      bootstrap: plain.length > 0 ? plain : system,
      upstreamCa: config.dns.upstreamCa === null ? null : readUpstreamCa(config.dns.upstreamCa),
      rebinding: config.dns.rebinding,
      cache: config.dns.cache,
      zone,
      keys: await dnsKeys.open(),
      update: (request) => updates.apply(request),
      secondaries: config.dns.secondaries,
      udp: config.dns.fastPath ? 'thread' : 'dgram',
    })
    // Once more, and so first of all: nothing may change the zone while the rest closes.
    opened.push(() => dns.close())
    const leases = new LeaseRecords({ store, clock, log, files: config.dns.leases, ...zones })
    await leases.start()
    opened.push(() => leases.close())
    store.follow((changes) => leases.follow(changes))
    store.follow(async (changes) => {
      if (!changes.some((change) => change.kind === 'certificate.revoked')) return
      responder.forget()
      await crls.publish()
    })

    // 6. The doors.
    const devices = new Devices({
      store,
      domain: config.domain,
      gatewayName: config.gateway.name,
      profiles: profiles.map((profile) => profile.name),
      credentialLife: config.enrollment.credentialLife,
    })
    const root = () => describeRoot(hierarchy.root)
    const origins = () => ({
      http: originOf('http', config.gateway.name, http.port, 80),
      https: originOf('https', config.gateway.name, httpsListener.port, 443),
      est: originOf('https', config.gateway.name, estListener.port, 443),
    })
    const status = async () =>
      gatherStatus({
        config,
        startedAt,
        now: clock.now(),
        store,
        clock: guard.state(),
        hierarchy,
        certificate: identity.certificate,
        dns: {
          port: dns.port,
          dotPort: dns.dotPort,
          upstreams: upstreams.map(printUpstream),
          health: (await dns.figures()).upstreams,
        },
        listeners: origins(),
      })
    const site = (failure: string, ...parts: (Middleware | Router)[]) => {
      const app = new Koa()
      app.on('error', (error) => {
        if (!isClientFault(error)) log.error({ err: error }, failure)
      })
      for (const part of parts) app.use(part instanceof Router ? part.routes() : part)
      return app.callback()
    }
    const console = site(
      'a page failed',
      hostCheck(() => [config.gateway.name, 'localhost', ...gatewayAddresses(config)]),
      statusRoutes({
        domain: config.domain,
        status: keptFor(SECOND, clock, status),
        failing: keptFor(SECOND, clock, () =>
          failingParts({
            store: () => findGatewayDevice(store.db),
            dns: () => dns.explain(config.gateway.name, 'A'),
          }),
        ),
      }),
    )
    const est = site(
      'an enrolment failed',
      estRoutes({
        store,
        clock,
        log,
        authority,
        hierarchy,
        profiles: profiles.map((profile) => profile.name),
        refusals: new RefusalAudit({ store, clock, log }),
      }),
    )
    const doh = dohHandler({ answer: (query, client) => dns.answer(query, client), log })
    const metrics = metricsHandler({
      token: openMetricsToken(join(config.dataDir, 'metrics.token')),
      figures: async () => ({ dns: await dns.figures(), status: await status().catch(() => null) }),
      log,
    })
    const answerHttps: RequestListener = (request, response) =>
      doh(request, response) || metrics(request, response) || console(request, response)
    const httpsListener = await listenHttps('https', config.listen.https, tls, answerHttps)
    doors.push(httpsListener)
    const estListener = await listenMutualTls('est', config.listen.est, tls, est)
    doors.push(estListener)
    const revocation = revocationHandler({
      responder,
      crls,
      clock,
      log,
      findIssuer: (id) => hierarchy.find(id),
    })
    const onboarding = site(
      'a page failed',
      onboardingRoutes({
        domain: config.domain,
        gatewayName: config.gateway.name,
        rootCertificate: root,
        httpsOrigin: () => origins().https,
      }),
    )
    answerHttp = (request, response) => revocation(request, response) || onboarding(request, response)

    // 7. What comes due while it runs, and the socket for commands.
    const maintenance = startMaintenance({
      clock,
      log,
      guard,
      store,
      tasks: {
        'issuer roll-over': async () => {
          if (!(await hierarchy.rollIfDue())) return
          await signers.refresh()
          await crls.refresh()
        },
        'OCSP signers': () => signers.refresh(),
        CRLs: () => crls.refresh(),
        'DNS zone': () => zoneFollower.look(),
        "gateway's certificate": async () => {
          if (!(await identity.refresh())) return
          httpsListener.renew()
          estListener.renew()
        },
        'DNS over TLS': async () => dns.setCertificate(await dotCertificate()),
        'DHCP leases': () => leases.look(),
      },
    })
    opened.push(() => maintenance.stop())
    store.follow((changes) => {
      // Not awaited: what it does is a change itself, which would wait for this one to be followed.
      if (changes.some((change) => change.kind === 'certificate.revoked')) maintenance.run()
    })
    const control = await openControlSocket({
      path: join(config.dataDir, 'control.sock'),
      operations: operations({
        store,
        clock,
        hierarchy,
        guard,
        devices,
        services: new Services({ store, devices }),
        dns,
        dnsKeys,
        domain: config.domain,
        gatewayName: config.gateway.name,
        overrides: config.dns.overrides,
        queryLog,
        estHost: `${config.gateway.name}:${estListener.port}`,
        status: async () => statusReport(await status()),
        maintain: () => maintenance.run(),
      }),
      log,
    })
    opened.push(() => control.close())

    return {
      status: async () => statusReport(await status()),
      first: instance.first,
      failed,
      close: closeAll,
    }
  }
}

function describeRoot(root: Issuer): RootCertificate {
  return {
    der: root.certificate,
    pem: pem(root.certificate, 'CERTIFICATE'),
    sha256: fingerprint(root),
    subject: subjectOf(root),
    notAfter: root.notAfter,
  }
}

/** The same answer for everyone who asks within a while: anyone may ask, and each answer reads the database. */
function keptFor<T>(milliseconds: number, clock: Clock, ask: () => Promise<T>): () => Promise<T> {
  let kept: { at: number; answer: Promise<T> } | null = null
  return () => {
    if (kept === null || Math.abs(clock.now() - kept.at) >= milliseconds)
      kept = { at: clock.now(), answer: ask() }
    return kept.answer
  }
}

/** A request that broke off or was no HTTP: anyone can send these, as many as they like. */
function isClientFault(error: { code?: string; status?: number }): boolean {
  return /^(HPE_|ECONN|EPIPE|ERR_HTTP2_|ERR_STREAM_)/.test(error.code ?? '') || (error.status ?? 500) < 500
}

function originOf(scheme: 'http' | 'https', name: string, port: number, usual: number): string {
  return port === usual ? `${scheme}://${name}` : `${scheme}://${name}:${port}`
}
