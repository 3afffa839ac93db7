/**
 * Tables whose tablespace is discarded, with a file beside them for an IMPORT. On MariaDB a RENAME
 * leaves that file behind, in the way of the name and of the schema, so a drop is refused there;
 * the other servers take the file along. Then CREATE TABLE and DROP DATABASE work on each.
 */
import { copyFile, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { onServers } from '../support/on-servers.js';
import { RawClient } from '../support/raw-client.js';
import { query } from '../support/servers.js';

onServers('tables without their tablespace on $name', (server, on) => {
  const { beforeAll, test } = on;
  const isMariaDb = server.name.startsWith('mariadb');
  const user = 'undrop_discards';
  let folder: string;

  const schema = on.schema('discarded');
  const proxy = on.proxy({ PROTECT: 'drop-table,drop-database,create-or-replace,truncate' });
  on.account(user, { grants: [`SELECT ON ${schema.name}.*`] });
  beforeAll(async () => {
    const [row] = await query<{ datadir: string }>(server, 'SELECT @@datadir AS datadir');
    folder = join(row?.datadir ?? '', schema.name);
  });

  /** With one row in the file that is there for the IMPORT. */
  async function makeDiscarded(table: string): Promise<void> {
    await using client = await RawClient.open(server, { schema: schema.name });
    const before = await readdir(folder);
    await client.run([
      `CREATE TABLE \`${table}\` (i INT PRIMARY KEY) ENGINE=InnoDB`,
      `INSERT INTO \`${table}\` VALUES (7)`,
      `FLUSH TABLES \`${table}\` FOR EXPORT`,
    ]);
    // The server has its own letters for those of the name.
    const isItsFile = (file: string) => file.endsWith('.ibd') && !before.includes(file);
    const own = join(folder, (await readdir(folder)).find(isItsFile) ?? '');
    await copyFile(own, `${own}.away`);
    await client.run(['UNLOCK TABLES', `ALTER TABLE \`${table}\` DISCARD TABLESPACE`]);
    await rename(`${own}.away`, own);
  }

  async function answer(text: string, as: { readonly user?: string } = {}): Promise<string> {
    await using client = await RawClient.open(proxy, { schema: schema.name, ...as });
    const { results } = await client.query(text);
    const last = results.at(-1);
    return last?.kind === 'err' ? `${last.errno} ${last.message}` : (last?.kind ?? 'nothing');
  }

  const REFUSED =
    /^1105 UNDROP_HOLD_FAILED: .* is discarded, .* IMPORT TABLESPACE.*direct connection/;

  test('a drop leaves no file behind that is in the way of the name or of the schema', async () => {
    await makeDiscarded('t');
    await makeDiscarded('Größe');
    const before = (await readdir(folder)).sort();
    if (isMariaDb) {
      await query(server, `CREATE TABLE ${schema.name}.other (i INT)`);
      for (const text of [
        'DROP TABLE t',
        'DROP TABLE IF EXISTS other, t',
        'DROP TABLE `Größe`',
        'CREATE OR REPLACE TABLE t (i INT)',
        'TRUNCATE TABLE t',
        `DROP DATABASE ${schema.name}`,
      ]) {
        expect([text, await answer(text)]).toEqual([text, expect.stringMatching(REFUSED)]);
      }
      expect(await answer('DROP TABLE t', { user })).toMatch(/^1142 DROP command denied/);
      // What was imported is dropped like any other table.
      expect(await answer('DROP TABLE other')).toBe('ok');
      expect((await readdir(folder)).sort()).toEqual(before);
      await query(server, `ALTER TABLE ${schema.name}.t IMPORT TABLESPACE`);
      expect(await query(server, `SELECT i FROM ${schema.name}.t`)).toEqual([{ i: 7 }]);
      await query(server, `DROP TABLE ${schema.name}.\`Größe\``);
    } else {
      expect(await answer('DROP TABLE `Größe`')).toBe('ok');
    }
    expect(await answer('DROP TABLE t')).toBe('ok');
    expect(await answer('CREATE TABLE t (i INT)')).toBe('ok');
    expect(await answer(`DROP DATABASE ${schema.name}`)).toBe('ok');
    await expect(readdir(folder)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('none is taken for discarded that is empty, compressed or a sequence', async () => {
    await query(
      server,
      `CREATE DATABASE IF NOT EXISTS ${schema.name}`,
      `CREATE TABLE ${schema.name}.plain (i INT)`,
      `CREATE TABLE ${schema.name}.estimated (i INT) STATS_PERSISTENT=0`,
      `CREATE TABLE ${schema.name}.parts (i INT) PARTITION BY HASH (i) PARTITIONS 2`,
      ...(isMariaDb ? [`CREATE SEQUENCE ${schema.name}.s`] : []),
    );
    for (const name of ['plain', 'estimated', 'parts', ...(isMariaDb ? ['s'] : [])]) {
      expect([name, await answer(`DROP TABLE ${name}`)]).toEqual([name, 'ok']);
    }
  });
});
