/**
 * SIGHUP: the file of settings is read anew by a proxy that runs, with sessions open, on all
 * servers at once.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { until } from '../support/poll.js';
import { type ProxyProcess, spawnProxy } from '../support/proxy.js';
import { connect, freshSchema, query, type TestServer, testServers } from '../support/servers.js';

describe.each(testServers())('on $name, SIGHUP', (server) => {
  test('changes what live sessions and new ones meet; wrong settings change nothing (wire 56)', async () => {
    const { name: schema, drop } = await freshSchema(server);
    await query(
      server,
      ...['a', 'b', 'b2', 'c', 'd'].map((name) => `CREATE TABLE ${schema}.${name} (x INT)`),
    );
    await withFile(server, { protect: ['drop-table'] }, async (proxy, reload) => {
      await using live = await connect(proxy, { database: schema });
      await live.query('DROP TABLE a');
      expect(await heldOf(server, schema)).toEqual(['a']);

      await reload({ protect: 'none', maxConnections: 1, logLevel: 'debug' });
      const warned = proxy.lines.filter(({ event }) => event === 'unprotected');
      const leftOut = 'UNDROP_PROTECT leaves out drop-database, create-or-replace: ';
      expect(warned).toMatchObject([
        { level: 40, msg: expect.stringContaining(leftOut) },
        {
          level: 40,
          msg: expect.stringMatching(/leaves out drop-table, .* destroy tables at once/),
        },
      ]);
      await live.query('DROP TABLE b');
      expect(await heldOf(server, schema)).toEqual(['a']);
      await expect(connect(proxy)).rejects.toMatchObject({ errno: 1040 });

      await reload({ maxConnections: 0, hold: 'never' });
      // Another line may follow it, of a session that was refused before.
      const reloads = proxy.lines.filter(({ event }) => event === 'reload');
      expect(reloads.at(-1)).toMatchObject({
        level: 50,
        event: 'reload',
        err: { code: 'UNDROP_CONFIG', message: expect.stringMatching(/hold.*\n.*maxConnections/) },
      });
      await expect(connect(proxy)).rejects.toMatchObject({ errno: 1040 });

      await reload({ protect: ['drop-table'], passwordFile: '/dev/null' });
      expect(proxy.lines.filter(({ event }) => event === 'reload').at(-1)).toMatchObject({
        level: 50,
        err: { code: 'UNDROP_ACCOUNT' },
      });
      await live.query('DROP TABLE b2');
      expect(await heldOf(server, schema)).toEqual(['a']);

      await reload({ protect: ['drop-table'], maxConnections: 2 });
      await live.query('DROP TABLE c');
      expect(await heldOf(server, schema)).toEqual(['a', 'c']);
      const second = await connect(proxy);
      await second.end();

      await reload({ mode: 'off' });
      expect(proxy.lines.filter(({ event }) => event === 'unprotected').at(-1)).toMatchObject({
        level: 40,
        msg: expect.stringMatching(/^UNDROP_MODE is off/),
      });
      await live.query('DROP TABLE d');
      expect(await heldOf(server, schema)).toEqual(['a', 'c']);
    });
    await drop();
  });
});

async function withFile(
  target: TestServer,
  settings: object,
  run: (proxy: ProxyProcess, reload: (settings: object) => Promise<void>) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'undrop-reload-'));
  const path = join(folder, 'undrop.json');
  const write = (values: object) => writeFile(path, JSON.stringify(values));
  await write(settings);
  await using proxy = await spawnProxy(target, { CONFIG: path });
  const said = () => proxy.lines.filter(({ event }) => event === 'reload').length;
  try {
    await run(proxy, async (values) => {
      const before = said();
      await write(values);
      proxy.kill('SIGHUP');
      await until(() => said() > before, 'a reload');
    });
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Tables of `schema` that were dropped and held. */
async function heldOf(target: TestServer, schema: string): Promise<readonly string[]> {
  const rows = await query<{ table_name: string }>(
    target,
    `SELECT table_name FROM _undrop.ledger WHERE schema_name = '${schema}'
     ORDER BY table_name`,
  );
  return rows.map(({ table_name: name }) => name);
}
