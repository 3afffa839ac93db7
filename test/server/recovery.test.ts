/**
 * Recovery on real servers: whatever an interrupted drop left, after the next run every table is
 * either live under its own name or held with a ledger row, with all its rows. It calls
 * `reconcile`, because what that reports, and where it is killed, is the subject. A MySQL 5.6 that
 * is killed in the middle of a RENAME has the .frm file under the other name, and nothing can open
 * the table until somebody renames that.
 */
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { ReconcileReport } from '../../src/collector/reconcile.js';
import { findRows } from '../../src/ledger/read.js';
import { asRestorer, markRestoring } from '../../src/ledger/table-restores.js';
import { recordOutcome } from '../../src/ledger/write.js';
import { parseHoldName } from '../../src/names/names.js';
import { serverTime } from '../collector/collecting.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServer, onServersAtOnce } from '../support/on-servers.js';
import { query, testServer } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { ownSession } from './own-session.js';
import * as fixture from './service-fixture.js';

const nothing = () => undefined;

onServersAtOnce('recovery on $name', (server, on) => {
  const { test } = on;
  const own = ownSession(server, on);
  const account = on.each.accounts('');

  /** Of whoever looks on; the sessions that drop come and go. */
  const root = on.each.session({ schema: own.schema });

  async function create(...tables: readonly string[]): Promise<void> {
    for (const table of tables) {
      const checks = table === 'checked' ? ', CHECK (a < 9), CONSTRAINT named CHECK (a > 0)' : '';
      await root.query(`CREATE TABLE \`${table}\` (a INT PRIMARY KEY${checks}) ENGINE=InnoDB`);
      await root.query(`INSERT INTO \`${table}\` VALUES (1), (2), (3)`);
    }
  }

  async function intended(...tables: readonly string[]): Promise<fixture.UserDrop> {
    await create(...tables);
    return fixture.intend(own.pool, own.session, { schema: own.schema.name, tables });
  }

  async function renamed(...tables: readonly string[]): Promise<fixture.UserDrop> {
    const drop = await intended(...tables);
    await fixture.renameAway(own.session, drop);
    return drop;
  }

  /** A drop that went well: held in the recycle schema, with its outcome. */
  const held = async (...tables: readonly string[]) => done(await renamed(...tables));

  async function done(drop: fixture.UserDrop): Promise<fixture.UserDrop> {
    for (const name of drop.holdNames) {
      await root.query(`RENAME TABLE ${own.schema.name}.${name} TO _undrop.${name}`);
    }
    await recordOutcome(own.pool, {
      tables: idsOf(drop).map((id, index) => ({
        id,
        ...{ holdSchema: '_undrop', holdName: drop.holdNames[index] ?? '', relocated: true },
      })),
    });
    return drop;
  }

  /** A drop whose table could not be relocated. */
  async function owed(table: string): Promise<fixture.UserDrop> {
    const drop = await renamed(table);
    await fixture.recordOwed(own.pool, drop);
    return drop;
  }

  const idsOf = (drop: fixture.UserDrop) => drop.facts.tables.map(({ id }) => id);

  const firstOf = (drop: fixture.UserDrop) => idsOf(drop)[0] ?? '';

  const recover = (on = own.pool, active: readonly string[] = []) =>
    fixture.recoverOnce(on, active);

  const live = async () => fixture.rowCounts(server, own.schema.name);

  async function recycled(): Promise<Readonly<Record<string, number>>> {
    const counts = Object.entries(await fixture.rowCounts(server, '_undrop'));
    return Object.fromEntries(counts.filter(([name]) => name.startsWith('_vt_')));
  }

  async function stateOf(id: string): Promise<string | undefined> {
    return (await findRows(own.pool, { by: 'id', prefix: id }))[0]?.state;
  }

  test('completes a drop whose RENAME had happened, and leaves a new table of that name', async () => {
    const drop = await renamed('a', 'b');
    await root.run('CREATE TABLE a (b INT)', 'INSERT INTO a VALUES (1)');
    await own.die();
    const report = await recover();
    expect([...report.completed].sort()).toEqual([...idsOf(drop)].sort());
    const [a = '', b = ''] = drop.holdNames;
    expect([await recycled(), await live()]).toEqual([{ [a]: 3, [b]: 3 }, { a: 1 }]);
    for (const row of await findRows(own.pool, { by: 'selection' })) {
      expect(row).toMatchObject({ state: 'HOLD', holdSchema: '_undrop', relocated: true });
      expect(row.definition).toContain('CREATE TABLE');
    }
    expect(Object.values(await recover()).flat()).toEqual([]);
  });

  test('what is completed long after its intent is held from then on', async () => {
    const drop = await renamed('a');
    const [name = ''] = drop.holdNames;
    await own.die();
    // As of a drop an hour ago, with ten minutes to be held: due long since.
    const old = name.replace(/\d{14}$/, '20200101001000');
    const times = "dropped_at = '2020-01-01 00:00:00', hold_until = '2020-01-01 00:10:00'";
    await query(
      server,
      `RENAME TABLE ${own.schema.name}.${name} TO ${own.schema.name}.${old}`,
      `UPDATE _undrop.ledger SET ${times}, proxy_id = 'other'`,
    );
    const now = await serverTime(server, 0);
    const id = firstOf(drop);
    // Killed at each call to the server, one call later each time: also between RENAME and ledger.
    for (let call = 1; (await stateOf(id)) === 'intent'; call += 1) {
      await recover(fixture.faultyPool(own.pool, { call, moment: 'after' })).then(nothing, nothing);
    }
    await recover();
    const [row] = await findRows(own.pool, { by: 'id', prefix: id });
    expect(await recycled()).toEqual({ [row?.holdName ?? '']: 3 });
    const due = parseHoldName(row?.holdName ?? '')?.due ?? new Date(0);
    expect(due.getTime()).toBeGreaterThanOrEqual(now.getTime() + 600_000);
    expect(row?.holdUntil).toEqual(due);
  });

  test('leaves a drop alone whose session is still there', async () => {
    const before = await renamed('a');
    const after = await intended('b');
    const [name = ''] = before.holdNames;
    const report = await recover();
    expect([...report.untouched].sort()).toEqual([...idsOf(before), ...idsOf(after)].sort());
    expect(await live()).toEqual({ [name]: 3, b: 3 });
    await own.die();
    const later = await recover();
    expect(later).toMatchObject({ completed: idsOf(before), forgotten: idsOf(after) });
  });

  test('leaves a drop alone that this proxy is in the middle of', async () => {
    const drop = await renamed('a');
    await own.die();
    expect((await recover(own.pool, idsOf(drop))).untouched).toEqual(idsOf(drop));
    expect(await stateOf(firstOf(drop))).toBe('intent');
  });

  test('takes a session with the same id from another port for another one', async () => {
    const drop = await renamed('a');
    await query(server, 'UPDATE _undrop.ledger SET upstream_port = upstream_port - 1');
    expect((await recover()).completed).toEqual(idsOf(drop));
  });

  test('over a socket, takes an id from before the start of the server for another one', async () => {
    const drop = await renamed('a');
    await query(server, "UPDATE _undrop.ledger SET upstream_port = NULL, proxy_id = 'other'");
    expect((await recover()).untouched).toEqual(idsOf(drop));
    await query(server, "UPDATE _undrop.ledger SET dropped_at = '2020-01-01'");
    expect((await recover()).completed).toEqual(idsOf(drop));
  });

  /** Recovery by an account that has lost its rights on the schema, and sees none of its tables. */
  async function recoverBlind(): Promise<ReconcileReport> {
    const user = `blind_${own.schema.name.slice(-10)}`;
    await account(user, 'PROCESS ON *.*', 'ALL ON _undrop.*');
    await using blind = poolOn({ ...server, user });
    return await recover(blind);
  }

  test('forgets no drop whose table it only has no right to see', async () => {
    const drop = await renamed('a');
    await own.die();
    expect(await recoverBlind()).toMatchObject({ forgotten: [], untouched: idsOf(drop) });
    expect(await stateOf(firstOf(drop))).toBe('intent');
    expect((await recover()).completed).toEqual(idsOf(drop));
    expect(Object.values(await recycled())).toEqual([3]);
  });

  test('takes no held table for gone that it only has no right to see', async () => {
    const drop = await owed('a');
    expect(await recoverBlind()).toMatchObject({ gone: [], restoredByHand: [] });
    expect(await stateOf(firstOf(drop))).toBe('HOLD');
    expect((await recover()).relocated).toEqual(idsOf(drop));
  });

  test('goes on behind a row that makes no sense', async () => {
    const [odd, fine] = [await owed('a'), await owed('b')];
    const [id = ''] = idsOf(odd);
    await query(server, `UPDATE _undrop.ledger SET hold_name = 'nonsense' WHERE id = '${id}'`);
    expect((await recover()).relocated).toEqual(idsOf(fine));
    expect((await recover()).relocated).toEqual(idsOf(odd));
    expect(Object.values(await recycled())).toEqual([3, 3]);
  });

  test('gives a view that was renamed by mistake its own name again', async () => {
    const drop = await renamed('a');
    const [name = ''] = drop.holdNames;
    await root.run(`DROP TABLE ${name}`, `CREATE VIEW ${name} AS SELECT 7 AS seven`);
    await own.die();
    expect((await recover()).forgotten).toEqual(idsOf(drop));
    const [rows] = await root.query('SELECT seven FROM a');
    expect(rows).toEqual([{ seven: 7 }]);
  });

  test('what is locked stays held in its schema, and is moved by a later run', async () => {
    const drop = await renamed('a');
    const [name = ''] = drop.holdNames;
    await own.die();
    await own.session.run('BEGIN', `SELECT * FROM ${name}`);
    const report = await recover();
    expect(report).toMatchObject({ completed: idsOf(drop), pending: idsOf(drop) });
    expect([await live(), await stateOf(firstOf(drop))]).toEqual([{ [name]: 3 }, 'HOLD']);
    await own.session.query('COMMIT');
    expect([(await recover()).relocated, await recycled()]).toEqual([idsOf(drop), { [name]: 3 }]);
  });

  test.each(['a', 'checked'])('notices a table %s that a DBA has renamed back', async (table) => {
    const drop = await held(table, 'b');
    const [name = ''] = drop.holdNames;
    await root.query(`RENAME TABLE _undrop.${name} TO ${own.schema.name}.${table}`);
    const report = await recover();
    expect(report).toMatchObject({ gone: [], restoredByHand: idsOf(drop).slice(0, 1) });
    const [row] = await findRows(own.pool, { by: 'id', prefix: firstOf(drop) });
    expect(row).toMatchObject({ state: 'restored', restoredAs: `${own.schema.name}.${table}` });
    expect(await live()).toEqual({ [table]: 3 });
  });

  test('leaves a table whose restore is under way, and may be taken back', async () => {
    const drop = await held('a');
    const [name = ''] = drop.holdNames;
    const rows = await findRows(own.pool, { by: 'id', prefix: firstOf(drop) });
    const to = { schema: own.schema.name, table: 'a' };
    await asRestorer(own.pool, async (owner) => {
      const targets = rows.map((row) => ({ row, to }));
      await markRestoring(own.pool, targets, owner);
      await root.query(`RENAME TABLE _undrop.${name} TO ${own.schema.name}.a`);
      expect(await recover()).toMatchObject({ gone: [], restoredByHand: [] });
      // As a server does that was killed amid it.
      await root.query(`RENAME TABLE ${own.schema.name}.a TO _undrop.${name}`);
    });
    await recover();
    expect([await stateOf(firstOf(drop)), await recycled()]).toEqual(['HOLD', { [name]: 3 }]);
  });

  test('notices a held table that somebody has removed, also behind a new one of its name', async () => {
    const drop = await held('a', 'b');
    for (const name of drop.holdNames) await root.query(`DROP TABLE _undrop.${name}`);
    await root.query('CREATE TABLE b (other INT)');
    const report = await recover();
    expect([[...report.gone].sort(), report.restoredByHand]).toEqual([[...idsOf(drop)].sort(), []]);
    expect(await live()).toEqual({ b: 0 });
  });

  test('follows a transition that the ledger has missed, and the last one', async () => {
    const drop = await held('a', 'b');
    const [a = '', b = ''] = drop.holdNames;
    await root.query(`RENAME TABLE _undrop.${a} TO _undrop.${a.replace('HOLD', 'PURGE')}`);
    await root.query(`RENAME TABLE _undrop.${b} TO _undrop.${b.replace('HOLD', 'DROP')}`);
    await recover();
    const states = await Promise.all(idsOf(drop).map(stateOf));
    expect(states).toEqual(['PURGE', 'DROP']);
    await root.query(`DROP TABLE _undrop.${b.replace('HOLD', 'DROP')}`);
    const report = await recover();
    expect(report).toMatchObject({ gone: [], restoredByHand: [] });
    expect(await stateOf(idsOf(drop)[1] ?? '')).toBe('removed');
  });

  test('runs in two proxies at once', async () => {
    const drop = await renamed('a', 'b', 'c');
    const after = await intended('d');
    await own.die();
    await using other = poolOn(server);
    const reports = await Promise.all([recover(), recover(other)]);
    const settled = reports.flatMap(({ completed, forgotten }) => [...completed, ...forgotten]);
    expect(new Set(settled)).toEqual(new Set([...idsOf(drop), ...idsOf(after)]));
    expect([await live(), Object.values(await recycled())]).toEqual([{ d: 3 }, [3, 3, 3]]);
    const rows = await findRows(own.pool, { by: 'selection' });
    expect(rows.map(({ state, relocated }) => [state, relocated])).toEqual(
      Array.from({ length: 3 }, () => ['HOLD', true]),
    );
  });

  test.each(fixture.MOMENTS)('ends well wherever it was killed, %s a call', async (moment) => {
    const calls = await endsWell({ call: Number.POSITIVE_INFINITY, moment });
    expect(calls).toBeGreaterThan(10);
    for (const call of fixture.callsToKill(calls, `${server.name} ${moment}`)) {
      await endsWell({ call, moment });
    }
  });

  /** How many calls there were. */
  async function endsWell(dies: fixture.PoolFault): Promise<number> {
    await freshLedger(server);
    const interrupted = await renamed('a', 'b');
    const unborn = await intended('c');
    const debt = await owed('e');
    const back = await held('d');
    await root.query(`RENAME TABLE _undrop.${back.holdNames[0]} TO ${own.schema.name}.d`);
    await own.die();
    const faulty = fixture.faultyPool(own.pool, dies);
    await recover(faulty).then(nothing, nothing);
    const [a = '', b = ''] = interrupted.holdNames;
    const [e = ''] = debt.holdNames;
    const counts = { ...(await live()), ...(await recycled()) };
    expect({ dies, counts }).toEqual({ dies, counts: { [a]: 3, [b]: 3, c: 3, d: 3, [e]: 3 } });
    await recover();
    expect({ dies, live: await live() }).toEqual({ dies, live: { c: 3, d: 3 } });
    expect(await recycled()).toEqual({ [a]: 3, [b]: 3, [e]: 3 });
    const ids = [...idsOf(interrupted), ...idsOf(debt), ...idsOf(back)];
    const states = await Promise.all(ids.map(stateOf));
    expect({ dies, states }).toEqual({ dies, states: ['HOLD', 'HOLD', 'HOLD', 'restored'] });
    expect(await findRows(own.pool, { by: 'pending' })).toEqual([]);
    expect(await stateOf(idsOf(unborn)[0] ?? '')).toBeUndefined();
    await root.query(`DROP TABLE c, d, _undrop.${a}, _undrop.${b}, _undrop.${e}`);
    return faulty.calls;
  }
});

