/**
 * The shape of the configuration file, as a JSON schema.
 *
 * `examples` are shown in error messages, so each is one that works. Defaults are not here but in
 * config.ts, the only place that knows them.
 */

const port = { type: 'integer', minimum: 0, maximum: 65535 }

/** A port on all of `listen.addresses`, or a list of `address:port` with one port. */
const listener = (example: number) => ({
  anyOf: [port, { type: 'array', minItems: 1, maxItems: 16, items: { type: 'string', maxLength: 60 } }],
  examples: [example],
})

const object = (properties: Record<string, object>) => ({
  type: 'object',
  additionalProperties: false,
  properties,
})

const domain = { type: 'string', minLength: 1, maxLength: 253, examples: ['corp.example'] }

const list = (maxItems: number, items: object, example: unknown[]) => ({
  type: 'array',
  maxItems,
  items,
  examples: [example],
})

const upstreams = (example: string[]) => list(16, { type: 'string', maxLength: 300 }, example)

export const CONFIG_SCHEMA = object({
  dataDir: { type: 'string', minLength: 1, maxLength: 1000, examples: ['./data'] },
  domain: { type: 'string', minLength: 3, maxLength: 200, examples: ['home.arpa'] },
  gateway: object({
    name: { type: 'string', pattern: '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$', examples: ['gateway'] },
    addresses: {
      type: 'array',
      maxItems: 16,
      items: { type: 'string', maxLength: 60 },
      examples: [['192.168.1.1']],
    },
  }),
  listen: object({
    addresses: {
      anyOf: [
        { type: 'string', maxLength: 60 },
        { type: 'array', minItems: 1, maxItems: 16, items: { type: 'string', maxLength: 60 } },
      ],
      examples: [['127.0.0.1', '::1']],
    },
    dns: listener(5300),
    dot: listener(8530),
    http: listener(8080),
    https: listener(8443),
    est: listener(9443),
  }),
  ca: object({
    rootYears: { type: 'integer', minimum: 2, maximum: 30, examples: [10] },
    issuerYears: { type: 'integer', minimum: 1, maximum: 10, examples: [1] },
    profiles: object({
      server: object({
        days: { type: 'integer', minimum: 1, maximum: 90, examples: [7] },
        renewAt: { type: 'number', minimum: 0.2, maximum: 0.9, examples: [0.66] },
      }),
    }),
    nameConstraints: { type: 'boolean', examples: [true] },
    keyFile: { type: 'string', minLength: 1, maxLength: 1000, examples: ['/etc/hearth/sealing.key'] },
  }),
  enrollment: object({
    credentialMinutes: { type: 'integer', minimum: 1, maximum: 10080, examples: [60] },
  }),
  dns: object({
    upstreams: upstreams(['udp://9.9.9.9']),
    upstreamCa: {
      anyOf: [{ type: 'null' }, { type: 'string', minLength: 1, maxLength: 1000 }],
      examples: ['/etc/hearth/work-ca.pem'],
    },
    forward: list(
      64,
      {
        ...object({ zone: domain, upstreams: { ...upstreams(['udp://10.0.0.53']), minItems: 1 } }),
        required: ['zone', 'upstreams'],
      },
      [{ zone: 'corp.example', upstreams: ['udp://10.0.0.53'] }],
    ),
    rebinding: object({
      protect: { type: 'boolean', examples: [true] },
      allow: list(256, domain, ['plex.direct']),
    }),
    cache: object({
      megabytes: { type: 'integer', minimum: 1, maximum: 512, examples: [16] },
      staleHours: { type: 'integer', minimum: 0, maximum: 168, examples: [24] },
    }),
    clients: list(64, { type: 'string', maxLength: 60 }, ['203.0.113.0/24']),
    outside: list(64, { type: 'string', maxLength: 60 }, ['10.64.0.0/10']),
    overrides: list(64, domain, ['example.com']),
    leases: list(
      8,
      {
        ...object({
          format: { enum: ['dnsmasq', 'kea'], examples: ['dnsmasq'] },
          file: { type: 'string', minLength: 1, maxLength: 1000, examples: ['/var/lib/misc/dnsmasq.leases'] },
        }),
        required: ['format', 'file'],
      },
      [{ format: 'dnsmasq', file: '/var/lib/misc/dnsmasq.leases' }],
    ),
    secondaries: list(
      16,
      {
        ...object({
          address: { type: 'string', maxLength: 60, examples: ['192.168.1.3'] },
          port: { type: 'integer', minimum: 1, maximum: 65535, examples: [53] },
          key: { ...domain, examples: ['secondary'] },
        }),
        required: ['address', 'key'],
      },
      [{ address: '192.168.1.3', key: 'secondary' }],
    ),
    ddr: { type: 'boolean', examples: [true] },
    fastPath: { type: 'boolean', examples: [true] },
    queryLog: object({
      enabled: { type: 'boolean', examples: [true] },
      hours: { type: 'integer', minimum: 1, maximum: 720, examples: [24] },
      megabytes: { type: 'integer', minimum: 1, maximum: 10240, examples: [64] },
    }),
  }),
  store: object({
    url: { type: 'string', pattern: '^(sqlite:|postgres(ql)?://).+', examples: ['sqlite:./data/hearth.db'] },
  }),
  tls: object({ minVersion: { enum: ['1.2', '1.3'], examples: ['1.3'] } }),
  publicUrl: {
    anyOf: [{ type: 'null' }, { type: 'string', pattern: '^http://[^/?#]+$', maxLength: 300 }],
    examples: ['http://gateway.home.arpa:8080'],
  },
  log: object({ level: { enum: ['debug', 'info', 'warn', 'error', 'silent'], examples: ['info'] } }),
})
