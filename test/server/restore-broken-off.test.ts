/**
 * A restore, a swap or the restore of a schema that ends between two of its statements, on real
 * servers: the same request goes on from there, and all is as it was before the drop, with keys,
 * triggers and rows. It imports the inside of src to break off at each call to the server.
 */

import { finishAll } from '../../src/collector/reconcile.js';
import type { ServicePool } from '../../src/connections/sql.js';
import { UndropError } from '../../src/errors.js';
import { silentLog } from '../../src/log.js';
import { listAll } from '../../src/recycle/held-tables.js';
import { problemsOf } from '../../src/recycle/make-whole.js';
import { restore } from '../../src/recycle/restore.js';
import { findSchemaDrop } from '../../src/recycle/schema/restore-schema.js';
import { finishSchemaRestore } from '../../src/recycle/undo/undo-many.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { runUndrop } from '../support/proxy.js';
import { dumpOf } from '../support/rental-shop.js';
import { isLong } from '../support/sample.js';
import { connect, freshSchema } from '../support/servers.js';
import { tappedPool } from '../support/tapped-pool.js';
import * as fixture from './service-fixture.js';

const { callsToKill, faultyPool, ledgerRowOf, MOMENTS, recoverOnce, sayTo } = fixture;

const FAMILY = [
  'CREATE TABLE p (id INT PRIMARY KEY)',
  `CREATE TABLE c (id INT PRIMARY KEY, pid INT, FOREIGN KEY (pid) REFERENCES p (id))`,
  'CREATE TABLE kid (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES c (id))',
  'CREATE TRIGGER t BEFORE INSERT ON c FOR EACH ROW SET NEW.pid = NEW.pid',
  'INSERT INTO p VALUES (1)',
  'INSERT INTO c VALUES (1, 1), (2, 1)',
];
const PROGRAMS = [
  'CREATE VIEW v AS SELECT id FROM c',
  'CREATE FUNCTION one() RETURNS INT DETERMINISTIC NO SQL RETURN 1',
  "CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2035-01-01 00:00:00' DO SELECT 1",
];
/** Of a swap: what is held has two rows, what is live three. */
const swapped = (rows: string) => [
  'CREATE TABLE c (id INT PRIMARY KEY, pid INT, CONSTRAINT to_p FOREIGN KEY (pid) REFERENCES p (id))',
  'CREATE TRIGGER on_c BEFORE INSERT ON c FOR EACH ROW SET NEW.pid = NEW.pid',
  `INSERT INTO c VALUES ${rows}`,
];
const BY = {
  ...{ proxyId: 'test', user: 'app', clientAddress: '192.0.2.1:4711' },
  ...{ statementText: 'UNDROP TABLE c SWAP', hold: 600_000 },
};

const LOST = new UndropError('UNDROP_SERVICE_FAILED', { step: 'run', server: 'it', cause: 'lost' });
const BREAKS = {
  'the process dies before it': { moment: 'before' },
  'the process dies after it': { moment: 'after' },
  'its statement alone is lost': { moment: 'before', alone: LOST },
  'its answer alone is lost': { moment: 'after', alone: LOST },
} as const;
const WAYS = [
  ['the process dies before it', 'at once'],
  ['the process dies after it', 'at once'],
  ['the process dies before it', 'behind a recovery'],
  ['the process dies after it', 'behind a recovery'],
  ['its statement alone is lost', 'at once'],
  ['its answer alone is lost', 'at once'],
] as const;

