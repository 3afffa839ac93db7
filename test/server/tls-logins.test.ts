/**
 * Logins in every pair of legs: a client without TLS, with it, and over a unix socket, through a
 * proxy that goes on without TLS, with it, and over a unix socket, by every plugin of the server,
 * with a cold cache of the server and with a warm one. A client is told, to the letter, what it is
 * told without the proxy over the leg that the server sees; and what it is told over its own leg,
 * up to what the server says of that: the host, and TLS.
 */
import { join } from 'node:path';
import type { ThrowawayServer } from '../../throwaway-servers/throwaway.js';
import { makeCertificates } from '../support/certificates.js';
import type { Account, Door, Leg, Library, Way } from '../support/login-clients.js';
import { logIn, openSession, withoutLeg, wordsOf } from '../support/login-clients.js';
import * as plugins from '../support/login-plugins.js';
import { inHooks } from '../support/on-servers.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { sample } from '../support/sample.js';
import { connect, query, startServer, testServerNames } from '../support/servers.js';
import { watchSha2 } from '../support/sha2-watch.js';

const PASSWORD = 'pa$$ wörd;';
const ITS_OWN = 'its own';
const ignored = () => undefined;
const LEGS: readonly Leg[] = ['plain', 'tls', 'socket'];
const LIBRARIES: readonly Library[] = ['mysql2', 'mariadb'];

/** mysql2 can't do them, whatever the way. */
const UNKNOWN_TO_MYSQL2 = new Set(['ed25519', 'parsec']);
/** Libraries that can't log in without a password by that plugin. */
const NO_EMPTY = new Set(['mysql2 sha256_password', 'mariadb ed25519']);
/** ACCOUNT LOCK came with MySQL 5.7. */
const SERVERS_WITHOUT_LOCKS = new Set(['mysql-5.6']);

const CACHING_SHA2 = 'caching_sha2_password';
/** sha256_password between a client and a server whose connections are protected differently. */
const REFUSED_TWICE = expect.stringMatching(/^error 1045 28000 .* \/ error 1045 28000 /);
/** MariaDB's plugin of that name asks for the password each time. */
const HAS_CACHE = new Set(['mysql-9.7']);

interface Situation {
  readonly situation: string;
  readonly user: 'has' | 'none' | 'locked' | 'nobody';
  /** `its own`: what the account has just then. */
  readonly password: string;
}

const RIGHT: Situation = { situation: 'the right password', user: 'has', password: ITS_OWN };
const SITUATIONS: readonly Situation[] = [
  RIGHT,
  { situation: 'a wrong password', user: 'has', password: 'another' },
  { situation: 'no password where one is needed', user: 'has', password: '' },
  { situation: 'no password where none is needed', user: 'none', password: '' },
  { situation: 'a locked account', user: 'locked', password: ITS_OWN },
  { situation: 'an unknown user', user: 'nobody', password: PASSWORD },
];

interface Cell {
  readonly plugin: plugins.LoginPlugin;
  readonly library: Library;
  readonly client: Leg;
  readonly upstream: Leg;
}

/** The legs over which that server can be reached at all. */
function legsOf(name: string): readonly Leg[] {
  return LEGS.filter((leg) => leg !== 'tls' || !plugins.SERVERS_WITHOUT_TLS.has(name));
}

function cellsOf(name: string): readonly Cell[] {
  return (plugins.LOGIN_PLUGINS[name] ?? []).flatMap((plugin) =>
    LIBRARIES.filter((library) => library !== 'mysql2' || !UNKNOWN_TO_MYSQL2.has(plugin.plugin))
      .flatMap((library) => LEGS.map((client) => ({ plugin, library, client })))
      .flatMap((cell) => legsOf(name).map((upstream) => ({ ...cell, upstream }))),
  );
}

/** Each plugin, each library, and each pair of legs. */
function sampleOf(name: string): readonly Cell[] {
  const kind = ({ plugin, library, client, upstream }: Cell) => [
    plugin.plugin,
    library,
    `${client} to ${upstream}`,
  ];
  return sample(cellsOf(name), { name, kind });
}

function situationsOf(name: string): readonly Situation[] {
  return SITUATIONS.filter(({ user }) => user !== 'locked' || !SERVERS_WITHOUT_LOCKS.has(name));
}

test('the legal logins are 762, each with a cold cache and with a warm one', () => {
  const countOf = (name: string) => cellsOf(name).length * situationsOf(name).length;
  const names = ['mysql-9.7', 'mysql-5.6', 'mariadb-10.11', 'mariadb-11.8'];
  expect(Object.keys(plugins.LOGIN_PLUGINS)).toEqual(names);
  expect(names.map(countOf)).toEqual([216, 60, 162, 324]);
});

