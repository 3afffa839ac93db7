/**
 * Texts that are short for the network and take long to read: there are bounds on what one of them
 * may hold, and what is none of ours passes, whatever it holds.
 */
import { heldRows } from '../support/client-held.js';
import { describeAnswer } from '../support/native-case.js';
import { onServers } from '../support/on-servers.js';
import { CLIENT, MODERN, type RawAnswer, RawClient } from '../support/raw-client.js';
import { query } from '../support/servers.js';

const FLAGS = { flags: MODERN | CLIENT.MULTI_STATEMENTS };
const NAMES = Array.from({ length: 1_000 }, (_, index) => `t_${index}`);
/** In the first part, in one between, and the last of all. */
const THERE = ['t_0', 't_500', 't_999'];

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
    const drop = `DROP TABLE IF EXISTS ${NAMES}`;
    const said: (readonly string[])[] = [];
    for (const target of [server, proxy]) {
      await using client = await RawClient.open(target, { schema: schema.name });
      for (const name of THERE) {
        await client.run([`CREATE TABLE ${name} (i INT)`, `INSERT INTO ${name} VALUES (1)`]);
      }
      const answer = await client.query(drop);
      expect(errorOf(answer)).toBe('ok');
      said.push(describeAnswer(answer));
    }
    if (server.name === 'mysql-5.6') expect(said[1]).toEqual(said[0]);
    expect(Object.keys(await heldRows(server, schema.name)).sort()).toEqual(THERE);
    const more = `DROP TABLE IF EXISTS d.${NAMES.join(',d.')},d.more`;
    const refused = /^1235 UNDROP_TOO_MANY: .* more than 1000 names/;
    expect(errorOf(await root.query(more))).toMatch(refused);
    expect(errorOf((await root.prepare(more)).answer)).toMatch(refused);
    expect(errorOf(await nobody.query(more))).toMatch(refused);
  });

  test('a text with a drop in it may hold a thousand statements', async () => {
    const many = 'SET @n = @n + 1;'.repeat(1_000);
    await root.run(['SET @n = 0']);
    const refused = /^1235 UNDROP_TOO_MANY: .* more than 1000 statements/;
    expect(errorOf(await root.query(`${many}DROP TABLE t`))).toMatch(refused);
    expect(errorOf(await root.query(`DROP TABLE t;${many}`))).toMatch(refused);
    expect(await root.rows('SELECT @n FROM t RIGHT JOIN (SELECT 1) AS a ON TRUE')).toEqual([['0']]);
  });

  test('a text without one may hold any number', async () => {
    await root.run(['SET @n = 0']);
    const { results } = await root.query('SET @n = @n + 1 /* drop table */;'.repeat(2_000));
    expect(results).toHaveLength(2_000);
    expect(await root.rows('SELECT @n')).toEqual([['2000']]);
  });
});
