/**
 * A restore that ends between two of its statements, on real servers: the same request goes on from
 * there, and the table is as it was before the drop, with its keys, triggers and rows.
 */
import { describe, expect } from '@jest/globals';
import type { RowDataPacket } from 'mysql2/promise';
import { UndropError } from '../../src/errors.js';
import { silentLog } from '../../src/log.js';
import { finishAll, reconcile } from '../../src/recovery/reconcile.js';
import { listAll } from '../../src/restore/held-tables.js';
import { problemsOf } from '../../src/restore/make-whole.js';
import { restore } from '../../src/restore/restore.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { runUndrop } from '../support/proxy.js';
import { isLong } from '../support/sample.js';
import { connect } from '../support/servers.js';
import { tappedPool } from '../support/tapped-pool.js';
import { callsToKill, FaultyPool, ledgerRowOf, sayTo } from './service-fixture.js';

const FAMILY = [
  'CREATE TABLE p (id INT PRIMARY KEY)',
  `CREATE TABLE c (id INT PRIMARY KEY, pid INT, FOREIGN KEY (pid) REFERENCES p (id))`,
  'CREATE TABLE kid (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES c (id))',
  'CREATE TRIGGER t BEFORE INSERT ON c FOR EACH ROW SET NEW.pid = NEW.pid',
  'INSERT INTO p VALUES (1)',
  'INSERT INTO c VALUES (1, 1), (2, 1)',
];

