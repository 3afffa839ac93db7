/**
 * Tables with foreign keys, dropped through the proxy and brought back, on real servers: whoever is
 * still there is bound no more than behind a native drop, no row is lost, and what comes back is as
 * it was, by the server's own words.
 */
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront } from '../support/proxy.js';
import { connect, type Target } from '../support/servers.js';
import { restored } from '../support/undrop-cli.js';
import { ledgerRowOf, sayTo } from './service-fixture.js';

/** Keys of every kind: named, named by the server, of two columns, to itself, to another schema. */
const CHILD = (far: string) => `CREATE TABLE c (
  id INT PRIMARY KEY, pid INT, a INT, b INT, self INT, oid INT,
  KEY note (b),
  CONSTRAINT zz FOREIGN KEY (pid) REFERENCES p (id) ON DELETE CASCADE ON UPDATE SET NULL,
  FOREIGN KEY (a, b) REFERENCES g (a, b),
  FOREIGN KEY (self) REFERENCES c (id) ON DELETE SET NULL,
  CONSTRAINT \`a key\` FOREIGN KEY (oid) REFERENCES ${far}.o (id),
  KEY behind (a))`;

onServers('foreign keys on $name', (server, on) => {
  const { test } = on;

  const proxy = on.proxy();
  const schema = on.schema('fk');
  const far = on.schema('far');
  const direct = on.session({ schema });
  const account = on.each.accounts('narrow');

  const run = (...texts: readonly string[]) => direct.run(...texts);
  const errnoOf = (text: string) => direct.errnoOf(text);
  /** MySQL 5.6 puts the index of a key that comes back behind the others: sorted there. */
  const show = async (table: string): Promise<string> => {
    const shown = await direct.show(table);
    return server.name === 'mysql-5.6' ? byLines(shown).join('\n') : shown;
  };
  const count = (table: string) => direct.count(table);
  const drop = (text: string, before: readonly string[] = [], through: Target = proxy) =>
    sayTo(through, { schema: schema.name, texts: [...before, text] });
  const back = (table: string, to?: string) => restored(server, `${schema.name}.${table}`, to);
  const row = (table: string) => ledgerRowOf(direct, { schema: schema.name, table });
  /** It may be so only after the answer: others, such as the server's purge, have locks as well. */
  const relocated = (table: string) =>
    until(async () => (await row(table))?.['relocated'] === 1, `${table} is relocated`);
  const clear = async () => {
    const drops = (await direct.tables()).map((table) => `DROP TABLE \`${table}\``);
    await run('SET foreign_key_checks = 0', ...drops, `DROP TABLE IF EXISTS ${far.name}.o`);
    await run('SET foreign_key_checks = 1');
  };
  const makeFamily = async () => {
    await clear();
    await run(
      'CREATE TABLE p (id INT PRIMARY KEY)',
      'CREATE TABLE g (a INT, b INT, PRIMARY KEY (a, b))',
      `CREATE TABLE ${far.name}.o (id INT PRIMARY KEY)`,
      CHILD(far.name),
      'INSERT INTO p VALUES (1), (2)',
      'INSERT INTO g VALUES (1, 1)',
      `INSERT INTO ${far.name}.o VALUES (1)`,
      'INSERT INTO c VALUES (1, 1, 1, 1, NULL, 1), (2, 2, 1, 1, 1, 1), (3, 2, NULL, NULL, 2, NULL)',
    );
  };

  test('of a dropped child bind nobody, and come back as they were, with all rows', async () => {
    await makeFamily();
    const before = await show('c');
    await drop('DROP TABLE c');
    // The first would cascade into held rows; all would be refused.
    await run('DELETE FROM p WHERE id = 1', 'DROP TABLE g', 'ALTER TABLE p MODIFY id BIGINT');
    await run('CREATE TABLE other (id BIGINT, CONSTRAINT zz FOREIGN KEY (id) REFERENCES p (id))');
    await run('DROP TABLE other', 'ALTER TABLE p MODIFY id INT', 'INSERT INTO p VALUES (1)');
    await run('CREATE TABLE g (a INT, b INT, PRIMARY KEY (a, b))', 'INSERT INTO g VALUES (1, 1)');
    const definition = String((await row('c'))?.['definition']);
    const report = await back('c');
    expect(
      report.foreignKeys.map(({ problem, isParentMissing }) => problem ?? isParentMissing),
    ).toEqual([false, false, false, false]);
    expect(await show('c')).toBe(before);
    expect(byLines(definition)).toEqual(byLines(before));
    expect(await count('c')).toBe(3);
    expect(await errnoOf('INSERT INTO c (id, pid) VALUES (9, 9)')).toBe(1452);
    await run('DELETE FROM p WHERE id = 2');
    expect(await count('c')).toBe(1);
  });

  test('to columns that are not unique come back, of a child and of its parent', async () => {
    await clear();
    const may = 'SET @a = 0 /*!80400 , SESSION restrict_fk_on_non_standard_key = 0 */';
    await run(
      may,
      'CREATE TABLE p (id INT PRIMARY KEY, k INT, KEY (k))',
      'CREATE TABLE c (id INT PRIMARY KEY, k INT, CONSTRAINT zz FOREIGN KEY (k) REFERENCES p (k))',
      'INSERT INTO p VALUES (1, 1), (2, 1)',
      'INSERT INTO c VALUES (1, 1)',
    );
    const shown = await show('c');
    await drop('DROP TABLE c');
    expect((await back('c')).foreignKeys.map(({ problem }) => problem)).toEqual([null]);
    expect(await show('c')).toBe(shown);
    const unchecked = 'SET foreign_key_checks = 0';
    // The server refuses the RENAME of such a parent to a session that may not make such keys.
    for (const before of [[unchecked], [unchecked, may]]) {
      await drop('DROP TABLE p', before);
      await relocated('p');
      expect(await show('c')).toBe(shown);
      await back('p');
      expect(await errnoOf('DELETE FROM p WHERE id = 1')).not.toBe(null);
    }
  });

  test('come back by hand, by the script in the ledger', async () => {
    await makeFamily();
    await drop('DROP TABLE c');
    await until(async () => (await row('c'))?.['restore_script'] != null, 'the outcome');
    const script = String((await row('c'))?.['restore_script']);
    const client = await connect(server, { multipleStatements: true });
    // Later than the drop, as a DBA would: MySQL's ALTER TABLE makes the table's birth its own.
    await client.run('SET timestamp = UNIX_TIMESTAMP() + 10', script);
    const [checks] = await client.rows('SELECT @@foreign_key_checks AS n');
    await client.end();
    expect(checks?.['n']).toBe(1);
    expect(await count('c')).toBe(3);
    expect(await errnoOf('INSERT INTO c (id, self) VALUES (9, 8)')).toBe(1452);
    expect(await errnoOf('INSERT INTO c (id, oid) VALUES (9, 8)')).toBe(1452);
    await using _next = await proxyInFront(server);
    const isKnown = async () => (await row('c'))?.['state'] === 'restored';
    await until(isKnown, 'the ledger says so');
  });

  test('of a child whose parent is gone come back as they are behind a native drop', async () => {
    await makeFamily();
    await drop('DROP TABLE c');
    await drop('DROP TABLE p');
    const report = await back('c');
    const zz = report.foreignKeys.find(({ name }) => name === 'zz');
    expect(zz).toMatchObject({ problem: null, isParentMissing: true });
    expect(await count('c')).toBe(3);
    expect(await errnoOf('INSERT INTO c (id, pid) VALUES (9, 1)')).toBe(1452);
    await back('p');
    expect(await errnoOf('INSERT INTO c (id, pid) VALUES (9, 1)')).toBe(null);
    expect(await errnoOf('INSERT INTO c (id, pid) VALUES (10, 77)')).toBe(1452);
  });

  test('whose name is taken stay away, and the table with all others comes back', async () => {
    await makeFamily();
    await drop('DROP TABLE c');
    await run('CREATE TABLE thief (id INT, CONSTRAINT zz FOREIGN KEY (id) REFERENCES p (id))');
    const report = await back('c');
    const problems = report.foreignKeys.filter(({ problem }) => problem !== null);
    expect(problems.map(({ name }) => name)).toEqual(['zz']);
    expect(await count('c')).toBe(3);
    expect(await show('c')).toContain('FOREIGN KEY (`self`)');
  });

  test('of a table that comes back under another name are those that the server would give it', async () => {
    await makeFamily();
    await drop('DROP TABLE c');
    await run(CHILD(far.name).replace('CONSTRAINT zz', '').replace('CONSTRAINT `a key`', ''));
    await back('c', `${schema.name}.c2`);
    const shown = await show('c2');
    expect(shown).toContain('CONSTRAINT `c2_ibfk_1` FOREIGN KEY');
    expect(shown).toContain('(`self`) REFERENCES `c2` (`id`)');
    expect(await count('c2')).toBe(3);
  });

  test('between tables of one statement come back in whatever order they are restored', async () => {
    for (const order of [
      ['p', 'c'],
      ['c', 'p'],
    ] as const) {
      await makeFamily();
      const before = await show('c');
      await drop('DROP TABLE c, p');
      expect(await errnoOf('CREATE TABLE p (id INT PRIMARY KEY)')).toBe(null);
      await run('DROP TABLE p');
      for (const table of order) await back(table);
      expect(await show('c')).toBe(before);
      expect(await errnoOf('INSERT INTO c (id, pid) VALUES (9, 9)')).toBe(1452);
      expect(await errnoOf('DROP TABLE p')).not.toBe(null);
      expect([await count('p'), await count('c')]).toEqual([2, 3]);
    }
  });

  test('of live children lead to the name of a parent dropped without checks', async () => {
    await makeFamily();
    const whole = await show('c');
    await run(
      `CREATE TABLE ${far.name}.kid (id INT, FOREIGN KEY (id) REFERENCES ${schema.name}.p (id))`,
      `INSERT INTO ${far.name}.kid VALUES (2)`,
    );
    const before = [await show('c'), await show(`${far.name}.kid`)].map(byLines);
    await drop('DROP TABLE p', ['SET foreign_key_checks = 0']);
    await relocated('p');
    expect([await show('c'), await show(`${far.name}.kid`)].map(byLines)).toEqual(before);
    expect(await show('c')).toBe(whole);
    expect(await errnoOf('INSERT INTO c (id, pid) VALUES (9, 1)')).toBe(1452);
    await run('CREATE TABLE p (id INT PRIMARY KEY)', 'INSERT INTO p VALUES (7)');
    expect(await errnoOf('INSERT INTO c (id, pid) VALUES (9, 7)')).toBe(null);
    expect(await errnoOf('INSERT INTO c (id, pid) VALUES (10, 1)')).toBe(1452);
    // The new one away, the old one back: they are its children again.
    await run('SET foreign_key_checks = 0', 'DROP TABLE p', 'SET foreign_key_checks = 1');
    await back('p');
    expect([await show('c'), await show(`${far.name}.kid`)].map(byLines)).toEqual(before);
    expect(await errnoOf('INSERT INTO c (id, pid) VALUES (11, 1)')).toBe(null);
    expect(await errnoOf(`DELETE FROM p WHERE id = 2`)).toBe(1451);
    await run(`DROP TABLE ${far.name}.kid`);
  });

  test('of a child are not taken off by an account that could not add them again', async () => {
    await makeFamily();
    const before = byLines(await show('c'));
    const login = { user: `fk_${server.flavour}`, password: 'narrow' };
    const rights = 'SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, TRIGGER, PROCESS';
    await account(login.user, `${rights} ON *.*`);
    await using narrow = await proxyInFront({ ...server, ...login });
    const target = { ...narrow, user: server.user, password: server.password };
    const dropped = drop('DROP TABLE p', ['SET foreign_key_checks = 0'], target);
    // Only there is the right asked for: the key stays, so the parent stays as well.
    if (server.name === 'mysql-9.7') {
      await expect(dropped).rejects.toThrow(/UNDROP_HOLD_FAILED: .*REFERENCES/);
    } else {
      await dropped;
      await relocated('p');
      expect(byLines(await show('c'))).toEqual(before);
      await back('p');
    }
    expect(byLines(await show('c'))).toEqual(before);
    expect([await count('p'), await count('c')]).toEqual([2, 3]);
  });

  test('are nothing that keeps held tables from being removed in their time', async () => {
    await makeFamily();
    await using collecting = await proxyInFront(server, {
      COLLECT: 'on',
      HOLD: '1s',
      EVAC: '1s',
      CHECK_INTERVAL: '1s',
    });
    await drop('DROP TABLE p', ['SET foreign_key_checks = 0'], collecting);
    await drop('DROP TABLE c', [], collecting);
    for (const table of ['p', 'c']) {
      const isRemoved = async () => (await row(table))?.['state'] === 'removed';
      await until(isRemoved, `${table} is removed`);
    }
  });
});

/** Indexes that the server made for a key may stand behind the others afterwards. */
function byLines(definition: string): readonly string[] {
  return definition
    .split('\n')
    .map((line) => line.replace(/,$/, ''))
    .sort();
}
