/**
 * Children and parents that have changed while a table of theirs was away, on real servers. Where
 * another table has the name of its parent by now, the key of a child waits for the old parent,
 * unless it is asked for; of rows that break a key the restore says so when the table is back, with
 * a query that lists them.
 */
import { collectNow } from '../collector/collecting.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront, runUndrop, spawnProxy } from '../support/proxy.js';
import { connect, type Target } from '../support/servers.js';
import { wireTap } from '../support/wire-tap.js';
import { ledgerRowOf, sayTo } from './service-fixture.js';

const PARENT = 'CREATE TABLE p (id INT PRIMARY KEY)';
const FAMILY = [
  PARENT,
  `CREATE TABLE c (id INT PRIMARY KEY, pid INT, up INT,
    CONSTRAINT to_p FOREIGN KEY (pid) REFERENCES p (id) ON DELETE CASCADE,
    CONSTRAINT up FOREIGN KEY (up) REFERENCES c (id))`,
  'INSERT INTO p VALUES (1), (2), (3)',
  'INSERT INTO c VALUES (1, 1, NULL), (2, 2, 1), (3, NULL, 1), (4, 3, 2)',
];
/** With one of the old rows. */
const ANOTHER = [PARENT, 'INSERT INTO p VALUES (1), (9)'];
const CYCLE = [
  'CREATE TABLE a (id INT PRIMARY KEY)',
  'CREATE TABLE b (id INT PRIMARY KEY, CONSTRAINT to_a FOREIGN KEY (id) REFERENCES a (id))',
  'ALTER TABLE a ADD CONSTRAINT to_b FOREIGN KEY (id) REFERENCES b (id)',
];
/** A line of parents and children. */
const LINE = [
  'CREATE TABLE maker (id INT PRIMARY KEY)',
  `CREATE TABLE item (id INT PRIMARY KEY, mid INT,
    CONSTRAINT to_maker FOREIGN KEY (mid) REFERENCES maker (id) ON DELETE CASCADE)`,
  'CREATE TABLE part (id INT PRIMARY KEY, iid INT, FOREIGN KEY (iid) REFERENCES item (id))',
];
const LINE_ROWS = [
  'INSERT INTO maker VALUES (1), (2)',
  'INSERT INTO item VALUES (1, 1), (2, 2)',
  'INSERT INTO part VALUES (1, 1), (2, 2)',
];
const LINE_NAMES = ['maker', 'item', 'part'];
/** A dump of empty tables, as mysqldump writes it. */
const DUMP = [
  'SET foreign_key_checks = 0',
  ...LINE.flatMap((text, index) => [`DROP TABLE IF EXISTS ${LINE_NAMES[index]}`, text]),
  'SET foreign_key_checks = 1',
];
/** Counted by the rows of `ANOTHER`. */
const ROWS = { withParent: 1, withoutParent: 2 };

/** A key of two columns. */
const PAIR = [
  'CREATE TABLE p (a INT, b INT, PRIMARY KEY (a, b))',
  `CREATE TABLE c (id INT PRIMARY KEY, a INT, b INT, up INT,
    CONSTRAINT \`to p\` FOREIGN KEY (a, b) REFERENCES p (a, b),
    CONSTRAINT up FOREIGN KEY (up) REFERENCES c (id))`,
  'INSERT INTO p VALUES (1, 1), (2, 2)',
  'INSERT INTO c VALUES (1, 1, 1, NULL), (2, 2, 2, 1), (3, NULL, 9, NULL)',
];

/** Of the answer of `undrop restore --json`. */
interface Report {
  readonly foreignKeys: readonly { readonly rows: object | null }[];
  readonly brokenKeys: readonly {
    readonly name: string;
    readonly table: string;
    readonly query: string;
    readonly isSeen: boolean;
  }[];
}

