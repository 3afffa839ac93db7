/**
 * Recovery of a DROP DATABASE on real servers: at whatever point it was interrupted, afterwards all
 * tables are live, whole, in their schema, or the schema is gone and all of them are held. It
 * imports the inside of src, as no client can stop between two of its statements.
 */

import { idsWith, listHoldTables } from '../../src/connections/hold-tables.js';
import type { ServicePool } from '../../src/connections/sql.js';
import { putSchemaBack } from '../../src/drop/drop-database/recover-drop-database.js';
import { detachAndRelocate } from '../../src/held/relocate/relocate.js';
import { recordIntent } from '../../src/ledger/intents/record-intent.js';
import { findRows } from '../../src/ledger/read.js';
import * as drops from '../../src/ledger/schema-drops.js';
import { silentLog } from '../../src/log.js';
import { barrierTableName, formatHoldName, PINNED_UNTIL } from '../../src/names/names.js';
import { restore } from '../../src/recycle/restore.js';
import { ledgerRows } from '../support/ledger-rows.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { connect, hasProcess, query } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { ownSession } from './own-session.js';
import * as fixture from './service-fixture.js';

/** A parent, its child, and a table with a trigger that writes into the child. */
const TABLES = ['parent', 'child', 'logged'] as const;
const TRIGGER = 'CREATE TRIGGER writes AFTER INSERT ON logged FOR EACH ROW SET @written = NEW.a';
const ROWS = { child: 2, logged: 1, parent: 3 };

interface Begun extends drops.SchemaDropKey {
  readonly tables: readonly {
    readonly id: string;
    readonly table: string;
    readonly name: string;
  }[];
}