// No other server of the set has two dictionaries.
describe('recovery on mysql-5.6', () => {
  const server = testServer('mysql-5.6');
  const own = ownSession(server, onServer(server));

  test('keeps an intent while its table is between two names, and completes it then', async () => {
    const { name: schema } = own.schema;
    await own.session.run('CREATE TABLE a (id INT) ENGINE=InnoDB', 'INSERT INTO a VALUES (1), (2)');
    const drop = await fixture.intend(own.pool, own.session, { schema, tables: ['a'] });
    await fixture.renameAway(own.session, drop);
    await own.die();
    const [holdName = ''] = drop.holdNames;
    const [{ id } = { id: '' }] = drop.facts.tables;
    const file = (name: string) => join(server.dataDir ?? '', schema, `${name}.frm`);
    // As a kill amid a RENAME leaves it: InnoDB has the table under its hold name already.
    await rename(file(holdName), file('a'));
    await query(server, 'FLUSH TABLES');
    const kept = { untouched: [id], forgotten: [], completed: [] };
    expect(await fixture.recoverOnce(own.pool)).toMatchObject(kept);
    expect(await findRows(own.pool, { by: 'intent' })).toMatchObject([{ id }]);

    await rename(file('a'), file(holdName));
    await query(server, 'FLUSH TABLES');
    const done = { untouched: [], forgotten: [], completed: [id] };
    expect(await fixture.recoverOnce(own.pool)).toMatchObject(done);
    expect(await fixture.rowCounts(server, '_undrop')).toMatchObject({ [holdName]: 2 });
  });
});
