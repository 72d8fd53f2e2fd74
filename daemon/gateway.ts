import type { RequestListener } from 'node:http'
import { join } from 'node:path'
import { Router } from '@koa/router'
import Koa, { type Middleware } from 'koa'
import { onboardingRoutes } from '../admin-ui/onboarding/routes.ts'
import type { GatewayStatus } from '../admin-ui/status/findings.ts'
import { statusRoutes } from '../admin-ui/status/routes.ts'
import { type Clock, DAY, rfc3339 } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import { Authority } from '../ca/authority.ts'
import { ClockGuard } from '../ca/clockGuard.ts'
import { Hierarchy } from '../ca/hierarchy.ts'
import type { Issuer } from '../ca/issuer.ts'
import { KeyStore } from '../ca/keys.ts'
import { Ledger } from '../ca/ledger.ts'
import { type OcspSigner, openOcspSigner } from '../ca/ocspSigner.ts'
import { openSeal } from '../ca/seal.ts'
import { DnsServer } from '../dns/server.ts'
import { printUpstream, systemUpstreams } from '../dns/upstream.ts'
import { Devices } from '../enrollment/devices.ts'
import { estRoutes } from '../enrollment/est/handler.ts'
import { RefusalAudit } from '../enrollment/refusalAudit.ts'
import { CrlPublisher } from '../ocsp/crlPublisher.ts'
import { revocationRoutes } from '../ocsp/handler.ts'
import { Responder } from '../ocsp/responder.ts'
import { countDeviceCertificates } from '../store/certificates.ts'
import { openStore } from '../store/database.ts'
import { listDevices } from '../store/devices.ts'
import { anyKey } from '../store/keys.ts'
import { lockDataDir } from '../store/lock.ts'
import { changesZone, readZone } from '../store/zone.ts'
import { pem, readCertificate } from '../x509/certificate.ts'
import { readCommonNames } from '../x509/name.ts'
import { sha256 } from '../x509/spki.ts'
import type { Config } from './config.ts'
import { openControlSocket } from './control.ts'
import { openDataDir } from './dataDir.ts'
import { GatewayIdentity, GatewayNameError, reachableAddresses } from './gatewayIdentity.ts'
import { hostCheck } from './hostCheck.ts'
import { openInstance } from './instance.ts'
import { listenHttp, listenHttps, listenMutualTls, type TlsIdentity } from './listeners.ts'
import { startMaintenance } from './maintenance.ts'
import { operations } from './operations.ts'
import type { StatusReport } from './status.ts'
import { VERSION } from './version.ts'

/** A running gateway. */
export interface Gateway {
  status(): Promise<StatusReport>
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
    opened.push(() => http.close())

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
    let signers: OcspSigner[] = []
    const refreshSigners = async () => {
      signers = await Promise.all(
        hierarchy.issuers.map((issuer) => openOcspSigner({ store, keys, clock, guard, issuer })),
      )
    }
    await refreshSigners()
    const responder = new Responder({ ledger, clock, signers: () => signers })
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
      addresses: () =>
        config.gateway.addresses.length > 0
          ? config.gateway.addresses
          : reachableAddresses(config.listen.https.addresses),
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

    // 5. DNS: from here on names resolve, and follow every change.
    const upstreams =
      config.dns.upstreams.length > 0
        ? config.dns.upstreams
        : systemUpstreams({ own: reachableAddresses(config.listen.dns.addresses) })
    const dns = new DnsServer({
      ...config.listen.dns,
      domain: config.domain,
      gatewayName: config.gateway.name,
      upstreams,
      zone: await readZone(store.db),
      clock,
      log,
    })
    await dns.start()
    opened.push(() => dns.close())
    store.follow(async (changes) => {
      if (changes.some(changesZone)) dns.replaceZone(await readZone(store.db))
    })
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
    const gatherStatus = async (): Promise<GatewayStatus> => {
      const now = clock.now()
      const all = await listDevices(store.db)
      const ordinary = all.filter((device) => device.kind === 'device')
      const { notAfter, serial } = identity.certificate
      return {
        version: VERSION,
        now,
        startedAt,
        domain: config.domain,
        root: { subject: root().subject, sha256: root().sha256, notAfter: root().notAfter },
        issuer: { subject: subjectOf(hierarchy.current), notAfter: hierarchy.current.notAfter },
        gatewayCertificate: { serial, notAfter },
        clock: guard.state(),
        devices: {
          active: ordinary.filter((device) => device.state === 'active').length,
          suspended: ordinary.filter((device) => device.state === 'suspended').length,
        },
        certificates: await countDeviceCertificates(store.db, now, now + DAY),
        dns: {
          port: dns.port,
          names: all.filter((device) => device.state === 'active').flatMap((device) => device.names).length,
          upstreams: upstreams.map(printUpstream),
        },
        listeners: Object.entries(origins()).map(([name, url]) => ({ name, url })),
      }
    }

