/**
 * Tables whose tablespace is discarded, with a file beside them for an IMPORT. On MariaDB a RENAME
 * leaves that file behind, in the way of the name and of the schema, so a drop is refused there;
 * the other servers take the file along. Then CREATE TABLE and DROP DATABASE work on each.
 */
import { copyFile, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { onServers } from '../support/on-servers.js';

const REFUSED =
  /^1105 UNDROP_HOLD_FAILED: .* is discarded, .* IMPORT TABLESPACE.*direct connection/;

onServers('tables without their tablespace on $name', (server, on) => {
  const { test } = on;
  const isMariaDb = server.flavour === 'mariadb';
  const schema = on.each.schema('discarded');
  const proxy = on.proxy({ PROTECT: 'drop-table,drop-database,create-or-replace,truncate' });
  const root = on.each.session({ schema });
  const client = on.each.client({ to: proxy, schema });

  test('a drop leaves no file behind that is in the way of the name or of the schema', async () => {
    const [datadir = ''] = await root.column('SELECT @@datadir');
    const folder = join(datadir, schema.name);
    const file = join(folder, 't.ibd');
    await root.run(
      'CREATE TABLE t (i INT PRIMARY KEY) ENGINE=InnoDB',
      'INSERT INTO t VALUES (7)',
      'FLUSH TABLES t FOR EXPORT',
    );
    await copyFile(file, `${file}.away`);
    await root.run('UNLOCK TABLES', 'ALTER TABLE t DISCARD TABLESPACE');
    await rename(`${file}.away`, file);
    const before = await readdir(folder);
    const texts = ['DROP TABLE t', 'TRUNCATE TABLE t', `DROP DATABASE ${schema.name}`];
    for (const text of isMariaDb ? [...texts, 'CREATE OR REPLACE TABLE t (i INT)'] : []) {
      expect([text, await client.words(text)]).toEqual([text, expect.stringMatching(REFUSED)]);
    }
    if (isMariaDb) {
      expect(await readdir(folder)).toEqual(before);
      // What was imported is dropped like any other table.
      await root.query('ALTER TABLE t IMPORT TABLESPACE');
    }
    for (const text of ['DROP TABLE t', 'CREATE TABLE t (i INT)', `DROP DATABASE ${schema.name}`]) {
      expect([text, await client.words(text)]).toEqual([text, expect.stringMatching(/^OK/)]);
    }
    await expect(readdir(folder)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('none is taken for discarded that is empty, compressed or a sequence', async () => {
    await root.run(
      'CREATE TABLE plain (i INT)',
      'CREATE TABLE estimated (i INT) STATS_PERSISTENT=0',
      'CREATE TABLE parts (i INT) PARTITION BY HASH (i) PARTITIONS 2',
      ...(isMariaDb ? ['CREATE SEQUENCE s'] : []),
    );
    for (const name of ['plain', 'estimated', 'parts', ...(isMariaDb ? ['s'] : [])]) {
      expect([name, await client.words(`DROP TABLE ${name}`)]).toEqual([name, 'OK 0']);
    }
  });
});
