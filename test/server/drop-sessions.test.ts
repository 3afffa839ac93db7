/**
 * Drops by sessions of every shape: capabilities of old and new clients, and servers that fold the
 * case of names. What comes over the wire is what comes without the proxy.
 */
import { describe, expect, test as jestTest } from '@jest/globals';
import {
  clear,
  connectRoot,
  describeAnswer,
  type NativeCase,
  runCase,
  seenIn,
} from '../support/native-case.js';
import { inHooks, onServers } from '../support/on-servers.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { CLIENT, MARIADB_CLIENT, RawClient, type RawClientOptions } from '../support/raw-client.js';
import { sample } from '../support/sample.js';
import { type Session, startServer, type Target } from '../support/servers.js';
import { Survival } from '../support/survival.js';

interface Bench extends AsyncDisposable {
  readonly proxy: ProxyTarget;
  readonly root: Session;
  readonly survival: Survival;
}

async function openBench(server: Target): Promise<Bench> {
  const proxy = await proxyInFront(server);
  const root = await connectRoot(server);
  const survival = new Survival(root, ['d1', 'd2', 'd3']);
  const close = async () => {
    await proxy.stop();
    await root.end();
  };
  return { proxy, root, survival, [Symbol.asyncDispose]: close };
}

const EXTENDED =
  MARIADB_CLIENT.PROGRESS |
  MARIADB_CLIENT.STMT_BULK_OPERATIONS |
  MARIADB_CLIENT.EXTENDED_METADATA |
  MARIADB_CLIENT.CACHE_METADATA;

/** What a server doesn't have is not agreed, and the client is as one without it. */
const SHAPES: Readonly<Record<string, RawClientOptions>> = {
  'no capability beyond the needed': { flags: 0 },
  'EOF is deprecated': { flags: CLIENT.DEPRECATE_EOF },
  'the session is tracked, with EOF': { flags: CLIENT.SESSION_TRACK },
  'query attributes': { flags: CLIENT.QUERY_ATTRIBUTES | CLIENT.DEPRECATE_EOF },
  'query attributes, with EOF': { flags: CLIENT.QUERY_ATTRIBUTES },
  'optional metadata': { flags: CLIENT.OPTIONAL_RESULTSET_METADATA | CLIENT.DEPRECATE_EOF },
  'optional metadata, with EOF': { flags: CLIENT.OPTIONAL_RESULTSET_METADATA },
  'several statements': { flags: CLIENT.MULTI_STATEMENTS | CLIENT.DEPRECATE_EOF },
  'found rows': { flags: CLIENT.FOUND_ROWS },
  'MariaDB’s own': { flags: CLIENT.DEPRECATE_EOF, mariadb: EXTENDED },
  'MariaDB’s own, with EOF': { flags: 0, mariadb: EXTENDED },
};

const CONVERSATION = [
  'SELECT 1',
  'DROP TABLE a',
  'SHOW WARNINGS',
  'DROP TABLE IF EXISTS zz, b, yy',
  'SHOW WARNINGS',
  'DROP TABLE zz',
  'SHOW WARNINGS',
  'DROP TABLE tt',
  'DROP TABLE a b c',
  'SELECT 2, NULL',
];

onServers('drops of sessions of every shape on $name', (server, on) => {
  const { test } = on;
  const bench = on.open(() => openBench(server));

  async function converse(target: Target, shape: RawClientOptions): Promise<readonly string[]> {
    const { root, survival } = bench;
    await clear(root);
    for (const table of ['a', 'b']) await root.query(`CREATE TABLE ${table} (i INT)`);
    if (target === bench.proxy) await survival.remember();
    await using client = await RawClient.open(target, { ...shape, schema: 'd1' });
    await client.run(['CREATE TEMPORARY TABLE tt (i INT)']);
    const told: string[] = [];
    for (const text of CONVERSATION) told.push(text, ...describeAnswer(await client.query(text)));
    return told;
  }

  test.each(Object.entries(SHAPES))('a client with %s', async (_name, shape) => {
    const direct = await converse(server, shape);
    expect(await converse(bench.proxy, shape)).toEqual(direct);
    expect(await bench.survival.findLost()).toEqual([]);
  });

  test('a name that is that of a file is refused, and nothing is touched', async () => {
    await clear(bench.root);
    await bench.root.query('CREATE TABLE a (i INT)');
    const client = await RawClient.open(bench.proxy, { schema: 'd1' });
    const { results } = await client.query('DROP TABLE `#mysql50#a`');
    expect(results).toMatchObject([{ kind: 'err' }]);
    expect(await client.rows('SHOW TABLES')).toEqual([['a']]);
    await client.quit();
    // MySQL 5.6 would not come back from this, had anybody opened the table by that name.
    await bench.root.query('DROP DATABASE d1');
  });
});

const FOLDED: readonly NativeCase[] = [
  { name: 'another case', setup: ['@ab'], sql: 'DROP TABLE A, `B`' },
  { name: 'the same table twice', setup: ['@ab'], sql: 'DROP TABLE a, A' },
  { name: 'a schema in capitals', setup: ['@ab'], sql: 'DROP TABLE D1.a, D1.ZZ' },
  { name: 'missing, in capitals', setup: ['@ab'], sql: 'DROP TABLE IF EXISTS ZZ, A, Yy' },
  { name: 'created in capitals', setup: ['CREATE TABLE BIG (i INT)'], sql: 'DROP TABLE Big' },
  {
    name: 'a temporary table in capitals',
    setup: ['@ab'],
    session: ['CREATE TEMPORARY TABLE A (x INT)'],
    sql: 'DROP TABLE a',
    probe: ['SELECT COUNT(*) FROM a'],
  },
];

const FOLDING = sample(['mysql-5.6', 'mariadb-10.11'] as const, { name: 'folding', count: 1 });

describe.each(FOLDING)('names without case on %s', (name) => {
  const { open } = inHooks();
  const server = open(() => startServer(name, ['--lower-case-table-names=1']));
  const bench = open(() => openBench(server));

  jestTest.each(FOLDED)('$name', async (one) => {
    const { root, proxy, survival } = bench;
    const direct = await runCase(one, { target: server, root, survival: null });
    const proxied = await runCase(one, { target: proxy, root, survival });
    expect(proxied.lost).toEqual([]);
    expect(seenIn(proxied)).toEqual(seenIn(direct));
  });
});
