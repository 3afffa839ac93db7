/**
 * A ledger of another version, on real servers: what a newer undrop made is neither written to nor
 * collected by, that of the next version is; one that lacks a column with a default gets it, and
 * one that lacks any other column is refused.
 */
import { holdTable, startCollecting, until, untilGone, whereIs } from '../collector/collecting.js';
import { asking } from '../support/asking.js';
import { dropRecycleSchemas, freshLedger } from '../support/fresh-ledger.js';
import { ledgerInsert } from '../support/ledger-rows.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { connect, query } from '../support/servers.js';

const OPENED = 'opened the ledger; drops are held';

onServersAtOnce('a ledger on $name', (server, on) => {
  const { afterAll, afterEach, beforeAll, beforeEach, test } = on;
  let isReady = false;
  const nothing = () => undefined;
  const info = (_fields: object, message: string) => {
    isReady ||= message.startsWith(OPENED);
  };
  afterAll(() => dropRecycleSchemas(server));
  const schema = on.schema('versions');
  const log = { debug: nothing, info, warn: nothing, error: nothing };
  const proxy = on.proxy({ PROTECT: 'drop-table,drop-database' }, { log });
  beforeAll(() => until('its start is over', () => isReady));
  beforeEach(async () => {
    await freshLedger(server);
    await say(server, 'CREATE TABLE t (a INT PRIMARY KEY)', 'INSERT INTO t VALUES (1)');
  });
  afterEach(() => say(server, 'DROP TABLE IF EXISTS t'));

  /** The error of the last text, or its answer. */
  async function say(to: ProxyTarget | typeof server, ...texts: readonly string[]) {
    await using client = await connect(to, { database: schema.name });
    let answer = '';
    try {
      for (const text of texts) answer = JSON.stringify((await client.query(text))[0]);
    } catch (error) {
      answer = (error as Error).message;
    }
    return answer;
  }

  /** A proxy that is so many versions newer has made it. */
  const become = (newer: number) =>
    query(server, `UPDATE _undrop.control SET wakes = wakes + ${newer} WHERE name = 'version'`);
  const { cell, column } = asking(server);
  const newest = async () =>
    Number(await cell("SELECT wakes FROM _undrop.control WHERE name = 'version'"));
  const states = () => column('SELECT state FROM _undrop.ledger');

  test('that is too new is not written to: drops are refused, each kind of them', async () => {
    await become(2);
    const tooNew = `its version is ${await newest()}`;
    for (const text of ['DROP TABLE t', `DROP DATABASE ${schema.name}`]) {
      const answer = await say(proxy, text);
      expect([text, answer]).toEqual([text, expect.stringContaining(tooNew)]);
    }
    expect([await states(), await say(server, 'SELECT a FROM t')]).toEqual([[], '[{"a":1}]']);
  });

  test('that is too old is not written to either', async () => {
    await become(1 - (await newest()));
    expect(await say(proxy, 'DROP TABLE t')).toContain('its version is 1');
    expect(await say(server, 'SELECT a FROM t')).toBe('[{"a":1}]');
  });

  test('whose version an earlier undrop recorded is refused or used by that', async () => {
    const version = await newest();
    await query(
      server,
      'DROP TABLE _undrop.control',
      'CREATE TABLE _undrop.ledger_version (version INT PRIMARY KEY, made_at DATETIME NOT NULL)',
      'INSERT INTO _undrop.ledger_version VALUES (1, NOW())',
    );
    expect(await say(proxy, 'DROP TABLE t')).toContain('its version is 1');
    expect(await say(server, 'SELECT a FROM t')).toBe('[{"a":1}]');
    await query(server, `UPDATE _undrop.ledger_version SET version = ${version}`);
    expect(await say(proxy, 'DROP TABLE t')).toContain('affectedRows');
    await until('it is held', async () => (await states()).includes('HOLD'));
    expect(await newest()).toBe(version);
  });

  test('of the next version is written to, whatever columns it has beside', async () => {
    await become(1);
    await query(server, 'ALTER TABLE _undrop.ledger ADD COLUMN newer INT NOT NULL');
    try {
      expect(await say(proxy, 'DROP TABLE t')).toContain('affectedRows');
      await until('it is held', async () => (await states()).includes('HOLD'));
    } finally {
      await query(server, 'ALTER TABLE _undrop.ledger DROP COLUMN newer');
    }
  });

  test('that is too new is collected by nobody but the newer, who gets the lock', async () => {
    const collecting = on.each.keep(startCollecting(server));
    await collecting.looked();
    await become(2);
    const tooNew = await newest();
    const held = await holdTable(server);
    collecting.collector.wake();
    const holder = `SELECT IS_USED_LOCK(CONCAT('undrop:collector:', nonce))
      FROM _undrop.leader WHERE nonce <> ''`;
    await until('the lock is free', async () => (await cell(holder)) === null);
    expect(await whereIs(server, held.id)).toEqual([`${held.schema}.${held.name}`]);
    const isSaid = () =>
      collecting.said.some(({ message }) => message.includes(`its version is ${tooNew}`));
    await until('it is said', isSaid);
    await become(-2);
    await untilGone(server, held);
  });

  test('that an older program of this version made is completed by the drop that finds it', async () => {
    await query(server, 'DROP VIEW _undrop.dropped_tables');
    await query(server, 'ALTER TABLE _undrop.ledger DROP created_at, DROP account_name');
    expect(await say(proxy, 'DROP TABLE t')).toContain('affectedRows');
    await until('it is held', async () => (await states()).includes('HOLD'));
  });

  test('that lacks another column refuses drops, and says which', async () => {
    await query(server, 'ALTER TABLE _undrop.ledger DROP COLUMN client_address');
    try {
      expect(await say(proxy, 'DROP TABLE t')).toContain('it lacks columns: client_address');
      expect(await say(server, 'SELECT a FROM t')).toBe('[{"a":1}]');
    } finally {
      await query(server, 'ALTER TABLE _undrop.ledger ADD COLUMN client_address VARCHAR(255)');
    }
  });

  test('whose version is right and whose columns are not is completed', async () => {
    const added = ['todo', 'created_at', 'lengthened'];
    for (const name of added) await query(server, `ALTER TABLE _undrop.ledger DROP COLUMN ${name}`);
    await query(server, 'ALTER TABLE _undrop.ledger DROP KEY by_size, DROP KEY by_end');
    await Promise.all([0, 1].map(async () => on.each.keep(await proxyInFront(server))));
    const keys = () =>
      column(`SELECT DISTINCT INDEX_NAME FROM information_schema.STATISTICS
        WHERE TABLE_SCHEMA = '_undrop' AND TABLE_NAME = 'ledger' AND INDEX_NAME LIKE 'by%'`);
    await until('its keys are made', async () => {
      const made = await keys();
      return ['by_size', 'by_end'].every((name) => made.includes(name));
    });
    expect(await say(proxy, 'DROP TABLE t')).toContain('affectedRows');
    await until('it is held', async () => (await states()).includes('HOLD'));
  });

  test.each(['DROP TABLE _undrop.proxies', 'ALTER TABLE _undrop.proxies DROP COLUMN drops_sent'])(
    'without what services need gets it, and is collected meanwhile: %s',
    async (text) => {
      await query(server, text);
      await using _collecting = startCollecting(server);
      const held = await holdTable(server);
      on.each.keep(await proxyInFront(server));
      const listed = () => query(server, 'SELECT drops_sent FROM _undrop.proxies').catch(() => []);
      await until('a service is listed', async () => (await listed()).length > 0);
      await untilGone(server, held);
    },
  );

  test('of another transaction’s reading is completed later; proxies start, and older ones drop', async () => {
    await query(server, 'ALTER TABLE _undrop.ledger DROP COLUMN todo');
    await using reader = await connect(server);
    await reader.run('START TRANSACTION', 'SELECT * FROM _undrop.ledger');
    on.each.keep(await proxyInFront(server));
    const isComplete = async () =>
      (await query(server, "SHOW COLUMNS FROM _undrop.ledger LIKE 'todo'")).length === 1;
    expect(await isComplete()).toBe(false);
    // What an older proxy writes queues behind the ALTER, which gives up.
    const row = ledgerInsert({ id: "'a'", state: "'removed'" });
    await query(server, 'SET lock_wait_timeout = 60', row);
    await reader.query('COMMIT');
    await until('it is complete', isComplete);
  });
});