onServers('another parent on $name', (server, on) => {
  const { beforeEach, test } = on;
  const proxy = on.proxy();
  on.each.freshLedger();
  const schema = on.each.schema('parents');
  const direct = on.each.session({ schema });
  beforeEach(() => direct.run(...FAMILY));

  const say = (...texts: readonly string[]) => sayTo(proxy, { schema: schema.name, texts });
  const keysOf = async (table: string) => {
    const rows = await direct.rows(`SELECT CONSTRAINT_NAME AS name
      FROM information_schema.TABLE_CONSTRAINTS WHERE TABLE_SCHEMA = '${schema.name}'
      AND TABLE_NAME = '${table}' AND CONSTRAINT_TYPE = 'FOREIGN KEY' ORDER BY 1`);
    return rows.map(({ name }) => String(name));
  };
  /** The newest drop of the table. */
  const rowOf = async (table: string) => {
    const row = await ledgerRowOf(direct, { schema: schema.name, table });
    return { id: String(row?.['id']), todo: row?.['todo'], failure: row?.['failure'] };
  };
  const undrop = async (...args: readonly string[]) => {
    const { code, stdout, stderr } = await runUndrop(server, args);
    const isComplete = !stdout.includes('its parent was replaced');
    expect([code, stderr !== '']).toEqual(isComplete ? [0, false] : [1, true]);
    return stdout;
  };
  const named = (table: string) => `${schema.name}.${table}`;
  /** Of an UNDROP through a proxy. */
  const warningsOf = async (tables = 'c', target: Target = proxy) => {
    await using client = await connect(target, { database: schema.name });
    await client.query(`UNDROP TABLE ${tables}`);
    return (await client.rows('SHOW WARNINGS')).map(({ Message }) => String(Message));
  };
  const restored = async (what: string, ...args: readonly string[]) =>
    JSON.parse(await undrop('restore', what, '--json', ...args)) as Report;

  test('a key waits where its parent was made anew, and `--keys` adds it', async () => {
    await say('DROP TABLE c', 'DROP TABLE p');
    await direct.run(...ANOTHER);
    const [old, child] = [await rowOf('p'), await rowOf('c')];
    let told = await restored(named('c'));
    // A slow server may not count, nor look, in the moment that it has.
    await until(async () => {
      const isCounted = told.foreignKeys[0]?.rows !== null;
      if (isCounted && told.brokenKeys.every(({ isSeen }) => isSeen)) return true;
      told = await restored(child.id);
      return false;
    }, 'its rows are counted');
    const { foreignKeys, brokenKeys } = told;
    const problem = expect.stringContaining(
      `its parent was replaced; \`undrop restore ${child.id} --keys\` adds it; ` +
        `the old one is held as ${old.id}; rows with a parent there: 1, without: 2`,
    );
    expect(foreignKeys).toMatchObject([
      { name: 'to_p', problem, isAwaiting: true, oldParent: null, rows: ROWS },
      { name: 'up', problem: null, isAwaiting: false, oldParent: null, rows: null },
    ]);
    expect([brokenKeys, await keysOf('c')]).toEqual([[], ['up']]);
    // A DELETE of the other table's rows takes no row of the child with it.
    await direct.query('DELETE FROM p WHERE id = 1');
    expect(await direct.count('c')).toBe(4);
    await direct.query('INSERT INTO p VALUES (1)');

    expect(await rowOf('c')).toMatchObject({
      todo: 'keys',
      failure: expect.stringContaining('to_p'),
    });
    const again = await restored(child.id, '--keys');
    const oldParent = `the old one is held as ${old.id}`;
    expect(again.foreignKeys).toMatchObject([
      { name: 'to_p', problem: null, isAwaiting: false, oldParent },
      { name: 'up', problem: null },
    ]);
    expect([ROWS, null]).toContainEqual(again.foreignKeys[0]?.rows);
    expect(await keysOf('c')).toEqual(['to_p', 'up']);
    // Another look may have been too slow.
    const looked = again.brokenKeys.filter(({ name, isSeen }) => isSeen || name === 'to_p');
    expect(looked).toMatchObject([{ name: 'to_p' }]);
    const broken = await direct.rows(looked[0]?.query ?? '');
    expect(broken.map((row) => row['id'])).toEqual([2, 4]);
    expect(await rowOf('c')).toMatchObject({ todo: null, failure: null });
  });

  test('with `--keys` the first restore adds it, and says what it refers to', async () => {
    await say('DROP TABLE c', 'DROP TABLE p', ...ANOTHER, 'UNDROP TABLE p TO q');
    const said = await undrop('restore', named('c'), '--keys');
    expect(said).toContain(
      `${named('c')}: foreign key to_p refers to another ${named('p')}; ` +
        `the old one was restored as ${named('q')}; rows with`,
    );
    // A slow server has no time to count.
    expect(said).toMatch(/; rows (with a parent there: 1, without: 2|.* there: not counted)\./);
    expect(await keysOf('c')).toEqual(['to_p', 'up']);
  });

  test('UNDROP has a warning of it', async () => {
    await say('DROP TABLE c', 'DROP TABLE p', ...ANOTHER);
    const { id } = await rowOf('c');
    const text = `${named('c')}: foreign key to_p: its parent was replaced; `;
    const [warning] = await warningsOf();
    expect(warning).toContain(`${text}\`undrop restore ${id} --keys\``);
    expect(await keysOf('c')).toEqual(['up']);
  });

  test.each([
    ['in exchange for the other', [], ['--swap']],
    ['after the other was dropped', ['DROP TABLE p'], []],
    ['after the other was renamed', ['RENAME TABLE p TO other'], []],
  ])('the key is added when the old parent is back, %s', async (...args) => {
    const [, before, how] = args;
    await say('DROP TABLE c', 'DROP TABLE p', ...ANOTHER, 'UNDROP TABLE c');
    const { id } = await rowOf('p');
    await say(...before);
    const said = await undrop('restore', id, ...how);
    expect(said).toContain(
      `${named('p')}: foreign key to_p of ${named('c')} was added: it had waited for this table.`,
    );
    expect([await keysOf('c'), await direct.count('p')]).toEqual([['to_p', 'up'], 3]);
    expect(await rowOf('c')).toMatchObject({ todo: null, failure: null });
  });

  test('the key is added by recovery, if the old parent was renamed by hand', async () => {
    await say('DROP TABLE c', 'DROP TABLE p', ...ANOTHER, 'UNDROP TABLE c');
    await collectNow(server);
    expect(await keysOf('c')).toEqual(['up']);
    expect(await rowOf('c')).toMatchObject({ todo: 'keys' });
    const old = await ledgerRowOf(direct, { schema: schema.name, table: 'p' });
    await direct.run(
      'DROP TABLE p',
      `RENAME TABLE _undrop.${old?.['hold_name']} TO ${named('p')}`,
      `UPDATE _undrop.ledger SET state = 'restored', ended_at = UTC_TIMESTAMP(),
         restored_as = '${named('p')}' WHERE id = '${old?.['id']}'`,
    );
    // Another process has not tried yet.
    await using _other = await spawnProxy(server, { COLLECT: 'auto', CHECK_INTERVAL: '1s' });
    const isAdded = async () => (await rowOf('c'))['todo'] === null;
    await until(isAdded, 'its key is added');
    expect(await keysOf('c')).toEqual(['to_p', 'up']);
  });

  test('a live key that does not fit the old parent is told of; a swap back adds it', async () => {
    await say('DROP TABLE c, p');
    await direct.query('CREATE TABLE p (id BIGINT PRIMARY KEY)');
    await direct.query('CREATE TABLE c (id BIGINT, FOREIGN KEY (id) REFERENCES p (id))');
    const text = `the foreign key of ${named('c')}: `;
    expect(await warningsOf('p SWAP')).toEqual([expect.stringContaining(text)]);
    expect(await keysOf('c')).toEqual([]);
    await undrop('restore', named('p'), '--swap');
    expect(await keysOf('c')).toEqual(['c_ibfk_1']);
    const { code, stderr } = await runUndrop(server, ['restore', named('p'), '--swap']);
    expect([code, stderr]).toEqual([1, expect.stringContaining('foreign key of')]);
  });

  test('a child that was altered meanwhile gets no key', async () => {
    await say('DROP TABLE c', 'DROP TABLE p', ...ANOTHER, 'UNDROP TABLE c');
    await direct.run('ALTER TABLE c ADD COLUMN more INT');
    await undrop('restore', named('p'), '--swap');
    expect(await keysOf('c')).toEqual(['up']);
  });

  const UNCHECKED = 'SET foreign_key_checks = 0';
  const BOTH = ['DROP TABLE c', 'DROP TABLE p'];
  test.each([
    ['if it was replaced', ['DROP TABLE c, p', ...ANOTHER, 'UNDROP TABLE c'], ['up']],
    ['WITH KEYS', [...BOTH, ...ANOTHER, 'UNDROP TABLE c WITH KEYS'], ['to_p', 'up']],
    ['if it was away', [...BOTH, 'UNDROP TABLE p', 'UNDROP TABLE c'], ['to_p', 'up']],
    [
      'if it is no longer the dropped one at the drop of the child',
      [UNCHECKED, 'DROP TABLE p', PARENT, 'DROP TABLE c', 'UNDROP TABLE c'],
      ['to_p', 'up'],
    ],
  ])('the key to a parent %s: %j', async (_what, texts, keys) => {
    await say(...texts);
    expect(await keysOf('c')).toEqual(keys);
  });

  test('a cycle comes back with its keys; a part of it waits for the other', async () => {
    const off = 'SET foreign_key_checks = 0';
    await direct.run(...CYCLE);
    const keys = async () => [...(await keysOf('a')), ...(await keysOf('b'))];
    await say(off, 'DROP TABLE a, b', 'UNDROP TABLE a, b');
    expect(await keys()).toEqual(['to_b', 'to_a']);
    await say(off, 'DROP TABLE a', 'DROP TABLE b', 'UNDROP TABLE b, a');
    expect(await keys()).toEqual(['to_b', 'to_a']);
    await say(off, 'DROP TABLE a', 'DROP TABLE b', 'CREATE TABLE b (id INT PRIMARY KEY)');
    await restored(named('a'));
    expect(await keys()).toEqual([]);
    await restored(named('b'), '--swap');
    expect(await keys()).toEqual(['to_b', 'to_a']);
  });

  describe('an old dump that was loaded over a filled schema', () => {
    const shown = async () => {
      const tables = [];
      for (const name of LINE_NAMES)
        tables.push([await direct.show(name), await direct.count(name)]);
      return tables;
    };
    const loaded = async (dump: readonly string[] = DUMP) => {
      await direct.run(...LINE, ...LINE_ROWS);
      const before = await shown();
      await say(...dump);
      return before;
    };
    const swapped = (names: string) => warningsOf(`${names} SWAP`);

    test('is undone with all keys by one UNDROP, and so is that', async () => {
      const before = await loaded();
      const loadedNow = await shown();
      await using client = await connect(proxy, { database: schema.name });
      const explained = await client.rows('EXPLAIN UNDROP TABLE part, item, maker SWAP');
      const notes = new Set(explained.map((row) => row['Notes']));
      expect([...notes]).toEqual(['the live table of that name is held instead']);
      expect([await swapped('part, item, maker'), await shown()]).toEqual([[], before]);
      expect([await swapped('maker, item, part'), await shown()]).toEqual([[], loadedNow]);
    });

    test.each([
      ['maker', 'item', 'part'],
      ['maker', 'part', 'item'],
      ['item', 'maker', 'part'],
      ['item', 'part', 'maker'],
      ['part', 'maker', 'item'],
      ['part', 'item', 'maker'],
    ])('is undone with all keys one by one: %s, %s, %s', async (...names) => {
      const before = await loaded();
      for (const name of names) await swapped(name);
      expect(await shown()).toEqual(before);
    });

    test('a child that comes before its parent has a warning that names the parent', async () => {
      await loaded();
      const { id } = await rowOf('item');
      const text = `rows break foreign key part_ibfk_1: UNDROP TABLE '${id}' SWAP`;
      expect(await swapped('part')).toEqual([expect.stringContaining(text)]);
      const said = await undrop('restore', named('item'), '--swap');
      const maker = await rowOf('maker');
      expect(said).toContain(`: UNDROP TABLE '${maker.id}' SWAP restores its old parent.\n`);
      expect(await swapped('maker')).toEqual([]);
    });

    test('is undone with all keys by the user and the time', async () => {
      const before = await loaded();
      const [user = ''] = await direct.column('SELECT user_name FROM _undrop.ledger LIMIT 1');
      const said = await undrop('restore', '--dropped-by', user, '--since', '1h', '--swap');
      expect(await shown()).toEqual(before);
      expect(said).not.toMatch(/was not restored|rows break/);
    });
  });

  test('a whole schema has its keys; with `--keys` also to a table that has its own name', async () => {
    await using client = await connect(proxy);
    await client.run(`DROP DATABASE ${schema.name}`, `UNDROP DATABASE ${schema.name}`);
    expect(await keysOf('c')).toEqual(['to_p', 'up']);
    await client.run(`DROP DATABASE ${schema.name}`, `CREATE DATABASE ${schema.name}`);
    await direct.run(`USE ${schema.name}`, ...ANOTHER);
    const args = ['restore', '--schema', schema.name];
    const { stdout } = await runUndrop(server, args);
    expect(stdout).toContain('c: foreign key to_p: its parent was replaced; ');
    expect(await keysOf('c')).toEqual(['up']);
    await runUndrop(server, [...args, '--keys']);
    expect(await keysOf('c')).toEqual(['to_p', 'up']);
  });

  const makePair = () => direct.run('DROP TABLE c, p', ...PAIR);
  /** By the command; restored again where the server is too slow for a look. */
  const brokenKeysOf = async (table: string, meanwhile = 'DO 0') => {
    let keys: Report['brokenKeys'] = [];
    await until(async () => {
      await say('SET foreign_key_checks = 0', `DROP TABLE ${table}`);
      await direct.query(meanwhile);
      ({ brokenKeys: keys } = await restored(named(table)));
      return keys.every(({ isSeen }) => isSeen);
    }, 'all keys are looked at');
    return keys;
  };

  test('rows that break a key are told of by the command, with a query that lists them', async () => {
    await makePair();
    for (const table of ['p', 'c']) expect(await brokenKeysOf(table)).toEqual([]);
    const keys = await brokenKeysOf('c', 'DELETE FROM p WHERE a = 2');
    expect(keys).toMatchObject([{ name: 'to p', table: named('c') }]);
    expect(keys[0]?.query).not.toContain('\n');
    const rows = await direct.rows(keys[0]?.query ?? '');
    expect(rows.map(({ id }) => id)).toEqual([2]);
    // The parent is looked at by the keys of its children.
    expect(await brokenKeysOf('p')).toMatchObject([{ name: 'to p' }]);
  });

  test('rows that break a key are a warning of UNDROP', async () => {
    await makePair();
    let messages: readonly string[] = [];
    // Restored again where the server is too slow for a look.
    await until(async () => {
      await say('DROP TABLE c');
      await direct.query('DELETE FROM p WHERE a = 2');
      messages = await warningsOf();
      return !messages.join().includes('did not check whether rows');
    }, 'all keys are looked at');
    expect(messages).toEqual([`${named('c')}: rows break foreign key to p.`]);
  });

  test('UNDROP says that it did not look for rows that break a key', async () => {
    await makePair();
    await say('DROP TABLE c');
    // Each look is killed, as if its time were over.
    const killed = Buffer.from('\xff\x25\x05#70100interrupted', 'latin1');
    await using tap = await wireTap(server, ({ moment, command }) => {
      const isLook = moment === 'before answer' && command.includes('undrop broken');
      return isLook ? { ends: killed } : true;
    });
    await using hasty = await proxyInFront(tap);
    expect((await warningsOf('c', hasty)).join()).toContain('did not check whether rows');
  });
});
