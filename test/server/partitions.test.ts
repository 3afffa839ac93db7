/**
 * ALTER TABLE … DROP and TRUNCATE PARTITION where UNDROP_PROTECT names them: refused, unless a rule
 * or a hint lets them through; and what an earlier version held of them.
 */
import { holdTable } from '../collector/collecting.js';
import { NumberTables } from '../support/number-tables.js';
import { onServers } from '../support/on-servers.js';
import { CLIENT, MODERN, type RawAnswer } from '../support/raw-client.js';

const PROTECT = 'drop-table,drop-partition';

onServers('partitions on $name', (server, on) => {
  const { test } = on;

  on.freshLedger();
  const proxy = on.proxy({ PROTECT, RULES: '*.gone: native', ALLOW_DESTROY: 'users' });
  const schema = on.schema('parts').name;
  const root = on.session({ schema });
  const client = on.client({ to: proxy, schema, flags: MODERN | CLIENT.MULTI_STATEMENTS });
  const numbers = new NumberTables(root, schema);

  async function make(table: string): Promise<void> {
    await root.query(`CREATE TABLE ${table} (v INT) PARTITION BY RANGE (v) (PARTITION p0
      VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20), PARTITION p2
      VALUES LESS THAN (30))`);
    await numbers.fill(table, 1, 11, 21);
  }

  const said = ({ results }: RawAnswer) =>
    results.map((one) => (one.kind === 'err' ? String(one.message) : one.kind));

  test('are not dropped, however that is sent, and the error says what to do', async () => {
    await make('t');
    const words = /^UNDROP_NOT_DONE_YET: Partitions of (\w+\.)?t were not dropped, .* EXCHANGE/;
    const refused = expect.stringMatching(words);
    for (const text of [
      'ALTER TABLE t DROP PARTITION p1',
      'alter table t truncate partition all',
      `ALTER TABLE ${schema}.t DROP PARTITION nothing`,
      'ALTER /* undrop: pin */ TABLE t DROP PARTITION p1',
    ]) {
      expect([text, said(await client.query(text))]).toEqual([text, [refused]]);
    }
    const several = await client.query('DO 1; ALTER TABLE t DROP PARTITION p1; DO 2');
    expect(said(several)).toEqual(['ok', refused]);
    const { id } = await client.prepare('ALTER TABLE t DROP PARTITION p1');
    expect(said(await client.execute(id ?? 0))).toEqual([refused]);
    await client.run(["PREPARE s FROM 'ALTER TABLE t DROP PARTITION p1'"]);
    expect(said(await client.query('EXECUTE s'))).toEqual([refused]);
    expect(await numbers.valuesOf('t')).toEqual([1, 11, 21]);
  });

  test('go to the server by a rule, and by a hint', async () => {
    for (const table of ['gone', 'hinted', 'noted']) await make(table);
    await client.run([
      'ALTER TABLE gone DROP PARTITION p1',
      'ALTER TABLE hinted TRUNCATE PARTITION p1 /* undrop: destroy */',
      "SET @undrop = 'destroy'",
      'ALTER TABLE noted DROP PARTITION p1',
    ]);
    for (const table of ['gone', 'hinted', 'noted']) {
      expect([table, await numbers.valuesOf(table)]).toEqual([table, [1, 21]]);
    }
    // It is used up.
    expect(await client.rows('SELECT @undrop')).toEqual([[null]]);
    expect(said(await client.query('ALTER TABLE noted DROP PARTITION p2'))).toEqual([
      expect.stringMatching(/^UNDROP_NOT_DONE_YET: /),
    ]);
  });

  test('are held as a table that has taken the place of one', async () => {
    await make('moved');
    await client.run([
      'CREATE TABLE moved_p1 LIKE moved',
      'ALTER TABLE moved_p1 REMOVE PARTITIONING',
      'ALTER TABLE moved EXCHANGE PARTITION p1 WITH TABLE moved_p1',
      'DROP TABLE moved_p1',
    ]);
    expect(await numbers.valuesOf('moved')).toEqual([1, 21]);
    expect(await numbers.held('moved_p1')).toEqual([[11]]);
  });

  test('that an earlier version held are tables like others', async () => {
    const { id, name } = await holdTable(server, { dueInSeconds: 3_600 });
    await root.query(`INSERT INTO _undrop.ledger (id, group_id, proxy_id, thread_id, schema_name,
      table_name, kind, dropped_at, user_name, client_address, statement_text, hold_until, state,
      state_since, hold_schema, hold_name, relocated) VALUES ('${id}', '${id}', 'test', 1,
      '${schema}', 't#p1', 'partition', UTC_TIMESTAMP(), 'root', '127.0.0.1',
      'ALTER TABLE t DROP PARTITION p1', UTC_TIMESTAMP() + INTERVAL 1 HOUR, 'HOLD', UTC_TIMESTAMP(),
      '_undrop', '${name}', 1)`);
    const [listed] = await client.rows(`SHOW DROPPED TABLES FROM ${schema}`);
    expect(listed?.slice(1, 3)).toEqual([schema, 't#p1']);
    await client.run(['UNDROP TABLE `t#p1`']);
    expect(await root.count('`t#p1`')).toBe(10);
  });
});
