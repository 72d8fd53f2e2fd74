import { type Clock, rfc3339 } from '../base/clock.ts'
import { HearthError } from '../base/errors.ts'
import type { ClockGuard } from '../ca/clockGuard.ts'
import type { Hierarchy } from '../ca/hierarchy.ts'
import { REVOCATION_REASONS, type RevocationReason, reasonName } from '../ca/reasons.ts'
import { revokeName, revokeSerial } from '../ca/revocation.ts'
import type { DnsThread } from '../dns/dnsThread.ts'
import { type QueryLogSettings, readQueryLog } from '../dns/queryLog.ts'
import { checkRecord, findRecords, parseImport, printExport, readOwnerText } from '../dns/records.ts'
import { TSIG_ALGORITHMS, type TsigAlgorithm } from '../dns/tsig.ts'
import { nameAsTyped } from '../dns/typedName.ts'
import { qrText } from '../enrollment/credential.ts'
import type { Devices, HandedCredential } from '../enrollment/devices.ts'
import type { Services, WantedService } from '../enrollment/services.ts'
import { readAudit } from '../store/audit.ts'
import { findCertificate, listDeviceCertificates, type RecordedCertificate } from '../store/certificates.ts'
import type { Store } from '../store/database.ts'
import { type Device, findDevice, listDevices } from '../store/devices.ts'
import { deleteRecords, putRecords, readSurroundings } from '../store/records.ts'
import { ALL_OWNERS, readZone } from '../store/zone.ts'
import { Name } from '../wire/name.ts'
import { pem } from '../x509/certificate.ts'
import { sha256 } from '../x509/spki.ts'
import type { Operation } from './control.ts'
import type { DnsKeys } from './dnsKeys.ts'
import { fingerprint, type StatusReport } from './status.ts'

/** A refusal of the operations themselves. */
class OperationError extends HearthError<'CERTIFICATE_UNKNOWN'> {}

export interface OperationsOptions {
  store: Store
  clock: Clock
  hierarchy: Hierarchy
  guard: ClockGuard
  devices: Devices
  services: Services
  dns: DnsThread
  dnsKeys: DnsKeys
  domain: string
  gatewayName: string
  overrides: readonly string[]
  queryLog: QueryLogSettings
  /** `host:port` of the EST listener, for QR codes. */
  estHost: string
  status: () => Promise<StatusReport>
  /** Does at once what waited for a clock that is believed. */
  maintain: () => Promise<void>
}

const ACTOR = 'cli'
const MAX_LISTED = 10_000

const text = (maxLength = 300) => ({ type: 'string', maxLength })
const object = (properties: Record<string, object>, required: string[] = []) => ({
  type: 'object',
  additionalProperties: false,
  properties,
  required,
})

