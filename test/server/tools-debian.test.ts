/**
 * What Django, Alembic with SQLAlchemy, Doctrine and Laravel do with a schema, directly and through
 * the proxy: migrations up, down, from the beginning, and all that these tools have to empty a
 * schema or to make it anew. Each project says what its tool sees (test/support/tools). And dumps
 * that are loaded over the schema that they were made of, with foreign keys, triggers, views, a
 * routine and an event in it, and pt-online-schema-change. What is there afterwards is the same,
 * and every table that went is held.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type BothWays, bothWays } from '../support/both-ways.js';
import { connectionOptions } from '../support/client-cli.js';
import { DUMP_TOOLS, DUMPED, runClient } from '../support/clients.js';
import { runMydumper, runProject, runSchemaChange } from '../support/debian-tools.js';
import { temporaryFolder } from '../support/folders.js';
import { onServer } from '../support/on-servers.js';
import { sample } from '../support/sample.js';
import { query, type Target, type TestServer, testServer } from '../support/servers.js';

interface Tool {
  readonly does: string;
  /** In test/support/tools. */
  readonly script: string;
  readonly says: readonly RegExp[];
  /** How many lines the state of its schema has at the end. */
  readonly left: number;
  /** Rows of each table of a name that it dropped. */
  readonly held: Readonly<Record<string, readonly number[]>>;
}

/** Tables of the Django project, with their rows when it has been migrated and filled. */
const AFTER_MIGRATE = {
  ...{ auth_group: 0, auth_group_permissions: 0, auth_permission: 24, auth_user: 0 },
  ...{ auth_user_groups: 0, auth_user_user_permissions: 0, django_content_type: 6 },
  ...{ django_migrations: 16, shop_author: 2, shop_book: 3, shop_book_readers: 6 },
};
/** Tables of a test database of the Laravel project. */
const OF_LARAVEL = { authors: [1], books: [3], loans: [3], migrations: [2] };

