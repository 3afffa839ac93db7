/**
 * Foreign keys and triggers that are taken off held tables by two at once (a drop beside another,
 * the recoveries of two proxies), one of which may die in the middle: what the one has written down
 * or led back the other leaves, and everything comes back.
 */
import { expect } from '@jest/globals';
import { detachAndRelocate, relocate } from '../../src/held/relocate/relocate.js';
import { findRows } from '../../src/ledger/read.js';
import { recordOutcome } from '../../src/ledger/write.js';
import { silentLog } from '../../src/log.js';
import { reconcile } from '../../src/recovery/reconcile.js';
import { formatRestoreReport } from '../../src/restore/print-report.js';
import { restore } from '../../src/restore/restore.js';
import type { ServicePool } from '../../src/service/pool/pools.js';
import { renderText } from '../../src/service/sql.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { connect, type Session } from '../support/servers.js';
import { endSession, intend, PROXY_ID, renameAway, sayTo } from './service-fixture.js';

/** What a drop waits for longer than is looked at again. */
const LATE_SECONDS = 2;

type Between = (text: string) => Promise<void>;

/** A pool with something to happen before and behind each of its texts. */
function interposed(pool: ServicePool, { before = none, behind = none }): ServicePool {
  const around = (run: ServicePool['run']): ServicePool['run'] => {
    return async (query, options) => {
      const queries = Array.isArray(query) ? query : [query];
      const text = renderText(queries, { logged: true }).text.replaceAll(/\s+/g, ' ');
      await before(text);
      const answers = await run(query, options);
      await behind(text);
      return answers;
    };
  };
  return {
    run: around((query, options) => pool.run(query, options)),
    task: (work) =>
      pool.task((connection) =>
        work({
          threadId: connection.threadId,
          discard: () => connection.discard(),
          run: around((query, options) => connection.run(query, options)),
        }),
      ),
    killQuery: (threadId) => pool.killQuery(threadId),
    isWaiting: (threadId) => pool.isWaiting(threadId),
    dispose: () => pool.dispose(),
  };
}

const none: Between = () => Promise.resolve();

/** Words that a test waits for, and that no text had yet. */
const unmet = new Set<string>();

/** Once, at the first text with these words, which has to come. */
function once(words: string, work: () => Promise<unknown>): Between {
  unmet.add(words);
  return async (text) => {
    if (!text.includes(words) || !unmet.delete(words)) return;
    await work();
  };
}

function dies(): Promise<never> {
  return Promise.reject(new Error('The process has died here.'));
}

