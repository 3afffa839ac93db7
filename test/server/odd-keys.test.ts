/**
 * Foreign keys to columns that aren't unique, as a session may make them, and as every server
 * before MySQL 8.4 has made them: tables that have them are dropped with the server's own answers,
 * by who may drop alone too, and come back with their keys.
 */
import { expect } from '@jest/globals';
import { describeAnswer } from '../support/native-case.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { RawClient } from '../support/raw-client.js';
import type { Target } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';
import { restored } from '../support/undrop-cli.js';

const SCHEMA = 'odd_keys';
const SETTINGS = [0, 1].map(
  (value) => `SET @a = 0 /*!80400 , SESSION restrict_fk_on_non_standard_key = ${value} */`,
);
const [MAY = ''] = SETTINGS;

onServers('keys to columns that are not unique on $name', (server, on) => {
  const { afterAll, test } = on;
  const proxy = on.proxy();
  const root = on.session();
  on.account('odd_keys', { grants: [`DROP ON ${SCHEMA}.*`] });
  afterAll(() => root.query(`DROP DATABASE IF EXISTS ${SCHEMA}`));

  async function make(): Promise<void> {
    await root.run(
      MAY,
      `DROP DATABASE IF EXISTS ${SCHEMA}`,
      `CREATE DATABASE ${SCHEMA}`,
      `USE ${SCHEMA}`,
      'CREATE TABLE p (id INT PRIMARY KEY, k INT, KEY (k))',
      'CREATE TABLE c (k INT, CONSTRAINT zz FOREIGN KEY (k) REFERENCES p (k))',
      'CREATE TABLE s (k INT, i INT, KEY (k), FOREIGN KEY (i) REFERENCES s (k))',
      'INSERT INTO p VALUES (1, 7), (2, 7)',
      'INSERT INTO c VALUES (7)',
    );
  }

  /** What is heard of a drop of what was just made, and what is there then. */
  async function hear(target: Target, how: { user: string; set: string; text: string }) {
    await make();
    const client = await RawClient.open(target, { user: how.user, schema: SCHEMA });
    await client.run([how.set, 'SET @b = 0']);
    const heard = [how.text, how.text.includes('DATABASE') ? 'DO 0' : 'SHOW WARNINGS'];
    const said: string[] = [];
    for (const text of heard) said.push(...describeAnswer(await client.query(text)));
    await client.quit();
    await intentsSettled(root, [SCHEMA]);
    return [...said, ...(await root.tables(SCHEMA))];
  }

  const isOdd = server.name === 'mysql-9.7';
  const cases = (isOdd ? SETTINGS : [MAY]).flatMap((set, index) => [
    { user: 'odd_keys', set, text: 'DROP TABLE c, p, s' },
    { user: 'root', set, text: 'DROP TABLE s, p, c' },
    { user: 'root', set, text: 'DROP TABLE IF EXISTS c, missing, p' },
    { user: 'root', set, text: 'DROP TABLE p' },
    { user: index === 0 ? 'root' : 'odd_keys', set, text: `DROP DATABASE ${SCHEMA}` },
  ]);

  test.each(cases)('$text by $user, $set', async (how) => {
    const direct = await hear(server, how);
    // A warning beside 1217 that undrop leaves out.
    const isTold = (row: string) => !/^\d+ "\\u0007Warning\\u0003152/.test(row);
    const unnumbered = (rows: readonly string[]) =>
      rows.filter(isTold).map((row) => row.replace(/^\d+ /, ''));
    const heard = await hear(proxy, how);
    if (server.name !== 'mysql-5.6') return expect(heard).toEqual(direct);
    expect(unnumbered(heard)).toEqual(unnumbered(direct));
  });

  test('the keys come back with the tables', async () => {
    await make();
    const show = async () => {
      const rows = await root.rows('SHOW CREATE TABLE c');
      const own = await root.rows('SHOW CREATE TABLE s');
      return [rows, own].map(([row]) => String(row?.['Create Table']));
    };
    const before = await show();
    const client = await RawClient.open(proxy, { schema: SCHEMA });
    await client.run(['DROP TABLE c, s, p']);
    await client.quit();
    await intentsSettled(root, [SCHEMA]);

    for (const table of ['c', 'p', 's']) await restored(server, `${SCHEMA}.${table}`);
    await until(async () => JSON.stringify(await show()) === JSON.stringify(before), 'the keys');
    const refused = root.query('INSERT INTO c VALUES (8)');
    await expect(refused).rejects.toMatchObject({ errno: 1452 });
  });
});
