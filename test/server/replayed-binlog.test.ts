/**
 * `mysqlbinlog | mysql` through the proxy: every transaction of the log comes with its GTID, under
 * which nothing can be held. The first drop is refused, and its table is there with its rows.
 */

import { expect, test } from '@jest/globals';
import { connectionOptions } from '../support/client-cli.js';
import { runClient } from '../support/clients.js';
import { inHooks } from '../support/on-servers.js';
import { proxyInFront } from '../support/proxy.js';
import { query, startServer } from '../support/servers.js';

const HISTORY = [
  'CREATE DATABASE r',
  'USE r',
  'CREATE TABLE a (i INT)',
  'CREATE TABLE b (i INT)',
  'INSERT INTO a VALUES (1), (2)',
  'DROP TABLE a, b',
];

const { open } = inHooks();
const source = open(() => startServer('mysql-9.7'));
const behind = open(() => startServer('mysql-9.7'));
const proxy = open(() => proxyInFront(behind));

test('a log that is replayed ends at its first drop, and nothing is lost', async () => {
  // The other has the service account already.
  await query(source, 'RESET BINARY LOGS AND GTIDS', ...HISTORY);
  const logs = await query<{ readonly Log_name: string }>(source, 'SHOW BINARY LOGS');
  const plain = connectionOptions('mysql-9.7');
  const { stdout: text } = await runClient('mysqlbinlog-9.7', source, [
    ...plain,
    '--read-from-remote-server',
    ...logs.map(({ Log_name: name }) => name),
  ]);
  expect(text).toContain('GTID_NEXT');
  const replayed = await runClient('mysql-9.7', proxy, plain, { input: text });
  expect(replayed.stderr).toContain('UNDROP_NOT_DONE_YET: Tables a, b were not dropped');
  expect(await query(behind, 'SELECT i FROM r.a ORDER BY i')).toEqual([{ i: 1 }, { i: 2 }]);
  expect(await query(behind, 'SELECT i FROM r.b')).toEqual([]);
  expect(await query(behind, "SELECT id FROM _undrop.ledger WHERE schema_name = 'r'")).toEqual([]);
}, 120_000);
