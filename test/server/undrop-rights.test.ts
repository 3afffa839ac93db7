/**
 * What a user may undrop is what the server lets that user do: each statement of undrop's own is
 * compared with the server's answers to the statements that it stands for, on a direct connection.
 * And what an account without any right may cost others by them: rights are asked before anything
 * is read, and many names are looked up at once.
 */
import type { RowDataPacket } from 'mysql2/promise';
import { asking } from '../support/asking.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { ledgerRows } from '../support/ledger-rows.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront } from '../support/proxy.js';
import { connect, generalLog, query, type Session, type Target } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';

const [SCHEMA, OTHER, USER] = ['undrop_rights', 'undrop_rights_2', 'undrop_righter'];

/** On the schema of the tables, on the other one, or on one table. */
const GRANTS: Readonly<Record<string, readonly string[]>> = {
  ...{ owner: [`ALL ON ${SCHEMA}.*`], 'DROP only': [`DROP ON ${SCHEMA}.*`] },
  ...{ 'SELECT only': [`SELECT ON ${SCHEMA}.*`], 'another schema': [`ALL ON ${OTHER}.*`] },
  ...{ none: [], 'CREATE and INSERT': [`CREATE, INSERT ON ${SCHEMA}.*`] },
  ...{ 'CREATE only': [`CREATE ON ${SCHEMA}.*`], 'INSERT only': [`INSERT ON ${SCHEMA}.*`] },
  'all but ALTER': [`CREATE, INSERT, DROP, SELECT ON ${SCHEMA}.*`],
  'all but DROP': [`CREATE, INSERT, ALTER, SELECT ON ${SCHEMA}.*`],
  'the names alone': ['a', 'b', 'b2', 'c'].map((table) => `ALL ON ${SCHEMA}.${table}`),
  'the whole server': ['ALL ON *.*'],
  'the ledger': ['UPDATE, SELECT ON _undrop.ledger'],
  'a column of the ledger': ['UPDATE (group_id) ON _undrop.ledger'],
};
/** Who may operate, and may end the holds of a whole schema. */
const OPERATORS = ['the whole server', 'the ledger'];
const DENIED = [1044, 1142, 1143, 1227];

