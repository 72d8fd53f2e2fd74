/**
 * Who may import whom. One direction, from main.ts down to base/:
 *
 *   main -> daemon -> { admin-ui, enrollment, ocsp, dns, discovery, agent } -> ca -> { x509, store, pairing, wire } -> base
 *
 * Each rule says why it exists, so that whoever breaks one knows what breaks with it.
 */
const services = ['admin-ui', 'enrollment', 'ocsp', 'dns', 'discovery', 'agent']
const libraries = ['x509', 'store', 'pairing', 'wire']

/** A rule: files under `from` may reach, among our own folders, only `to`. */
const only = (from, to, comment) => ({
  name: `${from}-imports`,
  comment,
  severity: 'error',
  from: { path: `^${from}/` },
  to: {
    path: '^(main\\.ts|(daemon|admin-ui|enrollment|ocsp|dns|discovery|agent|ca|x509|store|pairing|wire|base|migrations|test|bench|soak|scripts)/)',
    pathNot: `^(${[from, ...to].join('|')})/`,
  },
})

export default {
  forbidden: [
    only('base', [], 'base/ is what everything stands on: an import from here would close a circle.'),
    only(
      'wire',
      ['base'],
      'DNS messages are bytes: a codec that knew the store or the zone could not be tested alone.',
    ),
    only(
      'x509',
      ['base'],
      'DER is bytes: certificates are read and written without knowing who asks or where they are kept.',
    ),
    only(
      'pairing',
      ['base', 'x509'],
      'The pairing protocol runs on both sides, also on devices without a store.',
    ),
    only('store', ['base', 'migrations'], 'The store is the only place with SQL and knows rows, not rules.'),
    only(
      'migrations',
      ['base'],
      'A migration must read the same in ten years: it may not lean on code that changes.',
    ),
    only('ca', [...libraries, 'base'], 'The authority must not know which door a request came through.'),
    only('dns', ['store', 'wire', 'base'], 'Answering names must go on when the CA cannot issue.'),
    only('agent', ['x509', 'pairing', 'base'], 'The agent runs on devices: it has no database and no CA.'),
    ...services
      .filter((service) => service !== 'dns' && service !== 'agent')
      .map((service) =>
        only(
          service,
          ['ca', ...libraries, 'base'],
          'Services never import each other or the daemon: what one needs of another, gateway.ts hands it as a function.',
        ),
      ),
    {
      name: 'ocsp-reads-the-ledger',
      comment:
        'Revocation answers come from the ledger: a responder that could reach the authority could issue.',
      severity: 'error',
      from: { path: '^ocsp/' },
      to: { path: '^ca/authority\\.ts$' },
    },
    {
      name: 'sql-only-in-store',
      comment: 'One place with SQL: only there can it be kept valid for both SQLite and PostgreSQL.',
      severity: 'error',
      from: { pathNot: '^(store|migrations|test)/' },
      to: { path: 'node_modules/(kysely|better-sqlite3|pg)/' },
    },
    {
      name: 'dns2-is-a-client',
      comment:
        'dns2 as a server dies of one datagram from port 0; it is the independent client of doctor and tests, and a peer in the benchmarks.',
      severity: 'error',
      from: { pathNot: '^(daemon/doctor\\.ts|(test|bench)/)' },
      to: { path: 'node_modules/dns2/' },
    },
    {
      name: 'nothing-imports-main',
      comment: 'main.ts turns argv into a command and ends the process; nothing may hang on it.',
      severity: 'error',
      from: {},
      to: { path: '^main\\.ts$' },
    },
    {
      name: 'tests-stay-outside',
      comment: 'What ships must run without the tests, the benchmarks and the soak.',
      severity: 'error',
      from: { pathNot: '^(test|bench|soak)/' },
      to: { path: '^(test|bench|soak)/' },
    },
    {
      name: 'no-circles',
      comment: 'A circle of imports has no reading direction, and an order of loading that nobody chose.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-dev-dependency-in-product',
      comment: 'What ships may only lean on what is installed with it.',
      severity: 'error',
      from: { pathNot: '^(test|bench|soak|scripts)/|\\.config\\.mjs$' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(data|node_modules/.cache)' },
    tsPreCompilationDeps: true,
    moduleSystems: ['es6'],
    enhancedResolveOptions: {
      extensions: ['.ts', '.mjs', '.js', '.json'],
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
}
