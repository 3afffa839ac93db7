/**
 * ERR 1146 of a held table ends with its undo, for every client, and nothing else of any answer
 * changes.
 */
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { spawnProxy } from '../support/proxy.js';
import { CLIENT, MODERN, RawClient } from '../support/raw-client.js';
import { connect, query, type Session } from '../support/servers.js';

onServers('a statement on a held table on $name', (server, on) => {
  const { test } = on;
  on.freshLedger();
  const proxy = on.open(() => spawnProxy(server, { HOLD: '2d', WORKERS: '2' }));
  const off = on.open(() => spawnProxy(server, { NOTE: 'off' }));
  const schema = on.each.schema('where');
  const client = on.each.session({ to: proxy, schema });
  const account = on.each.accounts('a');

  const failure = (session: Session, text: string) =>
    session.query(text).then(
      () => '',
      ({ message, errno, sqlState }: Error & { errno?: number; sqlState?: string }) =>
        `${errno} ${sqlState} ${message}`,
    );
  const native = (table: string) => `1146 42S02 Table '${schema.name}.${table}' doesn't exist`;
  const noted = (table: string, target = `${schema.name}.${table}`) =>
    expect.stringMatching(
      new RegExp(
        `^${native(table)} \\(held by undrop until \\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d UTC: UNDROP TABLE ${target}\\)$`,
      ),
    );
  const gone = async (...tables: readonly string[]) => {
    for (const table of tables)
      await client.run(`CREATE TABLE \`${table}\` (id INT)`, `DROP TABLE \`${table}\``);
  };

  test('says where it is, at once, and in each kind of statement', async () => {
    await gone('t');
    for (const text of ['SELECT * FROM t', 'INSERT INTO t VALUES (1)', 'ALTER TABLE t ADD x INT'])
      expect(await failure(client, text)).toEqual(noted('t'));
    expect(await failure(client, "PREPARE s FROM 'SELECT * FROM t'")).toEqual(noted('t'));
    expect(await failure(client, 'SELECT * FROM never')).toBe(native('never'));
    await client.query(`UNDROP TABLE ${schema.name}.t`);
    expect(await failure(client, 'SELECT * FROM t')).toBe('');
  });

  test('says it to other sessions, in each process', async () => {
    await gone('t');
    for (let nr = 0; nr < 6; nr++) {
      await until(async () => {
        await using other = await connect(proxy, { database: schema.name });
        return /held by undrop/.test(await failure(other, 'SELECT * FROM t'));
      }, 'the others know it');
    }
  });

  test('says nothing with UNDROP_NOTE=off', async () => {
    await gone('t');
    await using quiet = await connect(off, { database: schema.name });
    expect(await failure(quiet, 'SELECT * FROM t')).toBe(native('t'));
  });

  test('says nothing to who has no privilege on the name', async () => {
    await gone('t');
    await account('where_stranger', 'CREATE ON mysql.none');
    await using stranger = await connect(proxy, { user: 'where_stranger', password: 'a' });
    const told = await failure(stranger, `SELECT * FROM ${schema.name}.t`);
    expect(told).toMatch(/^1142 /);
    expect(told).not.toMatch(/held/);
  });

  test('of an odd name', async () => {
    await gone('two words', 'größe');
    expect(await failure(client, 'SELECT * FROM `two words`')).toEqual(
      noted('two words', `${schema.name}.\`two words\``),
    );
    expect(await failure(client, 'SELECT * FROM `größe`')).toEqual(
      expect.stringMatching(/\(held by undrop until .*: UNDROP TABLE '[0-9a-f]{32}'\)$/),
    );
  });

  test('among others in flight, and of rows that look like it, changes no other byte', async () => {
    await gone('t');
    await client.run('CREATE TABLE live (a VARBINARY(500))');
    await using raw = await RawClient.open(proxy, {
      ...{ schema: schema.name, flags: MODERN | CLIENT.MULTI_STATEMENTS },
    });
    const err = Buffer.concat([
      Buffer.from([0xff, 0x7a, 0x04]),
      Buffer.from(`#42S02Table '${schema.name}.t' doesn't exist`),
    ]);
    const like = Buffer.concat([Buffer.from([err.length, 0, 0, 3]), err]).toString('hex');
    await client.run(`INSERT INTO live VALUES (x'${like}')`);
    const texts = ['SELECT * FROM t', 'SELECT a FROM live', 'SELECT * FROM t', 'SELECT 1'];
    raw.write(texts.map((text) => raw.queryPayload(text)));
    const kinds: string[] = [];
    for (const _text of texts) kinds.push(String((await raw.answer()).results[0]?.kind));
    expect(kinds).toEqual(['err', 'rows', 'err', 'rows']);
    const { results } = await raw.query('SELECT HEX(a) FROM live');
    expect(JSON.stringify(results)).not.toMatch(/held by/);
    const rows = await query<{ readonly a: Buffer }>(
      { ...proxy },
      `SELECT a FROM ${schema.name}.live`,
    );
    expect(rows[0]?.a.toString('hex')).toBe(like);
  });
});