onServers('a restore that breaks off on $name', (server, on) => {
  const { test } = on;

  const proxy = on.proxy();
  const pool = on.pool();
  const schema = on.schema('broken');
  const direct = on.session({ schema });

  const rowsOf = async (text: string) => (await direct.query<RowDataPacket[]>(text))[0];
  const run = (...texts: readonly string[]) => direct.run(...texts);
  const shown = async () => [
    (await rowsOf('SHOW CREATE TABLE c'))[0]?.['Create Table'],
    (await rowsOf('SHOW CREATE TABLE kid'))[0]?.['Create Table'],
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
  const recover = () =>
    reconcile(pool, { proxyId: 'test', activeIds: new Set<string>(), log: silentLog });
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
  const clear = () => run('DROP TABLE IF EXISTS kid', 'DROP TABLE IF EXISTS c, old, p');

  describe.each([
    ['at once', false],
    ['behind a recovery', true],
  ])('is finished by the next, %s', (when, recovers) => {
    test.each(['before', 'after'] as const)('%s any call to the server', async (moment) => {
      const finished: boolean[] = [];
      const request = { target: `${schema.name}.c` };
      const isFinished = async (call: number) => {
        await clear();
        await run(...FAMILY);
        const before = await shown();
        await dropped();
        const faulty = new FaultyPool(pool, { call, moment });
        await restore(faulty, request).catch(() => undefined);
        if (recovers) {
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
        return faulty.calls;
      };
      const calls = await isFinished(Number.POSITIVE_INFINITY);
      for (const call of callsToKill(calls, `${server.name} ${when} ${moment}`)) {
        await isFinished(call);
      }
      // Some broke off before the table had its name, some behind it.
      if (isLong) expect(new Set(finished)).toEqual(new Set(recovers ? [false] : [false, true]));
    });
  });

  test.each(['statement', 'answer'])(
    'is finished also where one %s alone was lost',
    async (what) => {
      const request = { target: `${schema.name}.c` };
      const isFinished = async (call: number) => {
        await clear();
        await run(...FAMILY);
        const before = await shown();
        await dropped();
        let calls = 0;
        const once = tappedPool(pool, async (send) => {
          calls += 1;
          const isLost = calls === call;
          if (!isLost) return send();
          if (what === 'answer') await send();
          throw new UndropError('UNDROP_SERVICE_FAILED', {
            step: 'run',
            server: 'it',
            cause: 'lost',
          });
        });
        const codes: string[] = [];
        for (const on of [once, pool, pool]) {
          const code = await restore(on, request).then(
            () => 'done',
            (error: UndropError) => error.code,
          );
          codes.push(code);
          await ownerIsGone();
        }
        expect([call, codes.at(-1), ...(await shown())]).toEqual([
          call,
          'UNDROP_NO_SUCH_HELD',
          ...before,
        ]);
        return calls;
      };
      const calls = await isFinished(Number.POSITIVE_INFINITY);
      for (const call of callsToKill(calls, `${server.name} ${what}`)) await isFinished(call);
    },
  );

  test('is finished once the table is free that was busy at once, and status names it', async () => {
    await clear();
    await run(...FAMILY);
    const before = await shown();
    await dropped();
    const busy = await connect(server, { database: schema.name });
    let isBusy = false;
    const taken = tappedPool(pool, async (send) => {
      if (!isBusy && (await rowsOf("SHOW TABLES LIKE 'c'")).length > 0) {
        isBusy = true;
        await busy.run('START TRANSACTION', 'SELECT * FROM c');
      }
      return send();
    });
    const report = await restore(taken, { target: `${schema.name}.c` });
    const missing = problemsOf(report.id, report).join('; ');
    const why = `${schema.name}.c is not restored whole: ${missing}`;
    const told = await runUndrop(server, ['status']);
    await finishAll(pool, silentLog);
    const triggers = await rowsOf('SHOW TRIGGERS');
    await busy.end();
    expect(missing).toMatch(
      / triggers? t\b.*foreign key c_ibfk_1: another session has a table locked/,
    );
    expect([told.code, told.stdout]).toEqual([1, expect.stringContaining(why)]);
    expect(triggers).toEqual([]);
    await finish();
    expect(await shown()).toEqual(before);
    expect((await runUndrop(server, ['status'])).stdout).not.toContain('not whole');
  });

  test('means the one that was begun, not an older one of its name', async () => {
    await clear();
    await run(...FAMILY);
    const before = await shown();
    await dropped();
    await run(...FAMILY.slice(1, 2));
    await run('DROP TRIGGER IF EXISTS t', ...FAMILY.slice(3, 4), ...FAMILY.slice(5));
    await dropped();
    const held = (await listAll(pool)).filter(({ origin }) => origin?.schema === schema.name);
    const id = held[0]?.id ?? '';
    const breaking = tappedPool(pool, async (send) => {
      const [row] = await rowsOf(`SELECT state FROM _undrop.ledger WHERE id = '${id}'`);
      if (row?.['state'] === 'restored') throw new Error('It broke off.');
      return send();
    });
    await expect(restore(breaking, { target: `${schema.name}.c` })).rejects.toThrow(
      'It broke off.',
    );
    await ownerIsGone();
    await sayTo(proxy, { schema: schema.name, texts: ['UNDROP TABLE c'] });
    expect(await shown()).toEqual(before);
    expect((await listAll(pool)).filter(({ origin }) => origin?.schema === schema.name)).toEqual(
      held.slice(1),
    );
    await sayTo(proxy, { schema: schema.name, texts: ['UNDROP TABLE c TO c2'] });
    await run('DROP TABLE c2');
  });

  test('under another name is finished there, whoever has the old one by now', async () => {
    const request = { target: `${schema.name}.c`, to: `${schema.name}.old` };
    const finished: string[] = [];
    const isFinished = async (call: number) => {
      await clear();
      await run(...FAMILY);
      await dropped();
      await run('DROP TABLE kid', ...FAMILY.slice(1, 2));
      const [definition] = await rowsOf('SHOW CREATE TABLE c');
      const faulty = new FaultyPool(pool, { call, moment: 'after' });
      await restore(faulty, request).catch(() => undefined);
      await ownerIsGone();
      await recover();
      const wanted = { ...request, to: `${schema.name}.elsewhere` };
      const isRestored = (await rowsOf("SHOW TABLES LIKE 'old'")).length > 0;
      if (isRestored) await expect(restore(pool, wanted)).rejects.toThrow('No held table matches');
      const { restoredAs } = await restore(pool, request).catch(() => ({ restoredAs: null }));
      if (restoredAs !== null) finished.push(restoredAs.table);
      expect(await rowsOf('SHOW CREATE TABLE c')).toEqual([definition]);
      const triggers = (await rowsOf('SHOW TRIGGERS')).map((row) => [row['Trigger'], row['Table']]);
      expect([call, triggers]).toEqual([call, [['t', 'old']]]);
      expect((await rowsOf('SHOW CREATE TABLE old'))[0]?.['Create Table']).toContain('FOREIGN KEY');
      await run('DROP TABLE old');
      return faulty.calls;
    };
    const calls = await isFinished(Number.POSITIVE_INFINITY);
    // At the first call nothing has been done yet.
    for (const call of new Set([1, ...callsToKill(calls, server.name)])) await isFinished(call);
    expect(new Set(finished)).toEqual(new Set(['old']));
  });

  test('is not finished where the table was removed for good', async () => {
    await clear();
    await run(...FAMILY);
    await dropped();
    const [row] = await rowsOf(
      `SELECT id, hold_schema, hold_name FROM _undrop.ledger WHERE schema_name = '${schema.name}'
       ORDER BY id DESC LIMIT 1`,
    );
    await run(
      `UPDATE _undrop.ledger SET state = 'removed', ended_at = UTC_TIMESTAMP(), todo = 'restoring',
       failure = 'it broke off', restored_as = '${schema.name}.c' WHERE id = '${row?.['id']}'`,
      `DROP TABLE ${row?.['hold_schema']}.${row?.['hold_name']}`,
      'DROP TABLE kid',
      ...FAMILY.slice(1, 2),
    );
    await expect(restore(pool, { target: `${schema.name}.c` })).rejects.toThrow('removed for good');
    expect(await rowsOf('SHOW TRIGGERS')).toEqual([]);
  });

  test('leaves another table alone that has the name by now', async () => {
    await clear();
    await run(...FAMILY);
    await dropped();
    const request = { target: `${schema.name}.c` };
    const id = String((await ledgerRowOf(direct, { schema: schema.name, table: 'c' }))?.['id']);
    const breaking = tappedPool(pool, async (send) => {
      const [row] = await rowsOf(`SELECT state FROM _undrop.ledger WHERE id = '${id}'`);
      if (row?.['state'] === 'restored') throw new Error('It broke off.');
      return send();
    });
    await expect(restore(breaking, request)).rejects.toThrow('It broke off.');
    await run('DROP TABLE kid, c', 'CREATE TABLE c (id INT, other INT)');
    const code = restore(pool, request).catch(
      (error) => error instanceof UndropError && error.code,
    );
    expect(await code).toBe('UNDROP_NO_SUCH_HELD');
    expect(await rowsOf('SHOW TRIGGERS')).toEqual([]);
  });

  test('says that nobody knows of keys and triggers where the ledger has no row', async () => {
    await clear();
    await run(...FAMILY);
    await dropped();
    const at = { schema: schema.name, table: 'c' };
    const row = await ledgerRowOf(direct, at);
    await run(`DELETE FROM _undrop.ledger WHERE id = '${row?.['id']}'`);
    const request = { target: String(row?.['id']), to: `${schema.name}.c` };
    const report = await restore(pool, request);
    expect(report.foreignKeysProblem).toBe('the ledger has no row for it');
    expect(report.triggersProblem).toBe('the ledger has no row for it');
  });
});
