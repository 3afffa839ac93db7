/**
 * What an account without any right may cost others by the statements of undrop's own: names and
 * patterns that no table has are refused before anything is read; rights are asked before that; and
 * many names are looked up at once.
 */
import { expect } from '@jest/globals';
import { silentLog } from '../../src/log.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { generalLog, query, type Session } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';

const [SCHEMA, USER] = ['undrop_bounds', 'undrop_nobody'];
const TABLES = 30;

onServersAtOnce('undo by SQL on $name', (server, on) => {
  const { afterAll, beforeAll, test } = on;
  const names = Array.from({ length: TABLES }, (_, index) => `${SCHEMA}.t${index}`);

  on.freshLedger();
  on.account(USER, { password: 'x' });
  let isReady = false;
  const info = (_fields: object, message: string) => {
    isReady ||= message.startsWith('opened the ledger; drops are held');
  };
  const proxy = on.proxy({ COLLECT: 'off' }, { log: { ...silentLog, info } });
  const nobody = on.session({ to: proxy, user: USER, password: 'x' });
  const root = on.session({ to: proxy });
  beforeAll(async () => {
    // Its recovery reads the ledger as well.
    await until(() => isReady, 'its start is over');
    await query(server, `DROP DATABASE IF EXISTS ${SCHEMA}`, `CREATE DATABASE ${SCHEMA}`);
    for (const name of names) await root.query(`CREATE TABLE ${name} (id INT PRIMARY KEY)`);
    await root.query(`DROP TABLE ${names.join(', ')}`);
    await intentsSettled(root, [SCHEMA]);
  });
  afterAll(() => query(server, `DROP DATABASE ${SCHEMA}`));

  /** The error of a statement, and how often the service account read the ledger for it. */
  async function readsOf(connection: Session, text: string) {
    await using log = await generalLog(server);
    const said = await connection.errnoOf(text);
    const commands = await log.read();
    const isRead = (one: string) =>
      one.includes('/* undrop read') && one.includes('FROM `_undrop`');
    return { said, reads: commands.filter((one) => isRead(one.text)).length };
  }

  const long = (name: string) => `\`${name.repeat(65)}\``;

  test.each([
    [
      'SHOW FULL DROPPED TABLES LIKE',
      `SHOW FULL DROPPED TABLES LIKE '${'a%'.repeat(12_000)}'`,
      1210,
    ],
    ['a pattern of 257', `SHOW FULL DROPPED TABLES LIKE '${'ä'.repeat(257)}'`, 1210],
    [
      'SHOW FULL DROPPED TABLES FROM',
      `SHOW FULL DROPPED TABLES FROM \`${'x'.repeat(250_000)}\``,
      1059,
    ],
    ['a name of 65', `SHOW FULL DROPPED TABLES FROM ${long('ä')}`, 1059],
    ['UNDROP TABLE', `UNDROP TABLE ${SCHEMA}.${long('t')}`, 1059],
    ['UNDROP TABLE TO', `UNDROP TABLE ${names[0]} TO ${SCHEMA}.${long('t')}`, 1059],
    ['an id TO', `UNDROP TABLE '0123' TO ${long('t')}`, 1059],
    ['UNDROP DATABASE', `UNDROP DATABASE ${long('d')}`, 1059],
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

  test('SHOW FULL DROPPED TABLES: the server searches, and a page is read once', async () => {
    expect(await readsOf(root, `SHOW FULL DROPPED TABLES FROM ${SCHEMA} LIKE 't%'`)).toEqual({
      ...{ said: null, reads: 1 },
    });
    const show = async (connection: Session, like: string) => {
      const text = `SHOW FULL DROPPED TABLES FROM ${SCHEMA} LIKE '${like}'`;
      const rows = await connection.rows(text);
      return rows.map((row) => row['Table'] as string).toSorted();
    };
    expect(await show(root, 'T_')).toEqual(names.slice(0, 10).map((name) => name.split('.')[1]));
    expect(await show(root, '%2%9')).toEqual(['t29']);
    expect(await show(root, `${'t%'.repeat(127)}x`)).toEqual([]);
    expect(await show(nobody, '%')).toEqual([]);
  });
});
