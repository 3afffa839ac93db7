/**
 * What undrop keeps is only read through it: every write to a recycle schema is refused, however it
 * is written and sent, and whatever leads there. Each would have done it directly. Reads go on, and
 * say what they say directly.
 */
import { expect } from '@jest/globals';
import { connectionOptions } from '../support/client-cli.js';
import { dumpTools, runClient } from '../support/clients.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { CLIENT, MODERN, type RawAnswer, RawClient } from '../support/raw-client.js';
import { allTestServers, connect } from '../support/servers.js';

const REFUSED = 'UNDROP_RECYCLE_SCHEMA_WRITE';
const FLAGS = MODERN | CLIENT.MULTI_STATEMENTS;
/** Above what is held of a text, as what a literal is filled with. */
const LONG = 300_000;

/** `%` is a held table; `LIVE` a live one of the same kind, in the schema `NEAR`. */
const WRITES = [
  ...['INSERT INTO % VALUES (9)', 'REPLACE INTO % VALUES (9)', 'UPDATE % SET id = 9'],
  ...['DELETE FROM %', 'TRUNCATE TABLE %', 'ALTER TABLE % ADD b INT', 'RENAME TABLE % TO NEAR.b'],
  ...['DELETE h FROM % AS h JOIN LIVE AS l ON TRUE', 'CREATE INDEX i ON % (id)', 'ANALYZE TABLE %'],
  ...['INSERT INTO LIVE SELECT * FROM %', 'CREATE TABLE NEAR.c LIKE %', 'OPTIMIZE TABLE %'],
  ...['CREATE TABLE _undrop.c (id INT)', 'CREATE TABLE _undrop.c LIKE LIVE', 'CHECK TABLE %'],
  ...['RENAME TABLE LIVE TO _undrop.c', 'ALTER TABLE LIVE RENAME TO _undrop.c', 'HANDLER % OPEN'],
  ...['CREATE VIEW _undrop.c AS SELECT 1', 'CREATE VIEW NEAR.c AS SELECT * FROM %'],
  ...['CREATE TRIGGER _undrop.c BEFORE INSERT ON % FOR EACH ROW SET @a = 1'],
  ...['CREATE PROCEDURE _undrop.c() SELECT 1', 'CREATE PROCEDURE NEAR.c() DELETE FROM %'],
  ...['CREATE EVENT _undrop.c ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1', 'LOCK TABLES % WRITE'],
  ...[
    'CREATE DATABASE _undrop_31',
    'ALTER DATABASE _undrop CHARACTER SET latin1',
    'DO (SELECT 1 FROM %)',
  ],
  ...['GRANT SELECT ON % TO CURRENT_USER', 'GRANT SELECT ON `\\_undrop`.* TO CURRENT_USER'],
  ...['FLUSH TABLES % WITH READ LOCK', 'SET @a = (SELECT COUNT(*) FROM %)'],
  ...['INSERT INTO /*!50000 _undrop */ . ledger_version VALUES (99, NOW())'],
  ...['DELETE FROM `_undrop` /* x */ . `ledger`', "LOAD DATA INFILE 'no_such_file' INTO TABLE %"],
];
const OF_MARIADB = [
  ...[
    'BEGIN NOT ATOMIC DELETE FROM %; END',
    'SET STATEMENT max_statement_time=9 FOR DELETE FROM %',
  ],
  ...["EXECUTE IMMEDIATE 'DELETE FROM %'", 'CREATE OR REPLACE TABLE _undrop.c (id INT)'],
  'CREATE SEQUENCE _undrop.c',
  ...["BEGIN NOT ATOMIC EXECUTE IMMEDIATE 'DELETE FROM %'; END", "EXECUTE IMMEDIATE 'USE _undrop'"],
];
const BY_PREPARE = [
  "PREPARE s FROM 'DELETE FROM %'",
  "SET @t = 'DELETE FROM %'; PREPARE s FROM @t",
];

const READS = [
  ...['SELECT * FROM % ORDER BY 1', '(SELECT id FROM %) ORDER BY 1', 'SELECT 1 FROM % FOR UPDATE'],
  ...['SHOW CREATE TABLE %', 'SHOW COLUMNS FROM %', 'SHOW TABLES FROM _undrop', 'DESCRIBE %'],
  ...['EXPLAIN SELECT * FROM %', 'CHECKSUM TABLE %', 'LOCK TABLES % READ', 'UNLOCK TABLES'],
  ...['SELECT id FROM % LIMIT 1 INTO @a', "SELECT '_undrop.x' AS `_undrop`", 'USE _undrop'],
  ...['SELECT COUNT(*) FROM ledger_version', 'SHOW TABLE STATUS', 'BEGIN', 'COMMIT'],
];

