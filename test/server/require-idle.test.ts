/** UNDROP_REQUIRE_IDLE on real servers: what each can tell of a table's use, and how to insist. */
import { asking } from '../support/asking.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { connect, query } from '../support/servers.js';

const SHORT_S = 5;

onServers('UNDROP_REQUIRE_IDLE on $name', (server, on) => {
  const { beforeAll, test } = on;
  /** MariaDB has performance_schema off. */
  const counts = server.flavour === 'mysql';
  beforeAll(async () => {
    // Tests before this one may have filled it, and then no new statement has a time.
    const digests = 'performance_schema.events_statements_summary_by_digest';
    if (counts) await query(server, `TRUNCATE ${digests}`);
  });
  const settings = {
    ALLOW_DESTROY: 'users',
    PROTECT: 'drop-table,drop-database,truncate,create-or-replace',
    RULES: '*.native_*: native; *.void_* empty: hold=1h',
  };
  const proxy = on.proxy({ ...settings, REQUIRE_IDLE: '365d' });
  const short = on.proxy({ ...settings, REQUIRE_IDLE: `${SHORT_S}s` });
  const schema = on.each.schema();
  const client = on.each.session({ to: proxy, schema });

  /** InnoDB of MySQL 5.6 doesn't know when it was written; performance_schema does. */
  const create = async (name: string, rows: number, columns = 'a INT PRIMARY KEY') => {
    const table = `${schema.name}.${name}`;
    await query(server, `CREATE TABLE ${table} (${columns})`);
    if (rows > 0) await query(server, `INSERT INTO ${table} (a) VALUES (1)`);
  };
  const codeOf = (sql: string, on = client) =>
    on.query(sql).then(
      () => 'done',
      ({ message }: Error) => /^UNDROP_\w+/.exec(message)?.[0] ?? message,
    );
  const isThere = async (name: string) => {
    return (await query(server, `SHOW TABLES FROM ${schema.name} LIKE '${name}'`)).length === 1;
  };

  test('a table that was written is refused, until its drop insists', async () => {
    await create('t', 1);
    const seen = client.query('DROP TABLE t');
    await expect(seen).rejects.toMatchObject({
      errno: 1142,
      message: expect.stringMatching(
        /^UNDROP_IN_USE: Table t was not dropped, still there: test_\w+\.t was in use within 365d: .* UTC\. .*insist/,
      ),
    });
    expect(await isThere('t')).toBe(true);
    expect(await codeOf('DROP TABLE t /* undrop: insist */')).toBe('done');
    expect(await isThere('t')).toBe(false);
    await create('t', 1);
    await client.query("SET @undrop = 'insist'");
    expect(await codeOf('DROP TABLE t')).toBe('done');
    await create('t', 1);
    expect(await codeOf('DROP TABLE t')).toBe('UNDROP_IN_USE');
    expect(await codeOf('DROP TABLE t /* undrop: insist */ /* undrop: pin */')).toBe('done');
  });

  test('what nobody has used goes, and no look of undrop’s is a use', async () => {
    await create('void_a', 0);
    await create('child', 0, `a INT, FOREIGN KEY (a) REFERENCES ${schema.name}.void_a (a)`);
    for (let times = 0; times < 2; times++) {
      expect(await codeOf('DROP TABLE void_a')).toMatch(/foreign key/);
    }
    expect(await codeOf('DROP TABLE child')).toBe('done');
    expect(await codeOf('DROP TABLE void_a')).toBe('done');
  });

  test('what was read is in use where performance_schema tells when', async () => {
    await create('t', 1);
    await create('u', 1);
    await using plain = await connect(short, { database: schema.name });
    await query(server, `INSERT INTO ${schema.name}.t (a) VALUES (2)`);
    expect(await codeOf('DROP TABLE t', plain)).toBe('UNDROP_IN_USE');
    const { cell } = asking(server);
    const end = await cell(`SELECT CAST(NOW() + INTERVAL ${SHORT_S + 2} SECOND AS CHAR)`);
    const isLater = async () => Number(await cell(`SELECT CAST(NOW() AS CHAR) > '${end}'`)) === 1;
    await until(isLater, 'its rows are older than the time');
    await query(server, `USE ${schema.name}`, 'SELECT u.a AS t FROM u');
    expect(await codeOf('DROP TABLE t', plain)).toBe('done');
    const expected = counts ? 'UNDROP_IN_USE' : 'done';
    await query(server, `SELECT * FROM ${schema.name}.u`);
    expect(await codeOf('DROP TABLE u', plain)).toBe(expected);
  });

  test('a DROP DATABASE is refused for one of its tables, until it insists', async () => {
    await create('a', 0);
    await create('b', 1);
    expect(await codeOf(`DROP DATABASE ${schema.name}`)).toBe('UNDROP_IN_USE');
    expect([await isThere('a'), await isThere('b')]).toEqual([true, true]);
    expect(await codeOf(`DROP DATABASE ${schema.name} /* undrop: insist */`)).toBe('done');
  });

  test('what only empties or replaces a table, what a rule lets pass, and what is temporary', async () => {
    for (const name of ['t', 'native_a', 'temp']) await create(name, 1);
    expect(await codeOf('TRUNCATE TABLE t')).toBe('done');
    expect(await codeOf('DROP TABLE native_a')).toBe('done');
    await client.query('CREATE TEMPORARY TABLE temp (a INT)');
    expect(await codeOf('DROP TABLE temp')).toBe('done');
    expect(await codeOf('DROP TABLE temp')).toBe('UNDROP_IN_USE');
    if (server.flavour === 'mariadb') {
      expect(await codeOf('CREATE OR REPLACE TABLE temp (b INT)')).toBe('done');
    }
  });

  test('the hint destroy needs the other one, too', async () => {
    await create('t', 1);
    expect(await codeOf('DROP TABLE t /* undrop: destroy */')).toBe('UNDROP_IN_USE');
    await client.query("SET @undrop = 'destroy'");
    expect([await codeOf('DROP TABLE t'), await isThere('t')]).toEqual(['UNDROP_IN_USE', true]);
    expect(await codeOf('DROP TABLE t /* undrop: destroy */ /* undrop: insist */')).toBe('done');
  });
});
