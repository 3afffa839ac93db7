/**
 * Clients that come and go without a login (health checks, port scans, clients that can't do what
 * the server asks): on a direct connection the server blocks their address after max_connect_errors
 * of them; through the proxy they must not get the address of all clients blocked.
 */
import { once } from 'node:events';
import net from 'node:net';
import { makeCertificates } from '../support/certificates.js';
import { testOnOne } from '../support/on-one-server.js';
import { inHooks } from '../support/on-servers.js';
import { ownAddress } from '../support/own-address.js';
import { until } from '../support/poll.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { frame } from '../support/raw-client.js';
import { connect, query, startServer, type Target, testServerNames } from '../support/servers.js';
import { Peer } from '../support/session-bench.js';

/** A server blocks after so many, but never loopback; each way of leaving is tried more often. */
const ERRORS_MAX = 3;
const TIMES = 6;
/** Where it takes a login of ours to have the count set back. */
const BROKEN_MAX = 20;
const BROKEN_TIMES = 30;

const SECURE = 0x1 | 0x200 | 0x8000;
const PLUGIN = SECURE | 0x80000;
const ATTRIBUTES = PLUGIN | 0x100000;
const NATIVE = 'mysql_native_password';
/** It answers a name and a wrong password by a plugin that no server has: it is asked back. */
const RESPONSE = responseOf('somebody', 'no_such_plugin');

/** Representatives of the ways in which session.test.ts has clients leave. */
const WAYS: Readonly<Record<string, (client: Peer) => Promise<void>>> = {
  'goes before the greeting': async (client) => client.end(),
  'breaks off at the greeting': async (client) => {
    await client.packet();
    client.destroy();
  },
  'goes when it is asked for another plugin': async (client) => {
    await client.packet();
    client.send(frame(RESPONSE, 1));
    await client.packet();
    client.end();
  },
  'answers before it is asked, twice': async (client) => {
    await client.packet();
    const answer = Buffer.alloc(20, 7);
    client.send(frame(RESPONSE, 1), frame(answer, 3), frame(answer, 4));
    await client.ended();
    client.end();
  },
};

/** What servers, though not all of them, count as a broken handshake whatever is done about it. */
const BROKEN_RESPONSES: Readonly<Record<string, Buffer>> = {
  ...Object.fromEntries(
    [35, 54, 56, 60, 90, 101, 145].map((charset) => [
      `has the charset ${charset}`,
      responseOf('somebody', 'mysql_native_password', { charset }),
    ]),
  ),
  'has no SECURE_CONNECTION': responseOf('somebody', '', { flags: 0x1 | 0x200 }),
  'names no plugin': responseOf('somebody', '', { flags: SECURE }),
  'has no attributes where it says so': responseOf('somebody', NATIVE, { flags: ATTRIBUTES }),
  'has fewer attributes than it says': responseOf('somebody', NATIVE, {
    flags: ATTRIBUTES,
    behind: Buffer.of(200, 1, 97),
  }),
  'has NULL for its attributes': responseOf('somebody', NATIVE, {
    flags: ATTRIBUTES,
    behind: Buffer.of(0xfb),
  }),
  'has too many attributes': responseOf('somebody', NATIVE, {
    flags: ATTRIBUTES,
    behind: Buffer.concat([Buffer.of(0xfd, 0x70, 0x11, 0x01), Buffer.alloc(70_000, 1)]),
  }),
  'has a scramble of another length': responseOf('life', NATIVE, { scrambleBytes: 7 }),
};

