/**
 * Rehearsals of a loss: a real tool makes and fills a schema, resets it by its own command, rows
 * come since, and it is undone by one statement: rows, keys, triggers, views and AUTO_INCREMENT are
 * as before. The same statement turns it round, and once more.
 */
import { jest } from '@jest/globals';
import type { CommandResult } from '../../throwaway-servers/run-command.js';
import { asking } from '../support/asking.js';
import { connectionOptions } from '../support/client-cli.js';
import { DUMP_TOOLS, runClient } from '../support/clients.js';
import { runProject } from '../support/debian-tools.js';
import { runNpmReset } from '../support/npm-tools.js';
import { onServer } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { isLong } from '../support/sample.js';
import { schemaState } from '../support/schema-state.js';
import { query, type Target, testServer } from '../support/servers.js';

jest.setTimeout(600_000);

interface Job {
  /** The proxy, and the account. */
  readonly target: Target;
  readonly schema: string;
  readonly name: string;
}

/** A program, or the statements of one. */
type Act = (job: Job) => Promise<CommandResult> | readonly string[];

interface Rehearsal {
  readonly on: readonly string[];
  readonly make: Act;
  readonly rows?: readonly string[];
  readonly reset: Act;
  /** Tables that it changes otherwise (DELETE, ALTER), which no undo of drops brings back. */
  readonly apart?: RegExp;
  /** Rows that come then; default: those of a shop, if `rows` are. */
  readonly later?: readonly string[];
}

const BOTH = ['mysql-9.7', 'mariadb-11.8'];

const npm = (tool: string): Rehearsal => {
  const act =
    (phase: 'make' | 'reset'): Act =>
    ({ target, schema, name }) =>
      runNpmReset(tool, { target, schema, flavour: testServer(name).flavour }, phase);
  return { on: BOTH, make: act('make'), rows: SHOP_ROWS, reset: act('reset') };
};
const python = (project: string): Rehearsal => {
  const act =
    (phase: string): Act =>
    ({ target, schema }) =>
      runProject(`${project}/run.py`, target, schema, [phase]);
  return { on: BOTH, make: act('make'), reset: act('reset') };
};

const SHOP_ROWS = [
  "INSERT INTO authors (name) VALUES ('Ann'), ('Bob')",
  "INSERT INTO books (author, title) VALUES (1, 'One'), (1, 'Two'), (2, 'Three')",
];

const SHOP_LATER = [
  "INSERT INTO authors (name) VALUES ('Cid')",
  "INSERT INTO books (author, title) VALUES (1, 'Four'), (1, 'Five')",
];

/** The tables of a migration, as a program writes it. */
const TABLES = [
  'CREATE TABLE authors (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100) UNIQUE)',
  `CREATE TABLE books (id INT AUTO_INCREMENT PRIMARY KEY, author INT NOT NULL, title VARCHAR(100),
     CONSTRAINT written_by FOREIGN KEY (author) REFERENCES authors (id) ON DELETE CASCADE)`,
];
const SHOP: Pick<Rehearsal, 'on' | 'make' | 'rows'> = {
  ...{ on: BOTH, make: () => TABLES, rows: SHOP_ROWS },
};

