/**
 * Texts that are short for the network and take long to read: there are bounds on what one of them
 * may hold, and what is none of ours passes, whatever it holds.
 */
import { expect } from '@jest/globals';
import { onServers } from '../support/on-servers.js';
import { CLIENT, MODERN, type RawAnswer } from '../support/raw-client.js';
import { query } from '../support/servers.js';

const FLAGS = { flags: MODERN | CLIENT.MULTI_STATEMENTS };

function names(count: number): string {
  return Array.from({ length: count }, (_, index) => `d.t_${index}`).join(',');
}

/** Of the last result. */
function errorOf({ results }: RawAnswer): string {
  const last = results.at(-1);
  return last?.kind === 'err' ? `${last.errno} ${last.message}` : (last?.kind ?? 'prepared');
}

onServers('big texts on $name', (server, on) => {
  const { beforeAll, test } = on;
  const user = 'undrop_nobody';
  on.account(user);
  const schema = on.schema();
  const proxy = on.proxy();
  const root = on.client({ to: proxy, ...FLAGS, schema });
  const nobody = on.client({ to: proxy, ...FLAGS, user });
  beforeAll(() => query(server, `CREATE TABLE ${schema.name}.t (i INT)`));

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
