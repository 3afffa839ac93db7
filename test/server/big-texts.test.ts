/**
 * Texts that are short for the network and take long to read: there are bounds on what one of them
 * may hold, and what is none of ours passes, whatever it holds.
 */
import { afterAll, beforeAll, describe, expect, jest } from '@jest/globals';
import { testOnOne } from '../support/on-one-server.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { CLIENT, MODERN, type RawAnswer, RawClient } from '../support/raw-client.js';
import { freshSchema, query, testServers } from '../support/servers.js';

// A busy machine is slow, not wrong.
jest.setTimeout(240_000);

const FLAGS = { flags: MODERN | CLIENT.MULTI_STATEMENTS };

function names(count: number): string {
  return Array.from({ length: count }, (_, index) => `d.t_${index}`).join(',');
}

/** Of the last result. */
function errorOf({ results }: RawAnswer): string {
  const last = results.at(-1);
  return last?.kind === 'err' ? `${last.errno} ${last.message}` : (last?.kind ?? 'prepared');
}

describe.each(testServers())('on $name', (server) => {
  const test = testOnOne(server);
  const user = 'undrop_nobody';
  let proxy: ProxyTarget;
  let root: RawClient;
  let nobody: RawClient;
  let schema: Awaited<ReturnType<typeof freshSchema>>;

  beforeAll(async () => {
    schema = await freshSchema(server);
    await query(server, `GRANT USAGE ON *.* TO ${user}`).catch(() => undefined);
    await query(server, `CREATE USER ${user}`).catch(() => undefined);
    await query(server, `CREATE TABLE ${schema.name}.t (i INT)`);
    proxy = await proxyInFront(server);
    root = await RawClient.open(proxy, { ...FLAGS, schema: schema.name });
    nobody = await RawClient.open(proxy, { ...FLAGS, user });
  });

  afterAll(async () => {
    await Promise.all([root.quit(), nobody.quit()]);
    await proxy.stop();
    await query(server, `DROP USER ${user}`);
    await schema.drop();
  });

  test('a statement may name a thousand tables', async () => {
    const drop = `DROP TABLE IF EXISTS ${names(1_000)}`;
    expect(errorOf(await root.query(drop))).toBe('ok');
    const refused = /^1235 UNDROP_TOO_MANY: .* more than 1000 names/;
    expect(errorOf(await root.query(`${drop}, d.more`))).toMatch(refused);
    expect(errorOf((await root.prepare(`${drop}, d.more`)).answer)).toMatch(refused);
    expect(errorOf(await nobody.query(`${drop}, d.more`))).toMatch(refused);
  });

  test('a text with a drop in it may hold a thousand statements', async () => {
    const many = 'SET @n = @n + 1;'.repeat(1_000);
    await root.run(['SET @n = 0']);
    const refused = /^1235 UNDROP_TOO_MANY: .* more than 1000 statements/;
    expect(errorOf(await root.query(`${many}DROP TABLE t`))).toMatch(refused);
    expect(errorOf(await root.query(`DROP TABLE t;${many}`))).toMatch(refused);
    expect(await root.rows('SELECT @n FROM t RIGHT JOIN (SELECT 1) AS one ON TRUE')).toEqual([
      ['0'],
    ]);
  });

  test('a text without one may hold any number', async () => {
    await root.run(['SET @n = 0']);
    const { results } = await root.query('SET @n = @n + 1 /* drop table */;'.repeat(2_000));
    expect(results).toHaveLength(2_000);
    expect(await root.rows('SELECT @n')).toEqual([['2000']]);
  });
});
