/** Starting and ending throwaway servers: whatever ends them, nothing is left. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { fillShop, SHOP_ROWS } from '../../demo/shop.js';
import { projectFolder } from '../support/folders.js';
import { testOnOne } from '../support/on-one-server.js';
import { listens, until } from '../support/poll.js';
import { startFromSet } from '../support/server-set.js';
import {
  connect,
  freshSchema,
  query,
  startServer,
  testServerNames,
  testServers,
} from '../support/servers.js';

const START_ONE = join(projectFolder, 'build/test/support/start-one.js');

describe.each(testServerNames())('%s', (name) => {
  const test = testOnOne({ name });
  test('is gone after stop, with its port and folder; a second stop does no harm', async () => {
    const server = await startServer(name, ['--max-connections=77']);
    expect(await query(server, 'SELECT @@max_connections AS n')).toEqual([{ n: 77 }]);
    const { folder, port } = server;
    expect(existsSync(folder ?? '')).toBe(true);
    await server.stop();
    await server.stop();
    expect(existsSync(folder ?? '')).toBe(false);
    expect(await listens(port)).toBe(false);
  });

  test('says what the server said where it does not start', async () => {
    await expect(startFromSet(name, ['--unheard-of=1'])).rejects.toThrow(/unheard-of/);
  });

  test.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)(
    'vanishes when its parent dies by %s',
    async (signal) => {
      const parent = spawn(process.execPath, [START_ONE, name], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const [line] = (await once(parent.stdout, 'data')) as [Buffer];
      const { folder, port } = JSON.parse(line.toString()) as { folder: string; port: number };
      expect(await listens(port)).toBe(true);
      parent.kill(signal);
      const isGone = async () => !existsSync(folder) && !(await listens(port));
      await until(isGone, 'the server is gone');
    },
  );
});

describe.each(testServers())('$name', (server) => {
  test('takes the shop with all its rows and names', async () => {
    await using schema = await freshSchema(server, 'shop');
    const connection = await connect(server);
    await fillShop(connection, schema.name);
    await connection.end();
    const counts = Object.keys(SHOP_ROWS).map(
      (table) => `SELECT '${table}' AS name, COUNT(*) AS n FROM ${schema.name}.${table}`,
    );
    const rows = await query<{ name: string; n: number }>(server, counts.join(' UNION ALL '));
    expect(Object.fromEntries(rows.map(({ name, n }) => [name, n]))).toEqual(SHOP_ROWS);
    const [customer] = await query(
      server,
      `SELECT name FROM ${schema.name}.customers WHERE id = 4`,
    );
    expect(customer).toEqual({ name: '明美 Nováková' });
  });
});
