/**
 * CREATE OR REPLACE of tables and sequences on MariaDB, beside what native_cases.json has of it:
 * what is held, in every way to say it; two sessions at once; what is put back.
 */
import { describe, expect, test } from '@jest/globals';
import { NumberTables } from '../support/number-tables.js';
import { onServer } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront } from '../support/proxy.js';
import { CLIENT, MODERN, RawClient, resultText } from '../support/raw-client.js';
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

  const session = async (at: Target = proxy) =>
    on.keep(await RawClient.open(at, { schema, flags: MODERN | CLIENT.MULTI_STATEMENTS }));

  const numbers = new NumberTables(root, schema);
  const make = (table: string, ...values: readonly number[]) => numbers.make(table, ...values);
  const rowsOf = (table: string) => numbers.valuesOf(table);
  const heldRows = (table: string) => numbers.held(table);

  test('in each way to say it: the old table is held, the new one is there', async () => {
    const client = await session();
    const ways: readonly (readonly [string, readonly string[]])[] = [
      ['plain', ['CREATE OR REPLACE TABLE plain SELECT 2 AS v']],
      ['commented', ['/* x */ CREATE /*!100101 OR */ REPLACE TABLE `commented` AS SELECT 2 AS v;']],
      ['between', ['DO 1; CREATE OR REPLACE TABLE between_ SELECT 2 AS v; SELECT v FROM between_']],
    ];
    for (const [way, texts] of ways) {
      const table = /TABLE `?(\w+)/.exec(texts.join())?.[1] ?? way;
      await make(table, 1, 1);
      for (const text of texts) {
        const { results } = await client.query(text);
        for (const result of results) {
          if (result.kind === 'err') throw new Error(`${way}: ${result.errno} ${result.message}`);
        }
      }
      expect([way, await rowsOf(table)]).toEqual([way, [2]]);
      expect([way, await heldRows(table)]).toEqual([way, [[1, 1]]]);
    }
  });

  test('prepared, by its text, or under SET STATEMENT it is refused', async () => {
    const client = await session();
    await make('kept_so', 1);
    const text = 'CREATE OR REPLACE TABLE kept_so SELECT 2 AS v';
    const answers = [
      (await client.prepare(text)).answer.results,
      (await client.query(`PREPARE s FROM '${text}'`)).results,
      (await client.query(`EXECUTE IMMEDIATE '${text}'`)).results,
      (await client.query(`SET STATEMENT lock_wait_timeout=9 FOR ${text}`)).results,
    ];
    for (const results of answers) expect(results).toMatchObject([{ kind: 'err', errno: 1235 }]);
    expect(await rowsOf('kept_so')).toEqual([1]);
    expect(await heldRows('kept_so')).toEqual([]);
  });

  test('one with a foreign key and a trigger is held, and what has their names comes after', async () => {
    const client = await session();
    await root.query('CREATE TABLE mother (id INT PRIMARY KEY)');
    const key = 'CONSTRAINT mine FOREIGN KEY (id) REFERENCES mother (id)';
    await root.query(`CREATE TABLE child (v INT, id INT, ${key}) ENGINE=InnoDB`);
    await root.query('INSERT INTO child VALUES (5, NULL)');
    await root.query('CREATE TRIGGER t BEFORE INSERT ON child FOR EACH ROW SET NEW.v = 9');
    await client.run([
      `CREATE OR REPLACE TABLE child (v INT, id INT, ${key}) ENGINE=InnoDB`,
      'INSERT INTO child VALUES (6, NULL)',
      'CREATE TRIGGER t BEFORE INSERT ON child FOR EACH ROW SET NEW.v = 7',
    ]);
    expect(await rowsOf('child')).toEqual([6]);
    expect(await heldRows('child')).toEqual([[5]]);
  });

  test('with the hint to destroy what it replaces is refused', async () => {
    const client = await session();
    await make('kept', 1);
    const { results } = await client.query(
      'CREATE /* undrop: destroy */ OR REPLACE TABLE kept SELECT 2 AS v',
    );
    const said = results.map(resultText);
    expect(said).toEqual([expect.stringMatching(/^\d+ UNDROP_DESTROY: /)]);
    expect(await rowsOf('kept')).toEqual([1]);
  });

  test('that UNDROP_PROTECT leaves out goes to the server as it is', async () => {
    await using without = await proxyInFront(server, { PROTECT: 'drop-table,drop-database' });
    await using client = await RawClient.open(without, { schema });
    await make('native', 1);
    await client.run(['CREATE OR REPLACE TABLE native SELECT 2 AS v']);
    expect(await rowsOf('native')).toEqual([2]);
    expect(await heldRows('native')).toEqual([]);
  });

  test('of a kind that can only be protected with another is protected', async () => {
    await using alone = await proxyInFront(server, { PROTECT: 'create-or-replace' });
    await using client = await RawClient.open(alone, { schema });
    await make('dynamic', 1);
    const said = await client.query('CREATE OR REPLACE TABLE dynamic SELECT 2 AS v');
    const there = [await rowsOf('dynamic'), ...(await heldRows('dynamic'))];
    expect([said.results.map(({ kind }) => kind), there]).toEqual([['ok'], [[2], [1]]]);
    await client.run(["SET @drop = 'DROP TABLE dynamic'", 'PREPARE s FROM @drop', 'EXECUTE s']);
    expect(await heldRows('dynamic')).toEqual([[1]]);
  });

  test('uses up a hint of the session also where nothing is there', async () => {
    const client = await session();
    await client.run(["SET @undrop = 'pin'", 'CREATE OR REPLACE TABLE fresh SELECT 1 AS v']);
    expect(await client.rows('SELECT @undrop')).toEqual([[null]]);
  });

  test('is refused where it asks for counts of the statement before', async () => {
    const client = await session();
    await make('counts', 1);
    const { results } = await client.query('CREATE OR REPLACE TABLE counts SELECT ROW_COUNT() v');
    const said = results.map(resultText);
    expect(said).toEqual([expect.stringMatching(/^\d+ UNDROP_NOT_DONE_YET: /)]);
    expect(await rowsOf('counts')).toEqual([1]);
  });

  test('of a schema, within a comment of a version, is refused', async () => {
    const client = await session();
    await make('within', 1);
    const text = `/*M!100100 CREATE OR REPLACE DATABASE ${schema} */`;
    const { results } = await client.query(text);
    const said = results.map(resultText);
    expect(said).toEqual([expect.stringMatching(/^\d+ UNDROP_NOT_DONE_YET: /)]);
    expect(await rowsOf('within')).toEqual([1]);
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
    const FAILS = (table: string) => `CREATE OR REPLACE TABLE ${table} AS SELECT * FROM ${table}`;
    let canaries = 0;
    const often = { COLLECT: 'on', CHECK_INTERVAL: '1s', LIFECYCLE: 'hold,drop' };
    const inside = onServer(server);
    const collecting = inside.proxy({ ...often, RULES: '*.canary*: now' });
    inside.account('replacer', { grants: [`SELECT, INSERT, CREATE, DROP ON ${schema}.*`] });

    /** What was due before is removed by now, if the collector takes it. */
    async function collected(): Promise<void> {
      const canary = `canary${canaries++}`;
      await make(canary, 1);
      const client = await session(collecting);
      await client.run([`DROP TABLE ${canary}`]);
      await until(async () => {
        const rows = await root.rows(
          `SELECT 1 FROM _undrop.ledger
           WHERE schema_name = ? AND table_name = ? AND state = 'removed'`,
          [schema, canary],
        );
        return rows.length > 0;
      }, 'the canary is removed');
    }

    /** Does `meanwhile` before the second statement that is like this. */
    async function failAt(
      table: string,
      { at, nth, user = server.user }: { at: RegExp; nth: number; user?: string },
      meanwhile: () => Promise<void>,
    ): Promise<void> {
      let count = 0;
      await using tap = await wireTap(server, async ({ moment, command }) => {
        if (moment !== 'before statement' || !at.test(command.toString('latin1'))) return true;
        count += 1;
        if (count === nth) await meanwhile();
        return true;
      });
      await using tapped = await proxyInFront(tap, { RULES: '*.soon*: now' });
      const flags = MODERN | CLIENT.MULTI_STATEMENTS;
      await using client = await RawClient.open(tapped, { user, schema, flags });
      const { results } = await client.query(FAILS(table));
      expect(results).toMatchObject([{ kind: 'err' }]);
      expect(count).toBeGreaterThanOrEqual(nth);
    }

    const CREATES = { at: /CREATE\s+TABLE soon/i, nth: 2 };
    const PUTS_BACK = { at: /RENAME \/\* undrop put-back/, nth: 1 };

    test.each([
      ['while the CREATE runs', 'soon_a', CREATES],
      ['while it is put back', 'soon_b', PUTS_BACK],
      ['while the CREATE runs of who may not rename', 'soon_c', { ...CREATES, user: 'replacer' }],
    ])('the collector leaves it %s', async (_when, table, at) => {
      await make(table, 1, 2);
      await failAt(table, at, collected);
      expect(await rowsOf(table)).toEqual([1, 2]);
    });

    test('it stays held where somebody has taken its name', async () => {
      await make('soon_d', 1, 2);
      await failAt('soon_d', PUTS_BACK, () => make('soon_d', 7));
      await intentsSettled(root, [schema]);
      await collected();
      expect(await rowsOf('soon_d')).toEqual([7]);
      expect(await heldRows('soon_d')).toEqual([[1, 2]]);
    });
  });

  /** Each CREATE of the table without OR REPLACE is told of, with its number, and its answer. */
  async function beside(
    table: string,
    act: (moment: 'before' | 'behind', create: number) => Promise<void>,
  ): Promise<{ readonly client: RawClient; end(): Promise<void> }> {
    let creates = 0;
    const tap = await wireTap(server, async ({ moment, command }) => {
      const text = command.toString('latin1');
      if (!new RegExp(`CREATE\\s{3,}TABLE ${table} `).test(text)) return true;
      if (moment === 'before statement') await act('before', ++creates);
      if (moment === 'before answer') await act('behind', creates);
      return true;
    });
    const tapped = await proxyInFront(tap);
    const client = await session(tapped);
    const end = async () => {
      await tapped.stop();
      await tap.close();
    };
    return { client, end };
  }

  test('goes on where what had the name is gone by then, however often', async () => {
    const [often, text] = [6, 'CREATE OR REPLACE TABLE fleeting SELECT 2 AS v'];
    const { client, end } = await beside('fleeting', async (moment, create) => {
      if (create > often) return;
      if (moment === 'before') await make('fleeting', create);
      else await root.query('DROP TABLE fleeting');
    });
    try {
      expect((await client.query(text)).results).toMatchObject([{ kind: 'ok' }]);
      expect(await rowsOf('fleeting')).toEqual([2]);
      expect(await heldRows('fleeting')).toEqual([]);
    } finally {
      await end();
    }
  });

  test('holds what others put in its place, however often', async () => {
    const [often, text] = [12, 'CREATE OR REPLACE TABLE crowd SELECT 99 AS v'];
    const { client, end } = await beside('crowd', async (moment, create) => {
      if (moment === 'before' && create <= often) await make('crowd', create);
    });
    try {
      expect((await client.query(text)).results).toMatchObject([{ kind: 'ok' }]);
      expect(await rowsOf('crowd')).toEqual([99]);
      const held = (await heldRows('crowd')).flat().sort((a, b) => a - b);
      expect(held).toEqual(Array.from({ length: often }, (_, index) => index + 1));
    } finally {
      await end();
    }
  });

  test('gives up where others always take the name, and keeps what they made', async () => {
    const text = 'CREATE OR REPLACE TABLE always SELECT 99 AS v';
    let made = 0;
    const { client, end } = await beside('always', async (moment, create) => {
      if (moment !== 'before') return;
      await make('always', create);
      made = create;
    });
    try {
      const { results } = await client.query(text);
      const said = results.map((result) => ('message' in result ? String(result.message) : 'OK'));
      expect(said).toEqual([expect.stringMatching(`UNDROP_CHANGED_MEANWHILE.*tries: ${made}`)]);
      expect(made).toBeGreaterThanOrEqual(8);
      expect(await rowsOf('always')).toEqual([made]);
      const held = (await heldRows('always')).flat().sort((a, b) => a - b);
      expect(held).toEqual(Array.from({ length: made - 1 }, (_, index) => index + 1));
    } finally {
      await end();
    }
  });

  test('of what only CREATE takes for a table is an error', async () => {
    const text = 'CREATE OR REPLACE TABLE performance_schema.threads (v INT)';
    const [said] = (await (await session()).query(text)).results;
    // Natively 1051, or 1049.
    expect([1050, 1051]).toContain(said?.kind === 'err' ? said.errno : said?.kind);
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
