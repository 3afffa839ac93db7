/**
 * What others' reads feel of drops: point selects at a steady rate beside 25 drops a second of
 * tables of 100 rows, natively and through undrop, in turns with none. A table is made before the
 * turn that drops it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { spawnProxy } from '../test/support/proxy.js';
import { connect, type Session, startServer } from '../test/support/servers.js';
import { fillBigTable } from './big-table.js';
import { LIVE_ROWS, startReads } from './paced.js';
import { machineLoad, report, spread } from './report.js';

const SERVERS = (process.env['BENCH_SERVERS'] ?? 'mysql-9.7,mysql-5.6,mariadb-10.11,mariadb-11.8')
  .split(',')
  .filter((name) => name !== '');
const TURNS = Number(process.env['BENCH_TURNS'] ?? '9');
const RATE = Number(process.env['BENCH_RATE'] ?? '1500');
/** In a turn. */
const DROPS = 100;
const DROP_EVERY_MS = 40;
const ROWS = 100;

interface Turn {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly worstMs: number;
}

const loadBefore = machineLoad();
const rows: string[][] = [];
for (const name of SERVERS) rows.push(...(await turnsOn(name)));
report({
  title: 'What others feel of drops',
  how:
    `${RATE} point selects a second on another table, each counted from when it was due, beside ` +
    `${1_000 / DROP_EVERY_MS} drops a second of tables of ${ROWS} rows; ${TURNS} turns of ${DROPS} drops, ` +
    `medians. Load before: ${loadBefore}.`,
  columns: ['server', 'beside', 'p50 ms', 'p99 ms', 'worst ms', 'worst of all turns'],
  rows,
});

async function turnsOn(name: string): Promise<string[][]> {
  const server = await startServer(name);
  const proxy = await spawnProxy(server, { HOLD: '1h' });
  try {
    await fillBigTable(server, LIVE_ROWS);
    const direct = await connect(server, { database: 'big' });
    const held = await connect(proxy, { database: 'big' });
    await direct.query(`CREATE TABLE hundred AS SELECT * FROM seed LIMIT ${ROWS}`);
    const reads = await startReads(server, RATE);
    const modes: readonly (readonly [string, Session | null])[] = [
      ['nothing', null],
      ['native drops', direct],
      ['drops through undrop', held],
    ];
    const turns = modes.map((): Turn[] => []);
    for (let nr = 0; nr < TURNS; nr++) {
      for (let step = 0; step < modes.length; step++) {
        const index = (nr + step) % modes.length;
        const client = modes[index]?.[1] ?? null;
        if (client !== null) await makeTables(direct);
        await sleep(500);
        await reads.felt();
        await dropAll(client);
        turns[index]?.push(await reads.felt());
      }
    }
    await reads.end();
    for (const session of [direct, held]) await session.end();
    return modes.map(([beside], index) => {
      const of = (value: (turn: Turn) => number) => spread((turns[index] ?? []).map(value)).median;
      const worst = Math.max(...(turns[index] ?? []).map(({ worstMs }) => worstMs));
      return [
        ...[name, beside, of(({ p50Ms }) => p50Ms).toFixed(2), of(({ p99Ms }) => p99Ms).toFixed(2)],
        ...[of(({ worstMs }) => worstMs).toFixed(1), worst.toFixed(1)],
      ];
    });
  } finally {
    await proxy.stop();
    await server.stop();
  }
}

async function makeTables(session: Session): Promise<void> {
  for (let nr = 0; nr < DROPS; nr++) {
    await session.query(`CREATE TABLE t${nr} LIKE hundred`);
    await session.query(`INSERT INTO t${nr} SELECT * FROM hundred`);
  }
}

/** Null: as long without. */
async function dropAll(session: Session | null): Promise<void> {
  const beganMs = performance.now();
  for (let nr = 0; nr < DROPS; nr++) {
    await sleep(Math.max(beganMs + nr * DROP_EVERY_MS - performance.now(), 0));
    if (session !== null) await session.query(`DROP TABLE t${nr}`);
  }
}
