/**
 * DROP VIEW where UNDROP_PROTECT has drop-view: answers as they are directly, definitions that come
 * back as they were, ways that are refused, and what becomes of a definition in the end.
 */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import type { UndropError } from '../../src/errors.js';
import { endKeptViews } from '../../src/ledger/views.js';
import type { ServicePool } from '../../src/service/pools.js';
import { listAll } from '../../src/undo/list.js';
import { restore } from '../../src/undo/run-restore.js';
import { until } from '../support/poll.js';
import { type ProxyTarget, proxyInFront, runUndrop } from '../support/proxy.js';
import { CLIENT, MODERN, RawClient, type RawResult } from '../support/raw-client.js';
import { connect, freshSchema, query, testServers } from '../support/servers.js';
import { makeServiceAccount, SERVICE_ACCOUNT } from '../support/service-account.js';
import { poolOn } from '../support/service-pool.js';

jest.setTimeout(120_000);

const PROTECT = 'drop-table,drop-database,create-or-replace,truncate,drop-view';
const RULES = '*.refuse_*: refuse; *.native_*: native; *.now_*: now; *.short_*: hold=1h';

describe.each(testServers())('DROP VIEW on $name', (server) => {
  const isMariaDb = server.flavour === 'mariadb';
  let proxy: ProxyTarget;
  let pool: ServicePool;
  let root: Connection;
  let schema: string;
  let dropSchema: () => Promise<void>;
  const opened: RawClient[] = [];

  beforeAll(async () => {
    proxy = await proxyInFront(server, { PROTECT, RULES, ALLOW_DESTROY: 'users' });
    pool = poolOn({ ...server, ...SERVICE_ACCOUNT });
    root = await connect(server);
    ({ name: schema, drop: dropSchema } = await freshSchema(server, 'view'));
    await root.query(`USE ${schema}`);
    await root.query('CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))');
  });

  afterAll(async () => {
    for (const client of opened) await client.quit();
    await dropSchema();
    await root.end();
    await pool.dispose();
    await proxy.stop();
  });

  async function session(
    at: ProxyTarget | typeof server = proxy,
    options: { readonly user?: string; readonly schema?: string | null } = {},
  ): Promise<RawClient> {
    const flags = MODERN | CLIENT.MULTI_STATEMENTS;
    const client = await RawClient.open(at, { schema, flags, ...options });
    opened.push(client);
    return client;
  }

  /** What is kept of this schema, newest first. */
  async function kept(): Promise<readonly string[]> {
    const all = await listAll(pool);
    return all.flatMap(({ kind, origin }) =>
      kind === 'view' && origin?.schema === schema ? [origin.table] : [],
    );
  }

  /** Everything that the server keeps of a view. */
  async function viewOf(name: string): Promise<unknown> {
    const [shown] = await root.query<RowDataPacket[]>(`SHOW CREATE VIEW ${name}`);
    const [facts] = await root.query<RowDataPacket[]>(
      `SELECT CHECK_OPTION, IS_UPDATABLE, DEFINER, SECURITY_TYPE, CHARACTER_SET_CLIENT,
          COLLATION_CONNECTION FROM information_schema.VIEWS
        WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?`,
      [schema, name.replaceAll('`', '')],
    );
    return [shown, facts];
  }

  async function isThere(name: string): Promise<boolean> {
    const [rows] = await root.query<RowDataPacket[]>(
      'SELECT 1 FROM information_schema.VIEWS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?',
      [schema, name],
    );
    return rows.length > 0;
  }

  /** The outcome is written behind the answer. */
  async function settled(): Promise<void> {
    const isSettled = async () => {
      const rows = await query(
        server,
        `SELECT id FROM _undrop.ledger WHERE state = 'dropping' AND schema_name = '${schema}'`,
      );
      return rows.length === 0;
    };
    await until(isSettled, 'no DROP VIEW is under way', 20_000);
  }

  async function forget(): Promise<void> {
    await settled();
    await root.query('DELETE FROM _undrop.ledger WHERE schema_name = ?', [schema]);
  }

  test('of one whose columns were named: it comes back as it was', async () => {
    await root.query(
      'CREATE VIEW named (`one ``and`` two`, three) AS SELECT 1 + id, v FROM t WHERE id > 0',
    );
    const [before, client] = [await viewOf('named'), await session()];
    const { results } = await client.query('DROP VIEW named');
    expect(results.map(({ kind }) => kind)).toEqual(['ok']);
    await settled();
    expect([await isThere('named'), (await kept())[0]]).toEqual([false, 'named']);
    await restore(pool, { target: `${schema}.named` });
    expect(await viewOf('named')).toEqual(before);
  });

  test('answers as directly, in each way to say it, and keeps what has gone', async () => {
    const cases: readonly (readonly [text: string, kept: readonly string[]])[] = [
      ['DROP VIEW a', ['a']],
      ['/* x */ DROP /*!50001 VIEW */ `a`, b CASCADE;', ['a', 'b']],
      [`DROP VIEW IF EXISTS zz, ${'`a`'}, t RESTRICT`, ['a']],
      ['DROP VIEW zz', []],
      // Those that are there are dropped all the same, but on MySQL since 8.
      ['DROP VIEW a, zz', server.name === 'mysql-9.7' ? [] : ['a']],
      ['DROP VIEW t', []],
      ['DROP VIEW a, a', []],
      ['DROP VIEW a b', []],
      ['DROP VIEW', []],
      ['DO 1; DROP VIEW a; SELECT 2; DROP VIEW IF EXISTS b; DROP VIEW b; DO 1', ['a', 'b']],
    ];
    const [direct, through] = [await session(server), await session()];
    for (const [text, gone] of cases) {
      const said: unknown[] = [];
      for (const client of [direct, through]) {
        await root.query('CREATE OR REPLACE VIEW a AS SELECT id FROM t');
        await root.query('CREATE OR REPLACE VIEW b AS SELECT v FROM t');
        await forget();
        const { packets } = await client.query(text);
        const counts = await client.rows('SHOW COUNT(*) WARNINGS');
        const warnings = await client.rows('SHOW WARNINGS');
        const there = [await isThere('a'), await isThere('b')];
        said.push([
          packets.map(({ payload }) => payload.toString('latin1')),
          counts,
          warnings,
          there,
        ]);
      }
      expect([text, said[1]]).toEqual([text, said[0]]);
      await settled();
      expect([text, [...(await kept())].sort()]).toEqual([text, gone]);
    }
  });

  test('answers as directly under LOCK TABLES, without a schema, and ends a transaction', async () => {
    await forget();
    const said: unknown[] = [];
    for (const at of [server, proxy]) {
      await root.query('CREATE OR REPLACE VIEW a AS SELECT id FROM t');
      const [locked, homeless] = [await session(at), await session(at, { schema: null })];
      const answers = [];
      for (const text of ['LOCK TABLES a WRITE', 'DROP VIEW a', 'UNLOCK TABLES']) {
        answers.push(await locked.query(text));
      }
      answers.push(await homeless.query('DROP VIEW a'));
      for (const text of ['BEGIN', 'INSERT INTO t VALUES (7, NULL)', 'DROP VIEW a', 'ROLLBACK']) {
        answers.push(await locked.query(text));
      }
      const packets = answers.flatMap((answer) => answer.packets);
      const [rows] = await root.query('SELECT id FROM t');
      said.push([packets.map(({ payload }) => payload.toString('latin1')), rows]);
      await root.query('DELETE FROM t');
    }
    expect(said[1]).toEqual(said[0]);
    await settled();
    expect(await kept()).toEqual(['a']);
    await forget();
  });

  test('waits for who reads under a lock of the whole server, as long as directly', async () => {
    await root.query('CREATE VIEW waits AS SELECT 1 AS one');
    const lock = ['FLUSH TABLES WITH READ LOCK', 'UNLOCK TABLES'];
    const stage = ['BACKUP STAGE START', 'BACKUP STAGE BLOCK_COMMIT', 'BACKUP STAGE END'];
    for (const how of isMariaDb ? [lock, stage] : [lock]) {
      const other = await connect(server);
      try {
        for (const text of how.slice(0, -1)) await other.query(text);
        expect(await briefly(proxy)).toEqual(await briefly(server));
        const client = await session();
        const answer = client.query('DROP VIEW waits');
        await Promise.race([answer, until(() => isWaiting(client), 'it waits', 20_000)]);
        await other.query(how.at(-1) ?? '');
        expect((await answer).results.map(({ kind }) => kind)).toEqual(['ok']);
      } finally {
        await other.end();
      }
      await settled();
      expect(await kept()).toEqual(['waits']);
      await forget();
      await root.query('CREATE VIEW waits AS SELECT 1 AS one');
    }

    async function briefly(at: ProxyTarget | typeof server) {
      const client = await session(at);
      await client.query('SET lock_wait_timeout = 1');
      const [dropped, warned] = [
        await client.query('DROP VIEW waits'),
        await client.query('SHOW WARNINGS'),
      ];
      return [dropped.results, warned.results];
    }

    async function isWaiting({ threadId }: RawClient): Promise<boolean> {
      const [rows] = await root.query<RowDataPacket[]>(
        `SELECT 1 FROM information_schema.PROCESSLIST
          WHERE ID = ${threadId} AND STATE LIKE 'Waiting for %lock'`,
      );
      return rows.length > 0;
    }
  });

  test('without the binary log is no row of it', async () => {
    await root.query('CREATE VIEW quiet AS SELECT id FROM t');
    await (await session()).run(['SET sql_log_bin = 0', 'DROP VIEW quiet']);
    await settled();
    const rows = await query(
      server,
      `SELECT sql_log_bin + 0 AS logged, row_logged + 0 AS rowLogged FROM _undrop.ledger
        WHERE schema_name = '${schema}' AND table_name = 'quiet'`,
    );
    expect(rows).toEqual([{ logged: 0, rowLogged: 0 }]);
    await restore(pool, { target: `${schema}.quiet` });
    expect([await isThere('quiet'), await kept()]).toEqual([true, []]);
    await forget();
  });

  test('a definition comes back as it was, in its own charset', async () => {
    await root.query("CREATE USER 'vü'@'10.%' IDENTIFIED BY 'x'").catch(() => undefined);
    const client = await session(server);
    await root.query('CREATE TABLE `tü` (id INT, `ü` VARCHAR(20))');
    await client.query('SET NAMES latin1');
    await client.query(
      Buffer.from(
        "CREATE ALGORITHM=MERGE DEFINER='nobody'@'10.%' SQL SECURITY INVOKER VIEW `old\xfc` AS " +
          "SELECT id, `\xfc`, '\xf6\\n`' AS lit FROM `t\xfc` WHERE id > 0 WITH LOCAL CHECK OPTION",
        'latin1',
      ),
    );
    await root.query(
      "CREATE ALGORITHM=TEMPTABLE VIEW `a ``VIEW ``b` AS SELECT 1 AS `x y`, 'é\\\\' AS s FROM t",
    );
    const through = await session();
    for (const name of ['`oldü`', '`a ``VIEW ``b`']) {
      const before = await viewOf(name);
      const [dropped] = (await through.query(`DROP VIEW ${name}`)).results;
      expect([name, dropped?.kind]).toEqual([name, 'ok']);
      await settled();
      const plain = name.slice(1, -1).replaceAll('``', '`');
      expect(await kept()).toContain(plain);
      const { code, stdout, stderr } = await runUndrop(server, ['restore', `${schema}.${name}`]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toMatch(/^Restored the view /);
      expect(await viewOf(name)).toEqual(before);
      expect(await kept()).not.toContain(plain);
    }
    await forget();
  });

  test('by its restore script a plain client makes it, too', async () => {
    await root.query('CREATE SQL SECURITY INVOKER VIEW scripted AS SELECT id FROM t');
    const before = await viewOf('scripted');
    await (await session()).run(['DROP VIEW scripted']);
    const [row] = await query<{ readonly script: string }>(
      server,
      `SELECT restore_script AS script FROM _undrop.ledger WHERE schema_name = '${schema}'`,
    );
    const plain = await connect(server, { multipleStatements: true });
    await plain.query(row?.script ?? '');
    await plain.end();
    const [shown] = (await viewOf('scripted')) as readonly unknown[];
    expect(shown).toEqual((before as readonly unknown[])[0]);
    await root.query('DROP VIEW scripted');
    await forget();
  });

  test('comes back under another name, not over another view, and not without its table', async () => {
    const client = await session();
    await root.query('CREATE VIEW v AS SELECT id FROM t');
    await client.run(['DROP VIEW v', 'CREATE VIEW v AS SELECT 1 AS other']);
    await settled();
    const taken = await restore(pool, { target: `${schema}.v` }).catch((error: unknown) => error);
    expect((taken as UndropError).code).toBe('UNDROP_NAME_TAKEN');
    const report = await restore(pool, { target: `${schema}.v`, to: 'v_back' });
    expect([report.kind, report.restoredAs.table]).toEqual(['view', 'v_back']);
    expect(await root.query('SELECT id FROM v_back')).toBeDefined();
    await root.query('CREATE TABLE base (id INT)');
    await root.query('CREATE VIEW over_base AS SELECT id FROM base');
    await client.run(['DROP VIEW over_base', 'DROP TABLE base']);
    await settled();
    const why = await restore(pool, { target: `${schema}.over_base` }).catch((e: unknown) => e);
    expect((why as UndropError).code).toBe('UNDROP_VIEW_NOT_MADE');
    await restore(pool, { target: `${schema}.base` });
    await restore(pool, { target: `${schema}.over_base` });
    expect(await isThere('over_base')).toBe(true);
    await forget();
  });

  test('by a way that is not done is refused, and the view is there', async () => {
    const client = await session();
    await root.query('CREATE VIEW kept AS SELECT id FROM t');
    const ways = [
      "PREPARE s FROM 'DROP VIEW kept'",
      "SET @text = 'DROP VIEW kept'; PREPARE s FROM @text; EXECUTE s",
      `INSERT INTO t VALUES (1, '${'x'.repeat(300_000)}'); DROP VIEW kept`,
      ...(isMariaDb
        ? [
            "EXECUTE IMMEDIATE 'DROP VIEW kept'",
            'SET STATEMENT lock_wait_timeout = 9 FOR DROP VIEW kept',
            'BEGIN NOT ATOMIC DROP VIEW kept; END',
          ]
        : []),
    ];
    for (const way of ways) {
      const { results } = await client.query(way);
      const last = results.at(-1);
      expect([way.slice(0, 40), saidBy(last)]).toEqual([
        way.slice(0, 40),
        expect.stringMatching(/^UNDROP_NOT_DONE_YET: |^.*too long/),
      ]);
    }
    const { answer, id } = await client.prepare('DROP VIEW kept');
    expect([id, saidBy(answer.results[0])]).toEqual([
      null,
      expect.stringMatching(/^UNDROP_NOT_DONE_YET: View kept was not dropped/),
    ]);
    expect([await isThere('kept'), await kept()]).toEqual([true, []]);
    await root.query('DROP VIEW kept');
  });

  test('by who may not drop it leaves nothing in the ledger', async () => {
    const user = `viewer_${schema.slice(-10)}`.slice(0, 16);
    await root.query(`CREATE USER ${user}@'%'`);
    await root.query(`GRANT SELECT, SHOW VIEW ON ${schema}.* TO ${user}@'%'`);
    await root.query('CREATE VIEW kept AS SELECT id FROM t');
    const said: unknown[] = [];
    for (const at of [server, proxy]) {
      const client = await session(at, { user });
      const { results } = await client.query('DROP VIEW kept');
      said.push(results.map((one) => [one.kind === 'err' ? one.errno : one.kind]));
    }
    expect(said).toEqual([[[1142]], [[1142]]]);
    await settled();
    const rows = await query(
      server,
      `SELECT state FROM _undrop.ledger WHERE schema_name = '${schema}'`,
    );
    expect([rows, await isThere('kept')]).toEqual([[], true]);
    await root.query('DROP VIEW kept');
    await root.query(`DROP USER ${user}@'%'`);
  });

  test('goes with a TRUNCATE that is protected as well, in one text', async () => {
    await root.query('CREATE TABLE emptied (id INT)');
    await root.query('INSERT INTO emptied VALUES (1)');
    await root.query('CREATE VIEW beside AS SELECT id FROM emptied');
    const text = 'DROP VIEW beside; TRUNCATE emptied; SELECT COUNT(*) FROM emptied';
    const { results } = await (await session()).query(text);
    expect(results.map(({ kind }) => kind)).toEqual(['ok', 'ok', 'rows']);
    await settled();
    await restore(pool, { target: `${schema}.beside` });
    await restore(pool, { target: `${schema}.emptied`, to: 'came_back' });
    const counts = 'SELECT (SELECT COUNT(*) FROM beside) AS now, COUNT(*) AS held FROM came_back';
    expect((await root.query(counts))[0]).toEqual([{ now: 0, held: 1 }]);
    await forget();
  });

  test('follows rules and wishes', async () => {
    const client = await session();
    const cases: readonly (readonly [name: string, texts: readonly string[], hours: string])[] = [
      ['plain', ['DROP VIEW plain'], '168'],
      ['short_a', ['DROP VIEW short_a'], '1'],
      ['now_a', ['DROP VIEW now_a'], '0'],
      ['native_a', ['DROP VIEW native_a'], 'nothing'],
      ['refuse_a', ['DROP VIEW refuse_a'], 'there'],
      ['pinned', ["SET @undrop = 'pin'", 'DROP VIEW pinned'], 'pinned'],
      ['short_b', ['DROP VIEW /* undrop: hold=3h */ short_b'], '3'],
      ['gone', ['DROP VIEW gone /* undrop: destroy */'], 'nothing'],
      ['odd', ['DROP VIEW odd /* undrop: keep */'], 'there'],
    ];
    for (const [name, texts, hours] of cases) {
      await root.query(`CREATE VIEW ${name} AS SELECT id FROM t`);
      for (const text of texts) await client.query(text);
      await settled();
      const [row] = await query<{ readonly hours: string | null }>(
        server,
        `SELECT IF(hold_until > '9999-01-01', 'pinned',
            TIMESTAMPDIFF(HOUR, dropped_at, hold_until)) AS hours FROM _undrop.ledger
          WHERE schema_name = '${schema}' AND table_name = '${name}'`,
      );
      const there = (await isThere(name)) ? 'there' : 'nothing';
      expect([name, String(row?.hours ?? there)]).toEqual([name, hours]);
      expect(await client.rows('SELECT @undrop')).toEqual([[null]]);
    }
    const destroy = 'DROP VIEW refuse_a /* undrop: destroy */';
    const said = [await client.query('DROP VIEW IF EXISTS refuse_b'), await client.query(destroy)];
    expect(said.map(({ results: [first] }) => first?.kind)).toEqual(['ok', 'err']);
    expect(await isThere('refuse_a')).toBe(true);
    await root.query('DROP VIEW refuse_a, odd');
    await endKeptViews(pool);
    expect(await kept()).not.toContain('now_a');
    expect(await kept()).toContain('pinned');
    await forget();
  });

  test('of one that the service account does not see is refused, and it stays', async () => {
    const tier = { user: 'few', tier: 'least', schemas: ['nowhere'] } as const;
    await makeServiceAccount(server, tier);
    const blind = await proxyInFront(server, { PROTECT, USER: 'few', SCHEMAS: 'nowhere' });
    const client = await session(blind);
    await root.query('CREATE VIEW hidden AS SELECT id FROM t');
    const { results } = await client.query('DROP VIEW IF EXISTS hidden');
    const said = results.map((one) => (one.kind === 'err' ? String(one.message) : one.kind));
    expect(said).toEqual([expect.stringMatching(/^UNDROP_/)]);
    expect(await isThere('hidden')).toBe(true);
    const missing = await client.query('DROP VIEW IF EXISTS nothing, Hidden');
    expect(missing.results.map(({ kind }) => kind)).toEqual(['ok']);
    await blind.stop();
    await root.query('DROP VIEW hidden');
  });

  test('goes to the server as it is where nothing protects it', async () => {
    const without = await proxyInFront(server);
    const client = await session(without);
    await root.query('CREATE VIEW native AS SELECT id FROM t');
    await client.run(['SET @text = 1; DROP VIEW native', 'DROP VIEW IF EXISTS native']);
    expect([await isThere('native'), await kept()]).toEqual([false, []]);
    await client.quit();
    opened.splice(opened.indexOf(client), 1);
    await without.stop();
  });
});

function saidBy(result: RawResult | undefined): string {
  return result?.kind === 'err' ? String(result.message) : String(result?.kind);
}
