/**
 * Where a client is, told by a load balancer in front and told to the server behind: MariaDB takes
 * that (proxy_protocol_networks), and its accounts, its processlist and our ledger go by it.
 */
import { once } from 'node:events';
import net from 'node:net';
import { inHooks } from '../support/on-servers.js';
import { proxyInFront } from '../support/proxy.js';
import type { Target } from '../support/servers.js';
import { connect, freshSchema, query, startServer, testServers } from '../support/servers.js';
import { Peer } from '../support/session-bench.js';
import { intentsSettled } from '../support/settled.js';

/** What a header is to a server that doesn't know it, and to one that isn't told to take it. */
const REFUSALS = { mysql: 1156, mariadb: 1130 };
const CLIENTS = [
  { host: '10.11.12.13', port: 40_001 },
  { host: '2001:db8::7', port: 40_002 },
];

describe.each(['mariadb-10.11', 'mariadb-11.8'])('%s that takes addresses (wire 58)', (name) => {
  const { beforeAll, open } = inHooks();
  const server = open(() => startServer(name, ['--proxy-protocol-networks=*']));
  const BOTH = { PROXY_PROTOCOL: '127.0.0.0/8', UPSTREAM_PROXY_PROTOCOL: 'v2' };
  const proxy = open(() => proxyInFront(server, BOTH));
  beforeAll(async () => {
    for (const host of [...CLIENTS.map((client) => client.host), '127.0.0.1']) {
      await query(server, `CREATE USER life@'${host}'`, `GRANT ALL ON *.* TO life@'${host}'`);
    }
  });

  test.each(CLIENTS)('sees a client come from $host, and the ledger has it', async (client) => {
    const schema = await freshSchema(server);
    const connection = await connectAs(client, { ...proxy, user: 'life' }, schema.name);
    const [[row]] = (await connection.query(
      `SELECT USER() AS user, CURRENT_USER() AS account, HOST AS host
       FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID()`,
    )) as unknown as [[object]];
    const from = `life@${client.host}`;
    expect(row).toEqual({ user: from, account: from, host: `${client.host}:${client.port}` });
    await connection.run('CREATE TABLE t (a INT)', 'DROP TABLE t');
    await connection.end();
    // The row is the session's again when the outcome is recorded, behind the answer.
    await using root = await connect(server);
    await intentsSettled(root, [schema.name]);
    const [held] = await query(
      server,
      `SELECT client_address AS client, upstream_port AS port FROM _undrop.ledger
       WHERE schema_name = '${schema.name}'`,
    );
    expect(held).toEqual({ client: expect.stringContaining(client.host), port: client.port });
  });

  test('refuses a client from where no account is, in its own words', async () => {
    const client = { host: '10.99.99.99', port: 1 };
    await expect(connectAs(client, { ...proxy, user: 'life' })).rejects.toMatchObject({
      errno: 1045,
      message: expect.stringContaining("'life'@'10.99.99.99'"),
    });
  });

  test('takes a health check of the load balancer as the proxy itself', async () => {
    await using connection = await connectAs(null, { ...proxy, user: 'life' });
    const [rows] = await connection.query('SELECT CURRENT_USER() AS account');
    expect(rows).toEqual([{ account: 'life@127.0.0.1' }]);
  });
});

describe.each(testServers())('$name that does not take addresses (wire 58)', (server) => {
  test('is not told any where nobody asks for it', async () => {
    await using proxy = await proxyInFront(server, { PROXY_PROTOCOL: '127.0.0.1' });
    await using connection = await connectAs({ host: '10.11.12.13', port: 40_001 }, proxy);
    const [rows] = await connection.query('SELECT USER() AS user');
    expect(JSON.stringify(rows)).toMatch(/root@(localhost|127\.0\.0\.1)/);
  });

  test('refuses a client at once where it is told one', async () => {
    await using proxy = await proxyInFront(server, { UPSTREAM_PROXY_PROTOCOL: 'v2' });
    const socket = net.connect({ host: proxy.host, port: proxy.port, allowHalfOpen: true });
    const client = new Peer(socket);
    const greeting = await client.packet();
    expect(greeting[3]).toBe(0);
    const refusal = await client.packet();
    expect(refusal[3]).toBe(1);
    expect(refusal.readUInt16LE(5)).toBe(REFUSALS[server.flavour]);
    await client.ended();
    client.end();
  });
});

/** Logs in behind a header that says so; null: as a load balancer for itself. */
async function connectAs(client: (typeof CLIENTS)[0] | null, target: Target, database?: string) {
  const socket = net.connect({ host: target.host, port: target.port });
  await once(socket, 'connect');
  const isIpv6 = client?.host.includes(':') === true;
  const [kind, own] = isIpv6 ? ['TCP6', '2001:db8::1'] : ['TCP4', '10.0.0.1'];
  const words = client === null ? 'UNKNOWN' : `${kind} ${client.host} ${own} ${client.port} 3307`;
  socket.write(`PROXY ${words}\r\n`);
  return connect(target, { stream: socket, ...(database !== undefined && { database }) });
}
