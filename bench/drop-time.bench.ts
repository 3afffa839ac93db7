/**
 * How long a client waits for a DROP TABLE, natively and through the proxy, in turns: a small
 * table, a thousand small ones in a row, one of 1 GB on MySQL 5.6; and how long it and others wait
 * while somebody reads a table of the same family. Each held table is counted, with its rows.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { until } from '../test/support/poll.js';
import { spawnProxy } from '../test/support/proxy.js';
import { SERVER_NAMES } from '../test/support/server-set.js';
import { connect, startServer, type Target } from '../test/support/servers.js';
import { inRounds, machineLoad, report, spread } from './report.js';

const NAMES = (process.env['BENCH_SERVERS'] ?? SERVER_NAMES.join(',')).split(',');
const SMALL_ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? '30');
const IN_A_ROW = Number(process.env['BENCH_IN_A_ROW'] ?? '1000');
const BIG_ROUNDS = Number(process.env['BENCH_BIG_ROUNDS'] ?? '5');
const BIG_MB = Number(process.env['BENCH_BIG_MB'] ?? '1024');
const READER_ROUNDS = Number(process.env['BENCH_READER_ROUNDS'] ?? '3');
/** How long the reader's transaction stays open once the drop was sent. */
const READER_MS = 600;
/** Until what was left is done, after the reader's end. */
const PAID_WITHIN_MS = 20_000;
const SMALL_ROWS = 100;
const BIG_ROW_BYTES = 7_000;
/** In a row there are so many tables at a time; they are made before the clock runs. */
const BATCH = 100;

interface Way {
  readonly name: 'native' | 'undrop';
  readonly target: Target;
}

interface Bench {
  readonly server: string;
  readonly root: Connection;
  readonly ways: readonly Way[];
}

interface Beside {
  readonly dropMs: number;
  /** The longest SELECT of others. */
  readonly waitMs: number;
  /** From the reader's end until the table was in the recycle schema; 0 where it was before. */
  readonly paidMs: number;
}

const small: string[][] = [];
const row: string[][] = [];
const big: string[][] = [];
const readers: string[][] = [];
const loadBefore = machineLoad();

for (const name of NAMES) await measure(name);

const MEDIAN_AND_WORST = ['median ms', 'worst ms'];
const LOAD = `Load before: ${loadBefore}.`;
report({
  title: 'The time of a drop',
  how: `A table of ${SMALL_ROWS} rows, ${SMALL_ROUNDS} rounds in turns, as the client sees it. ${LOAD}`,
  columns: ['server', 'drop', ...MEDIAN_AND_WORST],
  rows: small,
});
report({
  title: `${IN_A_ROW} drops in a row`,
  how:
    'Empty tables, one DROP TABLE after the other on one connection; those dropped before are all ' +
    `held. ${LOAD}`,
  columns: ['server', 'drop', ...MEDIAN_AND_WORST, 'all, seconds'],
  rows: row,
});
if (big.length > 0) {
  report({
    title: `The time of a drop of ${BIG_MB} MB`,
    how: `MySQL 5.6, ${BIG_ROUNDS} rounds in turns, right after they were filled. ${LOAD}`,
    columns: ['server', 'drop', ...MEDIAN_AND_WORST],
    rows: big,
  });
}
report({
  title: 'Others beside a drop, while a family is read',
  how:
    `A transaction that has read one table of a family stays open for ${READER_MS} ms, another session ` +
    'drops a parent or a child with foreign_key_checks=0, a third one reads what is left, again and ' +
    'again, until all is done: the table in the recycle schema, without its foreign keys, and the ' +
    `child led back. ${READER_ROUNDS} rounds in turns. ${LOAD}`,
  columns: [
    ...['server', 'dropped', 'read', 'drop', ...MEDIAN_AND_WORST],
    ...['longest SELECT beside, ms', 'all done, ms after the reader'],
  ],
  rows: readers,
});

