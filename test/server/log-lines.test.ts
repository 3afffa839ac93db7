/**
 * The log of a proxy that says all it can: a line for each statement that was refused or held, with
 * who it was, and in none of them a password or another literal of a user.
 */
import net from 'node:net';
import { until } from '../support/poll.js';
import { type ProxyProcess, spawnProxy } from '../support/proxy.js';
import { frame } from '../support/raw-client.js';
import { connect, freshSchema, query, type Target, testServers } from '../support/servers.js';
import { Peer } from '../support/session-bench.js';

const RIGHT = 'Righ7.Word';
const WRONG = 'Wr0ng.Word';
const OF_SERVICE = 'Serv1ce.Word';
const IN_TEXT = 'In4.Text';
const SECRETS = [RIGHT, WRONG, OF_SERVICE, IN_TEXT];

describe.each(testServers())('the log in front of $name', (server) => {
  test('names who was refused or held, and no secret of anybody (wire 19, 63)', async () => {
    await using schema = await freshSchema(server, 'log');
    const { name } = schema;
    const [user, service] = [`user_${name.slice(-8)}`, `svc_${name.slice(-8)}`];
    await query(
      server,
      ...['t', 'u'].map((table) => `CREATE TABLE ${name}.${table} (a INT) ENGINE=InnoDB`),
      ...[
        [user, RIGHT],
        [service, OF_SERVICE],
      ].flatMap(([who, password]) => [
        `CREATE USER ${who}@'%' IDENTIFIED BY '${password}'`,
        `GRANT ALL ON *.* TO ${who}@'%'`,
      ]),
    );
    const upstream = { ...server, user: service, password: OF_SERVICE };
    await using proxy = await spawnProxy(upstream, { LOG_LEVEL: 'debug' });
    try {
      const target = { ...proxy, user, password: RIGHT };
      for (const ssl of [{}, { ssl: { rejectUnauthorized: false } }]) {
        const wrong = connect({ ...target, password: WRONG }, ssl);
        await expect(wrong).rejects.toMatchObject({ errno: 1045 });
        await (await connect(target, ssl)).end();
      }
      await sayOutOfOrder(proxy, RIGHT);
      // On 5.6 mysql2 can't change the user, directly neither.
      const other = server.name === 'mysql-5.6' ? null : upstream;
      const threadId = await useIt(target, name, other);
      const users = other === null ? [user] : [user, other.user];
      await until(
        () => linesOf(proxy, 'event', 'held').length === users.length,
        'the drops in the log',
      );

      const who = { client: expect.stringMatching(/^127\.0\.0\.1:\d+$/), user, threadId };
      const refused = linesOf(proxy, 'code', 'UNDROP_RECYCLE_SCHEMA');
      expect(refused).toEqual([
        expect.objectContaining({ ...who, level: 40, statement: 'DROP TABLE _undrop.ledger' }),
      ]);
      expect(refused[0]?.['msg']).toMatch(/^Table _undrop\.ledger was not/);
      expect(linesOf(proxy, 'event', 'held')).toEqual(
        users.map((dropper) => {
          const holdName = expect.stringMatching(/^_vt_HOLD_/);
          return expect.objectContaining({ ...who, user: dropper, level: 30, holdName });
        }),
      );
    } finally {
      await query(server, `DROP USER ${user}@'%', ${service}@'%'`);
    }
    const log = JSON.stringify(proxy.lines);
    for (const secret of SECRETS) {
      const bytes = Buffer.from(secret);
      const forms = (['utf8', 'hex', 'base64'] as const).map((form) => bytes.toString(form));
      for (const form of [...forms, [...bytes].join(',')]) expect(log).not.toContain(form);
    }
  });
});

/** A statement that is refused, one that is held, and one of another user; its thread id. */
async function useIt(target: Target, schema: string, other: Target | null): Promise<number> {
  const client = await connect(target, { database: schema, multipleStatements: true });
  const { threadId } = client;
  await expect(
    client.query(`SET @p = '${IN_TEXT}'; DROP TABLE _undrop.ledger`),
  ).rejects.toMatchObject({ errno: 1142 });
  await client.query('DROP TABLE t');
  if (other !== null) {
    const { user, password } = other;
    await client.changeUser({ user, password, database: schema });
    await client.query('DROP TABLE u');
    await expect(client.changeUser({ user, password: WRONG })).rejects.toMatchObject({
      errno: 1045,
    });
  }
  client.destroy();
  return threadId;
}

/** A login that is malformed, with the password where it should never be. */
async function sayOutOfOrder({ host, port }: Target, password: string): Promise<void> {
  const peer = new Peer(net.connect(port, host));
  await peer.packet();
  peer.send(frame(Buffer.from(`${password}\0`.repeat(10)), 7));
  await peer.packet();
  peer.destroy();
}

function linesOf({ lines }: ProxyProcess, field: string, value: string) {
  return lines.filter((line) => line[field] === value);
}