/** What `bin/hearth` can ask of a running gateway, by name; results are what `--json` prints. */
export function operations(options: OperationsOptions): Record<string, Operation> {
  const {
    store,
    clock,
    hierarchy,
    guard,
    devices,
    services,
    dns,
    dnsKeys,
    domain,
    gatewayName,
    overrides,
    queryLog,
  } = options
  const recordOptions = { domain, gatewayName, overrides }

  return {
    status: { params: object({}), run: options.status },

    'ca.show': { params: object({}), run: async () => describeHierarchy(hierarchy) },

    'ca.root': {
      params: object({}),
      run: async () => ({
        pem: pem(hierarchy.root.certificate, 'CERTIFICATE'),
        der: hierarchy.root.certificate.toString('base64'),
        sha256: fingerprint(hierarchy.root),
      }),
    },

    'device.add': {
      params: object(
        { name: text(), addresses: { type: 'array', items: text(), maxItems: 100 }, profile: text() },
        ['name', 'addresses'],
      ),
      run: async (params: { name: string; addresses: string[]; profile?: string }) =>
        describeCredential(await devices.add(params, ACTOR), options),
    },

    'device.token': {
      params: object({ name: text() }, ['name']),
      run: async ({ name }: { name: string }) =>
        describeCredential(await devices.newCredential(name, ACTOR), options),
    },

    'device.list': {
      params: object({}),
      run: async () => (await listDevices(store.db)).map(describeDevice),
    },

    'device.show': {
      params: object({ name: text() }, ['name']),
      run: async ({ name }: { name: string }) => {
        const device = await devices.find(name)
        const certificates = await listDeviceCertificates(store.db, { deviceId: device.id, limit: 100 })
        return {
          ...describeDevice(device),
          certificates: certificates.map((certificate) =>
            describeCertificate(certificate, device, clock.now()),
          ),
        }
      },
    },

    'device.remove': {
      params: object({ name: text() }, ['name']),
      run: ({ name }: { name: string }) => devices.remove(name, ACTOR),
    },

    'service.add': {
      params: object(
        {
          device: text(),
          type: text(),
          port: { type: 'integer' },
          instance: text(),
          txt: { type: 'array', items: text(), maxItems: 100 },
          alpn: { type: 'array', items: text(), maxItems: 100 },
        },
        ['device', 'type', 'port', 'txt', 'alpn'],
      ),
      run: ({ device, ...wanted }: WantedService & { device: string }) => services.add(device, wanted, ACTOR),
    },

    'service.list': {
      params: object({ device: text() }),
      run: async ({ device }: { device?: string }) => {
        const known = new Map((await listDevices(store.db)).map(({ id, names }) => [id, names[0]]))
        return (await services.list(device)).map(({ deviceId, ...service }) => ({
          device: known.get(deviceId) ?? deviceId,
          ...service,
        }))
      },
    },

    'service.remove': {
      params: object({ device: text(), type: text(), instance: text() }, ['device', 'type']),
      run: ({ device, ...which }: { device: string; type: string; instance?: string }) =>
        services.remove(device, which, ACTOR),
    },

    'cert.list': {
      params: object({}),
      run: async () => {
        const certificates = await listDeviceCertificates(store.db, { limit: MAX_LISTED })
        const known = new Map((await listDevices(store.db)).map((device) => [device.id, device]))
        return Promise.all(
          certificates.map(async (certificate) =>
            describeCertificate(
              certificate,
              known.get(certificate.device_id!) ?? (await findDevice(store.db, certificate.device_id!)),
              clock.now(),
            ),
          ),
        )
      },
    },

    'cert.show': {
      params: object({ serial: text() }, ['serial']),
      run: async ({ serial }: { serial: string }) => {
        const certificate = await findCertificate(store.db, readSerial(serial))
        if (certificate === null || certificate.device_id === null) {
          throw new OperationError(
            'CERTIFICATE_UNKNOWN',
            `there is no certificate with serial ${serial}; "hearth cert list" shows those there are`,
          )
        }
        return {
          ...describeCertificate(certificate, await findDevice(store.db, certificate.device_id), clock.now()),
          subject: certificate.subject,
          issuer: certificate.issuer_id,
          sha256: fingerprint(certificate),
          issuedAt: rfc3339(certificate.issued_at),
          requestedBy: certificate.requested_by,
          pem: pem(certificate.certificate, 'CERTIFICATE'),
        }
      },
    },

    'cert.revoke': {
      params: object({ which: text(), reason: { enum: Object.keys(REVOCATION_REASONS) } }, [
        'which',
        'reason',
      ]),
      run: async ({ which, reason }: { which: string; reason: RevocationReason }) => ({
        revoked: isSerial(which)
          ? await revokeSerial(store, readSerial(which), reason, ACTOR)
          : await revokeName(store, devices.fullName(which), reason, ACTOR),
      }),
    },

    'dns.list': {
      params: object({}),
      run: async () => (await readSurroundings(store.db)).records,
    },

    'dns.add': {
      params: object(
        { owner: text(1100), type: text(20), data: text(20_000), ttl: { type: 'integer', minimum: 0 } },
        ['owner', 'type', 'data'],
      ),
      run: (params: { owner: string; type: string; data: string; ttl?: number }) =>
        store.transaction(async (tx) => {
          const owner = readOwnerText(params.owner, recordOptions)
          const record = checkRecord(params, await readSurroundings(tx.db, owner), recordOptions)
          await putRecords(tx, [record])
          await tx.change('dns.changed', record.owner)
          await tx.audit({
            actor: ACTOR,
            action: 'dns.add',
            subject: record.owner,
            outcome: 'done',
            detail: `${record.ttl} ${record.type} ${record.data}`,
          })
          return record
        }),
    },

    'dns.remove': {
      params: object({ owner: text(1100), type: text(20), data: text(20_000) }, ['owner']),
      run: (params: { owner: string; type?: string; data?: string }) =>
        store.transaction(async (tx) => {
          const owner = readOwnerText(params.owner, recordOptions)
          const removed = findRecords(params, await readSurroundings(tx.db, owner), recordOptions)
          for (const { type, data } of removed) await deleteRecords(tx, { owner, type, data })
          await tx.change('dns.changed', owner)
          await tx.audit({
            actor: ACTOR,
            action: 'dns.remove',
            subject: owner,
            outcome: 'done',
            detail: removed
              .map((record) => `${record.type} ${record.data}`)
              .join('; ')
              .slice(0, 1000),
          })
          return { removed }
        }),
    },

    'dns.import': {
      params: object({ file: { type: 'string' } }, ['file']),
      run: ({ file }: { file: string }) =>
        store.transaction(async (tx) => {
          const records = parseImport(file, await readSurroundings(tx.db), recordOptions)
          await putRecords(tx, records)
          await tx.change('dns.changed', ALL_OWNERS)
          await tx.audit({
            actor: ACTOR,
            action: 'dns.import',
            subject: domain,
            outcome: 'done',
            detail: `${records.length} records`,
          })
          return { imported: records.length }
        }),
    },

    'dns.export': {
      params: object({}),
      run: async () => {
        const { serial, hosts } = await readZone(store.db, clock.now())
        const { records } = await readSurroundings(store.db)
        return { file: printExport({ serial, hosts, records }, recordOptions) }
      },
    },

    'dns.query': {
      params: object({ name: text(1100), type: text(20) }, ['name', 'type']),
      run: ({ name, type }: { name: string; type: string }) => dns.explain(name, type),
    },

    'dns.key.add': {
      params: object(
        {
          name: text(),
          algorithm: { enum: TSIG_ALGORITHMS },
          update: { type: 'boolean' },
          transfer: { type: 'boolean' },
        },
        ['name', 'algorithm', 'update', 'transfer'],
      ),
      run: (params: { name: string; algorithm: TsigAlgorithm; update: boolean; transfer: boolean }) =>
        dnsKeys.add(params, ACTOR),
    },

    'dns.key.list': { params: object({}), run: () => dnsKeys.list() },

    'dns.key.remove': {
      params: object({ name: text() }, ['name']),
      run: ({ name }: { name: string }) => dnsKeys.remove(name, ACTOR),
    },

    'dns.log': {
      params: object(
        {
          since: { type: 'integer', minimum: 0 },
          client: text(60),
          name: text(1100),
          limit: { type: 'integer', minimum: 1, maximum: MAX_LISTED },
        },
        ['limit'],
      ),
      run: async ({
        name,
        client,
        ...filter
      }: {
        name?: string
        client?: string
        since?: number
        limit: number
      }) => {
        await dns.flushQueryLog()
        return {
          enabled: queryLog.enabled,
          queries: await readQueryLog(queryLog.directory, {
            ...filter,
            ...(client !== undefined && { client }),
            ...(name !== undefined && { name: nameAsTyped(name, Name.parse(domain)).toString() }),
          }),
        }
      },
    },

    'dns.log.clear': {
      params: object({}),
      run: async () => {
        await dns.clearQueryLog()
        await store.transaction((tx) =>
          tx.audit({ actor: ACTOR, action: 'dns.log.clear', subject: domain, outcome: 'done', detail: '' }),
        )
        return { cleared: true }
      },
    },

    'clock.accept': {
      params: object({}),
      run: async () => {
        await guard.accept(ACTOR)
        await options.maintain()
        return { clock: guard.state() }
      },
    },

    audit: {
      params: object({ since: { type: 'integer', minimum: 0 } }, ['since']),
      run: async ({ since }: { since: number }) =>
        (await readAudit(store.db, since, MAX_LISTED)).map(
          ({ at, actor, action, subject, outcome, detail }) => ({
            at: rfc3339(at),
            actor,
            action,
            subject,
            outcome,
            detail,
          }),
        ),
    },
  }
}

