/**
 * The tools from npm that migrate schemas: Knex, Sequelize, TypeORM and Drizzle. Each goes up,
 * down, drops all and goes up again, directly and through the proxy: the same is said, answered and
 * there, nothing held is seen by it, and every base table that it dropped is held.
 */
import { randomBytes } from 'node:crypto';
import { heldTables } from '../support/client-held.js';
import { THE_END, type Transcript } from '../support/client-script.js';
import { inLanes } from '../support/lanes.js';
import { ensureNpmTools, NPM_TOOLS, type NpmTool, runNpmTool } from '../support/npm-tools.js';
import { onServer } from '../support/on-servers.js';
import { sample } from '../support/sample.js';
import { query, type Target, type TestServer, testServer } from '../support/servers.js';

/** Rows of each table that the script drops, of the same name in ascending order. */
type Held = Readonly<Record<string, readonly number[]>>;

const HELD: Readonly<Record<NpmTool, Held>> = {
  knex: {
    ...{ authors: [2], book_tags: [1, 1, 1], books: [4], copies: [0], knex_migrations_lock: [1] },
    tags: [2, 2],
  },
  sequelize: {
    ...{ Authors: [2, 2, 2], BookTags: [0, 0, 1, 1, 1], Books: [2, 2, 2], Tags: [1, 1, 1] },
    ...{ loans: [1, 1], '<schema>_more.t': [1] },
  },
  typeorm: {
    ...{ authors: [2, 2, 2], book_tags: [1, 1, 1], books: [1, 2, 2], loans: [2, 2, 2] },
    ...{ migrations: [2, 2], plain: [2, 2, 2], tags: [1, 1, 1], typeorm_metadata: [0, 1, 1] },
    '<schema>_more.t': [1],
  },
  drizzle: { authors: [0, 2, 2], book_tags: [0, 0, 0], books: [0, 2, 2], tags: [0, 1, 1] },
};
/** drizzle-kit can't push to a MariaDB that has more than plain tables. */
const HELD_ON_MARIADB: Readonly<Partial<Record<NpmTool, Held>>> = {
  drizzle: { authors: [2], book_tags: [0], books: [2], tags: [1, 1] },
};

/** A tool takes seconds of the processor, so a run that is not long has two of them. */
const CELLS = sample(
  ['mysql-9.7', 'mariadb-11.8'].flatMap((name) => NPM_TOOLS.map((tool) => ({ name, tool }))),
  { name: 'tools', kind: ({ name }) => name },
);
const SERVERS = [...new Set(CELLS.map(({ name }) => name))].map(testServer);

interface Run extends Transcript {
  readonly schema: string;
}

/** Their lines, sorted where their order may differ. */
function stepsOf({ text }: Transcript): readonly (readonly string[])[] {
  return text.split(/^== /m).map((step) => {
    const [title = '', ...lines] = step.split('\n');
    return [title, ...(title.endsWith('in any order') ? lines.sort() : lines)];
  });
}

inLanes(SERVERS, '$name', (server: TestServer, lane) => {
  const on = onServer(server, lane);
  const { test } = lane;
  // Else only who has SUPER makes triggers beside a binary log.
  const trust = (value: number) =>
    query(server, `SET GLOBAL log_bin_trust_function_creators = ${value}`);
  on.beforeAll(() => ensureNpmTools());
  on.beforeAll(() => trust(1));
  on.afterAll(() => trust(0));
  const proxy = on.proxy();

  const tools = CELLS.filter(({ name }) => name === server.name).map(({ tool }) => tool);
  test.each(tools)('%s does the same directly and through the proxy', async (tool) => {
    const [direct, through] = await Promise.all([runOn(server, tool), runOn(proxy, tool)]);
    expect([stepsOf(through), [direct.code, through.code]]).toEqual([stepsOf(direct), [0, 0]]);
    expect(through.text).toContain(THE_END);
    expect(through.text).not.toMatch(/_vt_|_undrop/i);
    const expected = (server.flavour === 'mariadb' && HELD_ON_MARIADB[tool]) || HELD[tool];
    expect(await heldBy(through.schema)).toEqual(expected);
    for (const { schema } of [direct, through]) {
      await query(server, `DROP DATABASE IF EXISTS ${schema}`, `DROP USER ${schema}@'%'`);
    }
  });

  /** In a schema of its own, by an account of the same name. */
  async function runOn({ host, port }: Target, tool: NpmTool): Promise<Run> {
    const schema = `tool_${randomBytes(6).toString('hex')}`;
    const password = 'only for tests';
    await query(
      server,
      `CREATE DATABASE ${schema} CHARACTER SET utf8mb4`,
      `CREATE USER ${schema}@'%' IDENTIFIED BY '${password}'`,
      `GRANT ALL ON \`${schema.replaceAll('_', '\\_')}%\`.* TO ${schema}@'%'`,
    );
    const target = { host, port, user: schema, password };
    const transcript = await runNpmTool(tool, { target, flavour: server.flavour, schema });
    return { ...transcript, schema };
  }

  async function heldBy(schema: string): Promise<Held> {
    const tables = await heldTables(server, (one) => one.startsWith(schema));
    // Of an earlier run something with a CHECK of the same name may be held.
    expect(tables.filter(({ heldIn }) => !/^_undrop(_|$)/.test(heldIn))).toEqual([]);
    const named = tables.map((one) => ({
      rows: one.rows,
      name: one.schema === schema ? one.table : `${one.schema}.${one.table}`,
    }));
    const names = new Set(named.map(({ name }) => name));
    return Object.fromEntries(
      [...names].map((name) => [
        name.replace(schema, '<schema>'),
        named
          .filter((one) => one.name === name)
          .map(({ rows }) => rows)
          .sort(),
      ]),
    );
  }
});
