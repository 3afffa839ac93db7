/**
 * Drops by sessions of every shape: capabilities of old and new clients. What comes over the wire
 * is what comes without the proxy.
 */
import { clear, connectRoot, describeAnswer } from '../support/native-case.js';
import { onServers } from '../support/on-servers.js';
import { CLIENT, MARIADB_CLIENT, RawClient, type RawClientOptions } from '../support/raw-client.js';
import type { Target } from '../support/servers.js';
import { Survival } from '../support/survival.js';

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
  ...['SELECT 1', 'DROP TABLE a', 'SHOW WARNINGS', 'DROP TABLE IF EXISTS zz, b, yy'],
  ...['SHOW WARNINGS', 'DROP TABLE zz', 'SHOW WARNINGS', 'DROP TABLE tt', 'DROP TABLE a b c'],
  'SELECT 2, NULL',
];

onServers('drops of sessions of every shape on $name', (server, on) => {
  const { test } = on;
  const proxy = on.proxy();
  const root = on.open(() => connectRoot(server));
  const survival = new Survival(root, ['d1']);

  async function converse(target: Target, shape: RawClientOptions): Promise<readonly string[]> {
    await clear(root);
    for (const table of ['a', 'b']) await root.query(`CREATE TABLE ${table} (i INT)`);
    if (target === proxy) await survival.remember();
    await using client = await RawClient.open(target, { ...shape, schema: 'd1' });
    await client.run(['CREATE TEMPORARY TABLE tt (i INT)']);
    const told: string[] = [];
    for (const text of CONVERSATION) told.push(text, ...describeAnswer(await client.query(text)));
    return told;
  }

  test.each(Object.entries(SHAPES))('a client with %s', async (_name, shape) => {
    const direct = await converse(server, shape);
    expect(await converse(proxy, shape)).toEqual(direct);
    expect(await survival.findLost()).toEqual([]);
  });

  test('a name that is that of a file is refused, and nothing is touched', async () => {
    await clear(root);
    await root.query('CREATE TABLE a (i INT)');
    const client = await RawClient.open(proxy, { schema: 'd1' });
    const { results } = await client.query('DROP TABLE `#mysql50#a`');
    expect(results).toMatchObject([{ kind: 'err' }]);
    expect(await client.rows('SHOW TABLES')).toEqual([['a']]);
    await client.quit();
    // MySQL 5.6 would not come back from this, had anybody opened the table by that name.
    await root.query('DROP DATABASE d1');
  });
});
