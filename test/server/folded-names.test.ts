/**
 * Servers with lower_case_table_names=1, where A and a are one table and names are stored in lower
 * case, hold names as well: the same conversations directly and through the proxy, a restore and a
 * collection.
 */
import { startCollecting, until, whereIs } from '../collector/collecting.js';
import { describeAnswer } from '../support/native-case.js';
import { inHooks } from '../support/on-servers.js';
import { proxyInFront } from '../support/proxy.js';
import { RawClient } from '../support/raw-client.js';
import { sample } from '../support/sample.js';
import { query, startServer } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';
import { openTwoSchemas } from '../support/two-schemas.js';
import { listed, restored } from '../support/undrop-cli.js';

const FAMILY = [
  'CREATE TABLE P (id INT PRIMARY KEY) ENGINE=InnoDB',
  'CREATE TABLE C (id INT, CONSTRAINT K FOREIGN KEY (id) REFERENCES P (id)) ENGINE=InnoDB',
  'INSERT INTO p VALUES (1)',
  'INSERT INTO c VALUES (1)',
];

/** `OTHER` is another schema with the same tables `a` and `b`, in upper case. */
const TALKS: readonly (readonly [string, readonly string[]])[] = [
  ['a schema in another case', ['DROP TABLE OTHER.A, OTHER.b', 'SHOW WARNINGS', 'SHOW TABLES']],
  [
    'one twice, missing ones, and one that was made in capitals',
    [
      ...['DROP TABLE a, A', 'SHOW WARNINGS', 'DROP TABLE OTHER.a, OTHER.ZZ', 'SHOW WARNINGS'],
      ...['CREATE TABLE BIG (i INT)', 'DROP TABLE Big, `B`', 'DROP TABLE IF EXISTS ZZ, A, Yy'],
      ...['SHOW WARNINGS', 'SHOW TABLES'],
    ],
  ],
  [
    'a temporary table over it',
    ['CREATE TEMPORARY TABLE A (x INT)', 'DROP TABLE a', 'SELECT COUNT(*) FROM a', 'SHOW TABLES'],
  ],
  ['a parent', [...FAMILY, 'DROP TABLE p', 'SHOW TABLES', 'DROP TABLE C', 'DROP TABLE P']],
  [
    'a parent in letters that JavaScript folds otherwise',
    [
      'CREATE TABLE ΠΕΛΑΤΕΣ (id INT PRIMARY KEY) ENGINE=InnoDB',
      'CREATE TABLE İN (id INT, FOREIGN KEY (id) REFERENCES ΠΕΛΑΤΕΣ (id)) ENGINE=InnoDB',
      ...['DROP TABLE ΠΕΛΑΤΕΣ', 'SHOW TABLES', 'DROP TABLE İN', 'DROP TABLE ΠΕΛΑΤΕΣ'],
      'SHOW TABLES',
    ],
  ],
  ['a child and its parent', [...FAMILY, 'DROP TABLE c, P', 'SHOW WARNINGS', ...FAMILY]],
  [
    'a parent without checks, made anew',
    [
      ...[...FAMILY, 'SET foreign_key_checks = 0', 'DROP TABLE P', 'SHOW WARNINGS'],
      ...['CREATE TABLE p (id INT PRIMARY KEY) ENGINE=InnoDB', 'SET foreign_key_checks = 1'],
      ...['INSERT INTO P VALUES (7)', 'INSERT INTO c VALUES (7)', 'DELETE FROM p', 'SHOW TABLES'],
    ],
  ],
];

/** A short run has one of them. */
const FOLDING = ['mysql-5.6', 'mariadb-10.11', 'mariadb-11.8'];
const SERVERS = sample(FOLDING, { name: 'folded', count: 1 });

describe.each(SERVERS)('on %s', (name) => {
  const { beforeEach, open } = inHooks();
  const server = open(() => startServer(name, ['--lower-case-table-names=1']));
  const two = open(() => openTwoSchemas(server));
  beforeEach(() => two.fill());

  test.each(TALKS)('%s: the same bytes, and nothing is lost', (_name, texts) =>
    two.compare(async (target) => {
      await using client = await RawClient.open(target, { schema: two.schema.name });
      const heard: string[] = [];
      for (const text of texts) {
        const said = text.replaceAll('OTHER', two.other.name.toUpperCase());
        heard.push(`${text}: ${describeAnswer(await client.query(said)).join(' ')}`);
      }
      return heard;
    }),
  );

  test('a TRUNCATE that is protected keeps a key that the server named', async () => {
    const proxy = await proxyInFront(server, { PROTECT: 'drop-table,truncate' });
    const schema = two.schema.name;
    const client = await RawClient.open(proxy, { schema });
    await client.run([
      'CREATE TABLE Home (id INT PRIMARY KEY, up INT, FOREIGN KEY (up) REFERENCES HOME (id)) ENGINE=InnoDB',
      'INSERT INTO home VALUES (1, NULL)',
      'TRUNCATE HOME',
    ]);
    expect(await client.rows('SELECT COUNT(*) FROM home')).toEqual([['0']]);
    await client.quit();
    await intentsSettled(two.root, [schema]);
    await proxy.stop();
    const keys = await query(
      server,
      `SELECT CONSTRAINT_NAME AS name, REFERENCED_TABLE_NAME AS parent
       FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = '${schema}'`,
    );
    expect(keys).toEqual([{ name: 'home_ibfk_1', parent: 'home' }]);
    expect(await listed(server, `${schema}.home`)).toHaveLength(1);
  });

  test('what is held is listed, comes back by its name in any case, and is collected', async () => {
    const client = await RawClient.open(two.proxy, { schema: two.schema.name });
    await client.run(['CREATE TABLE Orders (id INT)', 'INSERT INTO ORDERS VALUES (1), (2)']);
    await client.run(['DROP TABLE ORDERS']);
    await restored(server, `${two.schema.name}.orders`);
    expect(await client.rows('SELECT * FROM oRDERS')).toEqual([['1'], ['2']]);

    await client.run(['DROP TABLE orders']);
    await client.quit();
    await intentsSettled(two.root, [two.schema.name]);
    const [held] = await listed(server, `${two.schema.name}.orders`);
    if (held === undefined) throw new Error('it is not held');
    await query(
      server,
      `RENAME TABLE ${held.holdSchema}.${held.holdName}
       TO ${held.holdSchema}._vt_HOLD_${held.id}_20200101000000`,
    );
    await using _collecting = startCollecting(server);
    await until('the table is gone', async () => (await whereIs(server, held.id)).length === 0);
  });
});
