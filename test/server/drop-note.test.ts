/** How a drop is undone, as any client reads it: in the info text of its OK (UNDROP_NOTE). */
import { countRows } from '../collector/collecting.js';
import { runProject } from '../support/debian-tools.js';
import { onServers } from '../support/on-servers.js';
import { CLIENT, MODERN, RawClient } from '../support/raw-client.js';
import { freshSchema, query } from '../support/servers.js';
import { infoOf } from '../support/undo-info.js';

const PROTECT = 'drop-table,drop-database,create-or-replace,truncate';

onServers('in the info text on $name', (server, on) => {
  const { test } = on;
  const proxy = on.proxy({ PROTECT });
  const off = on.proxy({ PROTECT, NOTE: 'off' });
  const schema = on.each.schema('told');
  const client = on.each.open(() => open());

  const open = (flags = MODERN | CLIENT.MULTI_STATEMENTS, target = proxy) =>
    RawClient.open(target, { schema: schema.name, flags });
  /** The info texts of its results. */
  const run = async (sql: string | Uint8Array, on = client) =>
    (await on.query(sql)).results.map((one) => infoOf(one).toString());
  const UNTIL = String.raw`Held until \d{4}-\d\d-\d\d \d\d:\d\d UTC\. Undo: `;
  const told = (undo: string) => expect.stringMatching(new RegExp(`^${UNTIL}${undo}$`));
  /** Runs what the text says. */
  const undo = (text = '') => client.run([text.replace(/^.* Undo: | \(and .*$/g, '')]);
  const countOf = (name: string) => countRows(server, name);
  const create = async (name = 't') => {
    const table = `${schema.name}.${name}`;
    await query(server, `CREATE TABLE ${table} (a INT)`, `INSERT INTO ${table} VALUES (1), (2)`);
    return table;
  };

  test.each(['drops.pl', 'drops.rb'])(
    'a program such as %s sees the text, and no other difference',
    async (script) => {
      const seen: string[] = [];
      for (const target of [server, proxy]) {
        const { code, stdout, stderr } = await runProject(`told/${script}`, target, schema.name);
        seen.push(`${code} ${stdout}${stderr}`);
      }
      const [direct = '', proxied = ''] = seen;
      expect(direct).toMatch(/^0 [\s\S]*left: 0$/m);
      const TOLD = new RegExp(`${UNTIL}UNDROP TABLE ${schema.name}\\.books`);
      expect(proxied).toMatch(TOLD);
      expect(proxied.replace(TOLD, '')).toBe(direct);
    },
  );

  test('a drop says how it is undone, and counts no warning', async () => {
    const table = await create();
    const { results } = await client.query('DROP TABLE t');
    expect(results).toMatchObject([{ kind: 'ok', warnings: 0, affectedRows: 0 }]);
    const text = results.map((one) => infoOf(one).toString())[0];
    expect(text).toEqual(told(`UNDROP TABLE ${table}`));
    expect((await client.query('SHOW WARNINGS')).results).toMatchObject([{ rows: [] }]);
    await undo(text);
    expect(await countOf(table)).toBe(2);
  });

  test('TRUNCATE, and a schema', async () => {
    const table = await create();
    const [text] = await run('TRUNCATE t');
    expect(text).toEqual(told(`UNDROP TABLE ${table} SWAP`));
    await undo(text);
    expect(await countOf(table)).toBe(2);
    const [ofSchema] = await run(`DROP DATABASE ${schema.name}`);
    expect(ofSchema).toEqual(told(`UNDROP DATABASE ${schema.name}`));
    await undo(ofSchema);
    expect(await countOf(table)).toBe(2);
  });

  test('after what the server itself says', async () => {
    if (server.flavour === 'mysql') return;
    const words = 'Records: 1  Duplicates: 0  Warnings: 0  ';
    const table = await create();
    const [replaced] = await run('CREATE OR REPLACE TABLE t SELECT 7 AS a');
    expect(replaced?.slice(0, words.length)).toBe(words);
    expect(replaced?.slice(words.length)).toEqual(told(`UNDROP TABLE ${table} SWAP`));
    await undo(replaced);
    expect(await countOf(table)).toBe(2);
  });

  test('prepared, and in a query of several statements', async () => {
    await create();
    await create('u');
    const texts = await run('SELECT 1; DROP TABLE t; DO 1; DROP TABLE IF EXISTS u, missing');
    expect(texts.map((text) => text.slice(0, 10))).toEqual(['', 'Held until', '', 'Held until']);
    const table = await create();
    const { id } = await client.prepare('DROP TABLE t');
    const { results } = await client.execute(id ?? 0);
    expect(results.map((one) => infoOf(one).toString())).toEqual([told(`UNDROP TABLE ${table}`)]);
  });

  test('nothing where nothing is held, or UNDROP_NOTE is off', async () => {
    await create();
    await run('CREATE TEMPORARY TABLE v (a INT)');
    expect(await run('DROP TABLE v')).toEqual(['']);
    expect(await run('DROP TABLE IF EXISTS missing')).toEqual(['']);
    expect(await run('DROP /*undrop: hold=30s */ TABLE t')).not.toEqual([told('.*')]);
    await create('u');
    await using silent = await open(MODERN, off);
    expect(await run('DROP TABLE u', silent)).toEqual(['']);
  });

  test('a long name is left out, not cut', async () => {
    await using other = await freshSchema(server, 'x'.repeat(50));
    const table = `${other.name}.\`${'漢'.repeat(48)}\``;
    await query(server, `CREATE TABLE ${table} (a INT)`);
    const [text] = await run(`DROP TABLE ${table}`);
    expect(text).toEqual(told("UNDROP TABLE '[0-9a-f]{32}'"));
    await undo(text);
    expect(await countOf(table)).toBe(0);
  });

  test.each([
    ['latin1', 'latin1'],
    ['sjis', 'shift_jis'],
    ['utf8', 'utf8'],
    ['NULL', 'utf8'],
  ])('with character_set_results = %s', async (charset, encoding) => {
    const table = await create();
    await create('ü');
    await client.run([`SET character_set_results = ${charset}`]);
    for (const name of ['t', 'ü']) {
      const { results } = await client.query(`DROP TABLE ${name}`);
      const [text] = results.map((one) => new TextDecoder(encoding).decode(infoOf(one)));
      const byName = `UNDROP TABLE ${table.slice(0, -1)}\`?${name}\`?`;
      expect(text).toEqual(told(`(${byName}|UNDROP TABLE '[0-9a-f]{32}')`));
      if (name === 't') expect(text).toEqual(told(byName));
      await undo(text);
      expect(await countOf(`${schema.name}.${name}`)).toBe(2);
    }
  });
});
