/**
 * What fourteen users feel of a greedy one and a hostile one beside them: logins, drops and UNDROPs
 * through one proxy, alone and beside these two, in turns.
 */
import { spawnProxy } from '../test/support/proxy.js';
import { startServer } from '../test/support/servers.js';
import {
  CROWD_TABLES,
  CROWD_VARIABLES,
  countKept,
  dropKept,
  type Felt,
  liveTogether,
  makeUsers,
} from '../test/support/sixteen-users.js';
import { machineLoad, report } from './report.js';

const SERVERS = (process.env['BENCH_SERVERS'] ?? 'mysql-9.7 mariadb-10.11').split(' ');
/** Of each turn; alone and beside take turns. */
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? '60');
const TURNS = Number(process.env['BENCH_TURNS'] ?? '5');

const loadBefore = machineLoad();
const rows: string[][] = [];
for (const name of SERVERS) rows.push(...(await measure(name)));

report({
  title: 'Fourteen users beside a greedy and a hostile one',
  how:
    `Each logs in, makes, drops and undrops a table of 10 rows, and pauses for 100 ms; one user makes and drops tables as fast as he can, over UNDROP_MAX_TABLES; ` +
    `one without any right sends the costliest SHOW DROPPED TABLES and UNDROP without a pause. ${TURNS} turns of ${SECONDS} s each, alone and beside. ` +
    `Afterwards all ${CROWD_TABLES} tables that they had dropped before came back whole. Load before: ${loadBefore}.`,
  columns: ['server', 'what', 'alone, median ms', 'p95', 'beside, median ms', 'p95', 'ratio'],
  rows,
});

async function measure(name: string): Promise<string[][]> {
  const server = await startServer(name, ['--innodb-buffer-pool-size=512M']);
  const proxy = await spawnProxy(server, CROWD_VARIABLES);
  try {
    await makeUsers(server);
    await dropKept(proxy);
    const alone: Felt = { login: [], drop: [], undrop: [] };
    const beside: Felt = { login: [], drop: [], undrop: [] };
    for (let turn = 0; turn < TURNS; turn++) {
      add(alone, await liveTogether(proxy, { beside: false, signal: inSeconds() }));
      add(beside, await liveTogether(proxy, { beside: true, signal: inSeconds() }));
    }
    const whole = await countKept(proxy);
    if (whole !== CROWD_TABLES) throw new Error(`${whole} of ${CROWD_TABLES} came back`);
    return (['login', 'drop', 'undrop'] as const).map((what) => {
      const [one, other] = [alone[what], beside[what]];
      const ratio = (at(other, 0.5) / at(one, 0.5)).toFixed(2);
      const figures = [at(one, 0.5), at(one, 0.95), at(other, 0.5), at(other, 0.95)];
      return [name, what, ...figures.map((ms) => ms.toFixed(1)), ratio];
    });
  } finally {
    await proxy.stop();
    await server.stop();
  }
}

function inSeconds(): AbortSignal {
  return AbortSignal.timeout(SECONDS * 1_000);
}

function add(to: Felt, felt: Felt): void {
  for (const what of ['login', 'drop', 'undrop'] as const) to[what].push(...felt[what]);
}

function at(times: readonly number[], share: number): number {
  const sorted = [...times].sort((one, other) => one - other);
  return sorted[Math.min(Math.floor(share * sorted.length), sorted.length - 1)] ?? Number.NaN;
}
