/**
 * A proxy that reaches its server by a unix socket is let in there as its OS user, without a
 * password: its clients are not. By what an attacker has: an address of the proxy and a name.
 */
import { userInfo } from 'node:os';
import { inHooks } from '../support/on-servers.js';
import { proxyInFront, runUndrop, type Variables } from '../support/proxy.js';
import { connect, query, startServer, type Target, testServers } from '../support/servers.js';

const OS_USER = userInfo().username;
const ACCOUNT = `'${OS_USER}'@'localhost'`;
const BY_SOCKET = `CREATE OR REPLACE USER ${ACCOUNT} IDENTIFIED VIA unix_socket`;
const BY_BOTH = `CREATE OR REPLACE USER ${ACCOUNT} IDENTIFIED VIA mysql_native_password USING PASSWORD('its own') OR unix_socket`;

/** A server knows a plugin by its name in any case. */
const IN_CAPITALS = `CREATE OR REPLACE USER ${ACCOUNT} IDENTIFIED VIA UNIX_SOCKET`;
const BY_EITHER = `CREATE OR REPLACE USER ${ACCOUNT} IDENTIFIED VIA mysql_native_password USING PASSWORD('its own') OR Unix_Socket`;

/** The builds of MySQL that the tests have come without auth_socket. */
const MARIADB = testServers().filter(({ flavour }) => flavour === 'mariadb');

describe.each(MARIADB)('over the socket of $name', ({ name }) => {
  const { beforeAll, open } = inHooks();
  const server = open(() => startServer(name));
  const proxy = open(() => proxyInFront(server, overSocket()));
  beforeAll(async () => {
    const by = "IDENTIFIED BY 'its own'";
    await query(server, `CREATE USER app@localhost ${by}, other@localhost ${by}`);
  });

  const overSocket = (): Variables => ({ UPSTREAM: server.socketPath ?? '' });

  async function logIn(to: Target, user: string, password: string): Promise<string> {
    try {
      await using connection = await connect({ ...to, user, password });
      return (await connection.column('SELECT CURRENT_USER()'))[0] ?? '';
    } catch (error) {
      const { errno, message } = error as { readonly errno?: number; readonly message: string };
      return `${errno} ${message}`;
    }
  }

  const REFUSED = /^1045 UNDROP_OS_USER: Access denied .* open to the OS user of undrop/;

  test('nobody becomes the account of the OS user of undrop', async () => {
    for (const made of [BY_SOCKET, IN_CAPITALS, BY_EITHER]) {
      await query(server, made);
      expect(await logIn(proxy, OS_USER, '')).toMatch(REFUSED);
      expect(await logIn(proxy, OS_USER, 'a guess')).toMatch(REFUSED);
    }
  });

  test('nor by a change of user', async () => {
    await query(server, BY_SOCKET);
    const client = await connect({ ...proxy, user: 'app', password: 'its own' });
    const becoming = client.changeUser({ user: OS_USER, password: '' });
    await expect(becoming).rejects.toMatchObject({ errno: 1045 });
    client.destroy();
  });

  test('those with a password come in by it, and change to each other', async () => {
    await query(server, BY_BOTH);
    expect(await logIn(proxy, 'app', 'its own')).toBe('app@localhost');
    expect(await logIn(proxy, 'app', 'a guess')).toMatch(/^1045 Access denied for user 'app'/);
    // Which of its ways has let it in, no server says.
    expect(await logIn(proxy, OS_USER, 'its own')).toMatch(REFUSED);
    expect(await logIn(proxy, OS_USER, '')).toMatch(REFUSED);
    await using client = await connect({ ...proxy, user: 'app', password: 'its own' });
    await client.changeUser({ user: 'other', password: 'its own' });
    const [rows] = await client.query('SELECT CURRENT_USER() AS account, @@warning_count AS w');
    expect(rows).toEqual([{ account: 'other@localhost', w: 0 }]);
  });

  test('a start where there is such an account is refused', async () => {
    for (const made of [BY_SOCKET, BY_BOTH, IN_CAPITALS, BY_EITHER]) {
      await query(server, made);
      await expect(proxyInFront(server, overSocket())).rejects.toMatchObject({
        code: 'UNDROP_CONFIG',
        message: expect.stringContaining(`found ${OS_USER}@localhost, by unix_socket`),
      });
    }
  });

  test('doctor finds it', async () => {
    await query(server, BY_SOCKET);
    const { code, stdout } = await runUndrop(server, ['doctor'], overSocket());
    expect(stdout).toContain(`${OS_USER}@localhost, by unix_socket or auth_socket for the OS user`);
    expect(code).toBe(1);
    const check = await runUndrop(server, ['serve', '--check'], overSocket());
    expect([check.code, check.stdout]).toEqual([
      2,
      expect.stringMatching(/^failed +way +.*OS user/m),
    ]);
    await query(server, `DROP USER ${ACCOUNT}`);
    const after = await runUndrop(server, ['doctor'], overSocket());
    expect([after.code, after.stdout]).toEqual([0, expect.not.stringContaining('OS user')]);
  });
});