onServers('a restore that breaks off on $name', (server, on) => {
  const { test } = on;

  const proxy = on.proxy();
  const pool = on.pool();
  const schema = on.schema('broken');
  const direct = on.session({ schema });

  const rowsOf = (text: string) => direct.rows(text);
  const run = (...texts: readonly string[]) => direct.run(...texts);
  const shown = async () => [
    await direct.show('c'),
    await direct.show('kid'),
    (await rowsOf('SHOW TRIGGERS')).map((row) => row['Trigger']),
    (await rowsOf('SELECT id, pid FROM c ORDER BY id')).map(({ id, pid }) => [id, pid]),
  ];
  const dropped = async () => {
    const texts = ['SET foreign_key_checks = 0', 'DROP TABLE c'];
    await sayTo(proxy, { schema: schema.name, texts });
    const at = { schema: schema.name, table: 'c' };
    const told = async () => (await ledgerRowOf(direct, at))?.['restore_script'] != null;
    await until(told, 'the outcome');
  };
  const recover = () => recoverOnce(pool);
  /** As a proxy that collects does, also where who died is in the processlist for a moment. */
  const finish = () =>
    until(async () => {
      await recover();
      await finishAll(pool, silentLog);
      return (await rowsOf("SELECT 1 FROM _undrop.ledger WHERE todo = 'restoring'")).length === 0;
    }, 'no restore is left');
  /** The connection of a restore that broke off has left the processlist. */
  const ownerIsGone = () =>
    until(async () => {
      const owned = `SELECT 1 FROM _undrop.ledger JOIN information_schema.PROCESSLIST AS p
        ON p.ID = thread_id WHERE schema_name = '${schema.name}' AND todo = 'restoring'`;
      return (await rowsOf(owned)).length === 0;
    }, 'its owner is gone');
  const clear = () => run('DROP TABLE IF EXISTS kid', 'DROP TABLE IF EXISTS c, old, other, p');
  /** The family anew, and how it is shown before its drop. */
  const droppedFamily = async () => {
    await clear();
    await run(...FAMILY);
    const before = await shown();
    await dropped();
    return before;
  };
  const request = { target: `${schema.name}.c` };
  /** Behind its RENAME, before anything else is back. */
  const breaksOff = async (id: string) => {
    const breaking = tappedPool(pool, async (send) => {
      const [row] = await rowsOf(`SELECT state FROM _undrop.ledger WHERE id = '${id}'`);
      if (row?.['state'] === 'restored') throw new Error('It broke off.');
      return send();
    });
    await expect(restore(breaking, request)).rejects.toThrow('It broke off.');
  };

  test.each(WAYS)('at any call, %s: it is finished by the next, %s', async (what, when) => {
    const finished: boolean[] = [];
    const isFinished = async (call: number) => {
      const before = await droppedFamily();
      const broken = faultyPool(pool, { call, ...BREAKS[what] });
      await restore(broken, request).catch(() => undefined);
      if (when === 'behind a recovery') {
        await finish();
        // Without anybody asking for it.
        if ((await rowsOf("SHOW TABLES LIKE 'c'")).length > 0) {
          expect([call, ...(await shown())]).toEqual([call, ...before]);
        }
      } else await ownerIsGone();
      const again = await restore(pool, request).then(
        ({ wasBack, foreignKeys, triggers }) => {
          const problems = [...foreignKeys, ...triggers].flatMap(({ problem }) => problem ?? []);
          expect(problems).toEqual([]);
          return wasBack;
        },
        (error: UndropError) => error.code,
      );
      expect([call, ...(await shown())]).toEqual([call, ...before]);
      if (typeof again === 'boolean') finished.push(again);
      else expect(again).toBe('UNDROP_NO_SUCH_HELD');
      return broken.calls;
    };
    const calls = await isFinished(Number.POSITIVE_INFINITY);
    // A death at once is tried at each of them; in a long run the others at one of six.
    const isEach = !isLong || (when === 'at once' && what.startsWith('the process dies'));
    const all = callsToKill(calls, `${server.name} ${what} ${when}`);
    for (const call of all.filter((one) => isEach || one % 6 === 0)) await isFinished(call);
    // Some broke off before the table had its name, some behind it.
    if (isLong && what.startsWith('the process dies')) {
      expect(new Set(finished)).toEqual(new Set(when === 'at once' ? [false, true] : [false]));
    }
  });

  test('is finished once the table is free that was busy at once, and status names it', async () => {
    const before = await droppedFamily();
    const busy = await connect(server, { database: schema.name });
    let isBusy = false;
    const taken = tappedPool(pool, async (send) => {
      if (!isBusy && (await rowsOf("SHOW TABLES LIKE 'c'")).length > 0) {
        isBusy = true;
        await busy.run('START TRANSACTION', 'SELECT * FROM c');
      }
      return send();
    });
    const report = await restore(taken, request);
    const missing = problemsOf(report.id, report).join('; ');
    const why = `${schema.name}.c is not restored whole: ${missing}`;
    const told = await runUndrop(server, ['status']);
    await finishAll(pool, silentLog);
    await busy.end();
    expect(missing).toMatch(
      / triggers? t\b.*foreign key c_ibfk_1: another session has a table locked/,
    );
    expect([told.code, told.stdout]).toEqual([1, expect.stringContaining(why)]);
    expect(await rowsOf('SHOW TRIGGERS')).toEqual([]);
    await finish();
    expect(await shown()).toEqual(before);
    expect((await runUndrop(server, ['status'])).stdout).not.toContain('not whole');
  });

  test('means the one that was begun, not an older one of its name', async () => {
    const before = await droppedFamily();
    await run(...FAMILY.slice(1, 2));
    await run('DROP TRIGGER IF EXISTS t', ...FAMILY.slice(3, 4), ...FAMILY.slice(5));
    await dropped();
    const ofSchema = async () =>
      (await listAll(pool)).filter(({ origin }) => origin?.schema === schema.name);
    const held = await ofSchema();
    await breaksOff(held[0]?.id ?? '');
    await ownerIsGone();
    await sayTo(proxy, { schema: schema.name, texts: ['UNDROP TABLE c'] });
    expect([await shown(), await ofSchema()]).toEqual([before, held.slice(1)]);
    await sayTo(proxy, { schema: schema.name, texts: ['UNDROP TABLE c TO c2'] });
    await run('DROP TABLE c2');
  });

  test('under another name is finished there, whoever has the old one by now', async () => {
    const renamed = { ...request, to: `${schema.name}.old` };
    const finished: string[] = [];
    const isFinished = async (call: number) => {
      await droppedFamily();
      await run('DROP TABLE kid', ...FAMILY.slice(1, 2));
      const [definition] = await rowsOf('SHOW CREATE TABLE c');
      const faulty = faultyPool(pool, { call, moment: 'after' });
      await restore(faulty, renamed).catch(() => undefined);
      await ownerIsGone();
      await recover();
      const wanted = { ...request, to: `${schema.name}.elsewhere` };
      const isRestored = (await rowsOf("SHOW TABLES LIKE 'old'")).length > 0;
      if (isRestored) await expect(restore(pool, wanted)).rejects.toThrow('No held table matches');
      const { restoredAs } = await restore(pool, renamed).catch(() => ({ restoredAs: null }));
      if (restoredAs !== null) finished.push(restoredAs.table);
      expect(await rowsOf('SHOW CREATE TABLE c')).toEqual([definition]);
      const triggers = (await rowsOf('SHOW TRIGGERS')).map((row) => [row['Trigger'], row['Table']]);
      expect([call, triggers]).toEqual([call, [['t', 'old']]]);
      expect(await direct.show('old')).toContain('FOREIGN KEY');
      await run('DROP TABLE old');
      return faulty.calls;
    };
    const calls = await isFinished(Number.POSITIVE_INFINITY);
    // At the first call nothing has been done yet.
    for (const call of new Set([1, ...callsToKill(calls, server.name)])) await isFinished(call);
    expect(new Set(finished)).toEqual(new Set(['old']));
  });

  test('is not finished where the table was removed for good', async () => {
    await droppedFamily();
    const row = await ledgerRowOf(direct, { schema: schema.name, table: 'c' });
    await run(
      `UPDATE _undrop.ledger SET state = 'removed', ended_at = UTC_TIMESTAMP(), todo = 'restoring',
       failure = 'it broke off', restored_as = '${schema.name}.c' WHERE id = '${row?.['id']}'`,
      `DROP TABLE ${row?.['hold_schema']}.${row?.['hold_name']}`,
      'DROP TABLE kid',
      ...FAMILY.slice(1, 2),
    );
    await expect(restore(pool, request)).rejects.toThrow('removed for good');
    expect(await rowsOf('SHOW TRIGGERS')).toEqual([]);
  });

  test('leaves another table alone that has the name by now', async () => {
    await droppedFamily();
    const row = await ledgerRowOf(direct, { schema: schema.name, table: 'c' });
    await breaksOff(String(row?.['id']));
    await run('DROP TABLE kid, c', 'CREATE TABLE c (id INT, other INT)');
    await expect(restore(pool, request)).rejects.toMatchObject({ code: 'UNDROP_NO_SUCH_HELD' });
    expect(await rowsOf('SHOW TRIGGERS')).toEqual([]);
  });

  test.each(MOMENTS)('a swap loses nothing if it ends %s any call', async (moment) => {
    const open = "SELECT id FROM _undrop.ledger WHERE state = 'intent'";
    const triggers = async () =>
      (await rowsOf('SHOW TRIGGERS')).map((row) => `${row['Trigger']} ${row['Table']}`);
    const swapIt = (on: ServicePool) => restore(on, { ...request, swapBy: () => BY });
    const survives = async (call: number) => {
      await clear();
      await freshLedger(server);
      await run(...FAMILY.slice(0, 1), 'INSERT INTO p VALUES (1)', ...swapped('(1, 1), (2, 1)'));
      const before = await direct.show('c');
      await dropped();
      await run(...swapped('(1, 1), (2, 1), (3, NULL)'));
      const faulty = faultyPool(pool, { call, moment });
      await swapIt(faulty).catch(() => undefined);
      const isSettled = async () => {
        await recover();
        return (await rowsOf(open)).length === 0;
      };
      await until(isSettled, 'recovery has nothing left');
      // One that did not happen keeps nobody from another.
      if ((await direct.count('c')) === 3) await swapIt(pool);
      const live = await direct.count('c');
      expect([call, live]).toEqual([call, 2]);
      const begun = `SELECT id FROM _undrop.ledger WHERE state = 'restored' AND todo = 'restoring'`;
      if ((await rowsOf(begun)).length > 0) {
        expect(await swapIt(pool)).toMatchObject({ wasBack: true });
      }
      const held = await listAll(pool);
      const now = [call, held.length, await direct.show('c'), await triggers()];
      expect(now).toEqual([call, 1, before, ['on_c c']]);
      await restore(pool, { target: held[0]?.id ?? '', to: `${schema.name}.other` });
      expect([call, ...[live, await direct.count('other')].sort()]).toEqual([call, 2, 3]);
      return faulty.calls;
    };
    const calls = await survives(Number.POSITIVE_INFINITY);
    const all = callsToKill(calls, `swap ${moment}`);
    const some = all.filter((call, at) => (isLong ? call % 12 === 0 : at < 2));
    for (const call of some) await survives(call);
  });

  test.each(MOMENTS)('a schema is finished after a death %s any call', async (moment) => {
    const { name } = on.each.keep(await freshSchema(server, 'broken'));
    await run(`USE ${name}`, ...FAMILY, ...PROGRAMS, `USE ${schema.name}`);
    const before = await dumpOf(server, name);
    const isNone = (which: string) => async () =>
      (await rowsOf(`SELECT 1 FROM _undrop.ledger WHERE schema_name = '${name}' AND ${which}`))
        .length === 0;
    const diesAt = async (call: number) => {
      await sayTo(proxy, { schema: name, texts: [`DROP DATABASE ${name}`] });
      await until(isNone("state IN ('intent', 'emptying', 'emptied')"), 'the drop is recorded');
      const faulty = faultyPool(pool, { call, moment });
      const { drop } = await findSchemaDrop(pool, { schema: name });
      await finishSchemaRestore(faulty, drop).catch(() => undefined);
      // Whoever says it waits for what the dead one has sent.
      await sayTo(proxy, { schema: schema.name, texts: [`UNDROP DATABASE ${name}`] });
      const { isBack } = await findSchemaDrop(pool, { schema: name });
      expect([call, isBack]).toEqual([call, true]);
      expect([call, ...(await dumpOf(server, name))]).toEqual([call, ...before]);
      return faulty.calls;
    };
    const calls = await diesAt(Number.POSITIVE_INFINITY);
    const all = callsToKill(calls, `schema ${moment}`);
    const some = all.filter((_call, at) => (isLong ? at % 10 === 2 : at < 2));
    for (const call of some) await diesAt(call);
  });
});
