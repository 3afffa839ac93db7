/**
 * A program: lays down the servers that the tests run on where they aren't yet, while
 * scripts/test.mjs runs what needs none. Given servers (UNDROP_TEST_SERVERS) are there.
 */
import { ensureInstalled, RUN_NAMES } from './server-set.js';

if (!process.env['UNDROP_TEST_SERVERS']) {
  const laid = await Promise.allSettled(RUN_NAMES.map((name) => ensureInstalled(name)));
  process.exitCode = laid.every(({ status }) => status === 'fulfilled') ? 0 : 1;
}
