/**
 * `npm test`: installs and builds what is missing, then runs jest (arguments go on to it). The last
 * line of its output is `N passed, N failed`.
 */
import { spawnSync } from 'node:child_process';
import { ensureBuilt, ensureInstalled, root } from './ensure.mjs';

ensureInstalled();
ensureBuilt();
const result = spawnSync(
  process.execPath,
  [
    '--experimental-vm-modules',
    '--disable-warning=ExperimentalWarning',
    'node_modules/jest/bin/jest.js',
    ...process.argv.slice(2),
  ],
  // An odd time zone on purpose: due times are UTC, whatever the machine's clock says.
  { cwd: root, stdio: 'inherit', env: { ...process.env, TZ: 'Australia/Adelaide' } },
);
process.exit(result.status ?? 1);
