/**
 * Clients that come and go without a login (health checks, port scans, clients that can't do what
 * the server asks): on a direct connection the server blocks their address after max_connect_errors
 * of them; through the proxy they must not get the address of all clients blocked.
 */
import { once } from 'node:events';
import net from 'node:net';
import { networkInterfaces } from 'node:os';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { ThrowawayServer } from '../../src/demo/throwaway.js';
import { encodePacket } from '../../src/wire/framing.js';
import { until } from '../support/poll.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { SERVER_NAMES } from '../support/server-set.js';
import { connect, query, startServer, type Target } from '../support/servers.js';
import { Peer } from '../support/session-bench.js';

jest.setTimeout(120_000);

/** A server blocks after so many; each way of leaving is tried more often. */
const ERRORS_MAX = 3;
const TIMES = 6;
/** It answers a name and a wrong password by a plugin that no server has: it is asked back. */
const RESPONSE = responseOf('somebody', 'no_such_plugin');

const WAYS: Readonly<Record<string, (client: Peer) => Promise<void>>> = {
  'goes before the greeting': async (client) => client.end(),
  'goes at the greeting': async (client) => {
    await client.packet();
    client.end();
  },
  'breaks off at the greeting': async (client) => {
    await client.packet();
    client.destroy();
  },
  'goes in the middle of its response': async (client) => {
    await client.packet();
    client.send(encodePacket(RESPONSE, 1).subarray(0, 20));
    client.end();
  },
  'goes as soon as it has sent its response': async (client) => {
    await client.packet();
    client.send(encodePacket(RESPONSE, 1));
    client.end();
  },
  'goes when it is asked for another plugin': async (client) => {
    await client.packet();
    client.send(encodePacket(RESPONSE, 1));
    await client.packet();
    client.end();
  },
  'breaks off when it is asked for another plugin': async (client) => {
    await client.packet();
    client.send(encodePacket(RESPONSE, 1));
    await client.packet();
    client.destroy();
  },
  'sends its response out of order': async (client) => {
    await client.packet();
    client.send(encodePacket(RESPONSE, 9));
    await client.ended();
    client.end();
  },
  'says nothing': async (client) => {
    await client.packet();
    await client.packet();
    client.end();
  },
};

describe.each(SERVER_NAMES)('%s with max_connect_errors', (name) => {
  /** The legs to the server: plain, and in TLS where the server has that. */
  const LEGS = ['disabled', 'preferred'] as const;
  let server: ThrowawayServer;
  let proxies: readonly ProxyTarget[] = [];

  beforeAll(async () => {
    server = await startServer(name, [
      '--no-skip-name-resolve',
      '--bind-address=0.0.0.0',
      `--max-connect-errors=${ERRORS_MAX}`,
      '--performance-schema=ON',
    ]);
    await query(
      server,
      "CREATE USER life@'%' IDENTIFIED BY 'pw'",
      "GRANT ALL ON *.* TO life@'%'",
      'FLUSH PRIVILEGES',
    );
    const upstream = { host: ownAddress(), port: server.port, user: 'life', password: 'pw' };
    proxies = await Promise.all(
      LEGS.map((mode) => proxyInFront(upstream, { LOGIN_TIMEOUT: '50ms', UPSTREAM_TLS: mode })),
    );
  });

  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    await server.stop();
  });

  test('blocks an address whose clients go like that directly', async () => {
    for (let time = 0; time < TIMES; time++) {
      const client = await dial({ ...server, host: ownAddress() });
      await client.packet();
      client.end();
      await client.ended();
    }
    const client = await dial({ ...server, host: ownAddress() });
    expect((await client.packet()).toString('latin1')).toMatch(/is blocked/);
    client.end();
    await query(server, 'TRUNCATE TABLE performance_schema.host_cache');
  });

  test.each(Object.entries(WAYS))(
    'does not block the proxy whose client %s (wire 33)',
    async (_way, go) => {
      for (const proxy of proxies) {
        for (let time = 0; time < TIMES; time++) {
          const client = await dial(proxy);
          await go(client);
          await client.ended();
        }
        await until(async () => (await sessions(server)) === 0, 'the end of these sessions');
        const connection = await connect(proxy);
        await connection.end();
      }
      const [errors] = await query<{ count: number }>(
        server,
        `SELECT COUNT_HANDSHAKE_ERRORS AS count FROM performance_schema.host_cache
       WHERE IP = '${ownAddress()}'`,
      );
      expect(Number(errors?.count)).toBe(0);
    },
  );
});

async function dial({ host, port }: Pick<Target, 'host' | 'port'>): Promise<Peer> {
  const socket = net.connect({ host, port, allowHalfOpen: true });
  await once(socket, 'connect');
  return new Peer(socket);
}

/** Sessions that are not logged in, by the server's own list. */
async function sessions(server: Target): Promise<number> {
  const rows = await query(
    server,
    "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'unauthenticated user'",
  );
  return rows.length;
}

/** Of this machine, and not loopback: from there a server never blocks anybody. */
function ownAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const found = all.find(({ family, internal }) => family === 'IPv4' && !internal);
  if (found === undefined) throw new Error('This test needs an IPv4 address beside loopback.');
  return found.address;
}

function responseOf(user: string, plugin: string): Buffer {
  const head = Buffer.alloc(32);
  // LONG_PASSWORD, PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH
  head.writeUInt32LE(0x1 | 0x200 | 0x8000 | 0x80000, 0);
  head.writeUInt32LE(1 << 24, 4);
  head[8] = 8;
  const scramble = Buffer.alloc(20, 7);
  return Buffer.concat([
    head,
    Buffer.from(`${user}\0`),
    Buffer.of(scramble.length),
    scramble,
    Buffer.from(`${plugin}\0`),
  ]);
}