onServers('at once on $name', (server, on) => {
  const { afterEach, beforeEach, test } = on;
  let family: readonly string[];

  const proxy = on.proxy();
  const pool = on.pool(6);
  const schema = on.each.schema('once');
  const direct = on.each.session({ schema });
  beforeEach(async () => {
    await direct.run(
      'CREATE TABLE p (id INT PRIMARY KEY)',
      'CREATE TABLE c (id INT PRIMARY KEY, a INT, b INT, KEY a (a), KEY b (b))',
      'ALTER TABLE c ADD CONSTRAINT fa FOREIGN KEY (a) REFERENCES p (id) ON DELETE CASCADE',
      'CREATE TRIGGER tr AFTER INSERT ON c FOR EACH ROW SET @n = 1',
      'INSERT INTO p VALUES (1), (2)',
      'INSERT INTO c VALUES (1, 1, 1), (2, 2, 2)',
    );
    family = await show();
    unmet.clear();
  });
  afterEach(() => expect([...unmet]).toEqual([]));

  const show = async (): Promise<readonly string[]> => [
    await direct.show('c'),
    ...(await direct.column('SHOW TRIGGERS')),
  ];

  /** The table under its hold name, an intent in the ledger, and nobody in the middle of it. */
  async function interrupted(table: string) {
    const session = await connect(server, { database: schema.name });
    const drop = await intend(pool, session, { schema: schema.name, tables: [table] });
    await session.query('SET foreign_key_checks = 0');
    await renameAway(session, drop);
    await endSession(server, session);
    const [{ id } = { id: '' }] = drop.facts.tables;
    const [holdName = ''] = drop.holdNames;
    const held = { id, fromSchema: schema.name, holdName, table };
    return (through: ServicePool) => detachAndRelocate(through, [held], { logged: true });
  }

  /** For its turn, for so long at least. */
  const isWaiting = ({ threadId }: Session, seconds: number) =>
    direct.hasProcess(`ID = ${threadId} AND TIME >= ${seconds} AND STATE LIKE '%lock%'`);

  const recover = () =>
    reconcile(pool, { proxyId: PROXY_ID, activeIds: new Set(), log: silentLog });
  const back = (table: string) => restore(pool, { target: `${schema.name}.${table}` });

  test('a child that is dropped while its key is led back: the parent’s restore names the key', async () => {
    const finish = await interrupted('p');
    const texts = ['SET foreign_key_checks = 0', 'DROP TABLE c'];
    const behind = once('DROP FOREIGN KEY', () => sayTo(proxy, { schema: schema.name, texts }));
    await finish(interposed(pool, { behind }));
    await recover();
    const child = await back('c');
    expect(child.foreignKeys).toEqual([]);
    const parent = await back('p');
    const { name: at } = schema;
    expect(formatRestoreReport(parent)).toContain(
      `Foreign key fa of ${at}.c to ${at}.p was not restored: its table was dropped meanwhile`,
    );
    await direct.query(
      'ALTER TABLE c ADD CONSTRAINT fa FOREIGN KEY (a) REFERENCES p (id) ON DELETE CASCADE',
    );
    expect(await show()).toEqual(family);
    const rows = await direct.rows('SELECT * FROM c');
    expect(rows.length).toBe(2);
  });

  test('a key that the one has led back is not dropped again by the other', async () => {
    const finish = await interrupted('p');
    let isDropping = false;
    const before: Between = async (text) => {
      if (isDropping && text.includes('ADD CONSTRAINT')) await dies();
      if (!text.includes('DROP FOREIGN KEY')) return;
      isDropping = true;
      await finish(pool);
    };
    await finish(interposed(pool, { before }));
    expect(isDropping).toBe(true);
    await recover();
    expect(await show()).toEqual(family);
    await back('p');
    expect(await show()).toEqual(family);
  });

  test('what the one has taken off and written down the other does not write over', async () => {
    const finish = await interrupted('c');
    const dying = interposed(pool, { before: once('DROP TRIGGER', dies) });
    const before = once('SHOW CREATE TABLE', () => finish(dying));
    await finish(interposed(pool, { before }));
    await recover();
    await back('c');
    expect(await show()).toEqual(family);
  });

  test('a key is led back by whoever looks while it is off, should the other die', async () => {
    const finish = await interrupted('p');
    let isOff = false;
    const first = interposed(pool, {
      behind: async (text) => {
        isOff ||= text.includes('DROP FOREIGN KEY');
      },
      before: (text) => (isOff && text.includes('ADD CONSTRAINT') ? dies() : none(text)),
    });
    const before = once('AS parentSchema', () => finish(first));
    await finish(interposed(pool, { before }));
    expect(isOff).toBe(true);
    await recover();
    expect(await show()).toEqual(family);
  });

  test('keys that are made while a drop waits for their tables are those of the dropped', async () => {
    const reader = await connect(server, { database: schema.name });
    const maker = await connect(server, { database: schema.name });
    const dropper = await connect(proxy, { database: schema.name });
    try {
      await direct.query('CREATE TABLE o (id INT PRIMARY KEY)');
      await direct.query('CREATE TABLE n (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES p (id))');
      await direct.query('ALTER TABLE n DROP FOREIGN KEY n_ibfk_1');
      await reader.run('BEGIN', 'SELECT * FROM n');
      await maker.query('SET foreign_key_checks = 0');
      await dropper.query('SET foreign_key_checks = 0');
      const making = maker.query(
        'ALTER TABLE n ADD CONSTRAINT fn FOREIGN KEY (id) REFERENCES o (id)',
      );
      await until(() => isWaiting(maker, 0), 'the key is being made');
      const dropping = dropper.query('DROP TABLE n');
      await until(() => isWaiting(dropper, LATE_SECONDS), 'the drop waits');
      await reader.query('COMMIT');
      await Promise.all([making, dropping]);
      await direct.run('INSERT INTO o VALUES (1)', 'DROP TABLE o');
      await back('n');
      const rows = await direct.rows('SHOW CREATE TABLE n');
      expect(String(rows[0]?.['Create Table'])).toContain('CONSTRAINT `fn` FOREIGN KEY');
    } finally {
      for (const client of [reader, maker, dropper]) client.destroy();
    }
  });

  test('a key that was made before the RENAME and not seen is off within seconds', async () => {
    await direct.run('CREATE TABLE n (id INT PRIMARY KEY)', 'INSERT INTO n VALUES (1), (2)');
    const session = await connect(server, { database: schema.name });
    const drop = await intend(pool, session, { schema: schema.name, tables: ['n'] });
    await direct.query(
      'ALTER TABLE n ADD CONSTRAINT fn FOREIGN KEY (id) REFERENCES p (id) ON DELETE CASCADE',
    );
    const made = await direct.rows('SHOW CREATE TABLE n');
    await renameAway(session, drop);
    await endSession(server, session);
    const [{ id } = { id: '' }] = drop.facts.tables;
    const [holdName = ''] = drop.holdNames;
    const held = { id, fromSchema: schema.name, holdName, table: 'n' };
    await relocate(pool, [held], { logged: true });
    const outcome = { id, holdSchema: '_undrop', holdName, relocated: true };
    await recordOutcome(pool, { tables: [outcome] });
    await recover();
    const [row] = await findRows(pool, { by: 'id', prefix: id });
    expect(row).toMatchObject({ state: 'HOLD', holdSchema: '_undrop', relocated: true });
    await direct.query('DELETE FROM p');
    const report = await back('n');
    expect(report.foreignKeys.map(({ problem }) => problem)).toEqual([null]);
    const shown = await direct.rows('SHOW CREATE TABLE n');
    const rows = await direct.rows('SELECT * FROM n');
    expect([shown, rows.length]).toEqual([made, 2]);
  });

  test('a table that is dropped again while it comes back: the restore names what is missing', async () => {
    const drop = ['SET foreign_key_checks = 0', 'DROP TABLE c'];
    const again = () => sayTo(proxy, { schema: schema.name, texts: drop });
    await again();
    await recover();
    const behind = once('undrop put-back', again);
    const first = await restore(interposed(pool, { behind }), { target: `${schema.name}.c` });
    const said = formatRestoreReport(first);
    const { name: at } = schema;
    expect(said).toContain(
      `Foreign key fa of ${at}.c to ${at}.p was not restored: the table was dropped again`,
    );
    expect(said).toContain(`Trigger tr of ${at}.c was not restored as it was: `);
    await back('c');
    const rows = await direct.rows('SELECT * FROM c');
    expect(rows.length).toBe(2);
  });
});
