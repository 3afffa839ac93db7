/** A big table, and how others would remove its rows; beside a small one that is read meanwhile. */
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, query, type startServer } from '../test/support/servers.js';
import { LIVE_ROWS } from './paced.js';

export type Server = Awaited<ReturnType<typeof startServer>>;

/** Rows that were deleted one by one, and in what time. */
export interface Removed {
  readonly rows: number;
  readonly seconds: number;
}

/** A small table that is read, and the big one that all others are copies of. */
export async function fillBigTable(server: Server, count: number): Promise<void> {
  const digits =
    'SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9';
  await query(
    server,
    'CREATE DATABASE live',
    'CREATE DATABASE big',
    'CREATE TABLE live.t (id INT PRIMARY KEY, c CHAR(120) NOT NULL) CHARSET latin1',
    `INSERT INTO live.t SELECT 1 + a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d, REPEAT('x', 120)
     FROM (${digits}) a, (${digits}) b, (${digits}) c, (${digits}) e, (${digits}) f LIMIT ${LIVE_ROWS}`,
    `CREATE TABLE big.seed (id INT AUTO_INCREMENT PRIMARY KEY, k INT NOT NULL, c CHAR(120) NOT NULL,
       pad CHAR(80) NOT NULL) CHARSET latin1`,
  );
  const fill = await connect(server, { database: 'big' });
  await fill.query("INSERT INTO seed (k, c, pad) SELECT id, c, REPEAT('y', 80) FROM live.t");
  for (let rows = LIVE_ROWS; rows < count; rows = Math.min(2 * rows, count)) {
    await fill.query(
      `INSERT INTO seed (k, c, pad) SELECT k, c, pad FROM seed LIMIT ${Math.min(rows, count - rows)}`,
    );
  }
  await fill.end();
}

/** A copy of the big table by its file, which is read once, so that its pages are in the pool. */
export async function copyBigTable(server: Server, table: string): Promise<void> {
  const { dataDir } = server;
  if (dataDir === null) throw new Error('The benchmark needs the data folder of its server.');
  const session = await connect(server, { database: 'big' });
  const file = (name: string) => join(dataDir, 'big', `${name}.ibd`);
  await session.query(`CREATE TABLE ${table} LIKE seed`);
  await session.query(`ALTER TABLE ${table} DISCARD TABLESPACE`);
  await session.query('FLUSH TABLES seed FOR EXPORT');
  await copyFile(file('seed'), file(table));
  await copyFile(file('seed').replace(/ibd$/, 'cfg'), file(table).replace(/ibd$/, 'cfg'));
  await session.query('UNLOCK TABLES');
  await session.query(`ALTER TABLE ${table} IMPORT TABLESPACE`);
  await session.query(`SELECT COUNT(*), SUM(LENGTH(c)) FROM ${table}`);
  await session.end();
}

/** A copy in the general tablespace `shared`, which no file can be copied into. */
export async function copyIntoTablespace(server: Server, table: string): Promise<void> {
  const session = await connect(server, { database: 'big' });
  await session.query(`CREATE TABLE ${table} LIKE seed`);
  await session.query(`ALTER TABLE ${table} TABLESPACE shared`);
  await session.query(`INSERT INTO ${table} SELECT * FROM seed`);
  await session.end();
}

/** `DELETE … LIMIT 50` again and again, as Vitess does it, for so many seconds or to the end. */
export async function deleteLoop(
  server: Server,
  table: string,
  { pauseMs, seconds }: { readonly pauseMs: number; readonly seconds: number },
): Promise<Removed> {
  const session = await connect(server, { database: 'big' });
  let rows = 0;
  const beganMs = performance.now();
  for (const endMs = performance.now() + seconds * 1_000; performance.now() < endMs; ) {
    const [result] = await session.query(`DELETE FROM ${table} LIMIT 50`);
    const { affectedRows } = result as { readonly affectedRows: number };
    if (affectedRows === 0) break;
    rows += affectedRows;
    if (pauseMs > 0) await sleep(pauseMs);
  }
  await session.end();
  return { rows, seconds: (performance.now() - beganMs) / 1_000 };
}