/** Ways to a default schema. */
const WAYS: readonly (readonly [string, (proxy: ProxyTarget) => Promise<RawClient>])[] = [
  [
    'USE',
    async (proxy) => {
      const client = await RawClient.open(proxy, { flags: FLAGS });
      await client.run(['USE `_UNDROP`'.toLowerCase()]);
      return client;
    },
  ],
  [
    'COM_INIT_DB',
    async (proxy) => {
      const client = await RawClient.open(proxy, { flags: FLAGS });
      await client.command(Buffer.from('\x02_undrop'));
      return client;
    },
  ],
  ['the login', (proxy) => RawClient.open(proxy, { flags: FLAGS, schema: '_undrop' })],
  [
    'several statements',
    async (proxy) => {
      const client = await RawClient.open(proxy, { flags: FLAGS, schema: 'mysql' });
      await client.run(["SET @a = '\\\\'; USE _undrop; SET @b = 1"]);
      return client;
    },
  ],
];

function codeOf({ results }: RawAnswer): string {
  const last = results.at(-1);
  if (last?.kind !== 'err') return 'OK';
  const ours = /^(UNDROP_\w+): /.exec(last.message.toString())?.[1];
  return ours ?? `${last.errno} ${last.message}`;
}

onServersAtOnce('statements on what is held, on $name', (server, on) => {
  const { beforeAll, test } = on;
  let held = '';
  const isMariaDb = server.flavour === 'mariadb';

  const text = (pattern: string) =>
    pattern
      .replaceAll('%', held)
      .replaceAll('LIVE', `${near.name}.live`)
      .replaceAll('NEAR', near.name);

  beforeAll(() => freshLedger(server));
  const near = on.schema('near');
  const root = on.session({ schema: near });
  const proxy = on.proxy();
  const client = on.client({ to: proxy, schema: near, flags: FLAGS });
  beforeAll(async () => {
    // A MERGE table that an earlier file has left there can't be dumped.
    await root.run('CREATE TABLE live (id INT)', 'CREATE TABLE a (id INT)');
    await root.query('INSERT INTO a VALUES (1), (2)');
    await client.run(['DROP TABLE a']);
    const [rows] = await root.query(
      `SELECT t.TABLE_NAME AS name FROM information_schema.TABLES AS t
       JOIN _undrop.ledger AS l ON INSTR(t.TABLE_NAME, l.id) > 0
       WHERE t.TABLE_SCHEMA = '_undrop' AND l.schema_name = '${near.name}'`,
    );
    const [first] = rows as { readonly name: string }[];
    held = `_undrop.${first?.name}`;
  });

  /** Everything that a write here could have changed. */
  async function state(): Promise<unknown> {
    const parts: unknown[] = [];
    for (const sql of [
      "SHOW DATABASES LIKE '\\_undrop%'",
      'SHOW TABLES FROM _undrop',
      `SHOW TABLES FROM ${near.name}`,
      `SHOW CREATE TABLE ${held}`,
      `SELECT * FROM ${held}`,
      `SELECT * FROM ${near.name}.live`,
      'SELECT * FROM _undrop.ledger_version ORDER BY 1',
      'SELECT COUNT(*) FROM _undrop.ledger',
      'SHOW CREATE DATABASE _undrop',
      "SHOW TRIGGERS FROM _undrop LIKE '\\_vt%'",
      "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_NAME = 'c'",
      "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_NAME = 'c'",
    ]) {
      const [rows] = await root.query({ sql, rowsAsArray: true });
      parts.push(rows);
    }
    return parts;
  }

  const writes = [...WRITES, ...(isMariaDb ? OF_MARIADB : [])];

  test('a write is refused, as a text, prepared by it, and by the protocol', async () => {
    const before = await state();
    const said: string[] = [];
    for (const pattern of [...writes, ...BY_PREPARE]) {
      said.push(`${pattern}: ${codeOf(await client.query(text(pattern)))}`);
    }
    expect(said).toEqual([...writes, ...BY_PREPARE].map((pattern) => `${pattern}: ${REFUSED}`));
    for (const pattern of WRITES) {
      const { id, answer } = await client.prepare(text(pattern));
      expect([pattern, id, codeOf(answer)]).toEqual([pattern, null, REFUSED]);
    }
    expect(await state()).toEqual(before);
  });

  test('what stands before it in a text is done, and the session goes on', async () => {
    const parts = ['INSERT INTO LIVE VALUES (1)', 'DELETE FROM %', 'INSERT INTO LIVE VALUES (2)'];
    const answer = await client.query(text(parts.join('; ')));
    expect(answer.results.map(({ kind }) => kind)).toEqual(['ok', 'err']);
    expect(codeOf(answer)).toBe(REFUSED);
    expect(await client.rows(text('SELECT * FROM LIVE'))).toEqual([['1']]);
    await client.run([text('DELETE FROM LIVE')]);
  });

  test.each(WAYS)('by %s a name without a schema leads there', async (_name, open) => {
    const before = await state();
    await using there = await open(proxy);
    expect(await there.rows('SELECT DATABASE()')).toEqual([['_undrop']]);
    for (const sql of [
      'DELETE FROM ledger',
      'CREATE TABLE c (id INT)',
      "PREPARE s FROM 'DELETE FROM ledger'",
    ]) {
      expect([sql, codeOf(await there.query(sql))]).toEqual([sql, REFUSED]);
    }
    const { id, answer } = await there.prepare('DELETE FROM ledger');
    expect([id, codeOf(answer)]).toEqual([null, REFUSED]);
    expect(
      codeOf(await there.query(`DO 1; USE ${near.name}; USE _undrop; DELETE FROM ledger`)),
    ).toBe(REFUSED);
    await there.run(['SELECT COUNT(*) FROM ledger', 'SET @a = 1', 'BEGIN', 'COMMIT']);
    expect(await state()).toEqual(before);
    await there.run([`USE ${near.name}`, 'INSERT INTO live VALUES (7)', 'DELETE FROM live']);
    expect(codeOf(await there.query('USE _undrop; USE mysql; DO 1'))).toBe('OK');
    await there.run([text('INSERT INTO LIVE VALUES (7)'), text('DELETE FROM LIVE')]);
  });

  test('by a name that the server reads as that, too', async () => {
    const before = await state();
    // Also where ops let everything go.
    const open = await proxyInFront(server, { RULES: '*.*: native' });
    const there = await RawClient.open(open, { flags: FLAGS, schema: 'mysql' });
    let count = 0;
    for (const name of ['_undrop', '_undrop\0', '_undrop\0x', '#mysql50#_undrop', '_UNDROP']) {
      await there.command(Buffer.from('\x02mysql'));
      if (codeOf(await there.command(Buffer.from(`\x02${name}`))) !== 'OK') continue;
      expect([name, codeOf(await there.query('DELETE FROM ledger'))]).toEqual([name, REFUSED]);
      expect([name, codeOf(await there.query('DROP TABLE ledger'))]).not.toEqual([name, 'OK']);
      count++;
    }
    await there.quit();
    await open.stop();
    // By a name like these MySQL 5.6 keeps the ledger open beside itself: for InnoDB somebody holds
    // it, and no DROP or ALTER of it comes to an end.
    await root.query('FLUSH TABLES');
    const taken = { 'mysql-5.6': 4, 'mysql-9.7': 3, 'mariadb-10.11': 2, 'mariadb-11.8': 1 };
    expect(taken).toMatchObject({ [server.name]: count });
    expect(await state()).toEqual(before);
  });

  test('by a change of user as well; what was prepared elsewhere stays there', async () => {
    const before = await state();
    const there = await RawClient.open(proxy, { flags: FLAGS, schema: near.name });
    const { id } = await there.prepare('INSERT INTO live VALUES (3)');
    await there.run(["PREPARE s FROM 'DELETE FROM live'", 'USE _undrop']);
    expect(codeOf(await there.execute(id ?? 0))).toBe('OK');
    expect(await there.rows(text('SELECT * FROM LIVE'))).toEqual([['3']]);
    expect(codeOf(await there.query('EXECUTE s'))).toBe('OK');
    await there.quit();
    const { user, password } = server;
    const changing = await connect(proxy, { database: near.name });
    // mysql2 fails with it on 5.6, which closes the connection then: behind it is nobody.
    const changed = await changing.changeUser({ user, password, database: '_undrop' }).then(
      () => true,
      () => false,
    );
    if (changed) {
      await expect(changing.query('DELETE FROM ledger')).rejects.toMatchObject({ errno: 1142 });
    }
    changing.destroy();
    expect(changed).toBe(server.name !== 'mysql-5.6');
    expect(await state()).toEqual(before);
  });

  test('reads go on, and say what they say directly', async () => {
    const direct = await RawClient.open(server, { schema: near.name, flags: FLAGS });
    const through = await RawClient.open(proxy, { schema: near.name, flags: FLAGS });
    for (const pattern of READS) {
      const answers = await Promise.all(
        [direct, through].map(async (one) => {
          const { results } = await one.query(text(pattern));
          // Sizes are estimates, which change by themselves.
          const isEstimate = pattern === 'SHOW TABLE STATUS';
          return results.map((result) => {
            if (!('rows' in result)) return result.kind;
            return isEstimate ? result.rows.map(([name]) => name) : result.rows;
          });
        }),
      );
      expect([pattern, answers[1]]).toEqual([pattern, answers[0]]);
      expect([pattern, answers[0]?.includes('err')]).toEqual([pattern, false]);
    }
    await Promise.all([direct.quit(), through.quit()]);
  });

  test('a text that is too long to be held is looked at to its end', async () => {
    const before = await state();
    const filled = `'${'_undrop.x '.repeat(LONG / 10)}'`;
    for (const flags of [MODERN, FLAGS]) {
      const one = await RawClient.open(proxy, { schema: near.name, flags });
      const several = await one.query(`INSERT INTO live SELECT LENGTH(${filled}) FROM DUAL`);
      expect(codeOf(several)).toBe('OK');
      expect(codeOf(await one.query(text(`INSERT INTO % SELECT LENGTH(${filled})`)))).toBe(REFUSED);
      expect(codeOf(await one.query(text(`SELECT id, ${filled} FROM %`)))).toBe('OK');
      expect(codeOf(await one.query(text(`/* ${filled} */ DELETE FROM %`)))).toBe(REFUSED);
      expect(codeOf(await one.query(text(`DELETE FROM % WHERE ${filled} <> ''`)))).toBe(REFUSED);
      await one.run(['USE _undrop']);
      expect(codeOf(await one.query(`INSERT INTO ledger_version SELECT LENGTH(${filled})`))).toBe(
        REFUSED,
      );
      await one.run([`USE ${near.name}`, `DELETE FROM live WHERE ${filled} <> ''`]);
      // A client that sends no several statements may read from there, as deep as it likes.
      const deep = `INSERT INTO live SELECT LENGTH(${filled}) FROM % WHERE 0`;
      expect(codeOf(await one.query(text(deep)))).toBe(flags === FLAGS ? REFUSED : 'OK');
      one.close();
    }
    expect(await state()).toEqual(before);
  });

  test('where undrop protects nothing else, too', async () => {
    const before = await state();
    const bare = await proxyInFront(server, { PROTECT: 'none' });
    const one = await RawClient.open(bare, { schema: near.name, flags: FLAGS });
    // What drops is prepared by undrop, and refused when it is executed.
    await one.run([text("PREPARE s FROM 'DROP TABLE %'")]);
    const drops = ['DROP TABLE %', 'DROP DATABASE _undrop', 'EXECUTE s'];
    const texts = [...drops, 'SELECT 1; DROP TABLE %', 'DROP TABLE % x', 'DELETE FROM %'];
    for (const pattern of texts) {
      expect([pattern, codeOf(await one.query(text(pattern)))]).not.toEqual([pattern, 'OK']);
    }
    expect(codeOf(await one.command(Buffer.from('\x06_undrop')))).toMatch(/^UNDROP_/);
    await one.run(['USE _undrop']);
    expect(codeOf(await one.query('DROP TABLE ledger'))).toBe('UNDROP_RECYCLE_SCHEMA');
    await one.run([`USE ${near.name}`, 'CREATE TABLE gone (id INT)', 'DROP TABLE gone']);
    await one.quit();
    await bare.stop();
    expect(await state()).toEqual(before);
  });

  test('a dump of it can be taken; it can’t be loaded again', async () => {
    const { client: loader, dump, options } = dumpTools(server);
    const args = [...connectionOptions(dump), ...options, '--databases', '_undrop', near.name];
    // Of MySQL 5.6 these tools can take none.
    const from =
      server.name === 'mysql-5.6'
        ? allTestServers().find(({ name }) => name === 'mariadb-10.11')
        : server;
    if (from === undefined) throw new Error('the set has a MariaDB');
    const source = from === server ? proxy : from;
    const before = await state();
    const { code, stdout, stderr } = await runClient(
      dump,
      source,
      from === server ? args : args.slice(0, -1),
    );
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain('_undrop');
    const loaded = await runClient(loader, proxy, connectionOptions(loader), { input: stdout });
    expect(loaded.code).toBe(1);
    expect(loaded.stderr).toContain(`${REFUSED}: `);
    expect(await state()).toEqual(before);
  });
});