    const site = (failure: string, ...parts: (Middleware | Router)[]) => {
      const app = new Koa()
      app.on('error', (error) => log.error({ err: error }, failure))
      for (const part of parts) app.use(part instanceof Router ? part.routes() : part)
      return app.callback()
    }
    const console = site(
      'a page failed',
      hostCheck(() => [
        config.gateway.name,
        'localhost',
        ...reachableAddresses(config.listen.https.addresses),
      ]),
      statusRoutes({ domain: config.domain, status: gatherStatus }),
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
    const httpsListener = await listenHttps('https', config.listen.https, tls, console as RequestListener)
    opened.push(() => httpsListener.close())
    const estListener = await listenMutualTls('est', config.listen.est, tls, est)
    opened.push(() => estListener.close())
    answerHttp = site(
      'a page failed',
      onboardingRoutes({
        domain: config.domain,
        gatewayName: config.gateway.name,
        rootCertificate: root,
        httpsOrigin: () => origins().https,
      }),
      revocationRoutes({ responder, crls, clock, findIssuer: (id) => hierarchy.find(id) }),
    )

    const status = async (): Promise<StatusReport> => {
      const { now: _, issuer: __, gatewayCertificate, listeners: ___, ...gathered } = await gatherStatus()
      return {
        ...gathered,
        pid: process.pid,
        startedAt: rfc3339(startedAt),
        dataDir: config.dataDir,
        gateway: {
          name: config.gateway.name,
          addresses:
            (await listDevices(store.db)).find((device) => device.kind === 'gateway')?.addresses ?? [],
        },
        root: { ...gathered.root, notAfter: rfc3339(gathered.root.notAfter) },
        issuer: {
          id: hierarchy.current.id,
          notAfter: rfc3339(hierarchy.current.notAfter),
          baseUrl: hierarchy.current.baseUrl,
        },
        certificate: { serial: gatewayCertificate.serial, notAfter: rfc3339(gatewayCertificate.notAfter) },
        dns: { ...gathered.dns, addresses: config.listen.dns.addresses },
        listeners: origins(),
      }
    }

    // 7. What comes due while it runs, and the socket for commands.
    const maintenance = startMaintenance({
      clock,
      log,
      guard,
      store,
      tasks: {
        'issuer roll-over': async () => {
          if (!(await hierarchy.rollIfDue())) return
          await refreshSigners()
          await crls.refresh()
        },
        'OCSP signers': refreshSigners,
        CRLs: () => crls.refresh(),
        "gateway's certificate": async () => {
          if (!(await identity.refresh())) return
          httpsListener.renew()
          estListener.renew()
        },
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
        dns,
        domain: config.domain,
        gatewayName: config.gateway.name,
        estHost: `${config.gateway.name}:${estListener.port}`,
        status,
        maintain: () => maintenance.run(),
      }),
      log,
    })
    opened.push(() => control.close())

    return { status, first: instance.first, close: closeAll }
  }
}

function describeRoot(root: Issuer) {
  return {
    der: root.certificate,
    pem: pem(root.certificate, 'CERTIFICATE'),
    sha256: sha256(root.certificate).toString('hex').toUpperCase(),
    subject: subjectOf(root),
    notAfter: root.notAfter,
  }
}

function subjectOf(issuer: Issuer): string {
  return readCommonNames(readCertificate(issuer.certificate).subject)[0] ?? ''
}

function originOf(scheme: 'http' | 'https', name: string, port: number, usual: number): string {
  return port === usual ? `${scheme}://${name}` : `${scheme}://${name}:${port}`
}