onServers('rights to undrop on $name', (server, on) => {
  const { afterAll, beforeEach, test } = on;

  on.freshLedger();
  let isReady = false;
  const silent = () => undefined;
  const info = (_fields: object, message: string) => {
    isReady ||= message.startsWith('opened the ledger; drops are held');
  };
  const log = { debug: silent, info, warn: silent, error: silent };
  const proxy = on.proxy({}, { log });
  const root = on.session({ to: proxy, multipleStatements: true });

  beforeEach(async () => {
    for (const schema of [SCHEMA, OTHER]) {
      await query(server, `DROP DATABASE IF EXISTS ${schema}`, `CREATE DATABASE ${schema}`);
    }
    await freshLedger(server);
  });
  afterAll(async () => {
    await dropUser();
    await query(server, ...[SCHEMA, OTHER].map((one) => `DROP DATABASE IF EXISTS ${one}`));
  });

  const dropUser = () =>
    query(server, `GRANT USAGE ON *.* TO ${USER}@'%'`, `DROP USER ${USER}@'%'`).catch(() => []);

  async function makeUser(grants: readonly string[]): Promise<void> {
    await dropUser();
    await query(
      server,
      `CREATE USER ${USER}@'%' IDENTIFIED BY 'x'`,
      ...grants.map((grant) => `GRANT ${grant} TO ${USER}@'%'`),
    );
  }

  const asUser = (target: Target) => connect({ ...target, user: USER, password: 'x' });

  /** Dropped by root: two rows each. */
  async function hold(...tables: readonly string[]): Promise<void> {
    for (const table of tables) {
      const name = `${SCHEMA}.${table}`;
      await root.query(`CREATE TABLE ${name} (id INT) ENGINE=InnoDB`);
      await root.run(`INSERT INTO ${name} VALUES (1), (2)`, `DROP TABLE ${name}`);
    }
  }

  const say = (connection: Session, sql: string) => connection.errnoOf(sql);
  const wordsOf = async (connection: Session, sql: string) =>
    (await connection.errorOf(sql))?.message ?? 'OK';
  const shown = async (connection: Session): Promise<readonly string[]> => {
    const rows = await connection.rows('SHOW FULL DROPPED TABLES');
    return rows.map((row) => String(row['Table'])).toSorted();
  };
  const countIn = async (table: string): Promise<number | null> => {
    const sql = `SELECT COUNT(*) AS n FROM ${SCHEMA}.${table}`;
    const rows = await query<{ n: number }>(server, sql).catch(() => []);
    return rows[0]?.n ?? null;
  };

  test.each(Object.keys(GRANTS))('%s may what the server lets that user do', async (name) => {
    await query(
      server,
      ...['a', 'b', 'b2', 'c'].map((table) => `CREATE TABLE ${SCHEMA}.${table} (id INT)`),
    );
    await makeUser(GRANTS[name] ?? []);
    await using direct = await asUser(server);
    const statements = {
      create: `CREATE TABLE ${SCHEMA}.a SELECT 1 AS id`,
      rename: `RENAME TABLE ${SCHEMA}.b TO ${SCHEMA}.b2`,
      drop: `DROP TABLE ${SCHEMA}.c`,
      refill: `CREATE TABLE ${SCHEMA}.c SELECT 1 AS id`,
    };
    await query(server, `DROP TABLE ${SCHEMA}.a, ${SCHEMA}.b2`);
    const create = await wordsOf(direct, statements.create);
    const rename = await say(direct, statements.rename);
    const drop = await say(direct, statements.drop);
    if (drop !== null) await query(server, statements.drop);
    const refill = await say(direct, statements.refill);

    const left = await asking(server).column(`SHOW TABLES FROM ${SCHEMA}`);
    for (const table of left) await query(server, `DROP TABLE ${SCHEMA}.${table}`);
    await hold('a', 'b', 'c');
    await query(server, `CREATE TABLE ${SCHEMA}.c (id INT)`);
    await using user = await asUser(proxy);
    expect(await shown(user)).toEqual(create === 'OK' ? ['a', 'b', 'c'] : []);
    for (const [sql, isAllowed] of [
      [`HOLD TABLE ${SCHEMA}.a FOR '9d'`, drop === null],
      [`PURGE TABLE ${SCHEMA}.b`, drop === null],
      [`PURGE DATABASE ${SCHEMA}`, OPERATORS.includes(name)],
    ] as const) {
      const errno = await say(user, sql);
      expect([sql, errno ?? 'OK']).toEqual([sql, isAllowed ? 'OK' : expect.any(Number)]);
      if (errno !== null) expect(DENIED).toContain(errno);
    }
    expect(await wordsOf(user, `UNDROP TABLE ${SCHEMA}.a`)).toBe(create);
    expect(await say(user, `UNDROP TABLE ${SCHEMA}.b TO ${SCHEMA}.b2`)).toBe(rename);
    expect(await say(user, `UNDROP TABLE ${SCHEMA}.c SWAP`)).toBe(drop ?? refill);
    expect(await countIn('a')).toBe(create === 'OK' ? 2 : null);
    expect(await countIn('b2')).toBe(rename === null ? 2 : null);
    expect(await countIn('c')).toBe((drop ?? refill) === null ? 2 : 0);
  });

  test('a schema comes back for who may fill all of it, and make its views', async () => {
    await hold('a');
    for (const [grants, errno] of [
      [['CREATE, INSERT, CREATE VIEW ON *.*'], null],
      [['CREATE, INSERT ON *.*'], 1142],
      [[`ALL ON ${SCHEMA}.a`], 1142],
      [['DROP, SELECT ON *.*'], 1142],
    ] as const) {
      await query(server, `CREATE DATABASE IF NOT EXISTS ${SCHEMA}`);
      await query(server, `CREATE TABLE IF NOT EXISTS ${SCHEMA}.a (id INT)`);
      await root.query(`DROP DATABASE ${SCHEMA}`);
      await makeUser(grants);
      await using user = await asUser(proxy);
      expect(await say(user, `UNDROP DATABASE ${SCHEMA}`)).toBe(errno);
    }
    await makeUser(GRANTS['owner'] ?? []);
    await using owner = await asUser(proxy);
    const said = await wordsOf(owner, `UNDROP DATABASE ${SCHEMA} TO undrop_elsewhere`);
    expect(said).toContain("any table of 'undrop_elsewhere'");
    expect(said).not.toContain('_undrop_none_');
    await query(server, `CREATE DATABASE ${SCHEMA}`);
  });

  test('a schema that is named like a drop is not taken for what that has dropped', async () => {
    await query(server, `CREATE TABLE IF NOT EXISTS ${SCHEMA}.a (id INT)`);
    await root.query(`DROP DATABASE ${SCHEMA}`);
    const id = String((await ledgerRows(root, { schema: SCHEMA })).at(-1)?.['group_id']);
    await query(server, `CREATE DATABASE \`${id}\``, `CREATE TABLE \`${id}\`.b (id INT)`);
    await root.run(`DROP DATABASE \`${id}\``, `UNDROP DATABASE ${SCHEMA}`);
    const there = await query(server, `SHOW TABLES FROM ${SCHEMA} LIKE 'a'`);
    expect(there).toHaveLength(1);
    expect(await query(server, `SHOW DATABASES LIKE '${id}'`)).toEqual([]);
  });

  test('no trigger runs with its definer’s rights in a schema of somebody else', async () => {
    await query(
      server,
      `DROP TABLE IF EXISTS ${SCHEMA}.a`,
      `CREATE TABLE ${SCHEMA}.a (id INT)`,
      `CREATE PROCEDURE ${SCHEMA}.note_it() SELECT 1 INTO @x`,
      `CREATE TRIGGER ${SCHEMA}.on_a BEFORE INSERT ON ${SCHEMA}.a FOR EACH ROW CALL note_it()`,
    );
    await root.run(`DROP DATABASE ${SCHEMA}`, `UNDROP DATABASE ${SCHEMA} TO ${SCHEMA}_2`);
    expect(await query(server, `SHOW TABLES FROM ${SCHEMA}_2 LIKE 'a'`)).toHaveLength(1);
    expect(await query(server, `SHOW TRIGGERS FROM ${SCHEMA}_2`)).toEqual([]);
    await query(server, `DROP DATABASE ${SCHEMA}_2`, `CREATE DATABASE ${SCHEMA}`);
  });

  test('a statement is shown to who said it, and to who may do anything', async () => {
    await query(server, `CREATE TABLE ${SCHEMA}.x1 (id INT)`, `CREATE TABLE ${SCHEMA}.x2 (id INT)`);
    await root.query(`DROP TABLE ${SCHEMA}.x1, ${SCHEMA}.x2 /* of bob */`);
    await makeUser([`CREATE, INSERT ON ${SCHEMA}.x1`]);
    await using user = await asUser(proxy);
    const [rows] = await user.query<RowDataPacket[]>(`
      SHOW FULL DROPPED TABLES FROM ${SCHEMA} LIKE 'x%'`);
    expect(rows.map(({ Table, Statement }) => [Table, Statement])).toEqual([['x1', null]]);
    await using other = await connect(proxy);
    const all = await other.rows(`SHOW FULL DROPPED TABLES FROM ${SCHEMA} LIKE 'x%'`);
    expect(all.map(({ Statement }) => String(Statement))).toEqual([
      expect.stringContaining('of bob'),
      expect.stringContaining('of bob'),
    ]);
  });

  test('a rule that refuses the drop of a table refuses its swap', async () => {
    await using ruled = await proxyInFront(server, { RULES: `${SCHEMA}.kept: refuse` });
    await query(server, `CREATE TABLE ${SCHEMA}.kept (id INT)`);
    await root.query(`DROP TABLE ${SCHEMA}.kept`);
    await query(server, `CREATE TABLE ${SCHEMA}.kept (n INT)`);
    await using client = await connect(ruled);
    expect(await wordsOf(client, `UNDROP TABLE ${SCHEMA}.kept SWAP`)).toContain('UNDROP_RULE');
    expect(await query(server, `SHOW COLUMNS FROM ${SCHEMA}.kept LIKE 'n'`)).toHaveLength(1);
  });

  test('an id of a table that a user may not see is the id of none', async () => {
    await hold('a');
    await makeUser(GRANTS['SELECT only'] ?? []);
    const rows = await root.rows('SHOW FULL DROPPED TABLES');
    await using user = await asUser(proxy);
    const id = String(rows[0]?.['Id']);
    for (const text of [id, id.slice(0, 12), 'ffffffff']) {
      expect(await wordsOf(user, `UNDROP TABLE '${text}'`)).toContain(`UNDROP_NO_SUCH_HELD`);
    }
  });

  test('the digits of an id in a name tell nothing of a table that a user may not see', async () => {
    await hold('a');
    const [held] = await ledgerRows(root, { schema: SCHEMA, table: 'a' });
    await root.query(`UNDROP TABLE ${SCHEMA}.a`);
    await makeUser(GRANTS['another schema'] ?? []);
    await using user = await asUser(proxy);
    const names = `${OTHER}._vt_hold_${held?.['id']}_20300101000000, ${OTHER}.x`;
    for (const text of ['UNDROP TABLE', 'EXPLAIN UNDROP TABLE'])
      expect(await wordsOf(user, `${text} ${names}`)).toMatch(/^(?!.* restored at )UNDROP/);
  });

  test('a connection sees what it has dropped itself, and nobody else’s by that', async () => {
    await makeUser(GRANTS['DROP only'] ?? []);
    await query(server, `CREATE TABLE ${SCHEMA}.own (id INT)`);
    await using user = await asUser(proxy);
    await using another = await asUser(proxy);
    await hold('a');
    await user.query(`DROP TABLE ${SCHEMA}.own`);
    expect([await shown(user), await shown(another)]).toEqual([['own'], []]);
    expect(await say(user, `UNDROP TABLE ${SCHEMA}.own`)).toBe(1142);
  });

  test.each([
    ['a read-only session', ['SET SESSION TRANSACTION READ ONLY'], [], 1792],
    ['XA', ["XA START 'x'"], ["XA END 'x'", "XA ROLLBACK 'x'"], 1399],
    ['LOCK TABLES', [`LOCK TABLES ${SCHEMA}.other WRITE`], ['UNLOCK TABLES'], 1100],
  ])('in %s it is refused as DDL is', async (_name, before, after, errno) => {
    await hold('a');
    await query(server, `CREATE TABLE ${SCHEMA}.other (id INT)`);
    await makeUser(GRANTS['owner'] ?? []);
    for (const target of [server, proxy]) {
      await using user = await asUser(target);
      for (const sql of before) await user.query(sql);
      const names =
        target === server
          ? [`CREATE TABLE ${SCHEMA}.x (id INT)`]
          : ['', ` TO ${SCHEMA}.b`, ' SWAP'].map((how) => `UNDROP TABLE ${SCHEMA}.a${how}`);
      for (const sql of names) expect(await say(user, sql)).toBe(errno);
      for (const sql of after) await user.query(sql);
    }
    expect(await countIn('a')).toBeNull();
  });

  test('on a read-only server it is refused, and shown', async () => {
    await hold('a');
    await makeUser(GRANTS['owner'] ?? []);
    await query(server, 'SET GLOBAL read_only = 1');
    try {
      await using user = await asUser(proxy);
      expect(await say(user, `UNDROP TABLE ${SCHEMA}.a`)).toBe(1290);
      expect(await shown(user)).toEqual(['a']);
    } finally {
      await query(server, 'SET GLOBAL read_only = 0');
    }
    expect(await countIn('a')).toBeNull();
  });

  test('a temporary table of that name is no yes, and stays as it is', async () => {
    await hold('a', 'b');
    const temporary = `CREATE TEMPORARY TABLES ON ${SCHEMA}.*`;
    await makeUser([temporary]);
    const weak = await asUser(proxy);
    await weak.query(`CREATE TEMPORARY TABLE ${SCHEMA}.a (x INT)`);
    const undrop = ['', ` TO ${SCHEMA}.c`, ' SWAP'].map((how) => `UNDROP TABLE ${SCHEMA}.a${how}`);
    const others = [`PURGE TABLE ${SCHEMA}.a`, `HOLD TABLE ${SCHEMA}.a FOR '9d'`];
    for (const sql of [...undrop, ...others]) expect(await say(weak, sql)).not.toBeNull();
    await weak.end();
    await makeUser([temporary, `CREATE, INSERT, ALTER, DROP, SELECT ON ${SCHEMA}.*`]);
    await using user = await asUser(proxy);
    await user.query(`CREATE TEMPORARY TABLE ${SCHEMA}.a (x INT)`);
    await user.query(`CREATE TEMPORARY TABLE ${SCHEMA}.b (x INT)`);
    for (const how of [` TO ${SCHEMA}.c`, ' SWAP']) {
      expect(await wordsOf(user, `UNDROP TABLE ${SCHEMA}.a${how}`)).toMatch(
        /^UNDROP_NOT_UNDONE: .*temporary table of this session/,
      );
    }
    expect([await say(user, `UNDROP TABLE ${SCHEMA}.a`), await countIn('a')]).toEqual([null, 2]);
    const [rows] = await user.query(`SELECT * FROM ${SCHEMA}.a`);
    expect(rows).toEqual([]);
  });

  test('a view is not swapped', async () => {
    await hold('a');
    await query(server, `CREATE VIEW ${SCHEMA}.a AS SELECT 1 AS one`);
    await makeUser(GRANTS['owner'] ?? []);
    await using user = await asUser(proxy);
    expect(await wordsOf(user, `UNDROP TABLE ${SCHEMA}.a SWAP`)).toMatch(
      /^UNDROP_NOT_UNDONE: .*is a view/,
    );
  });

  /** The error of a statement, and how often the service account read the ledger for it. */
  async function readsOf(connection: Session, text: string) {
    // Its recovery reads the ledger as well.
    await until(() => isReady, 'the start of the proxy is over');
    await using log = await generalLog(server);
    const said = await say(connection, text);
    const isRead = (one: string) =>
      one.includes('/* undrop read') && one.includes('FROM `_undrop`');
    return { said, reads: (await log.read()).filter((one) => isRead(one.text)).length };
  }

  test('what no name has is refused before anything is read', async () => {
    await makeUser([]);
    await using nobody = await asUser(proxy);
    const [list, long] = ['SHOW FULL DROPPED TABLES', (name: string) => `\`${name.repeat(65)}\``];
    const refused: readonly (readonly [sql: string, errno: number])[] = [
      [`${list} LIKE '${'a%'.repeat(12_000)}'`, 1210],
      [`${list} LIKE '${'ä'.repeat(257)}'`, 1210],
      [`${list} FROM \`${'x'.repeat(250_000)}\``, 1059],
      [`${list} FROM ${long('ä')}`, 1059],
      [`UNDROP TABLE ${SCHEMA}.${long('t')}`, 1059],
      [`UNDROP TABLE ${SCHEMA}.a TO ${SCHEMA}.${long('t')}`, 1059],
      [`UNDROP TABLE '0123' TO ${long('t')}`, 1059],
      [`UNDROP DATABASE ${long('d')}`, 1059],
      [`EXPLAIN DROP TABLE ${SCHEMA}.${long('t')}`, 1059],
    ];
    for (const [sql, errno] of refused) {
      const found = [sql.slice(0, 60), await readsOf(nobody, sql)];
      expect(found).toEqual([sql.slice(0, 60), { said: errno, reads: 0 }]);
    }
  });

  test('of many names the rights are asked first, and then all are looked up at once', async () => {
    const names = Array.from({ length: 30 }, (_, index) => `${SCHEMA}.t${index}`);
    for (const name of names) await root.query(`CREATE TABLE ${name} (id INT PRIMARY KEY)`);
    await root.query(`DROP TABLE ${names.join(', ')}`);
    await intentsSettled(root, [SCHEMA]);
    await makeUser([]);
    await using nobody = await asUser(proxy);
    const more = Array.from({ length: 1_000 }, (_, index) => `${SCHEMA}.n${index}`);
    const some = [...names, ...more].slice(0, 1_000).join(', ');
    const denied = await readsOf(nobody, `UNDROP TABLE ${some}`);
    expect([1044, 1142].map((said) => ({ said, reads: 0 }))).toContainEqual(denied);
    const { said, reads } = await readsOf(root, `UNDROP TABLE ${more.join(', ')}`);
    expect(said).not.toBeNull();
    // What has become of them is looked up of the first ten alone.
    expect(reads).toBeLessThan(50);
    // The server searches, and a page is read once.
    const list = `SHOW FULL DROPPED TABLES FROM ${SCHEMA} LIKE`;
    expect(await readsOf(root, `${list} 't%'`)).toEqual({ said: null, reads: 1 });
    const show = async (connection: Session, like: string) =>
      (await connection.rows(`${list} '${like}'`)).map((row) => row['Table']).toSorted();
    expect(await show(root, 'T_')).toEqual(names.slice(0, 10).map((name) => name.split('.')[1]));
    expect(await show(root, '%2%9')).toEqual(['t29']);
    expect([await show(root, `${'t%'.repeat(127)}x`), await show(nobody, '%')]).toEqual([[], []]);
  });
});
