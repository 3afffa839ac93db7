/**
 * `npm test`: installs and builds what is missing, then runs jest (arguments go on to it). The last
 * line of its output is `N passed, N failed`.
 */
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { ensureBuilt, ensureInstalled, root } from './ensure.mjs';

ensureInstalled();
ensureBuilt();
const result = spawnSync(
  process.execPath,
  [
    '--experimental-vm-modules',
    '--disable-warning=ExperimentalWarning',
    'node_modules/jest/bin/jest.js',
    ...workers(process.argv.slice(2)),
    ...process.argv.slice(2),
  ],
  // An odd time zone on purpose: due times are UTC, whatever the machine's clock says.
  { cwd: root, stdio: 'inherit', env: { ...process.env, TZ: 'Australia/Adelaide' } },
);
process.exit(result.status ?? 1);

/** Each worker has four servers of its own; given ones are there once. */
function workers(args) {
  const isSaid = args.some((word) => /^(-w|-i|--maxWorkers|--runInBand)/.test(word));
  if (isSaid) return [];
  const few = Math.max(1, Math.min(3, availableParallelism() - 1));
  return [`--maxWorkers=${process.env.UNDROP_TEST_SERVERS ? 1 : few}`];
}
