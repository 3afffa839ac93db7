/**
 * A proxy whose server is not there yet: what its clients are told, as they understand it, and what
 * its log says, until the server is there. The server comes late behind a port that nobody listens
 * on at first.
 */
import { freePort } from '../../throwaway-servers/launch.js';
import { runClient } from '../support/clients.js';
import { createMariadb } from '../support/mariadb.js';
import { until } from '../support/poll.js';
import { spawnProxy } from '../support/proxy.js';
import { connect, testServers } from '../support/servers.js';
import { openTcpRelay } from '../support/tcp-relay.js';

const [server] = testServers();
if (server === undefined) throw new Error('there are servers');

/** The server at an address that nobody listens on. */
const absent = async () => ({ ...server, host: '127.0.0.1', port: await freePort() });

test.each(['1', '2'])('is not ready before its server is there, by %s workers', async (WORKERS) => {
  const late = await absent();
  await using proxy = await spawnProxy(late, { WORKERS });
  const events = () => proxy.lines.map(({ event }) => event);
  expect(events()).toContain('waiting');
  const told = await connect(proxy).catch((error: unknown) => error);
  expect(told).toMatchObject({ errno: 1053, code: 'ER_SERVER_SHUTDOWN' });
  expect(events()).not.toContain('ready');
  await using _there = await openTcpRelay(server, undefined, late.port);
  await until(() => events().includes('ready'), 'the server is there, and the log says so');
  await using _client = await connect(proxy);
  expect(events().filter((event) => event === 'ready' || event === 'waiting')).toEqual([
    ...['waiting', 'ready'],
  ]);
});

test('ends on SIGTERM while it waits, and has said nothing of being ready', async () => {
  const late = await absent();
  const proxy = await spawnProxy(late);
  await proxy.stop();
  expect(proxy.child.exitCode).toBe(0);
  expect(proxy.lines.map(({ event }) => event)).not.toContain('ready');
  expect(proxy.lines.at(-1)).toMatchObject({ event: 'stopped' });
});

test('clients understand what they are told', async () => {
  const late = await absent();
  await using proxy = await spawnProxy(late);
  const { host, port } = proxy;
  const mysql = await runClient('mysql-9.7', proxy, ['-e', 'SELECT 1']);
  expect(mysql.stderr).toMatch(/^ERROR 1053 \(HY000\): UNDROP_UPSTREAM_UNREACHABLE: /);
  // A number of client libraries (from 2000 on) is a malformed packet to it.
  const mariadb = await runClient('mariadb-10.11', proxy, ['-e', 'SELECT 1']);
  expect(mariadb.stderr).toMatch(/^ERROR 2002 .*1053 - UNDROP_UPSTREAM_UNREACHABLE: /);
  const node = createMariadb({ host, port, user: 'root' });
  await expect(node).rejects.toMatchObject({ errno: 1053, code: 'ER_SERVER_SHUTDOWN' });
});
