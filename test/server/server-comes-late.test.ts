/**
 * A proxy whose server is not there yet: what its clients are told, as they understand it, and what
 * its log says, until the server is there. The server comes late behind a port that nobody listens
 * on at first.
 */
import { once } from 'node:events';
import net from 'node:net';
import { expect, test } from '@jest/globals';
import { runClient } from '../support/clients.js';
import { createMariadb } from '../support/mariadb.js';
import { until } from '../support/poll.js';
import { spawnProxy } from '../support/proxy.js';
import { connect, type Target, testServers } from '../support/servers.js';

const [server] = testServers();

/** A port that is free, and a server there once it is opened. */
async function latePort({ host, port }: Target) {
  const listener = net.createServer({ noDelay: true }, (client) => {
    const upstream = net.connect({ host, port, noDelay: true });
    client.pipe(upstream).pipe(client);
    for (const socket of [client, upstream]) socket.on('error', () => client.destroy());
  });
  const listen = async (at: number) => {
    listener.listen(at, '127.0.0.1');
    await once(listener, 'listening');
    return (listener.address() as net.AddressInfo).port;
  };
  const free = await listen(0);
  listener.close();
  await once(listener, 'close');
  return { port: free, open: () => listen(free), close: () => listener.close() };
}

test.each(['1', '2'])('is not ready before its server is there, by %s workers', async (WORKERS) => {
  if (server === undefined) throw new Error('there are servers');
  const late = await latePort(server);
  await using proxy = await spawnProxy(
    { ...server, host: '127.0.0.1', port: late.port },
    { WORKERS },
  );
  const events = () => proxy.lines.map(({ event }) => event);
  try {
    expect(events()).toContain('waiting');
    const told = await connect(proxy).catch((error: unknown) => error);
    expect(told).toMatchObject({ errno: 1053, code: 'ER_SERVER_SHUTDOWN' });
    expect(events()).not.toContain('ready');
    await late.open();
    await until(() => events().includes('ready'), 'the server is there, and the log says so');
    await using _client = await connect(proxy);
  } finally {
    late.close();
  }
  expect(events().filter((event) => event === 'ready' || event === 'waiting')).toEqual([
    ...['waiting', 'ready'],
  ]);
});

test('ends on SIGTERM while it waits, and has said nothing of being ready', async () => {
  if (server === undefined) throw new Error('there are servers');
  const late = await latePort(server);
  const proxy = await spawnProxy({ ...server, host: '127.0.0.1', port: late.port });
  await proxy.stop();
  expect(proxy.child.exitCode).toBe(0);
  expect(proxy.lines.map(({ event }) => event)).not.toContain('ready');
  expect(proxy.lines.at(-1)).toMatchObject({ event: 'stopped' });
});

test('clients understand what they are told', async () => {
  if (server === undefined) throw new Error('there are servers');
  const late = await latePort(server);
  await using proxy = await spawnProxy({ ...server, host: '127.0.0.1', port: late.port });
  const { host, port } = proxy;
  const mysql = await runClient('mysql-9.7', proxy, ['-e', 'SELECT 1']);
  expect(mysql.stderr).toMatch(/^ERROR 1053 \(HY000\): UNDROP_UPSTREAM_UNREACHABLE: /);
  // A number of client libraries (from 2000 on) is a malformed packet to it.
  const mariadb = await runClient('mariadb-10.11', proxy, ['-e', 'SELECT 1']);
  expect(mariadb.stderr).toMatch(/^ERROR 2002 .*1053 - UNDROP_UPSTREAM_UNREACHABLE: /);
  const node = createMariadb({ host, port, user: 'root' });
  await expect(node).rejects.toMatchObject({ errno: 1053, code: 'ER_SERVER_SHUTDOWN' });
});
