/**
 * What undrop keeps is only read through it: every write to a recycle schema is refused, however it
 * is written and sent, and so is each way to make one the default schema. Each would have done it
 * directly. Reads go on, and say what they say directly.
 */
import { connectionOptions } from '../support/client-cli.js';
import { dumpTools, runClient } from '../support/clients.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { proxyInFront } from '../support/proxy.js';
import { CLIENT, MODERN, type RawAnswer, RawClient } from '../support/raw-client.js';
import { connect } from '../support/servers.js';

const REFUSED = 'UNDROP_RECYCLE_SCHEMA_WRITE';
const NOT_USED = 'UNDROP_RECYCLE_SCHEMA_USE';
const FLAGS = MODERN | CLIENT.MULTI_STATEMENTS;
/** Above what is held of a text, as what a literal is filled with. */
const LONG = 300_000;

/**
 * `%` is a held table; `LIVE` a live one of the same kind, in the schema `NEAR`. Each form of
 * statement and each way to write the name: sql/trigger-scan.
 */
const WRITES = [
  ...['INSERT INTO % VALUES (9)', 'UPDATE % SET id = 9', 'DELETE FROM %', 'TRUNCATE TABLE %'],
  ...['ALTER TABLE % ADD b INT', 'RENAME TABLE % TO NEAR.b', 'RENAME TABLE LIVE TO _undrop.c'],
  ...['DELETE h FROM % AS h JOIN LIVE AS l ON TRUE', 'INSERT INTO LIVE SELECT * FROM %'],
  ...['CREATE TABLE _undrop.c (id INT)', 'CREATE TABLE NEAR.c LIKE %', 'HANDLER % OPEN'],
  ...['CREATE VIEW NEAR.c AS SELECT * FROM %', 'CREATE PROCEDURE NEAR.c() DELETE FROM %'],
  ...['CREATE TRIGGER _undrop.c BEFORE INSERT ON % FOR EACH ROW SET @a = 1'],
  ...['CREATE EVENT _undrop.c ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1', 'OPTIMIZE TABLE %'],
  ...['LOCK TABLES % WRITE', 'SELECT 1 FROM % FOR UPDATE', 'SET @a = (SELECT COUNT(*) FROM %)'],
  ...['CREATE DATABASE _undrop_31', 'ALTER DATABASE _undrop CHARACTER SET latin1'],
  ...['GRANT SELECT ON % TO CURRENT_USER', 'GRANT SELECT ON `\\_undrop`.* TO CURRENT_USER'],
  ...['INSERT INTO /*!50000 _undrop */ . control VALUES ("version", NULL, "", NOW(), 99)'],
  ...["LOAD DATA INFILE 'no_such_file' INTO TABLE %", 'FLUSH TABLES % WITH READ LOCK'],
];
const OF_MARIADB = [
  ...['BEGIN NOT ATOMIC DELETE FROM %; END', "EXECUTE IMMEDIATE 'DELETE FROM %'"],
  ...['SET STATEMENT max_statement_time=9 FOR DELETE FROM %', 'CREATE SEQUENCE _undrop.c'],
  "BEGIN NOT ATOMIC EXECUTE IMMEDIATE 'DELETE FROM %'; END",
];
const BY_PREPARE = [
  "PREPARE s FROM 'DELETE FROM %'",
  "SET @t = 'DELETE FROM %'; PREPARE s FROM @t",
];

const READS = [
  ...['SELECT * FROM % ORDER BY 1', '(SELECT id FROM %) ORDER BY 1'],
  ...['SHOW CREATE TABLE %', 'SHOW COLUMNS FROM %', 'SHOW TABLES FROM _undrop', 'DESCRIBE %'],
  ...['EXPLAIN SELECT * FROM %', 'CHECKSUM TABLE %'],
  ...['SELECT id FROM % LIMIT 1 INTO @a', "SELECT '_undrop.x' AS `_undrop`"],
  ...['SELECT COUNT(*) FROM _undrop.control', 'SHOW TABLE STATUS FROM _undrop'],
];