describe.each(testServerNames())('%s with max_connect_errors', (name) => {
  const test = testOnOne({ name });
  /** The legs to the server: plain, and in TLS where the server has that. */
  const LEGS = ['disabled', 'preferred'] as const;
  const { beforeAll, keep, open } = inHooks();
  let proxies: readonly ProxyTarget[] = [];
  const server = open(() =>
    startServer(name, [
      ...['--no-skip-name-resolve', '--bind-address=0.0.0.0'],
      ...[`--max-connect-errors=${ERRORS_MAX}`, '--performance-schema=ON'],
    ]),
  );
  const upstream = () => ({ host: ownAddress(), port: server.port, user: 'life', password: 'pw' });
  beforeAll(async () => {
    await query(
      server,
      "CREATE USER life@'%' IDENTIFIED BY 'pw'",
      "GRANT ALL ON *.* TO life@'%'",
      'FLUSH PRIVILEGES',
    );
    proxies = await Promise.all(
      LEGS.map(async (mode) => {
        const key = { UPSTREAM_PUBLIC_KEY: 'ask' };
        const settings = { UPSTREAM_TLS: mode, ...key };
        return keep(await proxyInFront(upstream(), settings));
      }),
    );
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
        await using _connection = await connect(proxy);
      }
      expect(await broken(server, 'COUNT_HANDSHAKE_ERRORS')).toBe(0);
    },
  );

  test('does not block the proxy whose clients say nothing (wire 33)', async () => {
    const silent = async (proxy: ProxyTarget) => {
      const client = await dial(proxy);
      await client.packet();
      // The error, when its time is over: all of them wait together.
      await client.packet();
      client.end();
      await client.ended();
    };
    const times = Array.from({ length: TIMES }, () => proxies);
    await Promise.all(times.flat().map(silent));
    await until(async () => (await sessions(server)) === 0, 'the end of these sessions');
    for (const proxy of proxies) await (await connect(proxy)).end();
    expect(await broken(server, 'COUNT_HANDSHAKE_ERRORS')).toBe(0);
  });

  test('does not block the proxy that does not trust the server (wire 33)', async () => {
    await using files = makeCertificates();
    const variables = { UPSTREAM_TLS: 'verify-ca', UPSTREAM_CA: files.otherCa };
    await using proxy = await proxyInFront(upstream(), variables);
    await query(server, 'TRUNCATE TABLE performance_schema.host_cache');
    for (let time = 0; time < BROKEN_TIMES; time++) await sendResponse(proxy, RESPONSE);
    await until(async () => (await sessions(server)) === 0, 'the end of these sessions');
    // A service connection that tries again meanwhile is counted, as its TLS does break off.
    expect(await broken(server, 'COUNT_HANDSHAKE_ERRORS')).toBeLessThan(BROKEN_TIMES / 2);
  });

  test('does not block the proxy whose clients send broken responses (wire 33)', async () => {
    await query(
      server,
      `SET GLOBAL max_connect_errors = ${BROKEN_MAX}`,
      'TRUNCATE TABLE performance_schema.host_cache',
    );
    const [plain] = proxies;
    if (plain === undefined) throw new Error('no proxy');
    const counted: string[] = [];
    for (const [what, response] of Object.entries(BROKEN_RESPONSES)) {
      for (let time = 0; time < BROKEN_TIMES; time++) await sendResponse(plain, response);
      if ((await broken(server, 'COUNT_HANDSHAKE_ERRORS')) > 0) counted.push(what);
      const isForgotten = async () => (await broken(server, 'SUM_CONNECT_ERRORS')) === 0;
      await until(isForgotten, `a count of 0 where a response ${what}`);
      await query(server, 'TRUNCATE TABLE performance_schema.host_cache');
    }
    expect(counted).not.toEqual([]);
  });
});

async function dial({ host, port }: Pick<Target, 'host' | 'port'>): Promise<Peer> {
  const socket = net.connect({ host, port, allowHalfOpen: true });
  await once(socket, 'connect');
  return new Peer(socket);
}

async function sendResponse(proxy: ProxyTarget, response: Buffer): Promise<void> {
  const client = await dial(proxy);
  await client.packet();
  client.send(frame(response, 1));
  await client.packet();
  client.end();
  await client.ended();
}

/** Of the machine of the proxy, by the server's own count. */
async function broken(server: Target, column: 'COUNT_HANDSHAKE_ERRORS' | 'SUM_CONNECT_ERRORS') {
  const [row] = await query<{ count: number }>(
    server,
    `SELECT ${column} AS count FROM performance_schema.host_cache WHERE IP = '${ownAddress()}'`,
  );
  return Number(row?.count ?? 0);
}

/** Sessions that are not logged in, by the server's own list. */
async function sessions(server: Target): Promise<number> {
  const rows = await query(
    server,
    "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'unauthenticated user'",
  );
  return rows.length;
}

function responseOf(
  user: string,
  plugin: string,
  options: {
    readonly flags?: number;
    readonly charset?: number;
    readonly scrambleBytes?: number;
    readonly behind?: Buffer;
  } = {},
): Buffer {
  const { flags = PLUGIN, charset = 8, scrambleBytes = 20, behind = Buffer.alloc(0) } = options;
  const head = Buffer.alloc(32);
  head.writeUInt32LE(flags, 0);
  head.writeUInt32LE(1 << 24, 4);
  head[8] = charset;
  const scramble = Buffer.alloc(scrambleBytes, 7);
  return Buffer.concat([
    head,
    Buffer.from(`${user}\0`),
    Buffer.of(scramble.length),
    scramble,
    Buffer.from(plugin === '' ? '' : `${plugin}\0`),
    behind,
  ]);
}
