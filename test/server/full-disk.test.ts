/**
 * A disk of 300 MB that fills up. First somebody is told, then what is held goes, oldest first, as
 * far as is needed; and a DROP and an UNDROP on a disk without a free byte lose nothing. It mounts
 * a file system, so it needs root; `npm test` leaves it out, unless it is named.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, open, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { copyDataFolder } from '../../throwaway-servers/data-folder.js';
import { freePort, type Launched, launch } from '../../throwaway-servers/launch.js';
import { until } from '../support/poll.js';
import { type ProxyProcess, spawnProxy } from '../support/proxy.js';
import { ensureInstalled, type ServerName } from '../support/server-set.js';
import { query, type Target, testServers } from '../support/servers.js';
import { makeServiceAccount } from '../support/service-account.js';

const run = promisify(execFile);
const DISK_MB = 300;
/** Of a table; each takes a megabyte. */
const ROWS = 9;
const MIN_FREE_MB = 60;

describe.each(testServers())('a full disk under $name', ({ name }) => {
  let folder = '';
  let launched: Launched;
  let server: Target;
  let proxy: ProxyProcess | null = null;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'undrop-full-'));
    await run('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MB}m`, 'tmpfs', folder]);
    const { installation, template } = await ensureInstalled(name as ServerName);
    await copyDataFolder(template, folder);
    const port = await freePort();
    const extraOptions = [`--port=${port}`, '--skip-log-bin'];
    launched = await launch(installation, {
      ...{ folder, keepFolder: true, connectOver: 'socket', extraOptions },
    });
    server = { host: '127.0.0.1', port, user: 'root', password: '' };
    await makeServiceAccount(server);
    await query(server, 'CREATE DATABASE disk');
  });

  afterEach(async () => {
    await proxy?.stop();
    proxy = null;
    await launched.stop();
    await run('umount', [folder]);
    await rm(folder, { recursive: true });
  });

  const start = (variables: Readonly<Record<string, string>>) =>
    spawnProxy(server, { HOLD: '30d', DATADIR: join(folder, 'data'), ...variables });

  async function make(on: Target, table: string): Promise<void> {
    const values = Array.from({ length: ROWS }, (_row, id) => `(${id}, REPEAT('x', 1000000))`);
    await query(
      on,
      `CREATE TABLE disk.${table} (id INT PRIMARY KEY, b LONGBLOB) ENGINE=InnoDB`,
      ...values.map((value) => `INSERT INTO disk.${table} VALUES ${value}`),
    );
  }

  /** Where the rows of a table are: its own name, or a hold name. */
  async function whereIs(table: string): Promise<readonly string[]> {
    const found = await query<{ readonly place: string }>(
      server,
      `SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) AS place FROM information_schema.TABLES
       WHERE (TABLE_SCHEMA, TABLE_NAME) = ('disk', '${table}') OR TABLE_NAME LIKE CONCAT('\\_vt\\_%_',
         (SELECT CONVERT(MAX(id) USING utf8) FROM _undrop.ledger WHERE table_name = '${table}'), '\\_%')`,
    );
    return found.map(({ place }) => place);
  }

  test('the warning comes first, then what is held goes, the oldest first, and no more', async () => {
    const limits = { MIN_FREE: `${MIN_FREE_MB}M`, MIN_HOLD: '0s', GRACE: '0s' };
    proxy = await start({ ...limits, COLLECT: 'on', CHECK_INTERVAL: '1s' });
    const { lines } = proxy;
    const removed = () => lines.filter(({ event }) => event === 'removal');
    const dropped: string[] = [];
    for (let nr = 0; removed().length < 3; nr++) {
      const table = `t${nr}`;
      await make(server, table);
      await query(proxy, `DROP TABLE disk.${table}`);
      dropped.push(table);
      const { bavail, bsize } = await statfs(folder);
      const before = removed().length;
      if (bavail * bsize < MIN_FREE_MB * 2 ** 20) {
        await until(() => removed().length > before, 'the oldest goes');
      }
    }
    const events = lines.map(({ event }) => event);
    expect(events.indexOf('limits')).toBeGreaterThan(-1);
    expect(events.indexOf('limits')).toBeLessThan(events.indexOf('removal'));
    const gone = removed().map(({ table }) => String(table));
    expect(gone).toEqual(dropped.slice(0, gone.length));
    // What is left comes back whole.
    const last = dropped.at(-1) ?? '';
    await query(proxy, `UNDROP TABLE disk.${last}`);
    expect(await query(server, `SELECT COUNT(*) AS n FROM disk.${last}`)).toEqual([{ n: ROWS }]);
  });

  test('a DROP and an UNDROP without a free byte lose nothing', async () => {
    proxy = await start({ COLLECT: 'off' });
    const tables = ['held', 'live', 'other'];
    for (const table of tables) await make(server, table);
    await query(proxy, 'DROP TABLE disk.held');
    await fill(join(folder, 'filler'));
    const answers: string[] = [];
    for (const what of [
      'DROP TABLE disk.live',
      'UNDROP TABLE disk.held',
      'DROP TABLE disk.other',
    ]) {
      const answer = await query(proxy, what).then(() => 'OK', String);
      answers.push(`${what}: ${answer}`);
    }
    await rm(join(folder, 'filler'));
    for (const table of tables) {
      const [place = '', ...others] = await whereIs(table);
      expect([answers, table, others]).toEqual([answers, table, []]);
      const rows = await query(server, `SELECT COUNT(*) AS n, SUM(LENGTH(b)) AS b FROM ${place}`);
      expect(rows).toMatchObject([{ n: ROWS }]);
    }
    // And it goes on.
    await make(server, 'more');
    await query(proxy, 'DROP TABLE disk.more', 'UNDROP TABLE disk.more');
    expect(await query(server, 'SELECT COUNT(*) AS n FROM disk.more')).toEqual([{ n: ROWS }]);
  });
});

/** Until the file system has no block left. */
async function fill(path: string): Promise<void> {
  await using file = await open(path, 'w');
  for (let bytes = 2 ** 20; bytes >= 512; ) {
    await file.write(Buffer.alloc(bytes)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOSPC') throw error;
      bytes /= 2;
    });
  }
}
