/**
 * The ledger on real servers: what an intent records and finds out, outcomes, states, reading. It
 * calls the functions of src/ledger, whose answers no statement and no command shows.
 */
import { recordIntent } from '../../src/ledger/intents/record-intent.js';
import { findRows } from '../../src/ledger/read.js';
import { asRestorer, markRestoring } from '../../src/ledger/table-restores.js';
import { ensureLedger } from '../../src/ledger/tables.js';
import { forgetIntents, recordOutcome, recordState } from '../../src/ledger/write.js';
import { ledgerRows } from '../support/ledger-rows.js';
import { onServers } from '../support/on-servers.js';
import { query } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { ownSession } from './own-session.js';
import { binlogEnd, intend, localPortOf, newId, PROXY_ID, renameAway } from './service-fixture.js';

onServers('the ledger on $name', (server, on) => {
  const { test } = on;
  const own = ownSession(server, on);
  const account = on.each.accounts('');

  const intended = (...tables: readonly string[]) =>
    intend(own.pool, own.session, { schema: own.schema.name, tables });

  const factsOf = async (...tables: readonly string[]) => (await intended(...tables)).facts.tables;

  const logEnd = () => binlogEnd(own.session);

  test('is made by two proxies at once, and not again: nothing more is logged', async () => {
    await query(server, 'DROP DATABASE _undrop', 'DROP DATABASE _undrop_local');
    await Promise.all([ensureLedger(own.pool), ensureLedger(own.pool)]);
    const before = await logEnd();
    await ensureLedger(own.pool);
    expect([await logEnd(), await findRows(own.pool, { by: 'selection' })]).toEqual([before, []]);
  });

  test('is not ready for an account that may not write to it', async () => {
    await account('only_reads', 'SELECT ON *.*');
    await using pool = poolOn({ ...server, user: 'only_reads' });
    await expect(ensureLedger(pool)).rejects.toMatchObject({
      code: 'UNDROP_LEDGER_UNAVAILABLE',
      message: expect.stringMatching(/INSERT command denied/),
    });
  });

  test('records an intent with everything that people will ask for', async () => {
    await own.session.query('CREATE TABLE `Ünï "1"` (a INT) ENGINE=InnoDB');
    const { intent, facts } = await intend(own.pool, own.session, {
      schema: own.schema.name,
      tables: ['Ünï "1"'],
      holdMs: 90_500,
    });
    const [row, ...others] = await findRows(own.pool, { by: 'intent' });
    expect(others).toEqual([]);
    const [table] = facts.tables;
    expect(row).toMatchObject({
      ...{ id: intent.tables[0]?.id, dropId: intent.dropId },
      proxyId: expect.stringMatching(new RegExp(`^${PROXY_ID}@\\d+$`)),
      ...{ threadId: own.session.threadId, schema: own.schema.name, table: 'Ünï "1"' },
      ...{ engine: 'InnoDB', user: 'root', clientAddress: '192.0.2.1:4711', state: 'intent' },
      ...{ holdSchema: null, relocated: false, sqlLogBin: true, rowLogged: true },
    });
    const statement_text = 'DROP TABLE Ünï "1"';
    expect(await ledgerRows(own.session)).toMatchObject([{ statement_text }]);
    expect(row?.holdUntil).toEqual(table?.holdUntil);
    const heldMs = (row?.holdUntil.getTime() ?? 0) - (row?.droppedAt.getTime() ?? 0);
    expect(heldMs).toBe(91_000);
  });

  test('costs no row, and nothing in the binary log, where there is nothing to hold', async () => {
    await own.session.query('CREATE VIEW v AS SELECT 1 AS a');
    await factsOf('missing');
    const before = await logEnd();
    const [missing, view] = await factsOf('missing', 'v');
    expect(missing).toMatchObject({ kind: 'missing', table: 'missing', holdUntil: null });
    expect(view).toMatchObject({ kind: 'view', holdUntil: null });
    expect([await findRows(own.pool, { by: 'intent' }), await logEnd()]).toEqual([[], before]);
  });

  test('tells names apart as the server does', async () => {
    await own.session.query('CREATE TABLE Orders (a INT)');
    const [lower, exact] = await factsOf('orders', 'Orders');
    expect([lower?.kind, exact?.kind]).toEqual(['missing', 'base']);
  });

  test('finds the session by its id and port, and no other one', async () => {
    await own.session.query('CREATE TABLE t (a INT)');
    const { intent, facts } = await intended('t');
    expect(facts.sessionHost).toMatch(new RegExp(`:${localPortOf(own.session)}$`));
    const [row] = await ledgerRows(own.session, { id: String(intent.tables[0]?.id) });
    expect(row?.['upstream_port']).toBe(localPortOf(own.session));
    const tables = [{ id: newId(), schema: own.schema.name, table: 't' }];
    const threadId = own.session.threadId + 100_000;
    const found = await recordIntent(own.pool, { ...intent, threadId, tables });
    expect(found.sessionHost).toBeNull();
    await forgetIntents(
      own.pool,
      tables.map(({ id }) => id),
    );
  });

  test('knows what the session holds by LOCK TABLES, where the server can tell', async () => {
    await own.session.query('CREATE TABLE t (a INT) ENGINE=InnoDB');
    const locked = async () => {
      const { facts } = await intended('t');
      return facts.lockedTables;
    };
    const canTell = server.name === 'mysql-9.7';
    expect(await locked()).toEqual(canTell ? [] : null);
    await own.session.run('BEGIN', 'SELECT * FROM t FOR UPDATE');
    expect(await locked()).toEqual(canTell ? [] : null);
    await own.session.query('ROLLBACK');
    for (const mode of ['WRITE', 'READ']) {
      await own.session.query(`LOCK TABLES t AS x ${mode}`);
      const lock = { schema: own.schema.name, table: 't' };
      expect(await locked()).toEqual(canTell ? [lock] : null);
    }
  });

  test('has all rows of one statement or none', async () => {
    await own.session.run('CREATE TABLE a (a INT)', 'CREATE TABLE b (a INT)');
    const id = newId();
    const twice = recordIntent(own.pool, {
      ...{ dropId: newId(), proxyId: PROXY_ID, threadId: own.session.threadId, user: 'root' },
      ...{ clientAddress: '', statementText: '', holdMs: 1000 },
      tables: ['a', 'b'].map((table) => ({ id, schema: own.schema.name, table })),
    });
    await expect(twice).rejects.toMatchObject({ code: 'UNDROP_LEDGER_UNAVAILABLE' });
    expect(await findRows(own.pool, { by: 'intent' })).toEqual([]);
  });

  test('bounds the statement text and takes any of its characters', async () => {
    await own.session.query('CREATE TABLE t (a INT)');
    const statementText = `DROP TABLE t /* '"\\?😀 ${'x'.repeat(5_000)} */`;
    const { intent } = await intended('missing');
    const tables = [{ id: newId(), schema: own.schema.name, table: 't' }];
    await recordIntent(own.pool, { ...intent, statementText, tables });
    const rows = await ledgerRows(own.session);
    expect(rows).toMatchObject([{ statement_text: statementText.slice(0, 4_096) }]);
  });

  test('keeps the mark of a restore that begins before another outcome', async () => {
    await own.session.query('CREATE TABLE t (a INT)');
    const drop = await intend(own.pool, own.session, { schema: own.schema.name, tables: ['t'] });
    await renameAway(own.session, drop);
    const [id = ''] = drop.intent.tables.map((table) => table.id);
    const [holdName = ''] = drop.holdNames;
    const to = { schema: own.schema.name, table: 't' };
    const place = { id, holdSchema: own.schema.name, holdName };
    await recordOutcome(own.pool, { tables: [{ ...place, relocated: false }] });
    const row0 = { id, rowLogged: true, pendingWork: null };
    await asRestorer(own.pool, (owner) => markRestoring(own.pool, [{ row: row0, to }], owner));
    await recordOutcome(own.pool, { tables: [{ ...place, relocated: true }] });
    const [row] = await findRows(own.pool, { by: 'id', prefix: id });
    expect(row).toMatchObject({ relocated: true, pendingWork: { todo: 'restoring' } });
  });

  test('forgets intents and nothing but intents', async () => {
    await own.session.run('CREATE TABLE a (a INT)', 'CREATE TABLE b (a INT)');
    const drop = await intended('a', 'b');
    const [a = '', b = ''] = drop.intent.tables.map(({ id }) => id);
    await recordState(own.pool, { id: a, state: 'HOLD', rowLogged: true });
    await forgetIntents(own.pool, [a, b]);
    expect((await findRows(own.pool, { by: 'selection' })).map(({ id }) => id)).toEqual([a]);
  });

  test('changes a state only from the one that was seen, and keeps how it ended', async () => {
    await own.session.query('CREATE TABLE a (a INT)');
    const drop = await intended('a');
    const [id = ''] = drop.intent.tables.map((table) => table.id);
    await recordState(own.pool, { id, state: 'PURGE', onlyFrom: 'HOLD', rowLogged: true });
    expect((await findRows(own.pool, { by: 'id', prefix: id }))[0]?.state).toBe('intent');
    await recordState(own.pool, { id, state: 'restored', restoredAs: 's.t', rowLogged: true });
    const [row] = await findRows(own.pool, { by: 'id', prefix: id.slice(0, 20) });
    expect(row).toMatchObject({ state: 'restored', restoredAs: 's.t' });
    expect(row?.endedAt).toBeInstanceOf(Date);
    expect(await findRows(own.pool, { by: 'selection' })).toEqual([]);
  });
});
