/**
 * A reset of 5,000 tables, and its undo by one UNDROP ALL … SWAP: how long each takes, and what
 * point selects of others feel meanwhile.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { asking } from '../test/support/asking.js';
import { until } from '../test/support/poll.js';
import { spawnProxy } from '../test/support/proxy.js';
import { SERVER_NAMES } from '../test/support/server-set.js';
import { connect, startServer } from '../test/support/servers.js';
import { fillBigTable } from './big-table.js';
import { LIVE_ROWS, startReads } from './paced.js';
import { machineLoad, report } from './report.js';

const NAMES = (process.env['BENCH_SERVERS'] ?? SERVER_NAMES.join(',')).split(',');
const TABLES = Number(process.env['BENCH_TABLES'] ?? '5000');
const RATE = 500;
/** Names of one DROP. */
const NAMES_OF_DROP = 500;

const loadBefore = machineLoad();
const rows: string[][] = [];
for (const name of NAMES) rows.push(await measure(name));
report({
  title: 'A reset undone',
  how:
    `${TABLES} tables of a row, dropped by ${NAMES_OF_DROP}, created anew, and exchanged by one ` +
    `UNDROP ALL … SWAP; ${RATE} point selects a second on another table through the same proxy, ` +
    `quiet and meanwhile. Load before: ${loadBefore}.`,
  columns: ['server', 'drops s', 'undo s', 'p99 ms quiet', 'p99 ms', 'worst ms'],
  rows,
});

async function measure(name: string): Promise<string[]> {
  const server = await startServer(name, ['--innodb-buffer-pool-size=512M']);
  const proxy = await spawnProxy(server, { HOLD: '1d' });
  try {
    await fillBigTable(server, LIVE_ROWS);
    const client = await connect(proxy);
    await client.query('CREATE DATABASE shop');
    await client.query('USE shop');
    const names = Array.from({ length: TABLES }, (_, nr) => `t${nr}`);
    const make = async (value: number) => {
      for (const table of names) {
        await client.query(`CREATE TABLE ${table} (id INT PRIMARY KEY)`);
        await client.query(`INSERT INTO ${table} VALUES (${value})`);
      }
    };
    await make(1);
    const dropsMs = performance.now();
    for (let at = 0; at < TABLES; at += NAMES_OF_DROP) {
      await client.query(`DROP TABLE ${names.slice(at, at + NAMES_OF_DROP).join(', ')}`);
    }
    const dropsS = (performance.now() - dropsMs) / 1_000;
    await make(2);
    const { cell } = asking(server);
    const open = "SELECT COUNT(*) FROM _undrop.ledger WHERE state = 'intent'";
    await until(async () => Number(await cell(open)) === 0, 'the drops are recorded', 600_000);
    const reads = await startReads(proxy, RATE);
    await reads.felt();
    await sleep(5_000);
    const quiet = await reads.felt();
    const startMs = performance.now();
    await client.query("UNDROP ALL FROM shop SINCE '1 day ago' SWAP");
    const undoS = (performance.now() - startMs) / 1_000;
    const felt = await reads.end();
    const [row] = await client.rows<{ readonly id: number }>(`SELECT id FROM t${TABLES - 1}`);
    if (row?.id !== 1) throw new Error('the last table is not the first one');
    await client.end();
    return [
      ...[name, dropsS.toFixed(1), undoS.toFixed(1)],
      ...[quiet.p99Ms, felt.p99Ms, felt.worstMs].map((ms) => ms.toFixed(1)),
    ];
  } finally {
    await proxy.stop();
    await server.stop();
  }
}
