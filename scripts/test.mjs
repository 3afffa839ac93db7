/**
 * `npm test`: installs and builds what is missing, then runs jest (arguments go on to it). The last
 * line of its output is `N passed, N failed`. A process that the tests leave behind is named, ended
 * and counted as a failure: it would hold our output open, and whoever reads that would wait on.
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureBuilt, ensureInstalled, root } from './ensure.mjs';
import { endLeftBehind } from './left-behind.mjs';

const POLL_MS = 500;
/** From the last test's end: the servers are stopped meanwhile. */
const END_WITHIN_MS = 90_000;

ensureInstalled();
ensureBuilt();
const runId = randomUUID();
const folder = mkdtempSync(join(tmpdir(), 'undrop-test-run-'));
const countsFile = join(folder, 'counts.json');
const jest = spawn(
  process.execPath,
  [
    '--experimental-vm-modules',
    '--disable-warning=ExperimentalWarning',
    'node_modules/jest/bin/jest.js',
    ...workers(process.argv.slice(2)),
    ...process.argv.slice(2),
  ],
  {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      // An odd time zone on purpose: due times are UTC, whatever the machine's clock says.
      TZ: 'Australia/Adelaide',
      TEST_RUN_ID: runId,
      TEST_COUNTS_FILE: countsFile,
    },
  },
);
// A Ctrl-C reaches jest by itself; we wait for what it does about it.
process.on('SIGINT', () => undefined);
const ended = once(jest, 'exit').then(([code]) => code);
const exitCode = await Promise.race([ended, isStuck()]);
const left = await endLeftBehind(`TEST_RUN_ID=${runId}`);
for (const one of left) process.stdout.write(`left behind by the tests, ended now: ${one}\n`);
const { passed, failed } = readCounts();
process.exitCode = exitCode === 0 && left.length === 0 ? 0 : 1;
process.stdout.write(`${passed} passed, ${failed + left.length} failed\n`);

/** Resolves, with no exit code, where jest has its results and does not end for all that. */
async function isStuck() {
  while (!existsSync(countsFile)) await sleep(POLL_MS, undefined, { ref: false });
  await sleep(END_WITHIN_MS, undefined, { ref: false });
  return null;
}

/** What summary-reporter.cjs wrote; a jest that died before it could is one failure. */
function readCounts() {
  try {
    return JSON.parse(readFileSync(countsFile, 'utf8'));
  } catch {
    return { passed: 0, failed: exitCode === 0 ? 0 : 1 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Each has four servers of its own; given ones are there once. Tests wait more than they work. */
function workers(args) {
  const isSaid = args.some((word) => /^(-w|-i|--maxWorkers|--runInBand)/.test(word));
  if (isSaid) return [];
  const few = Math.min(3, availableParallelism());
  return [`--maxWorkers=${process.env.UNDROP_TEST_SERVERS ? 1 : few}`];
}
