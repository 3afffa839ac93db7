/**
 * Tables with a CHECK that the user has named. On MySQL 8.0.16 and later that name is unique in its
 * schema, so the next table with it can't be held beside the first: its CHECKs are taken off, and
 * come back with it.
 */
import { countRows, startCollecting, until } from '../collector/collecting.js';
import { sayToDying } from '../support/dying-proxy.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { ledgerRows } from '../support/ledger-rows.js';
import { onServers } from '../support/on-servers.js';
import { proxyInFront } from '../support/proxy.js';
import { RawClient } from '../support/raw-client.js';
import { freshSchema } from '../support/servers.js';
import { type Listed, listed, restored } from '../support/undrop-cli.js';

const TIMES = 5;

onServers('named CHECKs on $name', (server, on) => {
  const { test } = on;
  const collides = server.name === 'mysql-9.7';
  const checks = server.name !== 'mysql-5.6';
  const schema = on.each.schema('checks');
  const root = on.each.session({ schema });
  on.beforeEach(() => freshLedger(server));
  const proxy = on.each.proxy({ HOLD: '1h' });
  const client = on.each.client({ to: proxy, schema });

  /** As a dump is loaded again and again; the n-th table has n rows. */
  async function make(rows: number): Promise<void> {
    await root.query('CREATE TABLE t (id INT PRIMARY KEY, CONSTRAINT positive CHECK (id > 0))');
    const values = Array.from({ length: rows }, (_, index) => `(${index + 1})`);
    await root.query(`INSERT INTO t VALUES ${values.join(', ')}`);
  }

  async function drop(sql = 'DROP TABLE t'): Promise<string> {
    const { results } = await client.query(sql);
    const [result] = results;
    return result?.kind === 'err' ? result.message.toString() : String(result?.kind);
  }

  async function makeAndDrop(times: number): Promise<void> {
    for (let rows = 1; rows <= times; rows += 1) {
      await make(rows);
      expect(await drop()).toBe('ok');
      await outcomesAreWritten(rows);
    }
  }

  const live = async () => (await ledgerRows(root)).filter((row) => row['ended_at'] === null);

  async function outcomesAreWritten(count: number): Promise<void> {
    await until('the outcomes are written', async () => {
      const rows = await live();
      const areHeld = rows.every((row) => row['state'] === 'HOLD' && row['relocated'] === 1);
      return rows.length === count && areHeld;
    });
  }

  /** Oldest first. */
  const held = async () => (await listed(server)).reverse();

  async function rowsHeld(): Promise<readonly number[]> {
    const tables = await held();
    return Promise.all(
      tables.map(({ holdSchema, holdName }) => countRows(server, `${holdSchema}.${holdName}`)),
    );
  }

  test('one after the other is held, listed, restored with its CHECK, and collected', async () => {
    await makeAndDrop(TIMES);
    const tables = await held();
    expect(tables.map(({ holdSchema }) => holdSchema)).toEqual(tables.map(() => '_undrop'));
    expect(await rowsHeld()).toEqual([1, 2, 3, 4, 5]);
    const rows = await live();
    expect(rows).toMatchObject(rows.map(() => ({ relocated: 1, failure: null })));
    const definition = expect.stringContaining('CONSTRAINT `positive`');
    if (collides) expect(rows).toMatchObject(rows.map(() => ({ definition })));
    const table = `${schema.name}.t`;
    for (const [index, one] of tables.entries()) {
      expect(one).toMatchObject({ schema: schema.name, table: 't' });
      const report = await restored(server, one.id);
      // The first has kept it.
      const isBack = collides && index > 0;
      expect(report.checks).toEqual(isBack ? [{ name: 'positive', table, problem: null }] : []);
      expect(await countRows(server, table)).toBe(index + 1);
      if (checks) expect(await root.show('t')).toContain('CONSTRAINT `positive` CHECK');
      if (collides) expect(await root.errnoOf('INSERT INTO t VALUES (0)')).toBe(3819);
      expect(await drop()).toBe('ok');
      await outcomesAreWritten(TIMES);
    }
    // A table may move between the list and its count.
    const areHeld = async () => (await rowsHeld().catch(() => [])).length === TIMES;
    await until('all are held again', areHeld);
    on.each.keep(startCollecting(server, { lifecycle: ['PURGE', 'EVAC', 'DROP'] }));
    await until('all are gone', async () => (await held()).length === 0);
    await until('the ledger says so', async () => (await live()).length === 0);
  });

  test('where a live table has the name of its CHECK, that is said, and what to do', async () => {
    if (!collides) return;
    await makeAndDrop(2);
    await make(3);
    const [whole, bare] = await held();
    const [table, back] = [`${schema.name}.t`, `${schema.name}.back`];
    const refused = restored(server, whole?.id ?? '', back);
    await expect(refused).rejects.toThrow(/UNDROP_CHECK_TAKEN: .*other\.t/s);
    // An exchange has no such trouble, and turns round.
    for (const [target, rows] of [
      [`'${whole?.id}'`, 1],
      ['t', 3],
    ]) {
      expect(await drop(`UNDROP TABLE ${target} SWAP`)).toBe('ok');
      expect(await countRows(server, table)).toBe(rows);
      expect(await root.show('t')).toContain('CONSTRAINT `positive` CHECK');
      await outcomesAreWritten(2);
    }
    // Without its own it is back.
    const { checks } = await restored(server, bare?.id ?? '', back);
    const problem = "Duplicate check constraint name 'positive'. (3822)";
    expect(checks).toEqual([{ name: 'positive', table: back, problem }]);
    expect(await countRows(server, back)).toBe(2);
  });

  test('the restore script gives back what was taken off, by hand', async () => {
    if (!collides) return;
    await make(1);
    expect(await drop()).toBe('ok');
    const odd = "CONSTRAINT `it's; odd` CHECK ((`id` <> 7)) /*!80016 NOT ENFORCED */";
    await root.query(`CREATE TABLE t (id INT, s VARCHAR(9), CONSTRAINT positive CHECK (id > 0),
      CONSTRAINT words CHECK (s <> '\\'ä;'), ${odd}, CHECK (id < 9))`);
    const before = await root.show('t');
    expect(await drop()).toBe('ok');
    await outcomesAreWritten(2);
    const script = (await live()).map((row) => String(row['restore_script']));
    const last = script.find((text) => text.includes('words')) ?? '';
    // The one that has kept its CHECK says nothing of it.
    expect(script.filter((text) => text.includes('positive'))).toEqual([last]);
    const statements = last.split('\n').filter((line) => /^(RENAME|ALTER)/.test(line));
    await root.run(...statements);
    expect(await root.show('t')).toBe(before);
    await using _next = await proxyInFront(server);
    await until('the ledger says so', async () => (await live()).length === 1);
  });

  const MOMENTS = ['before statement', 'before answer'] as const;
  test.each(MOMENTS)('a proxy dies %s of taking its CHECK off: it is completed', async (moment) => {
    if (!collides) return;
    await makeAndDrop(1);
    await make(2);
    const dies = { schema: schema.name, moment, words: 'DROP CHECK' };
    await sayToDying(server, 'DROP TABLE t', dies);
    await using _next = await proxyInFront(server);
    await outcomesAreWritten(2);
    expect(await rowsHeld()).toEqual([1, 2]);
    // Its name is free.
    await root.run('CREATE TABLE t (id INT, CONSTRAINT positive CHECK (id > 0))', 'DROP TABLE t');
    const { id = '' } = (await held())[1] ?? {};
    expect((await restored(server, id)).checks).toMatchObject([{ problem: null }]);
  });

  test('sessions at once make and drop one', async () => {
    const sessions = Array.from({ length: 4 }, async (_, index) => {
      const own = await freshSchema(server, `checks_${index}`);
      await using session = await RawClient.open(proxy, { schema: own.name });
      const run = async (sql: string) => (await session.query(sql)).results[0];
      for (let round = 1; round <= 6; round += 1) {
        await until('its name is free', async () => {
          const made = await run('CREATE TABLE t (id INT, CONSTRAINT positive CHECK (id > 0))');
          return made?.kind === 'ok';
        });
        expect((await run('DROP TABLE t'))?.kind).toBe('ok');
      }
      return own;
    });
    const schemas = await Promise.all(sessions);
    await outcomesAreWritten(24);
    await until('all have left their schemas', async () => (await held()).every(isInRecycleSchema));
    for (const own of schemas) await own.drop();
  });

  function isInRecycleSchema({ holdSchema }: Listed): boolean {
    return holdSchema.startsWith('_undrop');
  }
});
