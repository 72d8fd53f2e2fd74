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
    upstreams: {
      type: 'array',
      maxItems: 16,
      items: { type: 'string', maxLength: 300 },
      examples: [['udp://9.9.9.9']],
    },
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