async function measure(name: string): Promise<void> {
  const server = await startServer(name, ['--innodb-buffer-pool-size=512M']);
  const proxy = await spawnProxy(server, { HOLD: '1d', COLLECT: 'on' });
  const root = await connect(server);
  try {
    const ways: readonly Way[] = [
      { name: 'native', target: server },
      { name: 'undrop', target: proxy },
    ];
    const bench: Bench = { server: name, root, ways };
    await root.query('CREATE DATABASE timed');
    await root.query('USE timed');
    await dropSmall(bench);
    await dropInARow(bench);
    if (name === 'mysql-5.6' && BIG_ROUNDS > 0) await dropBig(bench);
    for (const [dropped, read] of ['pc', 'cp', 'pp', 'cc'].map((pair) => pair.split(''))) {
      if (dropped !== undefined && read !== undefined) await besideReaders(bench, dropped, read);
    }
  } finally {
    await root.end();
    await proxy.stop();
    await server.stop();
  }
}

async function dropSmall({ server, root, ways }: Bench): Promise<void> {
  const values = Array.from({ length: SMALL_ROWS }, (_, id) => `(${id})`).join(',');
  const samples = await inRounds(ways, SMALL_ROUNDS, async ({ target, name }) => {
    await root.query('CREATE TABLE small (id INT PRIMARY KEY)');
    await root.query(`INSERT INTO small VALUES ${values}`);
    const ms = await timed(target, ['DROP TABLE small']);
    if (name === 'undrop') await countHeld(root, 'small', SMALL_ROWS);
    return ms;
  });
  for (const way of ways)
    small.push([server, way.name, ...figures((samples.get(way) ?? []).flat())]);
}

async function dropInARow({ server, root, ways }: Bench): Promise<void> {
  for (const { target, name } of ways) {
    const all: number[] = [];
    for (let done = 0; done < IN_A_ROW; done += BATCH) {
      const names = Array.from({ length: Math.min(BATCH, IN_A_ROW - done) }, (_, id) => `t${id}`);
      for (const table of names) await root.query(`CREATE TABLE ${table} (id INT PRIMARY KEY)`);
      all.push(
        ...(await timed(
          target,
          names.map((table) => `DROP TABLE ${table}`),
        )),
      );
    }
    if (name === 'undrop') await assertAllHeld(root, IN_A_ROW);
    const seconds = all.reduce((sum, ms) => sum + ms, 0) / 1_000;
    row.push([server, name, ...figures(all), seconds.toFixed(1)]);
  }
}

async function dropBig({ server, root, ways }: Bench): Promise<void> {
  const rows = Math.ceil((BIG_MB * 2 ** 20) / BIG_ROW_BYTES);
  await root.query('CREATE TABLE source (id INT PRIMARY KEY AUTO_INCREMENT, filling BLOB)');
  await root.query(`INSERT INTO source (filling) VALUES (REPEAT('x', ${BIG_ROW_BYTES}))`);
  for (let made = 1; made < rows; made *= 2) {
    const some = Math.min(made, rows - made);
    await root.query(`INSERT INTO source (filling) SELECT filling FROM source LIMIT ${some}`);
  }
  const samples = await inRounds(ways, BIG_ROUNDS, async ({ target, name }) => {
    await root.query('CREATE TABLE big LIKE source');
    await root.query('INSERT INTO big SELECT * FROM source');
    const ms = await timed(target, ['DROP TABLE big']);
    if (name === 'undrop') await countHeld(root, 'big', rows);
    return ms;
  });
  await root.query('DROP TABLE source');
  for (const way of ways) big.push([server, way.name, ...figures((samples.get(way) ?? []).flat())]);
}

async function besideReaders(bench: Bench, dropped: string, read: string): Promise<void> {
  const { server, root, ways } = bench;
  const samples = await inRounds(ways, READER_ROUNDS, async ({ target, name }) => {
    await root.query('SET foreign_key_checks = 0');
    await root.query('DROP TABLE IF EXISTS p, c');
    await root.query('CREATE TABLE p (id INT PRIMARY KEY)');
    await root.query('CREATE TABLE c (id INT, CONSTRAINT k FOREIGN KEY (id) REFERENCES p (id))');
    await root.query('INSERT INTO p VALUES (1)');
    await root.query('INSERT INTO c VALUES (1)');
    return dropBesideReader(target, bench, { dropped, read, isHeld: name === 'undrop' });
  });
  for (const way of ways) {
    const all = samples.get(way) ?? [];
    const worst = (key: keyof Beside) => spread(all.map((one) => one[key])).high.toFixed(0);
    const paid = way.name === 'undrop' ? worst('paidMs') : '–';
    const drop = figures(all.map(({ dropMs }) => dropMs));
    readers.push([server, title(dropped), title(read), way.name, ...drop, worst('waitMs'), paid]);
  }
}

