/** Tests are ES modules in TypeScript, run by the same Node 26 that runs the gateway. */
export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { parser: { syntax: 'typescript' }, target: 'es2024' }, module: { type: 'es6' } },
    ],
  },
  testTimeout: 60_000,
  // Tests start gateways, browsers and databases: more at a time than cores makes each wait for the others.
  maxWorkers: 2,
  reporters: ['default', '<rootDir>/scripts/closingLineReporter.mjs'],
}
