/**
 * Two projects: `unit` runs in memory; `server` runs on real servers, which its global setup starts
 * (test/support/global-setup.ts) and its teardown stops. Jest runs what tsc has built.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('.', import.meta.url));
const long = Object.values(JSON.parse(readFileSync(`${root}scripts/long-tests.json`, 'utf8')));
const isLong = (name) => long.flat().includes(name);
/** In a long run it tries more (test/support/sample.ts). */
const triesMore = (name) =>
  /\b(sample|rounds|isLong|isComplete|callsToKill)\b/.test(
    readFileSync(`${root}build/test/${name}.test.js`, 'utf8'),
  );
// What is named runs in any case. `npm test` leaves out the long files, and a long run those that
// say the same in both.
const isLeftOut = {
  long: isLong,
  same: (name) => !isLong(name) && !triesMore(name),
}[process.env.TEST_LEAVES_OUT ?? ''];
const leftOut = readdirSync(`${root}build/test`, { recursive: true })
  .filter((path) => path.endsWith('.test.js'))
  .map((path) => path.slice(0, -'.test.js'.length))
  .filter((name) => isLeftOut?.(name))
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
      testPathIgnorePatterns: ['/build/test/server/', '/build/test/faults/', ...leftOut],
    },
    {
      ...common,
      displayName: 'server',
      testMatch: [
        '<rootDir>/build/test/server/**/*.test.js',
        '<rootDir>/build/test/faults/**/*.test.js',
      ],
      testPathIgnorePatterns: leftOut,
      globalSetup: '<rootDir>/build/test/support/global-setup.js',
      globalTeardown: '<rootDir>/build/test/support/global-teardown.js',
    },
  ],
};
