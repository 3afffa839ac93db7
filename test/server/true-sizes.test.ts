/** What is held is as big as its file, right after it was filled and dropped. */
import { statSync } from 'node:fs';
import { startCollecting, until } from '../collector/collecting.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { proxyInFront } from '../support/proxy.js';
import { isLong } from '../support/sample.js';
import { query } from '../support/servers.js';

const ROWS = 16_384;

interface LedgerSizes {
  readonly holdSchema: string;
  readonly holdName: string;
  readonly rowCount: number | null;
  readonly bytes: number | null;
}

const HOURS = { holdMs: 3_600_000, checkIntervalMs: 3_600_000 };

onServersAtOnce('sizes on $name', (server, on) => {
  const { afterAll, beforeEach, test } = on;
  const isOld = server.name === 'mysql-5.6';
  /** MySQL 5.6 tells only the pages in use, and its files grow by 4 MB. */
  const least = isOld ? 0.3 : 0.8;

  beforeEach(() => freshLedger(server));
  const schema = on.each.schema();

  afterAll(() => freshLedger(server));

  /** Fills it at once, as a dump does, so that no statistics can follow. */
  async function fill(table: string): Promise<void> {
    const digits = '(SELECT 0 AS d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3)';
    const product = Array.from({ length: 7 }, (_, index) => `${digits} AS d${index}`).join(', ');
    await query(server, `INSERT INTO ${table} (note) SELECT REPEAT('x', 200) FROM ${product}`);
  }

  async function drop(...tables: string[]): Promise<void> {
    await using proxy = await proxyInFront(server);
    await query(proxy, ...tables.map((table) => `DROP TABLE ${table}`));
  }

  async function inLedger(table: string): Promise<LedgerSizes> {
    const [row] = await query<LedgerSizes>(
      server,
      `SELECT hold_schema AS holdSchema, hold_name AS holdName, row_estimate AS rowCount,
         byte_estimate AS bytes FROM _undrop.ledger WHERE table_name = '${table}'`,
    );
    if (row === undefined) throw new Error(`${table} is not in the ledger`);
    return row;
  }

  async function fileBytes({ holdSchema, holdName }: LedgerSizes): Promise<number> {
    const [row] = await query<{ readonly folder: string }>(server, 'SELECT @@datadir AS folder');
    return statSync(`${row?.folder}/${holdSchema}/${holdName}.ibd`).size;
  }

  test('a table that was filled a moment ago has its true size in the ledger soon', async () => {
    await query(
      server,
      `CREATE TABLE ${schema.name}.big (id INT AUTO_INCREMENT PRIMARY KEY, note VARCHAR(200))
       ENGINE=InnoDB`,
    );
    await fill(`${schema.name}.big`);
    await drop(`${schema.name}.big`);
    expect((await inLedger('big')).rowCount).not.toBe(0);
    await using _collecting = startCollecting(server, HOURS);
    const row = await inLedger('big');
    const bytes = await fileBytes(row);
    const isTrue = async () => {
      const now = Number((await inLedger('big')).bytes);
      return now > least * bytes && now < 1.2 * bytes;
    };
    // 5.6 has nothing else than statistics.
    if (isOld && !isLong) return;
    // A server renews them for one table after another, when it likes.
    if (isLong) await query(server, `ANALYZE TABLE \`${row.holdSchema}\`.\`${row.holdName}\``);
    await until('the ledger has its true size', isTrue);
    const areCounted = async () => {
      const rows = Number((await inLedger('big')).rowCount);
      return Math.abs(rows - ROWS) < 0.5 * ROWS;
    };
    if (isLong) await until('the ledger has the count of its rows', areCounted, 75_000);
  });

  test('0 rows are those of a table that was seen empty; MyISAM and partitions too', async () => {
    const partitioned = 'PARTITION BY HASH (id) PARTITIONS 3';
    await query(
      server,
      `CREATE TABLE ${schema.name}.empty_one (id INT PRIMARY KEY) ENGINE=InnoDB`,
      `CREATE TABLE ${schema.name}.one (id INT PRIMARY KEY) ENGINE=InnoDB`,
      `CREATE TABLE ${schema.name}.isam (id INT PRIMARY KEY) ENGINE=MyISAM`,
      `CREATE TABLE ${schema.name}.parts (id INT AUTO_INCREMENT PRIMARY KEY, note VARCHAR(200))
       ENGINE=InnoDB ${partitioned}`,
      `INSERT INTO ${schema.name}.one VALUES (1)`,
      `INSERT INTO ${schema.name}.isam VALUES (1), (2), (3)`,
    );
    await fill(`${schema.name}.parts`);
    const names = ['empty_one', 'one', 'isam', 'parts'];
    await drop(...names.map((name) => `${schema.name}.${name}`));
    for (const name of names) expect((await inLedger(name)).rowCount).not.toBe(0);
    await using _collecting = startCollecting(server, HOURS);
    const rowsOf = async (name: string) => {
      const { rowCount } = await inLedger(name);
      return rowCount === null ? null : Number(rowCount);
    };
    await until('it is seen empty', async () => (await rowsOf('empty_one')) === 0);
    expect(await rowsOf('isam')).toBe(3);
    expect([null, 1]).toContain(await rowsOf('one'));
    await until('partitions are added up', async () => {
      const [rows, { bytes }] = [await rowsOf('parts'), await inLedger('parts')];
      if (isOld && !isLong) return bytes !== null;
      if (Number(bytes) < 2_000_000) return false;
      return !isLong || Math.abs(Number(rows) - ROWS) < 0.5 * ROWS;
    });
  });
});
