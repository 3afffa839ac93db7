/**
 * `npm test`: installs and builds what is missing, then runs jest (arguments go on to it). Each run
 * has a seed, by which random histories are drawn: the commit's, unless UNDROP_TEST_SEED gives
 * another. It runs all files but those in long-tests.json, which says why; with TEST_LONG=1
 * (`npm run test:long`) these, and all of what it runs only a part of. The last line of the output
 * is `N passed, N failed`. A process that the tests leave behind is named, ended and counted as a
 * failure: it would hold our output open, and whoever reads that would wait for it.
 */
import { spawn, spawnSync } from 'node:child_process';
import { randomInt, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureBuilt, ensureInstalled, root } from './ensure.mjs';
import { endLeftBehind } from './left-behind.mjs';

const POLL_MS = 500;
const WORKER_BYTES = 3 * 2 ** 30;
const LONG_PARTS = 3;
/** From the last test's end: the servers are stopped meanwhile. */
const END_WITHIN_MS = 90_000;

const start = Date.now();
const args = process.argv.slice(2);
const isLong = process.env.TEST_LONG === '1';
const seed = readSeed();
process.stdout.write(`seed ${seed}\n`);
ensureInstalled();
ensureBuilt();
const folder = mkdtempSync(join(tmpdir(), 'undrop-test-run-'));
const serversFile = join(folder, 'servers.txt');
// The proxies that the tests start would not know it.
const { UNDROP_TEST_SEED: _seed, ...otherVariables } = process.env;
// A Ctrl-C reaches jest by itself; we wait for what it does about it.
let isInterrupted = false;
process.on('SIGINT', () => {
  isInterrupted = true;
});
const parts = [];
for (const part of partsOfRun()) if (!isInterrupted) parts.push(await runPart(part));
const sum = (name) => parts.reduce((total, part) => total + part[name], 0);
const [passed, failed, left] = ['passed', 'failed', 'left'].map(sum);
tellServers();
rmSync(folder, { recursive: true, force: true });
const isGreen = !isInterrupted && left === 0 && parts.every(({ exitCode }) => exitCode === 0);
process.exitCode = isGreen ? 0 : 1;
if (process.exitCode !== 0) {
  const words = args.map((word) => (/^[-\w./=]+$/.test(word) ? word : `'${word}'`));
  const command = [
    `npm run test${isLong ? ':long' : ''}`,
    ...(args.length > 0 ? ['--'] : []),
    ...words,
  ];
  process.stdout.write(`to repeat: UNDROP_TEST_SEED=${seed} ${command.join(' ')}\n`);
}
const minutes = ((Date.now() - start) / 60_000).toFixed(1);
process.stdout.write(`${sum('files')} files, ${isLong ? 'whole, ' : ''}in ${minutes} minutes\n`);
process.stdout.write(`${passed} passed, ${failed + left} failed\n`);

/**
 * Arguments of one jest each. What runs for more than an hour does so with new test processes and
 * new servers every now and then: both grow with what they have done, to more than the memory.
 */
function partsOfRun() {
  if (!isLong || args.length > 0) return [[]];
  return Array.from({ length: LONG_PARTS }, (_, index) => [`--shard=${index + 1}/${LONG_PARTS}`]);
}

/** Runs jest, to its end, and ends what it leaves behind. */
async function runPart(partArgs) {
  const runId = randomUUID();
  const countsFile = join(folder, `${runId}.json`);
  const jest = spawn(
    process.execPath,
    [
      // Most of what tests allocate is short-lived: with more room it is collected less often.
      '--max-semi-space-size=64',
      '--experimental-vm-modules',
      '--disable-warning=ExperimentalWarning',
      'node_modules/jest/bin/jest.js',
      ...workers(),
      ...partArgs,
      ...args,
    ],
    {
      cwd: root,
      stdio: 'inherit',
      env: {
        ...otherVariables,
        // An odd time zone on purpose: due times are UTC, whatever the machine's clock says.
        TZ: 'Australia/Adelaide',
        TEST_RUN_ID: runId,
        TEST_COUNTS_FILE: countsFile,
        TEST_SERVERS_FILE: serversFile,
        TEST_SEED: String(seed),
        ...(args.length === 0 && { TEST_LEAVES_OUT: isLong ? 'same' : 'long' }),
      },
    },
  );
  const ended = once(jest, 'exit').then(([code]) => code);
  const exitCode = await Promise.race([ended, isStuck(countsFile)]);
  const left = await endLeftBehind(`TEST_RUN_ID=${runId}`);
  for (const one of left) process.stdout.write(`left behind by the tests, ended now: ${one}\n`);
  return { exitCode, left: left.length, ...readCounts(countsFile, exitCode) };
}

function readSeed() {
  const given = process.env.UNDROP_TEST_SEED;
  if (given === undefined) return seedOfCommit();
  const value = Number(given);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  process.stderr.write(`UNDROP_TEST_SEED: expected a whole number, found ${given}.\n`);
  process.exit(1);
}

/**
 * The verdict on a commit is the same for everybody. Drawn where there is no commit: in a copy
 * without its history.
 */
function seedOfCommit() {
  const { status, stdout } = spawnSync('git', ['rev-parse', 'HEAD'], { cwd: root });
  return status === 0 ? Number.parseInt(stdout.toString().slice(0, 7), 16) : randomInt(2 ** 28);
}

/** How many files met each server, as servers.ts has noted. */
function tellServers() {
  if (!existsSync(serversFile)) return;
  const lines = new Set(readFileSync(serversFile, 'utf8').trim().split('\n'));
  const counts = new Map();
  for (const line of lines) {
    const [, ...names] = line.split(' ');
    for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const each = [...counts].sort().map(([name, count]) => `${name} in ${count}`);
  process.stdout.write(`servers by test files: ${each.join(', ')}\n`);
}

/** Resolves, with no exit code, where jest has its results and does not end for all that. */
async function isStuck(countsFile) {
  while (!existsSync(countsFile)) await sleep(POLL_MS, undefined, { ref: false });
  await sleep(END_WITHIN_MS, undefined, { ref: false });
  return null;
}

/** What summary-reporter.cjs wrote; a jest that died before it could is one failure. */
function readCounts(countsFile, exitCode) {
  try {
    return JSON.parse(readFileSync(countsFile, 'utf8'));
  } catch {
    return { files: 0, passed: 0, failed: exitCode === 0 ? 0 : 1 };
  }
}

/**
 * One more than processors, because tests wait as much as they work. Each has servers of its
 * own, and needs 3 GB with them; given servers are there once.
 */
function workers() {
  const isSaid = args.some((word) => /^(-w|-i|--maxWorkers|--runInBand)/.test(word));
  return isSaid ? [] : [`--maxWorkers=${workerCount()}`];
}

function workerCount() {
  if (process.env.UNDROP_TEST_SERVERS) return 1;
  const byMemory = Math.max(1, Math.floor(totalmem() / WORKER_BYTES));
  return Math.min(3, availableParallelism() + 1, byMemory);
}
