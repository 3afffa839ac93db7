/**
 * A ledger of another version, on real servers: what a newer undrop made is neither written to nor
 * collected by, that of the next version is; one that lacks a column with a default gets it, and
 * one that lacks any other column is refused.
 */
import { expect } from '@jest/globals';
import { ProxyServices } from '../../src/cli/serve/proxy-services.js';
import { ensureLedger, LEDGER_VERSION } from '../../src/ledger/tables.js';
import { silentLog } from '../../src/log.js';
import { holdTable, startCollecting, until, whereIs } from '../lifecycle/collecting.js';
import { dropRecycleSchemas, freshLedger } from '../support/fresh-ledger.js';
import { onServersAtOnce } from '../support/on-servers.js';
import type { ProxyTarget } from '../support/proxy.js';
import { connect, query } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { tappedPool } from '../support/tapped-pool.js';

const TOO_NEW = LEDGER_VERSION + 2;

onServersAtOnce('a ledger on $name', (server, on) => {
  const { afterAll, afterEach, beforeAll, beforeEach, test } = on;
  let isReady = false;
  const info = (_fields: object, message: string) => {
    isReady ||= message.startsWith('opened the ledger; drops are held');
  };
  afterAll(() => dropRecycleSchemas(server));
  const schema = on.schema('versions');
  const log = { ...silentLog, info };
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

  const become = (version: number) =>
    query(server, `INSERT INTO _undrop.ledger_version VALUES (${version}, NOW())`);

  const states = async () => {
    const rows = await query<{ state: string }>(server, 'SELECT state FROM _undrop.ledger');
    return rows.map(({ state }) => state);
  };

  test('that is too new is not written to: drops are refused, each kind of them', async () => {
    await become(TOO_NEW);
    for (const text of ['DROP TABLE t', `DROP DATABASE ${schema.name}`]) {
      const answer = await say(proxy, text);
      expect([text, answer]).toEqual([text, expect.stringContaining(`version is ${TOO_NEW}`)]);
    }
    expect(await states()).toEqual([]);
    expect(await say(server, 'SELECT a FROM t')).toBe('[{"a":1}]');
  });

  test('that is too old is not written to either', async () => {
    await query(server, 'UPDATE _undrop.ledger_version SET version = 1');
    try {
      expect(await say(proxy, 'DROP TABLE t')).toContain('its version is 1');
      expect(await say(server, 'SELECT a FROM t')).toBe('[{"a":1}]');
    } finally {
      await query(server, `UPDATE _undrop.ledger_version SET version = ${LEDGER_VERSION}`);
    }
  });

  test('of the next version is written to, whatever columns it has beside', async () => {
    await become(LEDGER_VERSION + 1);
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
    await become(TOO_NEW);
    const held = await holdTable(server);
    collecting.collector.wake();
    const isFree = async () => {
      const [row] = await query<{ n: number | null }>(
        server,
        "SELECT IS_USED_LOCK(CONCAT('undrop:collector:', nonce)) AS n FROM _undrop.leader",
      );
      return row?.n === null;
    };
    await until('the lock is free', isFree);
    expect(await whereIs(server, held.id)).toEqual([`${held.schema}.${held.name}`]);
    const isSaid = () =>
      collecting.said.some(({ message }) => message.includes(`its version is ${TOO_NEW}`));
    await until('it is said', isSaid);
    await query(server, `DELETE FROM _undrop.ledger_version WHERE version = ${TOO_NEW}`);
    await until('it is collected', async () => (await whereIs(server, held.id)).length === 0);
  });

  test('that an older program of this version made is completed by the drop that finds it', async () => {
    await query(server, 'ALTER TABLE _undrop.ledger DROP COLUMN created_at');
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
    const pool = poolOn(server);
    await Promise.all([ensureLedger(pool), ensureLedger(pool)]).finally(() => pool.dispose());
    expect(await say(proxy, 'DROP TABLE t')).toContain('affectedRows');
    await until('it is held', async () => (await states()).includes('HOLD'));
    const keys = await query<{ readonly name: string }>(
      server,
      `SELECT DISTINCT INDEX_NAME AS name FROM information_schema.STATISTICS
       WHERE TABLE_SCHEMA = '_undrop' AND TABLE_NAME = 'ledger' AND INDEX_NAME LIKE 'by%'`,
    );
    expect(keys.map(({ name }) => name)).toEqual(expect.arrayContaining(['by_size', 'by_end']));
  });

  test('that lacks the table of services gets it, and an older program goes on beside it', async () => {
    await query(server, 'DROP TABLE _undrop.proxies');
    const pool = poolOn(server);
    await Promise.all([ensureLedger(pool), ensureLedger(pool)]).finally(() => pool.dispose());
    expect(await query(server, 'SELECT * FROM _undrop.proxies')).toEqual([]);
    // To an older program it is one of the tables that may stand in the recycle schema.
    await using collecting = startCollecting(server);
    const held = await holdTable(server);
    collecting.collector.wake();
    await until('it is collected', async () => (await whereIs(server, held.id)).length === 0);
    expect(await query(server, 'SELECT * FROM _undrop.proxies')).toEqual([]);
  });

  test('that takes long to complete keeps no proxy from its start', async () => {
    await query(server, 'ALTER TABLE _undrop.ledger DROP COLUMN todo');
    await using pool = poolOn(server);
    let complete = () => {};
    const completing = new Promise<void>((resolve) => {
      complete = resolve;
    });
    const slow = tappedPool(pool, async (send, texts) => {
      if (texts.some((text) => text.startsWith('ALTER'))) await completing;
      return send();
    });
    const own = { proxyId: 'test', activeIds: new Set<string>(), log: silentLog };
    const options = { ...own, pool: slow, poolAt: () => pool };
    const isComplete = async () =>
      (await query(server, "SHOW COLUMNS FROM _undrop.ledger LIKE 'todo'")).length === 1;
    let home: ProxyServices | null = null;
    try {
      // Before the column is there.
      home = await ProxyServices.open(options, proxy.settings);
      expect(await isComplete()).toBe(false);
      complete();
      await until('it is complete', isComplete);
    } finally {
      complete();
      await home?.stop();
    }
  });

  test('that is there is made once by a start, which goes on at once', async () => {
    await using pool = poolOn(server);
    let looks = 0;
    const counted = tappedPool(pool, (send, texts) => {
      looks += texts.filter((text) => /SELECT .*MAX\(version\) AS version/.test(text)).length;
      return send();
    });
    let isReady = false;
    const log = {
      ...silentLog,
      info: (_fields: object, message: string) => {
        isReady ||= message.startsWith('opened the ledger; drops are held');
      },
    };
    await ensureLedger(counted);
    const once = looks;
    const own = { proxyId: 'test', activeIds: new Set<string>(), log };
    const options = { ...own, pool: counted, poolAt: () => pool };
    // A start that others hold up looks again after some seconds.
    await until('a start makes it once', async () => {
      [looks, isReady] = [0, false];
      const home = await ProxyServices.open(options, { ...proxy.settings, collect: 'off' });
      await until('it says so', () => isReady);
      await home.stop();
      return looks === once;
    });
  });

  test('of another transaction’s reading is completed between the drops of older proxies', async () => {
    await query(server, 'ALTER TABLE _undrop.ledger DROP COLUMN todo');
    await using reader = await connect(server);
    await reader.run('START TRANSACTION', 'SELECT * FROM _undrop.ledger');
    await using pool = poolOn(server);

    const first = ensureLedger(pool).catch((error: Error) => error.message);
    // What an older proxy writes queues behind the ALTER, which gives up.
    await query(
      server,
      'SET lock_wait_timeout = 60',
      `INSERT INTO _undrop.ledger (id, group_id, proxy_id, thread_id, schema_name, table_name,
           kind, dropped_at, user_name, client_address, statement_text, hold_until, state,
           state_since) VALUES ('a', 'a', 'p', 1, 's', 't', 'base', NOW(), 'u', '', '', NOW(),
           'removed', NOW())`,
    );
    expect(await first).toContain('Lock wait timeout exceeded');
    await reader.query('COMMIT');
    await ensureLedger(pool);
  });
});
