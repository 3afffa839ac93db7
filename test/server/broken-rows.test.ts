/**
 * Rows that break a foreign key since their table was away, on real servers: the restore says so
 * when the table is back, with a query that lists them.
 */
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront, runUndrop } from '../support/proxy.js';
import { connect } from '../support/servers.js';
import { wireTap } from '../support/wire-tap.js';
import { sayTo } from './service-fixture.js';

interface BrokenKey {
  readonly name: string;
  readonly table: string;
  readonly query: string;
  readonly isSeen: boolean;
}

const FAMILY = [
  'CREATE TABLE p (a INT, b INT, PRIMARY KEY (a, b))',
  `CREATE TABLE c (id INT PRIMARY KEY, a INT, b INT, up INT,
    CONSTRAINT \`to p\` FOREIGN KEY (a, b) REFERENCES p (a, b),
    CONSTRAINT up FOREIGN KEY (up) REFERENCES c (id))`,
  'INSERT INTO p VALUES (1, 1), (2, 2)',
  'INSERT INTO c VALUES (1, 1, 1, NULL), (2, 2, 2, 1), (3, NULL, 9, NULL)',
];

onServers('rows that break a key on $name', (server, on) => {
  const { beforeEach, test } = on;

  const proxy = on.each.proxy();
  const schema = on.each.schema('broken');
  const direct = on.each.session({ schema });
  beforeEach(() => direct.run(...FAMILY));

  /** By the command; restored again where the server is too slow for a look. */
  const brokenKeysOf = async (table: string, meanwhile = 'DO 0') => {
    const drop = ['SET foreign_key_checks = 0', `DROP TABLE ${table}`];
    let keys: readonly BrokenKey[] = [];
    await until(async () => {
      await sayTo(proxy, { schema: schema.name, texts: drop });
      await direct.query(meanwhile);
      const what = `${schema.name}.${table}`;
      const { code, stdout } = await runUndrop(server, ['restore', what, '--json']);
      expect(code).toBe(0);
      ({ brokenKeys: keys } = JSON.parse(stdout) as { readonly brokenKeys: typeof keys });
      return keys.every(({ isSeen }) => isSeen);
    }, 'all keys are looked at');
    return keys;
  };

  test('are told of by the command, with a query that lists them', async () => {
    for (const table of ['p', 'c']) expect(await brokenKeysOf(table)).toEqual([]);
    const keys = await brokenKeysOf('c', 'DELETE FROM p WHERE a = 2');
    expect(keys).toMatchObject([{ name: 'to p', table: `${schema.name}.c` }]);
    const rows = await direct.rows(keys[0]?.query ?? '');
    expect(rows.map(({ id }) => id)).toEqual([2]);
    // The parent is looked at by the keys of its children.
    expect(await brokenKeysOf('p')).toMatchObject([{ name: 'to p' }]);
  });

  test('are a warning of UNDROP', async () => {
    let messages: readonly string[] = [];
    // Restored again where the server is too slow for a look.
    await until(async () => {
      await sayTo(proxy, { schema: schema.name, texts: ['DROP TABLE c'] });
      await direct.query('DELETE FROM p WHERE a = 2');
      await using client = await connect(proxy, { database: schema.name });
      await client.query('UNDROP TABLE c');
      const warnings = await client.rows('SHOW WARNINGS');
      messages = warnings.map(({ Message }) => String(Message));
      return !messages.join().includes('did not check whether rows');
    }, 'all keys are looked at');
    expect(messages).toEqual([`${schema.name}.c: rows break foreign key to p.`]);
  });

  test('UNDROP says that it did not look', async () => {
    await sayTo(proxy, { schema: schema.name, texts: ['DROP TABLE c'] });
    // Each look is killed, as if its time were over.
    const killed = Buffer.from('\xff\x25\x05#70100interrupted', 'latin1');
    const tap = await wireTap(server, ({ moment, command }) => {
      const isLook = moment === 'before answer' && command.includes('undrop broken');
      return isLook ? { ends: killed } : true;
    });
    const hasty = await proxyInFront(tap);
    const client = await connect(hasty, { database: schema.name });
    await client.query('UNDROP TABLE c');
    const warnings = await client.rows('SHOW WARNINGS');
    await client.end();
    await hasty.stop();
    await tap.close();
    expect(warnings.map(({ Message }) => Message).join()).toContain('did not check whether rows');
  });
});
