/**
 * A swap on real servers: the live table goes into HOLD, the held one takes its name. Both are
 * whole wherever it breaks off, after the recovery.
 */
import { expect } from '@jest/globals';
import { UndropError } from '../../src/errors.js';
import { silentLog } from '../../src/log.js';
import { reconcile } from '../../src/recovery/reconcile.js';
import { listAll } from '../../src/restore/held-tables.js';
import { restore } from '../../src/restore/restore.js';
import { swap } from '../../src/restore/swap.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { isLong } from '../support/sample.js';
import { callsToKill, FaultyPool, ledgerRowOf, sayTo } from './service-fixture.js';

const BY = {
  proxyId: 'test',
  user: 'app',
  clientAddress: '192.0.2.1:4711',
  statementText: 'UNDROP TABLE c SWAP',
  hold: 600_000,
};

const family = (rows: string) => [
  'CREATE TABLE c (id INT PRIMARY KEY, pid INT, CONSTRAINT to_p FOREIGN KEY (pid) REFERENCES p (id))',
  'CREATE TRIGGER on_c BEFORE INSERT ON c FOR EACH ROW SET NEW.pid = NEW.pid',
  `INSERT INTO c VALUES ${rows}`,
];
const OLD = family('(1, 1), (2, 1)');
const NEW = family('(1, 1), (2, 1), (3, NULL)');
const OPEN = `SELECT id FROM _undrop.ledger WHERE state = 'intent'`;
const KID =
  'CREATE TABLE kid (id INT PRIMARY KEY, CONSTRAINT to_c FOREIGN KEY (id) REFERENCES c (id))';

