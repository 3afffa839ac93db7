/**
 * What fourteen users feel of a greedy one and a hostile one beside them: logins, selects, long
 * UPDATEs, drops, UNDROPs, lists and the console through one proxy, alone and beside these two, in
 * turns; and how much its processes grow.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { adminOf, spawnProxy } from '../test/support/proxy.js';
import { startServer } from '../test/support/servers.js';
import {
  CROWD_TABLES,
  CROWD_VARIABLES,
  countKept,
  dropKept,
  type Felt,
  liveTogether,
  makeUsers,
  newFelt,
} from '../test/support/sixteen-users.js';
import { machineLoad, report } from './report.js';

const SERVERS = (process.env['BENCH_SERVERS'] ?? 'mysql-9.7 mariadb-10.11').split(' ');
/** Of each turn; alone and beside take turns. */
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? '60');
const ALONE_SECONDS = Number(process.env['BENCH_ALONE_SECONDS'] ?? SECONDS);
/** Off: the hostile one alone, by his attacks. */
const IS_GREEDY = process.env['BENCH_GREEDY'] !== 'off';
const CHECK_MS = 500;
const TURNS = Number(process.env['BENCH_TURNS'] ?? '5');

const loadBefore = machineLoad();
const rows: string[][] = [];
for (const name of SERVERS) rows.push(...(await measure(name)));

report({
  title: 'Fourteen users beside a greedy and a hostile one',
  how:
    `Each logs in, makes, drops and undrops a table of 10 rows, and pauses for 100 ms; ${IS_GREEDY ? 'one user makes and drops tables as fast as he can, over UNDROP_MAX_TABLES, and one without any right sends the costliest SHOW DROPPED TABLES and UNDROP without a pause; ' : ''}` +
    `one without any right attacks in turns (test/support/hostile-user.ts). ${TURNS} turns of ${ALONE_SECONDS} s alone and ${SECONDS} s beside. ` +
    `Afterwards all ${CROWD_TABLES} tables that they had dropped before came back whole. Load before: ${loadBefore}.`,
  columns: ['server', 'what', 'alone, median ms', 'p95', 'beside, median ms', 'p95', 'ratio'],
  rows,
});

async function measure(name: string): Promise<string[][]> {
  const options = ['--innodb-buffer-pool-size=512M', '--max-allowed-packet=64M'];
  const server = await startServer(name, options);
  const proxy = await spawnProxy(server, { ...CROWD_VARIABLES, ADMIN_LISTEN: '127.0.0.1:0' });
  try {
    await makeUsers(server);
    await dropKept(proxy);
    const admin = adminOf(proxy);
    const [alone, beside] = [newFelt(), newFelt()];
    let [before, most] = [0, 0];
    for (let turn = 0; turn < TURNS; turn++) {
      const quiet = { beside: false, admin, signal: AbortSignal.timeout(ALONE_SECONDS * 1_000) };
      add(alone, await liveTogether(proxy, quiet));
      before ||= biggestOf(proxy.child.pid);
      const signal = AbortSignal.timeout(SECONDS * 1_000);
      const watching = watch(proxy.child.pid, signal);
      const loud = { beside: true, isGreedy: IS_GREEDY, admin, signal };
      add(beside, await liveTogether(proxy, loud));
      most = Math.max(most, await watching);
    }
    const whole = await countKept(proxy);
    if (whole !== CROWD_TABLES) throw new Error(`${whole} of ${CROWD_TABLES} came back`);
    const mb = (bytes: number) => (bytes / 1e6).toFixed(0);
    const size = [name, 'MB of the biggest process', mb(before), '', mb(most), '', ''];
    const felt = Object.keys(alone).map((what) => {
      const [one, other] = [alone[what] ?? [], beside[what] ?? []];
      const ratio = (at(other, 0.5) / at(one, 0.5)).toFixed(2);
      const figures = [at(one, 0.5), at(one, 0.95), at(other, 0.5), at(other, 0.95)];
      return [name, what, ...figures.map((ms) => ms.toFixed(1)), ratio];
    });
    return [...felt, size];
  } finally {
    await proxy.stop();
    await server.stop();
  }
}

/** The most that one of its processes had until the signal, in bytes. */
async function watch(pid: number | undefined, signal: AbortSignal): Promise<number> {
  let most = 0;
  while (!signal.aborted) {
    most = Math.max(most, biggestOf(pid));
    await sleep(CHECK_MS);
  }
  return most;
}

/** Resident, of a process and its children. */
function biggestOf(pid = 0): number {
  const own = readdirSync('/proc').filter((one) => {
    try {
      return Number(one) === pid || statusOf(one, 'PPid') === pid;
    } catch {
      return false;
    }
  });
  return Math.max(...own.map((one) => statusOf(one, 'VmRSS') * 1024));
}

function statusOf(pid: string, field: string): number {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
}

function add(to: Felt, felt: Felt): void {
  for (const [what, times] of Object.entries(felt)) to[what]?.push(...times);
}

function at(times: readonly number[], share: number): number {
  const sorted = [...times].sort((one, other) => one - other);
  return sorted[Math.min(Math.floor(share * sorted.length), sorted.length - 1)] ?? Number.NaN;
}
