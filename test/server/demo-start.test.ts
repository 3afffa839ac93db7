/** Starting and ending throwaway servers. By signals: demo-run.test.ts, demo-plain-user.test.ts. */
import { existsSync } from 'node:fs';
import { listens } from '../support/poll.js';
import { startFromSet } from '../support/server-set.js';
import { query, startServer, testServerNames } from '../support/servers.js';

test.each(testServerNames())('%s is gone after stop; a second stop does no harm', async (name) => {
  const server = await startServer(name, ['--max-connections=77']);
  expect(await query(server, 'SELECT @@max_connections AS n')).toEqual([{ n: 77 }]);
  const { folder, port } = server;
  expect(existsSync(folder ?? '')).toBe(true);
  await server.stop();
  await server.stop();
  expect(existsSync(folder ?? '')).toBe(false);
  expect(await listens(port)).toBe(false);
});

test.each(testServerNames())('%s that does not start has its words reported', async (name) => {
  await expect(startFromSet(name, ['--unheard-of=1'])).rejects.toThrow(/unheard-of/);
});
