/**
 * CREATE OR REPLACE on MariaDB, beside what native_cases.json and create_or_replace_cases.json have
 * of it: what is held beside others, and what is put back where the CREATE fails.
 */
import { ledgerRows } from '../support/ledger-rows.js';
import { NumberTables } from '../support/number-tables.js';
import { onServer } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront } from '../support/proxy.js';
import { RawClient } from '../support/raw-client.js';
import { rounds } from '../support/sample.js';
import { type Target, testServers } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';
import { wireTap } from '../support/wire-tap.js';

/** Rounds of two sessions that replace the same table. */
const ROUNDS = rounds(20, 6);

const servers = testServers().filter(({ flavour }) => flavour === 'mariadb');

describe.each(servers)('CREATE OR REPLACE on $name', (server) => {
  const on = onServer(server);
  const proxy = on.proxy();
  const other = on.proxy();
  const schema = on.schema('replace').name;
  const root = on.session({ schema });

  const session = async (at: Target = proxy) => on.keep(await RawClient.open(at, { schema }));

  const numbers = new NumberTables(root, schema);
  const make = (table: string, ...values: readonly number[]) => numbers.make(table, ...values);
  const rowsOf = (table: string) => numbers.valuesOf(table);
  const heldRows = (table: string) => numbers.held(table);

  test('that UNDROP_PROTECT leaves out goes to the server as it is', async () => {
    await using without = await proxyInFront(server, { PROTECT: 'drop-table,drop-database' });
    await using client = await RawClient.open(without, { schema });
    await make('native', 1);
    await client.run(['CREATE OR REPLACE TABLE native SELECT 2 AS v']);
    expect(await rowsOf('native')).toEqual([2]);
    expect(await heldRows('native')).toEqual([]);
  });

  test('that fails puts back the first that had the name, and keeps what came meanwhile', async () => {
    let creates = 0;
    await using tap = await wireTap(server, async ({ moment, text }) => {
      if (moment !== 'before statement' || !/CREATE\s+TABLE own /i.test(text)) return true;
      creates += 1;
      if (creates === 2) await make('own', 7);
      return true;
    });
    await using tapped = await proxyInFront(tap);
    await make('own', 1, 2);
    const client = await session(tapped);
    const text = 'CREATE OR REPLACE TABLE own AS SELECT * FROM own';
    expect((await client.query(text)).results).toMatchObject([{ kind: 'err', errno: 1093 }]);
    expect([creates > 2, await rowsOf('own')]).toEqual([true, [1, 2]]);
    expect(await heldRows('own')).toEqual([[7]]);
  });

  describe('that fails, of a table that is due at once', () => {
    let canaries = 0;
    const often = { COLLECT: 'on', CHECK_INTERVAL: '1s', LIFECYCLE: 'hold,drop' };
    const inside = onServer(server);
    const collecting = inside.proxy({ ...often, RULES: '*.canary*: now' });
    inside.account('replacer', { grants: [`SELECT, INSERT, CREATE, DROP ON ${schema}.*`] });

    /** What was due before is removed by now, if the collector takes it. */
    async function collected(): Promise<void> {
      const canary = `canary${canaries++}`;
      await make(canary, 1);
      await (await session(collecting)).run([`DROP TABLE ${canary}`]);
      const removed = { schema, table: canary, state: 'removed' };
      const isRemoved = async () => (await ledgerRows(root, removed)).length > 0;
      await until(isRemoved, 'the canary is removed');
    }

    /** Does `meanwhile` before the second statement that is like this. */
    async function failAt(
      table: string,
      { at, nth, errno, user = server.user }: typeof CREATES & { user?: string },
      meanwhile: () => Promise<void>,
    ): Promise<void> {
      let count = 0;
      await using tap = await wireTap(server, async ({ moment, command }) => {
        if (moment !== 'before statement' || !at.test(command.toString('latin1'))) return true;
        if (++count === nth) await meanwhile();
        return true;
      });
      await using tapped = await proxyInFront(tap, { RULES: '*.soon*: now' });
      await using client = await RawClient.open(tapped, { user, schema });
      const text = `CREATE OR REPLACE TABLE ${table} AS SELECT * FROM ${table}`;
      const { results } = await client.query(text);
      expect(results).toMatchObject([{ kind: 'err', errno }]);
      expect(count).toBeGreaterThanOrEqual(nth);
    }

    const CREATES = { at: /CREATE\s+TABLE soon/i, nth: 2, errno: 1093 };
    const PUTS_BACK = { at: /RENAME \/\* undrop put-back/, nth: 1, errno: 1093 };

    test.each([
      ['while the CREATE runs', 'soon_a', CREATES],
      ['while it is put back', 'soon_b', PUTS_BACK],
      ['while the CREATE runs of who may not rename', 'soon_c', { ...CREATES, user: 'replacer' }],
    ])('the collector leaves it %s', async (_when, table, at) => {
      await make(table, 1, 2);
      await failAt(table, at, collected);
      const states = (await ledgerRows(root, { schema, table })).map(({ state }) => state);
      expect(states).toEqual(['restored']);
      expect(await rowsOf(table)).toEqual([1, 2]);
    });

    test('it stays held where somebody has taken its name', async () => {
      await make('soon_d', 1, 2);
      await failAt('soon_d', { ...PUTS_BACK, errno: 1146 }, () => make('soon_d', 7));
      await intentsSettled(root, [schema]);
      await collected();
      expect(await rowsOf('soon_d')).toEqual([7]);
      expect(await heldRows('soon_d')).toEqual([[1, 2]]);
    });
  });

  test('holds what others put in its place, however often', async () => {
    const often = 12;
    let creates = 0;
    await using tap = await wireTap(server, async ({ moment, command }) => {
      const isCreate = /CREATE\s{3,}TABLE crowd /.test(command.toString('latin1'));
      if (moment !== 'before statement' || !isCreate) return true;
      if (++creates <= often) await make('crowd', creates);
      return true;
    });
    await using tapped = await proxyInFront(tap);
    await (await session(tapped)).run(['CREATE OR REPLACE TABLE crowd SELECT 99 AS v']);
    expect(await rowsOf('crowd')).toEqual([99]);
    const held = (await heldRows('crowd')).flat().sort((a, b) => a - b);
    expect(held).toEqual(Array.from({ length: often }, (_, index) => index + 1));
  });

  test(`${ROUNDS} times two sessions replace a table at once: each committed row is there or held`, async () => {
    const clients = [await session(), await session(other)];
    for (let round = 0; round < ROUNDS; round++) {
      const table = `rival${round}`;
      await make(table, 0);
      const answers = await Promise.all(
        clients.map((client, index) =>
          client.query(`CREATE OR REPLACE TABLE ${table} SELECT ${index + 1} AS v`),
        ),
      );
      const done = answers.map(({ results }) => results.map(({ kind }) => kind).join());
      expect([round, done]).toEqual([round, ['ok', 'ok']]);
      const all = [...(await heldRows(table)), await rowsOf(table)].flat().sort();
      expect([round, all]).toEqual([round, [0, 1, 2]]);
    }
  });
});