function title(table: string): string {
  return table === 'p' ? 'parent' : 'child';
}

async function dropBesideReader(
  target: Target,
  { root, ways }: Bench,
  how: { readonly dropped: string; readonly read: string; readonly isHeld: boolean },
): Promise<Beside> {
  const { dropped, read } = how;
  const direct = ways[0]?.target ?? target;
  const database = 'timed';
  const [reader, other, dropper] = [
    await connect(direct, { database }),
    await connect(direct, { database }),
    await connect(target, { database }),
  ];
  try {
    await reader.query('BEGIN');
    await reader.query(`SELECT * FROM ${read}`);
    await dropper.query('SET foreign_key_checks = 0');
    const left = dropped === 'p' ? 'c' : 'p';
    const done = new AbortController();
    const waiting = longestSelect(other, left, done.signal);
    const start = performance.now();
    const dropping = dropper.query(`DROP TABLE ${dropped}`).then(() => performance.now() - start);
    await sleep(READER_MS);
    const isBefore = how.isHeld && (await findHeld(root, dropped)) !== null;
    await reader.query('COMMIT');
    const endMs = performance.now();
    const dropMs = await dropping;
    if (how.isHeld) await countHeld(root, dropped, 1);
    const paidMs = isBefore ? 0 : performance.now() - endMs;
    done.abort();
    return { dropMs, waitMs: await waiting, paidMs };
  } finally {
    for (const connection of [reader, other, dropper]) await connection.end();
  }
}

async function longestSelect(
  connection: Connection,
  table: string,
  signal: AbortSignal,
): Promise<number> {
  let longest = 0;
  while (!signal.aborted) {
    const start = performance.now();
    await connection.query(`SELECT COUNT(*) FROM ${table}`);
    longest = Math.max(longest, performance.now() - start);
    await sleep(2);
  }
  return longest;
}

/** Milliseconds of each text on one connection that is open and has said something. */
async function timed(target: Target, texts: readonly string[]): Promise<readonly number[]> {
  const client = await connect(target, { database: 'timed' });
  const times: number[] = [];
  try {
    await client.query('DO 1');
    for (const text of texts) {
      const start = performance.now();
      await client.query(text);
      times.push(performance.now() - start);
    }
  } finally {
    await client.end();
  }
  return times;
}

/** Its row in the ledger, once it is in the recycle schema. */
async function findHeld(root: Connection, table: string): Promise<RowDataPacket | null> {
  const [list] = await root.query<RowDataPacket[]>(
    `SELECT id, hold_schema AS place, hold_name AS held FROM _undrop.ledger
     WHERE schema_name = 'timed' AND table_name = ? AND state = 'HOLD' AND relocated = 1`,
    [table],
  );
  return list[0] ?? null;
}

/** So many tables are in the recycle schema, each as the ledger has it. */
async function assertAllHeld(root: Connection, count: number): Promise<void> {
  const isHeld = async () => {
    const [held] = await root.query<RowDataPacket[]>(
      `SELECT COUNT(*) AS n FROM _undrop.ledger
       JOIN information_schema.TABLES AS there
         ON there.TABLE_SCHEMA = '_undrop' AND there.TABLE_NAME = hold_name
       WHERE schema_name = 'timed' AND state = 'HOLD' AND relocated = 1`,
    );
    return held[0]?.['n'] === count;
  };
  await until(isHeld, `${count} tables are held`, PAID_WITHIN_MS);
}

/** Counts the rows of the held table, and takes it away: it is not to fill the disk. */
async function countHeld(root: Connection, table: string, rows: number): Promise<void> {
  const isHeld = async () => (await findHeld(root, table)) !== null;
  await until(isHeld, `${table} is held`, PAID_WITHIN_MS);
  const found = await findHeld(root, table);
  const name = `${found?.['place']}.${found?.['held']}`;
  const [counts] = await root.query<RowDataPacket[]>(`SELECT COUNT(*) AS n FROM ${name}`);
  if (counts[0]?.['n'] !== rows) throw new Error(`${name} has ${counts[0]?.['n']} rows`);
  await root.query(`DROP TABLE ${name}`);
  await root.query('DELETE FROM _undrop.ledger WHERE id = ?', [found?.['id']]);
}

function figures(times: readonly number[]): readonly string[] {
  const { median, high } = spread(times);
  return [median.toFixed(1), high.toFixed(1)];
}