function describeHierarchy(hierarchy: Hierarchy) {
  return hierarchy.all.map((issuer) => ({
    id: issuer.id,
    kind: issuer.kind,
    current: issuer.kind === 'root' || issuer === hierarchy.current,
    sha256: fingerprint(issuer),
    notBefore: rfc3339(issuer.notBefore),
    notAfter: rfc3339(issuer.notAfter),
    crl: issuer.urls.crl,
  }))
}

function describeCredential(handed: HandedCredential, options: OperationsOptions) {
  const { deviceId, name, credential, expires } = handed
  return {
    deviceId,
    name,
    id: credential.id,
    token: credential.token,
    expires: rfc3339(expires),
    qr: qrText({
      host: options.estHost,
      rootSha256: sha256(options.hierarchy.root.certificate),
      credential,
      expires,
    }),
  }
}

function describeDevice(device: Device) {
  return {
    deviceId: device.id,
    kind: device.kind,
    name: device.names[0] ?? null,
    names: device.names,
    addresses: device.addresses,
    state: device.state,
    profile: device.profile,
    added: rfc3339(device.created_at),
  }
}

function describeCertificate(certificate: RecordedCertificate, device: Device | null, now: number) {
  return {
    serial: certificate.serial,
    names: certificate.names,
    addresses: JSON.parse(certificate.addresses) as string[],
    device: device?.names[0] ?? certificate.device_id,
    profile: certificate.profile,
    notBefore: rfc3339(certificate.not_before),
    notAfter: rfc3339(certificate.not_after),
    status: statusOf(certificate, now),
    ...(certificate.revoked_at === null
      ? {}
      : {
          revokedAt: rfc3339(certificate.revoked_at),
          reason: reasonName(certificate.revocation_reason ?? 0),
        }),
  }
}

function statusOf(certificate: RecordedCertificate, now: number): 'valid' | 'revoked' | 'expired' {
  if (certificate.revoked_at !== null) return 'revoked'
  return certificate.not_after <= now ? 'expired' : 'valid'
}

/** A serial as people paste it: hexadecimal of at least eight octets, with or without colons, any case. */
function isSerial(typed: string): boolean {
  return /^([0-9a-f]{2}:?){8,20}$/i.test(typed)
}

function readSerial(typed: string): string {
  return typed.replaceAll(':', '').toUpperCase()
}