onServersAtOnce('recovery of a DROP DATABASE on $name', (server, on) => {
  const { beforeEach, test } = on;
  const own = ownSession(server, on);

  /** The definitions of the tables, as they are to be again. */
  let before: readonly string[] = [];

  /** Of whoever looks on; the sessions that drop come and go. */
  const root = on.each.session({ schema: own.schema });
  beforeEach(async () => {
    await root.run(
      'CREATE TABLE parent (a INT PRIMARY KEY) ENGINE=InnoDB',
      'INSERT INTO parent VALUES (1), (2), (3)',
      `CREATE TABLE child (a INT PRIMARY KEY, b INT, KEY of_parent (b),
        CONSTRAINT to_parent FOREIGN KEY (b) REFERENCES parent (a) ON DELETE CASCADE) ENGINE=InnoDB`,
      'INSERT INTO child VALUES (1, 1), (2, 2)',
      'CREATE TABLE logged (a INT PRIMARY KEY) ENGINE=InnoDB',
      TRIGGER,
      'INSERT INTO logged VALUES (1)',
      'CREATE VIEW seen AS SELECT a FROM parent',
    );
    before = await definitions();
  });

  const statement = (dropId: string) => ({
    ...{ dropId, proxyId: fixture.PROXY_ID, threadId: own.session.threadId, user: 'root' },
    ...{ clientAddress: '192.0.2.1:4711', statementText: 'DROP DATABASE', sqlLogBin: true },
  });

  /** The rows of the ledger, and the barrier. */
  async function begin(): Promise<Begun> {
    const dropId = fixture.newId();
    const schema = own.schema.name;
    const common = statement(dropId);
    const [found] = await root.rows<{ readonly charset: string; readonly collation: string }>(
      `SELECT DEFAULT_CHARACTER_SET_NAME AS charset, DEFAULT_COLLATION_NAME AS collation
       FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?`,
      [schema],
    );
    if (found === undefined) throw new Error('the schema is gone');
    const seen = {
      ...found,
      comment: null,
      statement: `CREATE DATABASE \`${schema}\``,
      parts: [{ kind: 'VIEW', name: 'seen', statement: 'CREATE VIEW seen AS SELECT 1' }],
    };
    const drop = { ...common, id: fixture.newId(), schema, details: seen };
    const key = await drops.recordSchemaDrop(own.pool, drop);
    const tables = TABLES.map((table) => ({ id: fixture.newId(), schema, table }));
    const facts = await recordIntent(own.pool, { ...common, holdMs: 600_000, tables });
    await root.query(`CREATE TABLE \`${barrierTableOf(dropId)}\` (a INT) ENGINE=InnoDB`);
    const named = facts.tables.map(({ id, table, holdUntil }) => ({
      id,
      table,
      name: formatHoldName({ state: 'HOLD', id, due: holdUntil ?? new Date(0) }),
    }));
    return { ...key, tables: named };
  }

  const barrierTableOf = (dropId: string) => barrierTableName({ dropId, logged: true });

  /** To hold names in their own schema. */
  async function rename(drop: Begun, ...these: readonly string[]): Promise<void> {
    for (const { table, name } of drop.tables) {
      if (these.length === 0 || these.includes(table)) {
        await root.query(`RENAME TABLE ${table} TO ${name}`);
      }
    }
  }

  /** What was renamed, into the recycle schema. */
  async function move(drop: Begun, ...these: readonly string[]): Promise<void> {
    const tables = drop.tables.filter(({ table }) => these.length === 0 || these.includes(table));
    const moving = tables.map(({ id, table, name: holdName }) => {
      return { id, table, holdName, fromSchema: own.schema.name };
    });
    const moved = await detachAndRelocate(own.pool, moving);
    expect(moved.map(({ outcome }) => outcome)).toEqual(moving.map(() => 'moved'));
  }

  async function emptied(): Promise<Begun> {
    const drop = await begin();
    await rename(drop);
    await move(drop);
    expect(await drops.markEmptied(own.pool, drop)).toBe(true);
    return drop;
  }

  /** As its session does at its end. */
  function leave(drop: Begun, how: { readonly hasFailed: boolean }): Promise<unknown> {
    return drops.leaveSchemaDrop(own.pool, drop, { threadId: own.session.threadId, ...how });
  }

  const recover = (on: ServicePool = own.pool) => fixture.recoverOnce(on);
  const counts = () => fixture.rowCounts(server, own.schema.name);
  const openDrops = () => drops.findSchemaDrops(own.pool);

  async function definitions(): Promise<readonly string[]> {
    const texts: string[] = [];
    for (const table of TABLES) texts.push(await root.show(table));
    const triggers = await root.rows<{ Trigger: string; Statement: string }>('SHOW TRIGGERS');
    return [...texts, ...triggers.map(({ Trigger: name, Statement: text }) => `${name}: ${text}`)];
  }

  async function expectBack(): Promise<void> {
    expect([await counts(), await definitions(), await openDrops()]).toEqual([ROWS, before, []]);
    expect(await findRows(own.pool, { by: 'selection' })).toEqual([]);
    expect(await root.count('seen')).toBe(3);
    await root.query('INSERT INTO logged VALUES (7)');
    expect(await root.rows('SELECT @written AS a')).toEqual([{ a: 7 }]);
    expect(Object.values(await recover()).flat()).toEqual([]);
  }

  /** All of them are in the recycle schema, and come back from there. */
  async function expectHeld(drop: Begun): Promise<void> {
    const rows = await findRows(own.pool, { by: 'group', dropId: drop.dropId });
    expect(rows).toHaveLength(TABLES.length);
    for (const row of rows) {
      expect(row).toMatchObject({ state: 'HOLD', holdSchema: '_undrop', relocated: true });
      expect(row.definition).toContain('CREATE TABLE');
    }
    const held = await ledgerRows(root, { state: 'HOLD' });
    expect(held.map((row) => row['group_id'])).toEqual(TABLES.map(() => drop.dropId));
    for (const row of held) expect(row['restore_script']).toContain('RENAME TABLE');
    expect([await openDrops(), Object.values(await recover()).flat()]).toEqual([[], []]);
    for (const { id } of drop.tables) await restore(own.pool, { target: id });
  }

  test.each([
    ['that has renamed nothing', begin],
    [
      'of which some tables are held in it, and some in the recycle schema',
      async () => {
        const drop = await begin();
        await rename(drop, 'parent', 'logged');
        await move(drop, 'parent');
      },
    ],
    ['that was emptied and not dropped', emptied],
  ])('puts back all tables of a schema %s', async (_what, interrupted) => {
    await interrupted();
    await own.die();
    expect((await recover()).schemasBack).toEqual([own.schema.name]);
    await expectBack();
  });

  test('keeps the tables of a schema that was dropped long ago from now on, and they come back', async () => {
    const drop = await emptied();
    for (const { id, name } of drop.tables) {
      const early = formatHoldName({ state: 'HOLD', id, due: new Date('2020-01-01T00:00:00Z') });
      await root.query(`RENAME TABLE _undrop.${name} TO _undrop.${early}`);
    }
    await root.query(`DROP DATABASE ${own.schema.name}`);
    await own.die().catch(() => undefined);
    const [now = 0] = await root.column<number>('SELECT UNIX_TIMESTAMP()');
    expect(await recover()).toMatchObject({ schemasGone: [own.schema.name], schemasBack: [] });
    const [schemaRow] = await ledgerRows(root, { id: drop.id });
    expect(schemaRow).toMatchObject({
      ...{ state: 'removed', ended_at: expect.any(Date) },
      restore_script: expect.stringContaining(`CREATE DATABASE \`${own.schema.name}\``),
    });
    for (const { id } of drop.tables) {
      const [held] = await listHoldTables(own.pool, ['_undrop'], [idsWith(id)]);
      const [row] = await findRows(own.pool, { by: 'id', prefix: id });
      expect(held?.due.getTime()).toBeGreaterThanOrEqual(now * 1_000 + 600_000);
      expect(row).toMatchObject({ state: 'HOLD', holdName: held?.name, holdUntil: held?.due });
    }
    await root.run(`CREATE DATABASE ${own.schema.name}`, `USE ${own.schema.name}`);
    await expectHeld(drop);
    expect([await counts(), await definitions()]).toEqual([ROWS, before]);
  });

  test('waits for a barrier that the server is about to make still', async () => {
    const drop = await begin();
    await root.query(`DROP TABLE \`${barrierTableOf(drop.dropId)}\``);
    const making = await connect(server, { database: own.schema.name });
    const made = making
      .query(`DO /* undrop schema-barrier-table ${drop.dropId} */ SLEEP(300)`)
      .catch(() => undefined);
    await seen(`%schema-barrier-table ${drop.dropId}%`, 'User sleep');
    await own.die();
    expect((await recover()).schemasBack).toEqual([]);
    await root.query(`KILL QUERY ${making.threadId}`);
    await made;
    await making.query(`CREATE TABLE \`${barrierTableOf(drop.dropId)}\` (a INT) ENGINE=InnoDB`);
    await making.end();
    await until(async () => (await recover()).schemasBack.length > 0, 'nobody makes it any more');
    await expectBack();
  });

  test.each([
    ['died', () => own.die()],
    ['left it', (drop: Begun) => leave(drop, { hasFailed: false })],
  ])('puts nothing into a schema that was made anew before its session %s', async (_how, ends) => {
    const drop = await emptied();
    await root.run(`DROP DATABASE ${own.schema.name}`, `CREATE DATABASE ${own.schema.name}`);
    await root.query(`USE ${own.schema.name}`);
    await ends(drop);
    expect(await recover()).toMatchObject({ schemasBack: [], schemasGone: [own.schema.name] });
    expect(await counts()).toEqual({});
    await expectHeld(drop);
  });

  test('leaves one alone that somebody is in the middle of', async () => {
    const drop = await emptied();
    const names = { schema: own.schema.name, open: drop.dropId };
    // The user's session is there.
    expect(await recover()).toMatchObject({ untouched: expect.arrayContaining([names.open]) });
    await own.die();
    await drops.asGroupOwner(own.pool, drop.dropId, async () => {
      expect(await recover()).toMatchObject({ schemasBack: [], schemasGone: [] });
      expect((await recover()).untouched).toContain(drop.dropId);
    });
    expect(Object.keys(await counts())).toEqual([barrierTableOf(drop.dropId)]);
    await until(async () => {
      await recover();
      return (await openDrops()).length === 0;
    }, 'the lock of the owner is gone with its connection');
    await expectBack();
  });

  test('puts back what its owner has given up, although the session is there', async () => {
    const drop = await emptied();
    await leave(drop, { hasFailed: true });
    expect(await drops.markEmptied(own.pool, drop)).toBe(true);
    await leave(drop, { hasFailed: true });
    expect((await recover()).schemasBack).toEqual([own.schema.name]);
    expect(await drops.markEmptied(own.pool, drop)).toBe(false);
    await expectBack();
  });

  /** A service connection that has taken over the intent of that table. */
  async function renamingFor(drop: Begun, which: (typeof TABLES)[number]) {
    const renaming = await connect(server, { database: own.schema.name });
    await root.query(
      "UPDATE _undrop.ledger SET thread_id = ?, upstream_port = ? WHERE id = ? AND state = 'intent'",
      [
        ...[renaming.threadId, fixture.localPortOf(renaming)],
        drop.tables.find(({ table }) => table === which)?.id,
      ],
    );
    return renaming;
  }

  test('puts back what its session has left, behind those that rename for it', async () => {
    const drop = await emptied();
    const renaming = await renamingFor(drop, 'parent');
    expect((await recover()).untouched).toContain(drop.dropId);
    await leave(drop, { hasFailed: false });
    expect((await recover()).untouched).toContain(drop.dropId);
    await renaming.end();
    await until(async () => (await recover()).schemasBack.length > 0, 'it is back');
    await expectBack();
  });

  test('waits for a RENAME of a service connection that its owner lost, and gave up', async () => {
    const drop = await begin();
    await rename(drop, 'parent', 'logged');
    await move(drop, 'parent');
    const renaming = await renamingFor(drop, 'child');
    await leave(drop, { hasFailed: true });
    const [open] = await openDrops();
    expect(open && (await putSchemaBack(own.pool, open, silentLog))).toBe(false);
    expect((await recover()).untouched).toContain(drop.dropId);
    const child = drop.tables.find(({ table }) => table === 'child');
    await renaming.query(`RENAME TABLE child TO ${child?.name}`);
    await renaming.end();
    await until(async () => (await recover()).schemasBack.length > 0, 'it is back');
    await expectBack();
  });

  test('does not open the gate before the DROP has ended', async () => {
    const drop = await emptied();
    const barrier = barrierTableOf(drop.dropId);
    const holder = await connect(server, { database: own.schema.name });
    await holder.query(`HANDLER \`${barrier}\` OPEN`);
    const text = `SELECT /* undrop schema-barrier ${drop.dropId} */ SUM(SLEEP(4)) FROM
      (${Array.from({ length: 15 }, () => 'SELECT 1').join(' UNION ALL ')}) AS t`;
    const asleep = holder.query(text).catch(() => undefined);
    await seen(`%schema-barrier ${drop.dropId}%`, 'User sleep');
    await own.session.query('SET lock_wait_timeout = 3');
    let isOver = false;
    const dropped = own.session
      .errnoOf(`DROP /* undrop schema ${drop.dropId} */ DATABASE ${own.schema.name}`)
      .finally(() => {
        isOver = true;
      });
    const waiting = 'Waiting for table metadata lock';
    // A slow server may show it only when it has waited long enough.
    await seen(`DROP /* undrop schema ${drop.dropId}%`, waiting, () => isOver);
    expect((await recover()).untouched).toContain(drop.dropId);
    expect(await dropped).toBe(1205);
    await own.die();
    // The holder is there still: recovery ends its statement.
    const recovered = await recover();
    holder.destroy();
    await asleep;
    if (recovered.schemasBack.length === 0) {
      await until(async () => (await recover()).schemasBack.length > 0, 'the barrier is free');
    }
    await expectBack();
  });

  async function seen(info: string, state: string, isOver = () => false): Promise<void> {
    const such = `INFO LIKE '${info}' AND STATE = '${state}' AND ID <> CONNECTION_ID()`;
    const isThere = async () => isOver() || (await hasProcess(server, such));
    await until(isThere, `a statement is in ${state}`);
  }

  test('keeps a table held whose name somebody has taken', async () => {
    const drop = await emptied();
    await root.query('CREATE TABLE logged (other INT)');
    await own.die();
    expect((await recover()).schemasBack).toEqual([own.schema.name]);
    expect(await counts()).toEqual({ ...ROWS, logged: 0 });
    const [row, ...others] = await findRows(own.pool, { by: 'selection' });
    expect(others).toEqual([]);
    expect(row).toMatchObject({ table: 'logged', state: 'HOLD', holdSchema: '_undrop' });
    expect(row?.holdUntil).toEqual(PINNED_UNTIL);
    const { id } = drop.tables.find(({ table }) => table === 'logged') ?? { id: '' };
    const back = await restore(own.pool, { target: id, to: `${own.schema.name}.logged_2` });
    expect(back.triggers).toMatchObject([{ name: 'writes', problem: null }]);
  });

  test('gives a name that two tables had to the first, and keeps the other for good', async () => {
    const drop = await emptied();
    // Made by another session while the DROP waited, and held as well.
    await root.query('CREATE TABLE logged (other INT)');
    const second = { id: fixture.newId(), schema: own.schema.name, table: 'logged' };
    const intent = { ...statement(drop.dropId), holdMs: 0, tables: [second] };
    const { tables } = await recordIntent(own.pool, intent);
    const due = tables[0]?.holdUntil ?? new Date(0);
    const name = formatHoldName({ state: 'HOLD', id: second.id, due });
    await root.query(`RENAME TABLE logged TO _undrop.${name}`);
    await own.die();
    expect((await recover()).schemasBack).toEqual([own.schema.name]);
    const [row, ...others] = await findRows(own.pool, { by: 'selection' });
    expect(others).toEqual([]);
    expect(row).toMatchObject({ ...second, state: 'HOLD', holdUntil: PINNED_UNTIL });
    expect([await counts(), await definitions()]).toEqual([ROWS, before]);
  });

  if (server.name === 'mysql-9.7') {
    test('keeps a table held of which another has the name of a CHECK', async () => {
      await root.query('ALTER TABLE logged ADD CONSTRAINT c1 CHECK (a > 0)');
      await emptied();
      await root.query('CREATE TABLE other (a INT, CONSTRAINT c1 CHECK (a > 0))');
      await own.die();
      expect((await recover()).schemasBack).toEqual([own.schema.name]);
      const [row] = await findRows(own.pool, { by: 'selection' });
      expect(row).toMatchObject({ table: 'logged', state: 'HOLD', holdUntil: PINNED_UNTIL });
      expect(await openDrops()).toEqual([]);
    });
  }

  test('gives a schema its charset back that a DROP has taken along', async () => {
    await root.query(`ALTER DATABASE ${own.schema.name} CHARACTER SET latin1 COLLATE latin1_bin`);
    // A trigger made under another collation could not be made again as it was.
    await root.run('DROP TRIGGER writes', TRIGGER);
    const drop = await emptied();
    await root.query(`ALTER DATABASE ${own.schema.name} CHARACTER SET utf8mb4`);
    await root.query(`DROP TABLE \`${barrierTableOf(drop.dropId)}\``);
    await leave(drop, { hasFailed: true });
    expect((await recover()).schemasBack).toEqual([own.schema.name]);
    const [row] = await query(
      server,
      `SELECT DEFAULT_COLLATION_NAME AS collation FROM information_schema.SCHEMATA
       WHERE SCHEMA_NAME = '${own.schema.name}'`,
    );
    expect(row).toEqual({ collation: 'latin1_bin' });
    const [trigger] = await root.rows('SHOW TRIGGERS');
    expect(trigger).toMatchObject({ Trigger: 'writes', 'Database Collation': 'latin1_bin' });
    expect(await counts()).toEqual(ROWS);
  });

  test('goes on where a table is locked, and does not lose its keys', async () => {
    await emptied();
    await own.die();
    await root.query('CREATE TABLE other (a INT) ENGINE=InnoDB');
    const blocker = await connect(server, { database: own.schema.name });
    const [held] = await ledgerRows(root, { table: 'parent' });
    const [name] = (await root.tables('_undrop')).filter((one) => one.includes(held?.['id']));
    await blocker.run('BEGIN', `SELECT * FROM _undrop.${name}`);
    const report = await recover();
    expect(report.schemasBack).toEqual([]);
    expect(report.untouched).toHaveLength(2);
    await blocker.end();
    await root.query('DROP TABLE other');
    await until(async () => (await recover()).schemasBack.length > 0, 'the lock is gone');
    await expectBack();
  });

  test('comes to the same end by two proxies at once', async () => {
    await emptied();
    await own.die();
    await using other = poolOn(server);
    await Promise.all([recover(), recover(other)]);
    await until(async () => {
      await recover();
      return (await openDrops()).length === 0;
    }, 'nothing is open');
    await expectBack();
  });

  test.each(fixture.MOMENTS)('comes to the same end if it is killed %s a call', async (moment) => {
    const schema = own.schema.name;
    const comesToItsEnd = async (call: number) => {
      if ((await openDrops()).length === 0) {
        await emptied();
        await own.die();
      }
      const faulty = fixture.faultyPool(own.pool, { call, moment });
      await recover(faulty).catch(() => undefined);
      const open = await openDrops();
      const wanted = open.length > 0 ? [schema] : [];
      expect({ call, back: (await recover()).schemasBack }).toEqual({ call, back: wanted });
      expect([await counts(), await definitions()]).toEqual([ROWS, before]);
      return faulty.calls;
    };
    const calls = await comesToItsEnd(Number.POSITIVE_INFINITY);
    expect(calls).toBeGreaterThan(20);
    for (const call of fixture.callsToKill(calls, `${server.name} ${moment}`))
      await comesToItsEnd(call);
  });
});