const REHEARSALS: Readonly<Record<string, Rehearsal>> = {
  'Knex migrate:rollback --all': { ...npm('knex'), apart: /knex_migrations/ },
  'Sequelize sync({ force: true })': npm('sequelize'),
  'TypeORM schema:drop': npm('typeorm'),
  'drizzle-kit push --force': {
    ...npm('drizzle'),
    on: ['mysql-9.7'],
    rows: [...SHOP_ROWS, "INSERT INTO tags VALUES ('new'), ('old')"],
    later: ["INSERT INTO tags VALUES ('red', 1), ('green', 2), ('blue', 3)"],
  },
  'dbmate drop': npm('dbmate'),
  'Alembic downgrade base': { ...python('alembic'), apart: /^\{"Table":"book"|^book:/ },
  'Django flush': { ...python('django'), on: BOTH },
  // Their programs can't be had here; by their sources.
  'Prisma migrate reset': {
    ...SHOP,
    reset: ({ schema }) => [
      `DROP DATABASE \`${schema}\``,
      `CREATE DATABASE \`${schema}\``,
      `USE \`${schema}\``,
      ...TABLES,
    ],
  },
  'Rails db:reset': {
    ...SHOP,
    reset: ({ schema }) => [
      `DROP DATABASE IF EXISTS \`${schema}\``,
      `CREATE DATABASE \`${schema}\` DEFAULT CHARACTER SET \`utf8mb4\``,
      `USE \`${schema}\``,
      ...['authors', 'books'].flatMap((table, index) => [
        `DROP TABLE IF EXISTS \`${table}\` CASCADE`,
        TABLES[index] ?? '',
      ]),
    ],
  },
  'AdonisJS migration:fresh': {
    ...SHOP,
    reset: () => [
      'SET FOREIGN_KEY_CHECKS = 0',
      'DROP TABLE `authors`, `books`',
      'SET FOREIGN_KEY_CHECKS = 1',
      ...TABLES,
    ],
  },
  'a dump that is loaded over it': {
    ...SHOP,
    async reset({ target, schema, name }) {
      const { dump, client, options } = DUMP_TOOLS[name as (typeof BOTH)[number] & 'mysql-9.7'];
      const made = await runClient(dump, target, [...connectionOptions(dump), ...options, schema]);
      const args = [...connectionOptions(client), schema];
      return runClient(client, target, args, { input: made.stdout });
    },
    later: ["INSERT INTO authors (name) VALUES ('Cid'), ('Dan'), ('Eve')"],
  },
};

const ALL = Object.entries(REHEARSALS).flatMap(([tool, { on }]) =>
  on.map((name) => ({ name, tool })),
);
const CELLS = isLong
  ? ALL
  : [
      { name: 'mysql-9.7', tool: 'a dump that is loaded over it' },
      { name: 'mariadb-11.8', tool: 'Sequelize sync({ force: true })' },
    ];

describe.each([...new Set(CELLS.map(({ name }) => name))])('%s', (name) => {
  const server = testServer(name);
  const on = onServer(server);
  const proxy = on.proxy();
  const root = on.session();
  const made = on.each.schema('rehearsal');

  const tools = CELLS.filter((cell) => cell.name === name).map(({ tool }) => tool);
  test.each(tools)('%s is undone, and turned round', async (tool) => {
    const { make, rows = [], reset, apart, later } = REHEARSALS[tool] as Rehearsal;
    const { name: schema } = made;
    const job = { target: proxy, schema, name };
    await act(make, job);
    await query(proxy, `USE ${schema}`, ...rows);
    const state = async () =>
      (await schemaState(server, schema)).filter((line) => apart?.test(line) !== true);
    const before = await state();
    const since = await asking(server).cell("SELECT CONCAT(UTC_TIMESTAMP(), '+00:00')");
    await act(reset, job);
    await query(proxy, `USE ${schema}`, ...(later ?? (rows.length > 0 ? SHOP_LATER : [])));
    await relocated(schema);
    const after = await state();
    expect(after).not.toEqual(before);
    for (const expected of [before, after, before]) {
      await query(proxy, `UNDROP ALL FROM ${schema} SINCE '${String(since)}' SWAP`);
      await relocated(schema);
      expect(await state()).toEqual(expected);
    }
  });

  async function act(what: Act, job: Job): Promise<void> {
    const done = await what(job);
    if (!('code' in done)) await query(job.target, `USE ${job.schema}`, ...done);
    else if (done.code !== 0) throw new Error(`${done.stdout}${done.stderr}`);
  }

  const relocated = (schema: string) =>
    until(async () => {
      const left = await root.rows(
        `SELECT id FROM _undrop.ledger WHERE schema_name = '${schema}'
         AND (state = 'HOLD' AND relocated = 0 OR state = 'intent' OR todo = 'restoring')`,
      );
      return left.length === 0;
    }, 'what was dropped is away');
});