const TOOLS: Readonly<Record<string, Tool>> = {
  Django: {
    does: 'migrates, goes back, flushes, and makes and removes test databases',
    script: 'django/run.py',
    says: [/No changes detected/, /Destroying old test database/],
    left: 22,
    held: {
      // Its flush is a TRUNCATE of each.
      ...{ shop_book_readers: [6, 6, 6], shop_book: [3, 3, 3], shop_author: [2, 2, 2] },
      ...{ auth_user_groups: [0], auth_user_user_permissions: [0], auth_user: [0] },
      ...{ auth_group_permissions: [0], auth_group: [0], auth_permission: [24, 24] },
      django_content_type: [6, 6],
      ...Object.fromEntries(
        Object.entries(AFTER_MIGRATE).map(([table, rows]) => [`_test.${table}`, [rows, rows]]),
      ),
    },
  },
  Alembic: {
    does: 'upgrades and downgrades; SQLAlchemy drops all, cycles too',
    ...{ script: 'alembic/run.py', says: [/\['<schema>'\]/], left: 15 },
    held: {
      ...{ loan: [0, 3, 0], book: [3, 3], author: [2, 2], alembic_version: [1] },
      ...{ person: [2, 2], team: [0, 0], frame: [1] },
    },
  },
  Doctrine: {
    ...{ does: 'compares, drops tables and the database itself', script: 'doctrine.php' },
    ...{ says: [/\n<schema>\n/], left: 6 },
    held: { author: [1, 1, 1], book: [3, 3, 3], loan: [0, 0, 0], lent: [0] },
  },
  Laravel: {
    does: 'rolls back, resets, wipes and makes test databases',
    script: 'laravel/run.php',
    says: [/rollback: \[/],
    left: 9,
    held: {
      ...{ authors: [1, 1, 1], books: [3, 3, 3, 0], loans: [3, 0, 3], lent: [3] },
      migrations: [2, 2],
      ...Object.fromEntries(
        ['_test_1', '_test_2'].flatMap((name) =>
          Object.entries(OF_LARAVEL).map(([table, rows]) => [`${name}.${table}`, rows]),
        ),
      ),
    },
  },
};

/** A tool takes seconds of the processor, so a run that is not long has two of them. */
const CELLS = sample(
  ['mysql-9.7', 'mariadb-11.8'].flatMap((name) =>
    Object.entries(TOOLS).map(([tool, its]) => ({ name, tool, ...its })),
  ),
  { name: 'tools', kind: ({ name }) => name },
);
const NAMES = [...new Set(CELLS.map(({ name }) => name))];

describe.each(NAMES)('%s', (name) => {
  const server = testServer(name);
  const prefix = `orm_${randomBytes(4).toString('hex')}`;
  const account = { user: prefix, password: 'pa$$ word' };
  const on = onServer(server);
  // Rights on its own schemas, as an application has them, those of test runs among them.
  const grants = [`ALL ON \`${prefix.replace('_', '\\_')}%\`.*`];
  on.account(account.user, { password: account.password, grants });
  const proxy = on.proxy();

  const cells = CELLS.filter((cell) => cell.name === name);
  test.each(cells)('$tool $does', async ({ script, says, left, held }) => {
    const done = await bothWays({ server, proxy, account, prefix }, (target, schema) =>
      runProject(script, target, schema),
    );
    expect(done).toMatchObject({ code: 0, said: expect.stringMatching(says[0] ?? /^$/) });
    for (const text of says) expect(done.said).toMatch(text);
    expect(done.left).toHaveLength(left);
    expect(done.held).toEqual(held);
  });
});

/** How a tool ends. */
interface Ending {
  readonly words: string;
  readonly code: number;
}

const DONE: Ending = { words: 'Successfully altered', code: 0 };

/** What mydumper takes along beside tables, views and triggers. */
const PROGRAMS = {
  // Of a routine of MySQL 8 and later it writes `SET character_set_client = ;`.
  'mysql-9.7': ['--events'],
  'mariadb-11.8': ['--routines', '--events'],
};

/** Gives a test its proxy, and an account that may do everything, as triggers and views need. */
function proxied(server: TestServer): () => BothWays {
  const prefix = `dbt_${randomBytes(4).toString('hex')}`;
  const account = { user: prefix, password: 'pa$$word' };
  const on = onServer(server);
  on.account(account.user, { password: account.password, grants: ['ALL ON *.*'] });
  const proxy = on.proxy();

  return () => ({ server, proxy, account, prefix, fill: SHOP });
}

describe.each(sample(DUMPED, { name: 'dumps', count: 1 }))('%s: a dump', (name) => {
  const { dump, client, options } = DUMP_TOOLS[name];
  const server = testServer(name);
  const ways = proxied(server);

  /** A dump of a schema by its own dump program, as text. */
  const dumped = async (target: Target, args: readonly string[]): Promise<string> => {
    const all = [...connectionOptions(dump), ...options, '--routines', '--events', ...args];
    const { code, stdout, stderr } = await runClient(dump, target, all);
    expect({ code, stderr: withoutWarnings(stderr) }).toEqual({ code: 0, stderr: '' });
    return stdout;
  };

  test('of the schema, twice', async () => {
    const { code, left, held } = await bothWays(ways(), async (target, schema) => {
      const input = await dumped(target, [schema]);
      await query(server, `USE ${schema}`, ...SPOILED);
      const args = [...connectionOptions(client), schema];
      await runClient(client, target, args, { input });
      return runClient(client, target, args, { input });
    });
    expect(code).toBe(0);
    expect(left.join('\n')).toContain('"Ann"');
    expect(left).toHaveLength(STATE_LINES);
    expect(held).toEqual({ author: [1, 2], book: [0, 3], audit: [4, 3], loan: [0, 2] });
  });

  test('with DROP DATABASE in it', async () => {
    const { code, left, held } = await bothWays(ways(), async (target, schema) => {
      const input = await dumped(target, ['--add-drop-database', '--databases', schema]);
      await query(server, `USE ${schema}`, ...SPOILED);
      return runClient(client, target, connectionOptions(client), { input });
    });
    expect(code).toBe(0);
    expect(left).toHaveLength(STATE_LINES);
    expect(held).toEqual({ author: [1], book: [0], audit: [4], loan: [0] });
  });

  test('by mydumper, loaded by myloader in several threads', async () => {
    await using folder = await temporaryFolder('mydumper');
    const { code, said, left, held } = await bothWays(
      ways(),
      async (target, schema) => {
        const into = join(folder.path, schema);
        const all = ['--triggers', ...PROGRAMS[name], `--outputdir=${into}`, '--verbose=3'];
        const made = await runMydumper('mydumper', target, [`--database=${schema}`, ...all]);
        await query(server, `USE ${schema}`, ...SPOILED);
        const from = [`--directory=${into}`, '--overwrite-tables', '--threads=4'];
        const loaded = await runMydumper('myloader', target, [...from, '--verbose=3']);
        const { code, stdout, stderr } = loaded;
        return { code: made.code || code, stdout, stderr: made.stderr + stderr };
      },
      inAnyOrder,
    );
    expect({ code, said }).toEqual({ code: 0, said: expect.stringContaining('restoring') });
    expect(left).toHaveLength(STATE_LINES);
    // Where a view will be, there is a table for a moment.
    expect(held).toEqual({ author: [1], book: [0], audit: [4], loan: [0], titles: [0] });
  });
});

/** What the tool itself doesn't do on a server, by its words and whether it fails. */
const CHANGES = [
  { name: 'mysql-5.6', swapping: DONE, triggers: { words: 'already have triggers', code: 1 } },
  {
    name: 'mariadb-10.11',
    swapping: { words: "drop_swap doesn't work with MySQL 8.0+", code: 1 },
    triggers: DONE,
  },
  { name: 'mariadb-11.8', swapping: DONE, triggers: DONE },
] as const;

const SOME = sample(CHANGES, { name: 'changes', count: 1 });
describe.each(SOME)('$name: pt-online-schema-change', ({ name, swapping, triggers }) => {
  const server = testServer(name);
  const ways = proxied(server);
  const change = async (table: string, expected: Ending, ...args: readonly string[]) => {
    const { code, said, left, held } = await bothWays(
      ways(),
      (target, schema) =>
        runSchemaChange(target, { schema, table }, ['--alter=ADD COLUMN note INT', ...args]),
      withoutEstimates,
    );
    expect({ code, said }).toEqual({
      code: expected.code,
      said: expect.stringContaining(expected.words),
    });
    expect(left.join('\n')).toContain('REFERENCES `author`');
    const [altered] = left.filter((line) => line.startsWith(`{"Table":"${table}"`));
    expect(altered?.includes('`note` int')).toBe(expected === DONE);
    return held;
  };

  test('of a parent, whose children get their foreign keys anew', async () => {
    const held = await change('author', DONE, '--alter-foreign-keys-method=rebuild_constraints');
    expect(held).toEqual({ _author_old: [2] });
  });

  test('of a parent that is dropped before the new one has its name', async () => {
    const method = ['--alter-foreign-keys-method=drop_swap', '--force'];
    const held = await change('author', swapping, ...method);
    expect(held).toEqual(swapping === DONE ? { author: [2] } : {});
  });

  test('of a child', async () => {
    expect(await change('loan', DONE)).toEqual({ _loan_old: [2] });
  });

  test('of a child and parent with triggers of its own', async () => {
    const method = ['--alter-foreign-keys-method=auto', '--preserve-triggers'];
    const held = await change('book', triggers, ...method);
    expect(held).toEqual(triggers === DONE ? { _book_old: [3] } : {});
  });
});

/** What a shop consists of. Dumps have its tables by name, so children come before parents. */
const SHOP = [
  `CREATE TABLE author (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50) UNIQUE)
     ENGINE = InnoDB`,
  `CREATE TABLE book (id INT AUTO_INCREMENT PRIMARY KEY, author_id INT NOT NULL,
     title VARCHAR(100), KEY by_title (title),
     CONSTRAINT fk_author FOREIGN KEY (author_id) REFERENCES author (id)) ENGINE = InnoDB`,
  `CREATE TABLE loan (id INT AUTO_INCREMENT PRIMARY KEY, book_id INT,
     CONSTRAINT fk_book FOREIGN KEY (book_id) REFERENCES book (id) ON DELETE CASCADE)
     ENGINE = InnoDB`,
  'CREATE TABLE audit (id INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(99)) ENGINE = InnoDB',
  "CREATE TRIGGER book_added AFTER INSERT ON book FOR EACH ROW INSERT INTO audit (what) VALUES ('+')",
  `CREATE TRIGGER book_gone AFTER DELETE ON book FOR EACH ROW
     INSERT INTO audit (what) VALUES (CONCAT('DROP TABLE book; ', OLD.title))`,
  'CREATE VIEW titles AS SELECT b.title, a.name FROM book b JOIN author a ON a.id = b.author_id',
  'CREATE PROCEDURE count_books() SELECT COUNT(*) FROM book',
  'CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM audit',
  "INSERT INTO author VALUES (1, 'Ann'), (2, 'Bob')",
  "INSERT INTO book (author_id, title) VALUES (1, 'One'), (1, 'Two'), (2, 'Three')",
  'INSERT INTO loan (book_id) VALUES (1), (3)',
];

/** What somebody did to it before the dump was loaded again. */
const SPOILED = [
  'DELETE FROM loan',
  'DELETE FROM book WHERE id = 3',
  'SET foreign_key_checks = 0',
  'DELETE FROM author WHERE id = 2',
  'TRUNCATE TABLE book',
  'DROP VIEW titles',
  'DROP TRIGGER book_gone',
];

/** Four tables with their rows, two triggers, a view, a procedure, an event. */
const STATE_LINES = 13;

/** Each client warns of a password on its command line. */
function withoutWarnings(stderr: string): string {
  return stderr.replaceAll(/^.*\[Warning\] Using a password.*\n/gm, '');
}

/** Threads say what they do when they do it. */
function inAnyOrder(said: string): string {
  const who = /\d\d:\d\d:\d\d(\.\d+)?|Thread \d+|ID \d+|myloader:\d+/g;
  return said.replaceAll(who, '').split('\n').sort().join('\n');
}

/** Without times, and without what is reckoned from them and from statistics. */
function withoutEstimates(said: string): string {
  return said
    .replaceAll(/^2\d{3}-\S+ /gm, '')
    .replaceAll(/approx\S* \S+ rows/g, '<rows>')
    .replaceAll(/^Max rows .*$/gm, '');
}
