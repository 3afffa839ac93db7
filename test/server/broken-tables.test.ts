/**
 * Tables of which a file is missing. A native drop takes what is left of them; undrop can't hold
 * them, so the drop is refused with the way out, and what is left is left.
 */
import { readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { onServers } from '../support/on-servers.js';
import { query } from '../support/servers.js';

onServers('broken tables on $name', (server, on) => {
  const schema = on.schema('broken');
  const proxy = on.proxy();
  const client = on.client({ to: proxy, schema });

  async function folder(): Promise<string> {
    const [row] = await query<{ datadir: string }>(server, 'SELECT @@datadir AS datadir');
    return join(row?.datadir ?? '', schema.name);
  }

  async function filesOf(table: string): Promise<readonly string[]> {
    const files = await readdir(await folder());
    return files
      .filter((file) => file.startsWith(`${table}.`) || file.startsWith(`${table}_`))
      .sort();
  }

  test.each([
    ['its index', 'no_index', 'MYI'],
    ['its rows', 'no_rows', 'MYD'],
  ])(
    'a MyISAM table without the file of %s is not held, and stays as it is',
    async (_what, table, file) => {
      await query(
        server,
        `CREATE TABLE ${schema.name}.${table} (id INT) ENGINE=MyISAM`,
        `INSERT INTO ${schema.name}.${table} VALUES (1), (2)`,
        'FLUSH TABLES',
      );
      await unlink(join(await folder(), `${table}.${file}`));
      const before = await filesOf(table);

      for (const sql of [`DROP TABLE ${table}`, `DROP TABLE IF EXISTS ${table}`]) {
        const [result] = (await client.query(sql)).results;
        if (result?.kind !== 'err') throw new Error('it was dropped');
        expect(result.message.toString()).toMatch(/^UNDROP_HOLD_FAILED: .*direct connection/);
        expect(await filesOf(table)).toEqual(before);
      }
      expect(await query(server, `SHOW TABLES FROM ${schema.name}`)).toHaveLength(1);
      await query(server, `DROP TABLE IF EXISTS ${schema.name}.${table}`);
      // Of what is left of them the server leaves something as well.
      for (const left of await filesOf(table)) await unlink(join(await folder(), left));
    },
  );
});