onServers('a swap on $name', (server, on) => {
  const { beforeEach, test } = on;

  const proxy = on.proxy();
  const pool = on.pool();
  beforeEach(() => freshLedger(server));
  const schema = on.each.schema('swap');
  const direct = on.each.session({ schema });
  const other = on.each.session({ schema });

  const rowsOf = (text: string) => direct.rows(text);
  const run = (...texts: readonly string[]) => direct.run(...texts);
  const countOf = (name: string) => direct.count(name);
  const shown = (table: string) => direct.show(table);
  const triggers = async () =>
    (await rowsOf('SHOW TRIGGERS')).map((row) => `${row['Trigger']} ${row['Table']}`);
  const dropped = async (...before: readonly string[]) => {
    await sayTo(proxy, { schema: schema.name, texts: [...before, 'DROP TABLE c'] });
    const at = { schema: schema.name, table: 'c' };
    const told = async () => (await ledgerRowOf(direct, at))?.['restore_script'] != null;
    await until(told, 'the outcome');
  };
  const target = () => `${schema.name}.c`;
  const recover = () =>
    reconcile(pool, { proxyId: 'test', activeIds: new Set<string>(), log: silentLog });

  test('both tables have their keys, triggers and rows, and the way back is the same', async () => {
    await run('CREATE TABLE p (id INT PRIMARY KEY)', 'INSERT INTO p VALUES (1)', ...OLD);
    const before = await shown('c');
    await dropped();
    await run(...NEW, KID, 'INSERT INTO kid VALUES (1)');
    const kid = await shown('kid');
    const report = await swap(pool, { target: target(), by: BY });
    expect(report).toMatchObject({ foreignKeysProblem: null, triggersProblem: null });
    expect(
      [...report.foreignKeys, ...report.triggers].flatMap(({ problem }) => problem ?? []),
    ).toEqual([]);
    expect([await countOf('c'), await shown('c'), await triggers()]).toEqual([
      2,
      before,
      ['on_c c'],
    ]);
    expect(await shown('kid')).toBe(kid);
    const held = await listAll(pool);
    expect(held).toMatchObject([{ id: report.swapped, state: 'HOLD', user: 'app' }]);
    const again = await swap(pool, { target: target(), by: BY });
    expect([await countOf('c'), await shown('c'), await triggers()]).toEqual([
      3,
      before,
      ['on_c c'],
    ]);
    expect(again.swapped).not.toBe(report.swapped);
    expect((await listAll(pool)).map(({ id }) => id)).toEqual([again.swapped]);
  });

  test('a name that no table has is a restore', async () => {
    await run('CREATE TABLE p (id INT PRIMARY KEY)', 'INSERT INTO p VALUES (1)', ...OLD);
    await dropped();
    expect((await swap(pool, { target: target(), by: BY })).swapped).toBeNull();
    expect(await countOf('c')).toBe(2);
    expect(await listAll(pool)).toEqual([]);
    expect(await rowsOf(OPEN)).toEqual([]);
  });

  test('a view that has the name stays, and so does what is held', async () => {
    await run('CREATE TABLE p (id INT PRIMARY KEY)', 'INSERT INTO p VALUES (1)', ...OLD);
    await dropped();
    await run('CREATE VIEW c AS SELECT * FROM p');
    const refused = swap(pool, { target: target(), by: BY });
    await expect(refused).rejects.toMatchObject({ code: 'UNDROP_NOT_SWAPPED' });
    expect(await countOf('c')).toBe(1);
    await run('DROP VIEW c');
    await restore(pool, { target: target() });
    expect(await countOf('c')).toBe(2);
  });

  test('a table that others have locked is not waited for, and both stay', async () => {
    await run('CREATE TABLE p (id INT PRIMARY KEY)', 'INSERT INTO p VALUES (1)', ...OLD);
    await dropped();
    await run(...NEW, 'LOCK TABLES c WRITE');
    const refused = swap(pool, { target: target(), by: BY });
    await expect(refused).rejects.toMatchObject({ code: 'UNDROP_BUSY' });
    await run('UNLOCK TABLES');
    expect([await countOf('c'), (await listAll(pool)).length]).toEqual([3, 1]);
    expect(await rowsOf(OPEN)).toEqual([]);
  });

  test('it is not OK while a foreign key binds the table that is held to a live one', async () => {
    await run('CREATE TABLE p (id INT PRIMARY KEY)', 'INSERT INTO p VALUES (1)', ...OLD);
    await dropped();
    await run(...NEW, KID, 'INSERT INTO kid VALUES (1)');
    await other.run('BEGIN', 'SELECT * FROM kid');
    // MySQL 9.7 locks the children for the RENAME.
    const waits = server.name === 'mysql-9.7';
    const code = waits ? 'UNDROP_BUSY' : 'UNDROP_KEYS_LEFT';
    const swapped = swap(pool, { target: target(), by: BY });
    await expect(swapped).rejects.toMatchObject({ code });
    await other.run('COMMIT');
    expect(await countOf('c')).toBe(waits ? 3 : 2);
  });

  test.each(['before', 'after'] as const)(
    'loses nothing if it ends %s any call',
    async (moment) => {
      await run('CREATE TABLE p (id INT PRIMARY KEY)', 'INSERT INTO p VALUES (1)');
      const clear = async () => {
        await run('DROP TABLE IF EXISTS kid, c');
        await freshLedger(server);
      };
      const survives = async (call: number) => {
        await clear();
        await run(...OLD);
        const before = await shown('c');
        await dropped();
        await run(...NEW);
        const faulty = new FaultyPool(pool, { call, moment });
        await swap(faulty, { target: target(), by: BY }).catch(() => undefined);
        const isSettled = async () => {
          await recover();
          return (await rowsOf(OPEN)).length === 0;
        };
        await until(isSettled, 'recovery has nothing left');
        // One that did not happen keeps nobody from another.
        if ((await countOf('c')) === 3) await swap(pool, { target: target(), by: BY });
        const live = await countOf('c');
        expect([call, live]).toEqual([call, 2]);
        const begun = `SELECT id FROM _undrop.ledger WHERE state = 'restored' AND todo = 'restoring'`;
        if ((await rowsOf(begun)).length > 0) {
          expect(await swap(pool, { target: target(), by: BY })).toMatchObject({ wasBack: true });
        }
        const held = await listAll(pool);
        const [other] = held;
        expect([call, held.length, await shown('c'), await triggers()]).toEqual([
          call,
          1,
          before,
          ['on_c c'],
        ]);
        await restore(pool, { target: other?.id ?? '', to: `${schema.name}.other` });
        expect([call, ...[live, await countOf('other')].sort()]).toEqual([call, 2, 3]);
        await run('DROP TABLE other');
        return faulty.calls;
      };
      const calls = await survives(Number.POSITIVE_INFINITY);
      const all = callsToKill(calls, `swap ${moment}`);
      for (const call of isLong ? all : all.slice(0, 2)) await survives(call);
    },
  );

  test('a swap and a restore at once: one of them, and nothing is lost', async () => {
    await run('CREATE TABLE p (id INT PRIMARY KEY)', 'INSERT INTO p VALUES (1)', ...OLD);
    await dropped();
    await run(...NEW);
    const to = `${schema.name}.other`;
    const codes = await Promise.all(
      [swap(pool, { target: target(), by: BY }), restore(pool, { target: target(), to })].map(
        (work) =>
          work.then(
            () => 'done',
            (error: unknown) => (error instanceof UndropError ? error.code : Promise.reject(error)),
          ),
      ),
    );
    expect(codes).toContain('done');
    const held = await listAll(pool);
    const others = codes[1] === 'done' ? await countOf('other') : 0;
    const counts = [await countOf('c'), others];
    if (codes[0] === 'done') expect([counts, held.length]).toEqual([[2, 0], 1]);
    else expect([counts, held.length]).toEqual([[3, 2], 0]);
  });
});
