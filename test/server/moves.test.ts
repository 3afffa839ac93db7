/** Moves on real servers: into the recycle schema, back under a name of its own, pending ones. */
import { expect } from '@jest/globals';
import { retryPending } from '../../src/held/relocate/pending.js';
import { type Relocation, relocate } from '../../src/held/relocate/relocate.js';
import { recordOutcome } from '../../src/ledger/write.js';
import { silentLog } from '../../src/log.js';
import { renameBack } from '../../src/restore/rename-back.js';
import { ledgerRows } from '../support/ledger-rows.js';
import { onServers } from '../support/on-servers.js';
import { connect, query } from '../support/servers.js';
import { ownSession } from './own-session.js';
import { intend, renameAway, rowCounts, type UserDrop } from './service-fixture.js';

onServers('moves on $name', (server, on) => {
  const { test } = on;
  const own = ownSession(server, on);

  /** Two tables of three and no rows, or those named, under their hold names. */
  async function dropped(...tables: readonly string[]): Promise<UserDrop> {
    for (const table of tables) {
      await own.session.query(`CREATE TABLE \`${table}\` (a INT PRIMARY KEY) ENGINE=InnoDB`);
      await own.session.query(`INSERT INTO \`${table}\` VALUES (1), (2), (3)`);
    }
    const drop = await intend(own.pool, own.session, { schema: own.schema.name, tables });
    await renameAway(own.session, drop);
    return drop;
  }

  function move(drop: UserDrop, logged = true): Promise<readonly Relocation[]> {
    const tables = drop.facts.tables.map(({ id, table }, index) => ({
      id,
      fromSchema: own.schema.name,
      holdName: drop.holdNames[index] ?? '',
      table,
    }));
    return relocate(own.pool, tables, { logged });
  }

  async function recordHeld(drop: UserDrop, relocations: readonly Relocation[]): Promise<void> {
    const tables = relocations.map((relocation, index) => ({
      id: relocation.id,
      holdSchema: relocation.outcome === 'moved' ? relocation.holdSchema : own.schema.name,
      holdName: drop.holdNames[index] ?? '',
      relocated: relocation.outcome === 'moved',
      ...(relocation.outcome === 'failed' ? { failure: relocation.failure } : {}),
    }));
    await recordOutcome(own.pool, { tables });
  }

  function backTo(drop: UserDrop, table: string, schema = own.schema.name) {
    const [id = ''] = drop.facts.tables.map((table) => table.id);
    const [holdName = ''] = drop.holdNames;
    return { id, holdSchema: '_undrop', holdName, to: { schema, table }, logged: true };
  }

  async function rowsOf(schemaName: string): Promise<Readonly<Record<string, number>>> {
    const counts = await rowCounts(server, schemaName);
    return Object.fromEntries(
      Object.entries(counts).filter(
        ([name]) => !/^(ledger|leader$|control$|history$|proxies$)/.test(name),
      ),
    );
  }

  test('all tables of a statement go into the recycle schema in one RENAME', async () => {
    const drop = await dropped('a', 'b ünï');
    const relocations = await move(drop);
    expect(relocations.map(({ outcome }) => outcome)).toEqual(['moved', 'moved']);
    const [a = '', b = ''] = drop.holdNames;
    expect(await rowsOf('_undrop')).toEqual({ [a]: 3, [b]: 3 });
    expect(await rowsOf(own.schema.name)).toEqual({});
  });

  test('a table that somebody else has moved is moved', async () => {
    const drop = await dropped('a');
    await move(drop);
    expect((await move(drop)).map(({ outcome }) => outcome)).toEqual(['moved']);
  });

  test('a drop without binary log goes to the schema that replicas do not have', async () => {
    const drop = await dropped('a');
    const [relocation] = await move(drop, false);
    expect(relocation).toMatchObject({ outcome: 'moved', holdSchema: '_undrop_local' });
    const [holdName = ''] = drop.holdNames;
    expect(await rowsOf('_undrop_local')).toEqual({ [holdName]: 3 });
  });

  test('a view that was renamed by mistake has its own name again at once', async () => {
    const drop = await dropped('a', 'b');
    const [hold = ''] = drop.holdNames;
    await own.session.query(`DROP TABLE ${hold}`);
    await own.session.query(`CREATE VIEW ${hold} AS SELECT 7 AS seven`);
    const [view, table] = await move(drop);
    expect(view?.outcome).toBe('put-back');
    expect(table?.outcome).toBe('moved');
    const [rows] = await own.session.query('SELECT seven FROM a');
    expect(rows).toEqual([{ seven: 7 }]);
  });

  test('what another session uses stays in its schema, held, and is moved as a debt later', async () => {
    const drop = await dropped('a', 'b');
    const [hold = ''] = drop.holdNames;
    const other = await connect(server, { database: own.schema.name });
    await other.run('BEGIN', `SELECT * FROM ${hold}`);
    const relocations = await move(drop);
    expect(relocations.map(({ outcome }) => outcome)).toEqual(['failed', 'moved']);
    await recordHeld(drop, relocations);
    const options = { activeIds: new Set<string>(), log: silentLog };
    const still = await retryPending(own.pool, options);
    expect(still.relocated).toEqual([]);
    expect(still.left).toHaveLength(1);
    expect(await rowsOf(own.schema.name)).toEqual({ [hold]: 3 });
    await other.end();
    const [id = ''] = drop.facts.tables.map((table) => table.id);
    const active = { ...options, activeIds: new Set([id]) };
    expect(await retryPending(own.pool, active)).toEqual({ relocated: [], left: [] });
    expect(await retryPending(own.pool, options)).toEqual({ relocated: [id], left: [] });
    expect(await retryPending(own.pool, options)).toEqual({ relocated: [], left: [] });
    expect(await rowsOf(own.schema.name)).toEqual({});
    const [row] = await ledgerRows(own.session, { id });
    expect(row).toMatchObject({ relocated: 1, hold_schema: '_undrop', failure: null });
    expect(row?.['restore_script']).toContain('RENAME TABLE `_undrop`.');
  });

  test('a trigger keeps its table where it is, as a debt with the reason', async () => {
    await own.session.query('CREATE TABLE t (a INT) ENGINE=InnoDB');
    await own.session.query('CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET @a = 1');
    const drop = await intend(own.pool, own.session, { schema: own.schema.name, tables: ['t'] });
    await renameAway(own.session, drop);
    const [relocation] = await move(drop);
    expect(relocation).toMatchObject({ outcome: 'failed', errno: 1435 });
    expect(Object.keys(await rowsOf(own.schema.name))).toEqual(drop.holdNames);
  });

  test('only a hold name of that very id is ever moved', async () => {
    await own.session.query('CREATE TABLE live (a INT)');
    const [id = ''] = (await dropped('a')).facts.tables.map((table) => table.id);
    const live = { id, fromSchema: own.schema.name, holdName: 'live', table: 'live' };
    await expect(relocate(own.pool, [live], { logged: true })).rejects.toThrow('Invariant');
    expect(Object.keys(await rowsOf(own.schema.name))).toContain('live');
  });

  test('a held table comes back under its own name with all its rows', async () => {
    const drop = await dropped('a');
    await move(drop);
    await renameBack(own.pool, backTo(drop, 'a'));
    expect(await rowsOf(own.schema.name)).toEqual({ a: 3 });
    expect(await rowsOf('_undrop')).toEqual({});
  });

  test('a table that was relocated since it was found comes back', async () => {
    const drop = await dropped('a');
    await move(drop);
    await renameBack(own.pool, { ...backTo(drop, 'a'), holdSchema: own.schema.name });
    expect(await rowsOf(own.schema.name)).toEqual({ a: 3 });
    expect(await rowsOf('_undrop')).toEqual({});
  });

  test('it comes back once: who is second finds nothing', async () => {
    const drop = await dropped('a');
    await move(drop);
    const both = await Promise.allSettled([
      renameBack(own.pool, backTo(drop, 'a')),
      renameBack(own.pool, backTo(drop, 'other')),
    ]);
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const [loser] = both.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
    expect(loser).toMatchObject({ code: 'UNDROP_NOT_HELD' });
  });

  test.each([
    ['taken', 'UNDROP_NAME_TAKEN'],
    ['a view', 'UNDROP_NAME_TAKEN'],
  ])('it does not come back under a name that is %s', async (toTable, code) => {
    const drop = await dropped('a');
    await move(drop);
    await own.session.query('CREATE TABLE taken (a INT)');
    await own.session.query('CREATE VIEW `a view` AS SELECT 1 AS a');
    await expect(renameBack(own.pool, backTo(drop, toTable))).rejects.toMatchObject({ code });
    const [holdName = ''] = drop.holdNames;
    expect(await rowsOf('_undrop')).toEqual({ [holdName]: 3 });
  });

  test('it does not come back into a schema that is not there', async () => {
    const drop = await dropped('a');
    await move(drop);
    const back = renameBack(own.pool, backTo(drop, 'a', 'no_such_schema'));
    await expect(back).rejects.toMatchObject({ code: 'UNDROP_SCHEMA_MISSING' });
  });

  test('it does not come back while another session uses it, nor with rows removed', async () => {
    const drop = await dropped('a');
    await move(drop);
    const [holdName = ''] = drop.holdNames;
    const other = await connect(server);
    await other.query(`LOCK TABLES _undrop.${holdName} READ`);
    const busy = renameBack(own.pool, backTo(drop, 'a'));
    await expect(busy).rejects.toMatchObject({ code: 'UNDROP_BUSY' });
    await other.end();
    const purged = holdName.replace('HOLD', 'PURGE');
    await query(server, `RENAME TABLE _undrop.${holdName} TO _undrop.${purged}`);
    const late = renameBack(own.pool, { ...backTo(drop, 'a'), holdName: purged });
    await expect(late).rejects.toMatchObject({ code: 'UNDROP_NOT_RESTORABLE' });
    expect(await rowsOf('_undrop')).toEqual({ [purged]: 3 });
  });
});