/** Texts that make a schema of undrop's own the default schema, each by itself. */
const USES = [
  ...['USE _undrop', 'use `_UNDROP`', 'USE _undrop_local', 'USE _undrop_2'],
  ...['USE /* x */ /*!50000 `_undrop` */ -- x', "SET @a = '\\\\'; USE _undrop; SET @b = 1"],
  ...['DO 1; USE mysql; USE NEAR; USE _undrop; DELETE FROM ledger', 'USE `#mysql50#_undrop`'],
  ...['SET sql_mode = \'ANSI_QUOTES\'; USE "_undrop"', `USE /* ${' '.repeat(LONG)} */ _undrop`],
  ...["PREPARE s FROM 'USE _undrop'", "SET @t = CONCAT('USE _un', 'drop'); PREPARE s FROM @t"],
];
const USES_OF_MARIADB = [
  ...["EXECUTE IMMEDIATE 'USE _undrop'", "EXECUTE IMMEDIATE 'use `_UNDROP_LOCAL`'"],
  "SET @t = CONCAT('USE _un', 'drop'); EXECUTE IMMEDIATE @t",
  "EXECUTE IMMEDIATE CONCAT('USE _un', 'drop')",
];
/** Those of which no more is known than that they may do so, or of which undrop knows more. */
const REFUSED_OTHERWISE = [
  ["EXECUTE IMMEDIATE CONCAT('USE _un', LOWER('DROP'))", 'UNDROP_NOT_UNDERSTOOD'],
  ["BEGIN NOT ATOMIC EXECUTE IMMEDIATE 'USE _undrop'; END", REFUSED],
  ["BEGIN NOT ATOMIC EXECUTE IMMEDIATE CONCAT('USE _un', 'drop'); END", 'UNDROP_NOT_DONE_YET'],
  ['SET STATEMENT max_statement_time=9 FOR USE _undrop', REFUSED],
];
/** Names that servers may read as that of a schema of undrop's own; `\0` ends one. */
const OWN_NAMES = [
  ...['_undrop', '_undrop_local', '_undrop_2', '_UNDROP', '#mysql50#_undrop'],
  ...['_undrop\0', '_undrop\0x'],
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
    const [rows] = await root.query(`SELECT t.TABLE_NAME AS name FROM information_schema.TABLES AS t
      JOIN _undrop.ledger AS l ON INSTR(t.TABLE_NAME, l.id) > 0 WHERE t.TABLE_SCHEMA = '_undrop'
      AND l.schema_name = '${near.name}'`);
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
      'SELECT name, wakes FROM _undrop.control ORDER BY 1',
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

  /** It is where it was: `near`, also for what names no schema, and for what comes after. */
  async function isStillNear(there: RawClient): Promise<void> {
    expect(await there.rows('SELECT DATABASE()')).toEqual([[near.name]]);
    await there.run(['CREATE TABLE ledger (id INT)', 'INSERT INTO ledger VALUES (1)']);
    await there.run(['ALTER TABLE ledger ADD b INT', 'RENAME TABLE ledger TO history']);
    await there.run(['DROP TABLE history']);
  }

  const open = (schema: string | null = near.name) =>
    RawClient.open(proxy, { schema, flags: FLAGS });

  test('no text makes a schema of undrop the default schema', async () => {
    await using there = await open();
    const before = await state();
    const uses = [...USES, ...(isMariaDb ? USES_OF_MARIADB : [])].map((text) => [text, NOT_USED]);
    for (const [pattern = '', code] of [...uses, ...(isMariaDb ? REFUSED_OTHERWISE : [])]) {
      expect([pattern, codeOf(await there.query(text(pattern)))]).toEqual([pattern, code]);
      expect(await there.rows('SELECT DATABASE()')).toEqual([[near.name]]);
      await there.run(["SET sql_mode = ''"]);
    }
    expect(codeOf(await there.query('EXECUTE s'))).toMatch(/^1243 /);
    for (const use of ['USE _undrop', 'use `_UNDROP`', '/*!50000 USE _undrop */']) {
      const { id, answer } = await there.prepare(use);
      expect([use, id, codeOf(answer)]).toEqual([use, null, NOT_USED]);
    }
    expect(await state()).toEqual(before);
    await isStillNear(there);
  });

  test('COM_INIT_DB with a schema of undrop is refused, whatever follows it at once', async () => {
    await using there = await open();
    const before = await state();
    for (const name of OWN_NAMES) {
      const init = Buffer.from(`\x02${name}`);
      there.write([init, there.queryPayload('SELECT DATABASE()'), init, Buffer.of(0x0e)]);
      const answers = [await there.answer(), await there.answer(), await there.answer()];
      expect([name, answers.map(codeOf)]).toEqual([name, [NOT_USED, 'OK', NOT_USED]]);
      expect(answers[1]?.results).toMatchObject([{ rows: [[Buffer.from(near.name)]] }]);
      expect(codeOf(await there.answer())).toBe('OK');
    }
    await there.command(Buffer.of(0x1f)); // COM_RESET_CONNECTION, which MySQL 5.6 doesn't know
    expect(await state()).toEqual(before);
    await isStillNear(there);
  });

  test('a login with a schema of undrop is refused', async () => {
    const before = await state();
    for (const name of OWN_NAMES.filter((one) => !one.includes('\0'))) {
      await expect(open(name)).rejects.toThrow(`${NOT_USED}: `);
    }
    await using there = await open(null);
    expect([await there.rows('SELECT DATABASE()'), await state()]).toEqual([[[null]], before]);
  });

  test('a change of user with a schema of undrop is refused, and the session goes on', async () => {
    await using there = await open();
    const before = await state();
    const user = await there.rows('SELECT CURRENT_USER()');
    for (const name of ['_undrop', '_UNDROP_LOCAL', '#mysql50#_undrop']) {
      const change = Buffer.from(`\x11${server.user}\0\0${name}\0\x2d\0mysql_native_password\0`);
      expect([name, codeOf(await there.command(change))]).toEqual([name, NOT_USED]);
    }
    expect([await there.rows('SELECT CURRENT_USER()'), await state()]).toEqual([user, before]);
    await isStillNear(there);
    const { password } = server;
    const changing = await connect(proxy, { database: near.name });
    const changed = changing.changeUser({ user: server.user, password, database: '_undrop' });
    await expect(changed).rejects.toMatchObject({ errno: 1044 });
    changing.destroy();
    // What only begins like it is a name like any other.
    await root.query('CREATE DATABASE IF NOT EXISTS `_undropped`');
    expect(codeOf(await there.command(Buffer.from('\x02_undropped')))).toBe('OK');
    await there.run(['USE `_undropped`', 'CREATE TABLE a (id INT)', 'DROP TABLE a']);
    await root.query('DROP DATABASE `_undropped`');
  });

  test('a session that a stored program leads to a schema of undrop writes nothing there', async () => {
    const before = await state();
    await root.query(
      isMariaDb
        ? "CREATE PROCEDURE go_there() EXECUTE IMMEDIATE CONCAT('USE _un', 'drop')"
        : "CREATE PROCEDURE go_there() BEGIN SET @t = 'USE _undrop'; PREPARE s FROM @t; EXECUTE s; END",
    );
    await using tracked = await open();
    const answer = tracked.query('CALL go_there()');
    // MariaDB 10.5 prepares no USE.
    const isLed = isMariaDb && server.name !== 'mariadb-10.5';
    if (isLed) await expect(answer).rejects.toThrow('closed');
    else expect(codeOf(await answer)).toMatch(/^1295 /);
    const flags = CLIENT.MULTI_STATEMENTS;
    await using untracked = await RawClient.open(proxy, { schema: near.name, flags });
    await untracked.query('CALL go_there()');
    const drop = codeOf(await untracked.query('DROP TABLE ledger'));
    expect(drop).toMatch(isLed ? NOT_USED : /^1051 /);
    await root.query('DROP PROCEDURE go_there');
    expect(await state()).toEqual(before);
    await untracked.command(Buffer.from(`\x02${near.name}`));
    await untracked.run(['CREATE TABLE gone (id INT)', 'DROP TABLE gone']);
  });

  test('reads go on, and say what they say directly', async () => {
    const direct = await RawClient.open(server, { schema: near.name, flags: FLAGS });
    const through = await RawClient.open(proxy, { schema: near.name, flags: FLAGS });
    for (const pattern of READS) {
      const answers = await Promise.all(
        [direct, through].map(async (one) => {
          const { results } = await one.query(text(pattern));
          // Sizes are estimates, which change by themselves.
          const isEstimate = pattern.startsWith('SHOW TABLE STATUS');
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
      await one.run([`DELETE FROM live WHERE ${filled} <> ''`]);
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
    expect(codeOf(await one.query('USE _undrop'))).toBe(NOT_USED);
    expect(codeOf(await one.command(Buffer.from('\x02_undrop')))).toBe(NOT_USED);
    await one.run(['CREATE TABLE gone (id INT)', 'DROP TABLE gone']);
    await one.quit();
    await bare.stop();
    expect(await state()).toEqual(before);
  });

  test('a dump of a schema of undrop is refused, and one of the others can be taken', async () => {
    const { dump, options } = dumpTools(server);
    // Of MySQL 5.6 these tools can take none.
    if (server.name === 'mysql-5.6') return;
    const dumped = (...args: readonly string[]) =>
      runClient(dump, proxy, [...connectionOptions(dump), ...options, ...args]);
    const own = await dumped('--databases', '_undrop', near.name);
    expect(own.code).not.toBe(0);
    expect(own.stderr).toContain(`${NOT_USED}: `);
    const other = await dumped('--databases', near.name);
    expect([other.code, other.stderr]).toEqual([0, '']);
    expect(other.stdout).toContain('CREATE TABLE `live`');
    // It goes on after the error, and leaves nothing out but what is undrop's own.
    const forced = await dumped('--force', '--all-databases');
    expect(forced.stderr).toContain(`${NOT_USED}: `);
    expect(forced.stdout).toContain('CREATE TABLE `live`');
  });
});
