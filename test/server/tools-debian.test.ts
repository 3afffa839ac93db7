/**
 * What Django, Alembic with SQLAlchemy, Doctrine and Laravel do with a schema, directly and through
 * the proxy: migrations up, down, from the beginning, and all that these tools have to empty a
 * schema or to make it anew. Each project says what its tool sees (test/support/tools).
 */
import { randomBytes } from 'node:crypto';
import { bothWays } from '../support/both-ways.js';
import { runProject } from '../support/debian-tools.js';
import { onServer } from '../support/on-servers.js';
import { sample } from '../support/sample.js';
import { testServer } from '../support/servers.js';

const TOOLS = ['Django', 'Alembic', 'Doctrine', 'Laravel'] as const;

/** A tool takes seconds of the processor, so a run that is not long has two of them. */
const CELLS = sample(
  ['mysql-9.7', 'mariadb-11.8'].flatMap((name) => TOOLS.map((tool) => ({ name, tool }))),
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

  const project = (script: string) =>
    bothWays({ server, proxy, account, prefix }, (target, schema) =>
      runProject(script, target, schema),
    );

  const testOf = (tool: (typeof TOOLS)[number]) => (what: string, run: () => Promise<void>) => {
    const isHere = CELLS.some((cell) => cell.name === name && cell.tool === tool);
    if (isHere) test(`${tool} ${what}`, run);
  };

  testOf('Django')(
    'migrates, goes back, flushes, and makes and removes test databases',
    async () => {
      const { code, said, left, held } = await project('django/run.py');
      expect({ code, said }).toEqual({
        code: 0,
        said: expect.stringContaining('No changes detected'),
      });
      expect(said).toContain('Destroying old test database');
      expect(left).toHaveLength(22);
      const testDatabases = Object.entries(AFTER_MIGRATE).map(([table, rows]) => [
        `_test.${table}`,
        [rows, rows],
      ]);
      expect(held).toEqual({
        shop_book_readers: [6, 6],
        shop_book: [3, 3],
        shop_author: [2, 2],
        auth_user_groups: [0],
        auth_user_user_permissions: [0],
        auth_user: [0],
        auth_group_permissions: [0],
        auth_group: [0],
        auth_permission: [24],
        django_content_type: [6],
        ...Object.fromEntries(testDatabases),
      });
    },
  );

  testOf('Alembic')('upgrades and downgrades; SQLAlchemy drops all, cycles too', async () => {
    const { code, said, left, held } = await project('alembic/run.py');
    expect({ code, said }).toEqual({ code: 0, said: expect.stringContaining("['<schema>']") });
    expect(left).toHaveLength(15);
    expect(held).toEqual({
      loan: [0, 3, 0],
      book: [3, 3],
      author: [2, 2],
      alembic_version: [1],
      person: [2, 2],
      team: [0, 0],
      frame: [1],
    });
  });

  testOf('Doctrine')('compares, drops tables and the database itself', async () => {
    const { code, said, left, held } = await project('doctrine.php');
    expect({ code, said }).toEqual({ code: 0, said: expect.stringMatching(/\n<schema>\n/) });
    expect(left).toHaveLength(6);
    expect(held).toEqual({ author: [1, 1, 1], book: [3, 3, 3], loan: [0, 0, 0], lent: [0] });
  });

  testOf('Laravel')('rolls back, resets, wipes and makes test databases', async () => {
    const { code, said, left, held } = await project('laravel/run.php');
    const inEach = { authors: [1], books: [3], loans: [3], migrations: [2] };
    const ofTestDatabases = ['_test_1', '_test_2'].flatMap((name) =>
      Object.entries(inEach).map(([table, rows]) => [`${name}.${table}`, rows]),
    );
    expect({ code, said }).toEqual({ code: 0, said: expect.stringContaining('rollback: [') });
    expect(left).toHaveLength(9);
    expect(held).toEqual({
      authors: [1, 1, 1],
      books: [3, 3, 3, 0],
      loans: [3, 0, 3],
      lent: [3],
      migrations: [2, 2],
      ...Object.fromEntries(ofTestDatabases),
    });
  });
});

/** Tables of the Django project, with their rows when it has been migrated and filled. */
const AFTER_MIGRATE = {
  auth_group: 0,
  auth_group_permissions: 0,
  auth_permission: 24,
  auth_user: 0,
  auth_user_groups: 0,
  auth_user_user_permissions: 0,
  django_content_type: 6,
  django_migrations: 16,
  shop_author: 2,
  shop_book: 3,
  shop_book_readers: 6,
};
