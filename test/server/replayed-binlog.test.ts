/**
 * `mysqlbinlog | mysql` through the proxy, as a DBA brings a server up to date by hand: every
 * transaction of the log comes with its GTID. The same tables, rows and GTIDs as when it goes to a
 * server directly; and every base table that the log drops is held, with its rows.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { ThrowawayServer } from '../../throwaway-servers/throwaway.js';
import { connectionOptions } from '../support/client-cli.js';
import { runClient } from '../support/clients.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { query, startServer, type Target } from '../support/servers.js';

/** On the source; statements in the log, so that temporary tables are in it too. */
const HISTORY = [
  "SET SESSION binlog_format = 'STATEMENT'",
  'CREATE DATABASE r',
  'USE r',
  ...['a', 'b', 'c', 'd', 'kept', '`odd ``name`'].map((name) => `CREATE TABLE ${name} (i INT)`),
  ...['a', 'b', 'c', 'd', 'kept', '`odd ``name`'].map(
    (name) => `INSERT INTO ${name} VALUES (1), (2)`,
  ),
  'DROP TABLE a',
  'DROP TABLE IF EXISTS missing',
  'DROP TABLE b, `odd ``name`',
  'DROP TABLE IF EXISTS c, missing',
  'CREATE TEMPORARY TABLE kept (t INT)',
  'CREATE TEMPORARY TABLE tt (t INT)',
  'INSERT INTO kept VALUES (7)',
  'DROP TABLE kept',
  'DROP TABLE tt',
  'CREATE TABLE p (id INT PRIMARY KEY)',
  'CREATE TABLE kid (id INT, FOREIGN KEY (id) REFERENCES p (id))',
  'INSERT INTO p VALUES (1)',
  'INSERT INTO kid VALUES (1)',
  'SET foreign_key_checks = 0',
  'DROP TABLE p',
  'SET foreign_key_checks = 1',
  'CREATE TABLE p (id INT PRIMARY KEY)',
  'CREATE VIEW v AS SELECT * FROM kept',
  'DROP TABLE IF EXISTS v',
  'BEGIN',
  'INSERT INTO kept VALUES (3)',
  'DROP TABLE d',
  'CREATE TABLE a (i INT, again INT)',
  'INSERT INTO kept VALUES (4)',
];
const HELD = ['a', 'b', 'c', 'd', 'odd `name', 'p'];

let source: ThrowawayServer;
let direct: ThrowawayServer;
let behind: ThrowawayServer;
let proxy: ProxyTarget;

beforeAll(async () => {
  const server = () => startServer('mysql-9.7');
  [source, direct, behind] = await Promise.all([server(), server(), server()]);
  proxy = await proxyInFront(behind);
}, 120_000);

afterAll(async () => {
  await proxy.stop();
  await Promise.all([source.stop(), direct.stop(), behind.stop()]);
});

test('a log that is replayed brings the same, and its drops are held', async () => {
  // The others have the service account already.
  await query(source, 'RESET BINARY LOGS AND GTIDS', ...HISTORY);
  const logs = await query<{ readonly Log_name: string }>(source, 'SHOW BINARY LOGS');
  const plain = connectionOptions('mysql-9.7');
  const { stdout: text } = await runClient('mysqlbinlog-9.7', source, [
    ...plain,
    '--read-from-remote-server',
    ...logs.map(({ Log_name: name }) => name),
  ]);
  expect(text).toContain('GTID_NEXT');
  for (const target of [direct, proxy]) {
    const replayed = await runClient('mysql-9.7', target, plain, { input: text });
    expect(replayed).toMatchObject({ code: 0, stderr: expect.not.stringContaining('ERROR') });
  }
  expect(await stateOf(behind)).toEqual(await stateOf(direct));
  const held = await query<{ readonly name: string; readonly n: number; readonly at: string }>(
    behind,
    `SELECT table_name AS name, hold_name AS at FROM _undrop.ledger WHERE schema_name = 'r'
     ORDER BY table_name`,
  );
  expect(held.map(({ name }) => name)).toEqual(HELD);
  for (const { name, at } of held) {
    const [row] = await query<{ readonly n: number }>(
      behind,
      `SELECT COUNT(*) AS n FROM _undrop.${at}`,
    );
    expect({ name, rows: Number(row?.n) }).toEqual({ name, rows: name === 'p' ? 1 : 2 });
  }
}, 120_000);

/** GTIDs of the source, tables as they are shown, and their rows. */
async function stateOf(server: Target): Promise<unknown> {
  const [uuid] = await query<{ readonly id: string }>(source, 'SELECT @@server_uuid AS id');
  const [executed] = await query<{ readonly set: string }>(
    server,
    'SELECT @@GLOBAL.gtid_executed AS "set"',
  );
  const own = executed?.set.split(/,\s*/).filter((part) => part.startsWith(uuid?.id ?? '?'));
  const tables = await query<{ readonly name: string }>(
    server,
    "SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'r' ORDER BY 1",
  );
  const contents: unknown[] = [];
  for (const { name } of tables) {
    contents.push(await query(server, `SHOW CREATE TABLE r.\`${name}\``));
    contents.push(await query(server, `SELECT * FROM r.\`${name}\` ORDER BY 1`));
  }
  return { own, contents };
}
