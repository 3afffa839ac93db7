/**
 * Tables that lack a file. Held ones can't be renamed: one of which the engine has nothing left, as
 * a killed server may leave it, is dropped when it is due; what has rows, or may have, is left, and
 * is in the log once. Of live ones the tablespace is discarded, with a file beside them for an
 * IMPORT: on MariaDB a RENAME leaves that file behind, in the way of the name and of the schema, so
 * a drop is refused there; the other servers take it along.
 */
import { copyFile, readdir, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import * as rig from '../collector/collecting.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { query } from '../support/servers.js';

const REFUSED = /^1105 UNDROP_HOLD_FAILED: .* is discarded, .* IMPORT TABLESPACE.*ask the operator/;

onServers('tables that lack a file on $name', (server, on) => {
  const { test, testOnEach } = on;
  const isMariaDb = server.flavour === 'mariadb';
  const schema = on.each.schema('discarded');
  const proxy = on.proxy({ PROTECT: 'drop-table,drop-database,create-or-replace,truncate' });
  const root = on.each.session({ schema });
  const client = on.each.client({ to: proxy, schema });

  const folderOf = async (name: string) => join(...(await root.column('SELECT @@datadir')), name);
  const linesOf = ({ said }: rig.Collecting, { id }: rig.Held) =>
    said.filter((one) => one.fields['id'] === id && one.message.startsWith('left a held table'));

  // MySQL 8.0 and later have one dictionary, in the engine.
  if (server.name !== 'mysql-9.7') {
    testOnEach('a table that its engine has lost is dropped when it is due', async () => {
      const like = await rig.holdTable(server, { dueInSeconds: 3_600 });
      const id = like.id.replace(/.{4}$/, 'abcd');
      const due = (await rig.serverTime(server, -5)).toISOString().replace(/\.\d+|\D/g, '');
      const name = `_vt_HOLD_${id}_${due}`;
      await query(server, 'FLUSH TABLES');
      const folder = await folderOf('_undrop');
      await copyFile(join(folder, `${like.name}.frm`), join(folder, `${name}.frm`));
      expect(await rig.whereIs(server, id)).toEqual([`_undrop.${name}`]);
      const collecting = rig.startCollecting(server);
      const { said } = collecting;
      await until(async () => (await rig.whereIs(server, id)).length === 0, 'it is dropped');
      await until(() => said.some(({ fields }) => fields['event'] === 'removal'), 'said');
      await collecting.stop();
      expect(linesOf(collecting, { ...like, id })).toEqual([]);
      expect(await rig.whereIs(server, like.id)).toHaveLength(1);
      await query(server, `DROP TABLE ${like.quoted}`);
    });
  }

  testOnEach('a table of which a file is missing is left, and is in the log once', async () => {
    const definition = '(id INT PRIMARY KEY, note VARCHAR(40)) ENGINE=MyISAM';
    const held = await rig.holdTable(server, { definition, dueInSeconds: 3 });
    await query(server, 'FLUSH TABLES');
    await unlink(join(await folderOf('_undrop'), `${held.name}.MYI`));
    let tries = 0;
    const collecting = rig.startCollecting(server, { lifecycle: ['HOLD', 'DROP'] }, (pool) =>
      rig.beforeEachStep(pool, async (quoted) => {
        if (quoted.includes(held.name)) tries++;
      }),
    );
    await until(() => tries > 3, 'it was tried again');
    await collecting.stop();
    expect(linesOf(collecting, held)).toHaveLength(1);
    expect(await rig.whereIs(server, held.id)).toHaveLength(1);
    await query(server, `DROP TABLE IF EXISTS ${held.quoted}`);
  });

  test('a drop leaves no file behind that is in the way of the name or of the schema', async () => {
    const folder = await folderOf(schema.name);
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
