/**
 * Two projects: `unit` runs in memory; `server` runs on real servers, which its global setup starts
 * (test/support/global-setup.ts) and its teardown stops. Jest runs what tsc has built.
 */
import { readFileSync } from 'node:fs';

// Named ones run in any case, and all of them by `npm run test:long`.
const isShort = process.env.TEST_LEAVES_OUT !== undefined;
const longTests = new URL('scripts/long-tests.json', import.meta.url);
const leftOut = Object.values(JSON.parse(readFileSync(longTests, 'utf8')))
  .flat()
  .map((name) => `/build/test/${name}\\.test\\.js$`);

const common = {
  testEnvironment: 'node',
  transform: {},
  rootDir: '.',
};
export default {
  // A machine may be slow for a moment; who hangs is found all the same.
  testTimeout: 300_000,
  testSequencer: '<rootDir>/scripts/longest-first.cjs',
  reporters: ['default', '<rootDir>/scripts/summary-reporter.cjs'],
  projects: [
    {
      ...common,
      displayName: 'unit',
      testMatch: ['<rootDir>/build/test/**/*.test.js'],
      testPathIgnorePatterns: ['/build/test/server/', '/build/test/faults/'],
    },
    {
      ...common,
      displayName: 'server',
      testMatch: [
        '<rootDir>/build/test/server/**/*.test.js',
        '<rootDir>/build/test/faults/**/*.test.js',
      ],
      testPathIgnorePatterns: isShort ? leftOut : [],
      globalSetup: '<rootDir>/build/test/support/global-setup.js',
      globalTeardown: '<rootDir>/build/test/support/global-teardown.js',
    },
  ],
};
