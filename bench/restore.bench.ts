/**
 * How long a restore takes, by the command, with the start of its process: a schema of 300 tables
 * with 200 foreign keys on MySQL 9.7, and a table of 1 GB with 20 foreign keys and 3 triggers on
 * MySQL 5.6 and 9.7. What came back is counted: tables, keys, triggers, rows.
 */
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { until } from '../test/support/poll.js';
import { type ProxyProcess, spawnProxy, spawnUndrop } from '../test/support/proxy.js';
import { connect, startServer, type Target } from '../test/support/servers.js';
import { machineLoad, report, spread } from './report.js';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? '5');
const TABLES = 300;
const KEYS = 200;
const BIG_MB = Number(process.env['BENCH_BIG_MB'] ?? '1024');
const BIG_ROW_BYTES = 7_000;
const BIG_KEYS = 20;
const BIG_TRIGGERS = ['BEFORE INSERT', 'BEFORE UPDATE', 'AFTER DELETE'];

const rows: string[][] = [];
const loadBefore = machineLoad();

await withServer('mysql-9.7', restoreMany);
for (const name of ['mysql-5.6', 'mysql-9.7']) await withServer(name, restoreBig);

report({
  title: 'The time of a restore',
  how:
    `\`undrop restore\`, ${ROUNDS} rounds, from the start of its process to its end; before each round what is ` +
    `restored was dropped through undrop. Load before: ${loadBefore}.`,
  columns: ['server', 'restored', 'median s', 'worst s'],
  rows,
});

interface Bench {
  readonly name: string;
  readonly server: Target;
  readonly proxy: ProxyProcess;
  readonly root: Connection;
}

async function withServer(name: string, work: (bench: Bench) => Promise<void>): Promise<void> {
  const server = await startServer(name, ['--innodb-buffer-pool-size=512M']);
  const proxy = await spawnProxy(server, { HOLD: '1d', COLLECT: 'off' });
  const root = await connect(server);
  try {
    await root.query('CREATE DATABASE timed');
    await root.query('USE timed');
    await work({ name, server, proxy, root });
  } finally {
    await root.end();
    await proxy.stop();
    await server.stop();
  }
}

async function restoreMany(bench: Bench): Promise<void> {
  const { root } = bench;
  for (let nr = 0; nr < TABLES; nr++) {
    const key = `, KEY k (p), CONSTRAINT c${nr} FOREIGN KEY (p) REFERENCES t${nr >> 1} (id)`;
    const isChild = nr > 0 && nr <= KEYS;
    await root.query(`CREATE TABLE t${nr} (id INT PRIMARY KEY, p INT${isChild ? key : ''})`);
    await root.query(`INSERT INTO t${nr} VALUES (1, 1)`);
  }
  const what = `${TABLES} tables with ${KEYS} foreign keys`;
  await inRounds(
    bench,
    { what, drop: 'DROP DATABASE timed', restore: ['--schema', 'timed'] },
    async () => {
      expectCount(await count(root, 'TABLES', "TABLE_SCHEMA = 'timed'"), TABLES);
      expectCount(
        await count(root, 'REFERENTIAL_CONSTRAINTS', "CONSTRAINT_SCHEMA = 'timed'"),
        KEYS,
      );
    },
  );
}

async function restoreBig(bench: Bench): Promise<void> {
  const { root } = bench;
  const numbers = Array.from({ length: BIG_KEYS }, (_, nr) => nr);
  for (const nr of numbers) await root.query(`CREATE TABLE p${nr} (id INT PRIMARY KEY)`);
  for (const nr of numbers) await root.query(`INSERT INTO p${nr} VALUES (1)`);
  const columns = numbers.map((nr) => `c${nr} INT DEFAULT 1, KEY k${nr} (c${nr})`);
  const keys = numbers.map((nr) => `CONSTRAINT f${nr} FOREIGN KEY (c${nr}) REFERENCES p${nr} (id)`);
  await root.query(
    `CREATE TABLE big (id INT PRIMARY KEY AUTO_INCREMENT, filling BLOB, ${[...columns, ...keys].join(', ')})`,
  );
  const total = Math.ceil((BIG_MB * 2 ** 20) / BIG_ROW_BYTES);
  await root.query(`INSERT INTO big (filling) VALUES (REPEAT('x', ${BIG_ROW_BYTES}))`);
  for (let made = 1; made < total; made *= 2) {
    const some = Math.min(made, total - made);
    await root.query(`INSERT INTO big (filling) SELECT filling FROM big LIMIT ${some}`);
  }
  for (const [nr, event] of BIG_TRIGGERS.entries()) {
    await root.query(`CREATE TRIGGER g${nr} ${event} ON big FOR EACH ROW SET @g = ${nr}`);
  }
  const what = `a table of ${BIG_MB} MB, ${BIG_KEYS} foreign keys, ${BIG_TRIGGERS.length} triggers`;
  await inRounds(
    bench,
    { what, drop: 'DROP TABLE timed.big', restore: ['timed.big'] },
    async () => {
      const [counted] = await root.query<RowDataPacket[]>('SELECT COUNT(*) AS n FROM timed.big');
      expectCount(Number(counted[0]?.['n']), total);
      const own = "CONSTRAINT_SCHEMA = 'timed' AND TABLE_NAME = 'big'";
      expectCount(await count(root, 'REFERENTIAL_CONSTRAINTS', own), BIG_KEYS);
      expectCount(await count(root, 'TRIGGERS', "TRIGGER_SCHEMA = 'timed'"), BIG_TRIGGERS.length);
    },
  );
}

async function inRounds(
  { name, server, proxy, root }: Bench,
  {
    what,
    drop,
    restore,
  }: { readonly what: string; readonly drop: string; readonly restore: readonly string[] },
  check: () => Promise<void>,
): Promise<void> {
  const seconds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const client = await connect(proxy);
    await client.query(drop);
    await client.end();
    const isOpen = "SELECT 1 FROM _undrop.ledger WHERE state IN ('intent', 'emptying', 'emptied')";
    const isDone = async () => (await root.query<RowDataPacket[]>(isOpen))[0].length === 0;
    await until(isDone, 'the drop is recorded');
    const startMs = performance.now();
    const { code, stdout, stderr } = await spawnUndrop(server, ['restore', ...restore]);
    seconds.push((performance.now() - startMs) / 1_000);
    if (code !== 0) throw new Error(`not restored: ${stdout}${stderr}`);
    await check();
  }
  const { median, high } = spread(seconds);
  rows.push([name, what, median.toFixed(2), high.toFixed(2)]);
}

async function count(root: Connection, table: string, where: string): Promise<number> {
  const [found] = await root.query<RowDataPacket[]>(
    `SELECT COUNT(*) AS n FROM information_schema.${table} WHERE ${where}`,
  );
  return Number(found[0]?.['n']);
}

function expectCount(found: number, wanted: number): void {
  if (found !== wanted) throw new Error(`expected ${wanted}, found ${found}`);
}
