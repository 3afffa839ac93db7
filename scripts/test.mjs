/**
 * `npm test`: installs and builds what is missing, then runs jest (arguments go on to it). Each run
 * has a seed, by which the tests choose servers and samples: the commit's, unless UNDROP_TEST_SEED
 * gives another. Without arguments it ends within eight minutes: the files without servers tell how
 * fast the machine is, and as many of the others follow as there is time for. With TEST_LONG=1
 * (`npm run test:long`) nothing is left out. The last line of the output is `N passed, N failed`. A
 * process that the tests leave behind is named, ended and counted as a failure: it would hold our
 * output open, and whoever reads that would wait for it.
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
/** For a run without arguments; a minute is for what was estimated wrongly. */
const RUN_SECONDS = 300;
/** Seconds of workers for the files with servers, however slow the machine: a fifth of all. */
const SECONDS_MIN = 400;
/**
 * What the files without servers take on the machine of test-seconds.json: 70, and what its seconds
 * are too many, as it turned out.
 */
const UNIT_SECONDS = 80;
/** What the start and the end of the servers take there. */
const SERVERS_SECONDS = 25;
/** From the last test's end: the servers are stopped meanwhile. */
const END_WITHIN_MS = 90_000;

const start = Date.now();
const args = process.argv.slice(2);
const isLong = process.env.TEST_LONG === '1';
const seed = readSeed();
process.stdout.write(isLong ? `everything, seed ${seed}\n` : `a sample, seed ${seed}\n`);
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
if (isLong || args.length > 0) {
  for (const part of partsOfRun()) if (!isInterrupted) parts.push(await runPart(part));
} else await runInTime();
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
process.stdout.write(`${isLong ? 'everything' : 'a sample'} in ${minutes} minutes\n`);
process.stdout.write(`${passed} passed, ${failed + left} failed\n`);

/** First what needs no servers, while they are fetched where they aren't there yet. */
async function runInTime() {
  const fetching = once(fetchServers(), 'exit');
  const startMs = Date.now();
  parts.push(await runPart(['--selectProjects', 'unit']));
  const slowness = (Date.now() - startMs) / 1_000 / UNIT_SECONDS;
  await fetching;
  if (isInterrupted) return;
  const leftSeconds = RUN_SECONDS - (Date.now() - start) / 1_000;
  const seconds = (leftSeconds / slowness - SERVERS_SECONDS) * workerCount();
  const variables = { TEST_SECONDS: String(Math.max(Math.round(seconds), SECONDS_MIN)) };
  parts.push(await runPart(['--selectProjects', 'server'], variables));
}

/** Fails without a word of its own: whoever starts the servers says why they aren't there. */
function fetchServers() {
  const program = join(root, 'build/test/support/fetch-servers.js');
  return spawn(process.execPath, [program], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
}

/**
 * Arguments of one jest each. What runs for more than an hour does so with new test processes and
 * new servers every now and then: both grow with what they have done, to more than the memory.
 */
function partsOfRun() {
  if (args.length > 0) return [[]];
  return Array.from({ length: LONG_PARTS }, (_, index) => [`--shard=${index + 1}/${LONG_PARTS}`]);
}

/** Runs jest, to its end, and ends what it leaves behind. */
async function runPart(partArgs, variables = {}) {
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
        ...variables,
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
 * Each commit tries another sample, and the verdict on a commit is the same for everybody. Drawn
 * where there is no commit: in a copy without its history.
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
    return { passed: 0, failed: exitCode === 0 ? 0 : 1 };
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