describe.each(testServerNames())('[21] [22] [23] [24] %s (wire 21, 22, 23, 24)', (name) => {
  const { beforeAll, keep, open } = inHooks();
  const files = open(makeCertificates);
  const server = open(() =>
    startServer(name, [...plugins.pluginOptions(name), ...plugins.tlsOptions(name, files)]),
  );
  const watch = open(() => watchSha2(server));
  const doors = new Map<Leg, Door>();
  const told = new Map<string, string>();
  /** Those that were changed, by plugin. */
  const passwords = new Map<string, string>();
  let changes = 0;

  beforeAll(async () => {
    for (const upstream of legsOf(name)) {
      const socketPath = join(files.folder, `${upstream}.sock`);
      const proxy = keep(await startProxy(upstream, socketPath));
      doors.set(upstream, { host: proxy.host, port: proxy.port, socketPath });
    }
    for (const plugin of plugins.LOGIN_PLUGINS[name] ?? []) await createAccounts(plugin);
  });

  function startProxy(upstream: Leg, socketPath: string): Promise<ProxyTarget> {
    const variables = {
      ...{ LISTEN: `127.0.0.1:0,${socketPath}`, TLS_CERT: files.cert, TLS_KEY: files.key },
      UPSTREAM_TLS: upstream === 'tls' ? 'required' : 'disabled',
      ...(upstream === 'socket' ? { UPSTREAM: socketOf(server) } : {}),
    };
    return proxyInFront(upstream === 'plain' ? watch : server, variables);
  }

  async function createAccounts({ plugin, identified }: plugins.LoginPlugin): Promise<void> {
    const short = shortOf(plugin);
    await query(
      server,
      `CREATE USER has_${short}@'%' ${identified(PASSWORD)}`,
      `CREATE USER none_${short}@'%' ${identified('')}`,
      `CREATE USER locked_${short}@'%' ${identified(PASSWORD)}`,
      ...(SERVERS_WITHOUT_LOCKS.has(name) ? [] : [`ALTER USER locked_${short}@'%' ACCOUNT LOCK`]),
    );
  }

  function throughProxy({ library, client, upstream }: Cell): Way {
    const door = doors.get(upstream);
    if (door === undefined) throw new Error(`There is no proxy to the server's ${upstream} leg.`);
    return { library, leg: client, door };
  }

  function pastProxy({ library }: Cell, leg: Leg): Way {
    const { host, port } = server;
    return { library, leg, door: { host, port, socketPath: socketOf(server) } };
  }

  /**
   * A server with a cache has no use for it when the password has just been changed. (Nothing else
   * empties it: MySQL 9.7 keeps it through FLUSH PRIVILEGES and DROP USER.)
   */
  async function coolDown({ plugin, identified }: plugins.LoginPlugin): Promise<void> {
    if (plugin !== CACHING_SHA2) return;
    const password = `${PASSWORD}${changes++}`;
    passwords.set(plugin, password);
    const change = (user: string) => `ALTER USER ${user}@'%' ${identified(password)}`;
    await query(server, ...['has', 'locked'].map((user) => change(`${user}_${shortOf(plugin)}`)));
  }

  const accountOf = ({ plugin }: Cell, { user, password }: Situation): Account => ({
    user: `${user}_${shortOf(plugin.plugin)}`,
    password: password === ITS_OWN ? (passwords.get(plugin.plugin) ?? PASSWORD) : password,
  });

  /** The server's cache is cold the first time, and warm the second. */
  async function logInTwice(way: Way, cell: Cell, situation: Situation): Promise<string> {
    await coolDown(cell.plugin);
    const account = accountOf(cell, situation);
    return `${await logIn(way, account)} / ${await logIn(way, account)}`;
  }

  async function directly(cell: Cell, leg: Leg, situation: Situation): Promise<string> {
    const key = [cell.plugin.plugin, cell.library, leg, situation.situation].join();
    const said = told.get(key) ?? (await logInTwice(pastProxy(cell, leg), cell, situation));
    told.set(key, said);
    return said;
  }

  test.each(rowsOf(sampleOf(name)))('%s by %s, %s to %s', async (_p, _l, _c, _u, cell) => {
    const { plugin, library, client, upstream } = cell;
    const words = `${plugin.plugin} ${library} ${client} ${upstream}`;
    for (const situation of sample(situationsOf(name), { name: words, count: 3 })) {
      const through = await logInTwice(throughProxy(cell), cell, situation);
      if (plugin.plugin === 'sha256_password' && client !== upstream) {
        expect([situation.situation, through]).toEqual([situation.situation, REFUSED_TWICE]);
        continue;
      }
      // MySQL asks an unknown user by any plugin, so that nobody learns which users it has.
      const isUnknown = situation.situation === 'an unknown user' && client !== upstream;
      if (isUnknown && /^error 1045 28000 .*UNDROP_CLEARTEXT_PASSWORD/.test(through)) continue;
      const asSeen = await directly(cell, cell.upstream, situation);
      expect([situation.situation, through]).toEqual([situation.situation, asSeen]);
      // Where the server can't be reached by the client's own leg, there is nothing to compare.
      if (legsOf(name).includes(cell.client)) {
        const own = await directly(cell, cell.client, situation);
        expect([situation.situation, withoutLeg(through)]).toEqual([
          situation.situation,
          withoutLeg(own),
        ]);
      }
      const isIn = situation === RIGHT || isWithoutPassword(cell, situation);
      expect(through).toContain(isIn ? `in TLS: ${cell.upstream === 'tls'}` : 'error');
    }
  });

  const sha2 = cellsOf(name).filter(({ plugin }) => plugin.plugin === CACHING_SHA2);
  const ways = HAS_CACHE.has(name) ? ['full', 'fast'] : ['full', 'full'];

  test('[21] a cold cache asks for the password itself, a warm one does not (wire 21)', async () => {
    const cells = sha2.filter(({ upstream }) => upstream === 'plain');
    for (const cell of cells) {
      const { user } = accountOf(cell, RIGHT);
      watch.take(user);
      expect(await logInTwice(throughProxy(cell), cell, RIGHT)).not.toContain('error');
      expect([cell.library, cell.client, ...watch.take(user)]).toEqual([
        cell.library,
        cell.client,
        ...ways,
      ]);
    }
    expect(cells).toHaveLength(sha2.length === 0 ? 0 : LIBRARIES.length * LEGS.length);
  });

  // The library mariadb can't do it directly either: 45003 for MySQL, and 1044 without a schema.
  const changing = cellsOf(name).filter(
    ({ plugin, library, client, upstream }) =>
      plugin.plugin.includes('sha') &&
      library === 'mysql2' &&
      (plugin.plugin === CACHING_SHA2 || client === upstream),
  );

  /** The session of the change is root's; it has no variable any more after it. */
  async function changeUser(way: Way, to: Account, times: number): Promise<readonly string[]> {
    const { user, password } = server;
    const session = await openSession(way, { user, password });
    const said: string[] = [];
    try {
      for (let time = 0; time < times; time++) {
        await session.query('SET @mine = 1');
        await session.changeUser(to);
        said.push(...(await session.query('SELECT CURRENT_USER() AS a, @mine IS NULL AS b')));
      }
    } catch (error) {
      said.push(wordsOf(error));
    } finally {
      session.destroy();
    }
    return said;
  }

  test('[26] a change of user succeeds in each pair of legs, cold and warm (wire 26)', async () => {
    for (const cell of changing) {
      await coolDown(cell.plugin);
      const to = accountOf(cell, RIGHT);
      const said = await changeUser(throughProxy(cell), to, 2);
      const once = [`${to.user}@%`, '1'];
      expect([cell.client, cell.upstream, ...said]).toEqual([
        cell.client,
        cell.upstream,
        ...once,
        ...once,
      ]);
    }
  });

  // All at once: the server lets each of them wait for a second.
  test('[26] and is refused with a wrong password as it is directly (wire 26)', async () => {
    const outcomes = await Promise.all(
      changing.map(async (cell) => {
        const to = { ...accountOf(cell, RIGHT), password: 'another' };
        const ways = [throughProxy(cell), pastProxy(cell, cell.upstream)];
        return Promise.all(ways.map((way) => changeUser(way, to, 1)));
      }),
    );
    for (const [through, direct] of outcomes) {
      expect(through).toEqual([expect.stringMatching(/^error 1045 28000 Access denied for user/)]);
      expect(through).toEqual(direct);
    }
    expect(outcomes).toHaveLength(changing.length);
  });

  if (!plugins.SERVERS_WITHOUT_TLS.has(name)) return;

  test('says that it has TLS, and does none with a client of today or with a proxy', async () => {
    const [row] = await query<{ Value: string }>(server, "SHOW VARIABLES LIKE 'have_ssl'");
    expect(row?.Value).toBe('YES');
    await expect(connect(server, { ssl: { rejectUnauthorized: false } })).rejects.toMatchObject({
      code: 'HANDSHAKE_SSL_ERROR',
    });
    const warnings: string[] = [];
    const warn = (_fields: object, line: string) => warnings.push(line);
    const log = { debug: ignored, info: ignored, warn, error: ignored };
    await using proxy = await proxyInFront(server, { UPSTREAM_TLS: 'required' }, log);
    const reason = '(unsupported protocol|wrong version number)';
    const words = `^No TLS with the server at [\\d.:]+: ${reason}\\. Check`;
    await expect(connect(proxy)).rejects.toMatchObject({
      message: expect.stringMatching(/^UNDROP_UPSTREAM_TLS: No TLS with the server; the log/),
    });
    expect(warnings).toContainEqual(expect.stringMatching(new RegExp(words)));
  });
});

function rowsOf(cells: readonly Cell[]): (readonly [string, Library, Leg, Leg, Cell])[] {
  return cells.map((cell) => [cell.plugin.plugin, cell.library, cell.client, cell.upstream, cell]);
}

function isWithoutPassword({ library, plugin }: Cell, { user }: Situation): boolean {
  return user === 'none' && !NO_EMPTY.has(`${library} ${plugin.plugin}`);
}

function socketOf({ socketPath }: ThrowawayServer): string {
  if (socketPath === null) throw new Error('the server has no socket');
  return socketPath;
}

/** Names of accounts have 16 characters on 5.6. */
function shortOf(plugin: string): string {
  return plugin.replace('_password', '').replace('mysql_', '');
}
