/**
 * What an account without any right may cost others by the statements of undrop's own: names and
 * patterns that no table has are refused before anything is read; rights are asked before that; and
 * many names are looked up at once.
 */
import { expect, jest } from '@jest/globals';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { freshLedger } from '../support/fresh-ledger.js';
import { inLanes } from '../support/lanes.js';
import { testOnOne } from '../support/on-one-server.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { connect, generalLog, query, testServers } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';

jest.setTimeout(240_000);

const [SCHEMA, USER] = ['undrop_bounds', 'undrop_nobody'];
const TABLES = 30;

inLanes(testServers(), 'undo by SQL on $name', (server, lane) => {
  const test = testOnOne(server, lane);
  let proxy: ProxyTarget;
  let root: Connection;
  let nobody: Connection;
  const names = Array.from({ length: TABLES }, (_, index) => `${SCHEMA}.t${index}`);

  lane.beforeAll(async () => {
    await freshLedger(server);
    await query(
      server,
      `DROP DATABASE IF EXISTS ${SCHEMA}`,
      `CREATE DATABASE ${SCHEMA}`,
      `CREATE USER ${USER}@'%' IDENTIFIED BY 'x'`,
    );
    proxy = await proxyInFront(server, { COLLECT: 'off' });
    root = await connect(proxy);
    for (const name of names) await root.query(`CREATE TABLE ${name} (id INT PRIMARY KEY)`);
    await root.query(`DROP TABLE ${names.join(', ')}`);
    await intentsSettled(root, [SCHEMA]);
    nobody = await connect({ ...proxy, user: USER, password: 'x' });
  });
  lane.afterAll(async () => {
    await nobody.end();
    await root.end();
    await proxy.stop();
    await query(server, `DROP DATABASE ${SCHEMA}`, `DROP USER ${USER}@'%'`);
    await freshLedger(server);
  });

  /** The error of a statement, and how often the service account read the ledger for it. */
  async function readsOf(connection: Connection, text: string) {
    const log = await generalLog(server);
    try {
      const said = await connection.query(text).then(
        () => null,
        ({ errno }: { errno: number }) => errno,
      );
      const commands = await log.read();
      const isRead = (one: string) =>
        one.includes('/* undrop read') && one.includes('FROM `_undrop`');
      return { said, reads: commands.filter((one) => isRead(one.text)).length };
    } finally {
      await log.stop();
    }
  }

  const long = (name: string) => `\`${name.repeat(65)}\``;

  test.each([
    ['SHOW DROPPED TABLES LIKE', `SHOW DROPPED TABLES LIKE '${'a%'.repeat(12_000)}'`, 1210],
    ['a pattern of 257', `SHOW DROPPED TABLES LIKE '${'ä'.repeat(257)}'`, 1210],
    ['SHOW DROPPED TABLES FROM', `SHOW DROPPED TABLES FROM \`${'x'.repeat(250_000)}\``, 1059],
    ['a name of 65', `SHOW DROPPED TABLES FROM ${long('ä')}`, 1059],
    ['UNDROP TABLE', `UNDROP TABLE ${SCHEMA}.${long('t')}`, 1059],
    ['UNDROP TABLE TO', `UNDROP TABLE ${names[0]} TO ${SCHEMA}.${long('t')}`, 1059],
    ['an id TO', `UNDROP TABLE '0123' TO ${long('t')}`, 1059],
    ['UNDROP DATABASE', `UNDROP DATABASE ${long('d')}`, 1059],
    ['FLASHBACK TABLE', `FLASHBACK TABLE ${long('d')}.t TO BEFORE DROP`, 1059],
    ['EXPLAIN DROP TABLE', `EXPLAIN DROP TABLE ${SCHEMA}.${long('t')}`, 1059],
  ])('%s: what no name has is refused before anything is read', async (_what, text, errno) => {
    expect(await readsOf(nobody, text)).toEqual({ said: errno, reads: 0 });
  });

  test('UNDROP of 1,000 names asks for rights first, and reads nothing without', async () => {
    const many = Array.from({ length: 1_000 }, (_, index) => `${SCHEMA}.n${index}`);
    const { said, reads } = await readsOf(
      nobody,
      `UNDROP TABLE ${[...names, ...many].slice(0, 1_000).join(', ')}`,
    );
    expect([said, reads]).toEqual([expect.any(Number), 0]);
    expect([1044, 1142]).toContain(said);
  });

  test('UNDROP of 1,000 names that are not held looks them up in one query, and tells of some', async () => {
    const many = Array.from({ length: 1_000 }, (_, index) => `${SCHEMA}.n${index}`);
    const { said, reads } = await readsOf(root, `UNDROP TABLE ${many.join(', ')}`);
    expect(said).not.toBeNull();
    // What has become of them is looked up of the first ten alone.
    expect(reads).toBeLessThan(50);
  });

  test('SHOW DROPPED TABLES: the server searches, and a page is read once', async () => {
    expect(await readsOf(root, `SHOW DROPPED TABLES FROM ${SCHEMA} LIKE 't%'`)).toEqual({
      ...{ said: null, reads: 1 },
    });
    const show = async (connection: Connection, like: string) => {
      const text = `SHOW DROPPED TABLES FROM ${SCHEMA} LIKE '${like}'`;
      const [rows] = await connection.query<RowDataPacket[]>(text);
      return rows.map((row) => row['Table'] as string).toSorted();
    };
    expect(await show(root, 'T_')).toEqual(names.slice(0, 10).map((name) => name.split('.')[1]));
    expect(await show(root, '%2%9')).toEqual(['t29']);
    expect(await show(root, `${'t%'.repeat(127)}x`)).toEqual([]);
    expect(await show(nobody, '%')).toEqual([]);
  });
});
