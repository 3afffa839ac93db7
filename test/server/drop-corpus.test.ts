/**
 * Every statement of the corpus on live servers, directly and through the proxy, to the same
 * tables: the same results, the same names left, what is gone is held. Nothing is refused that the
 * server does, but what is said to be refused by its kind.
 */
import { type CorpusCase, corpusCases } from '../sql/corpus.js';
import type { ServerKey } from '../sql/describe-verdict.js';
import { onServers } from '../support/on-servers.js';
import { CLIENT, MODERN, RawClient } from '../support/raw-client.js';
import { sample } from '../support/sample.js';
import { recordedAs } from '../support/server-set.js';
import { quoted, type Session, type Target, type TestServer } from '../support/servers.js';
import { Survival } from '../support/survival.js';

/** How many of the statements a run that is not long takes, for each server. */
const SHARE = 0.12;
const SCHEMA = 'corpus';
/** Made for every statement, beside what it names. */
const ALWAYS = ['t1', 't2', 'b', 'c', 'a;b', "x'y"];
/** What it leaves behind is more than tables that are gone. */
const LEAVES_MORE = /create|alter|rename|database|schema|sequence|insert|truncate/i;
const REFUSED_KINDS = new Set(['drop-database']);
const REFUSED =
  /in a compound statement|by (CREATE OR REPLACE|EXECUTE IMMEDIATE)|under SET STATEMENT/;

type Outcome = { readonly answers: readonly string[]; readonly left: readonly string[] };

interface Bench {
  readonly server: TestServer;
  readonly proxy: Target;
  readonly root: Session;
  readonly made: Set<string>;
}

/** No server knows it; undrop answers it (server/explain-drop). */
const OWN = /^EXPLAIN DROP TABLE/;

function casesOf({ name }: TestServer) {
  const all = corpusCases().filter(
    ({ on, live, sql }) =>
      live !== false && on.includes(recordedAs(name) as ServerKey) && !OWN.test(sql),
  );
  const cases = all.map((one, index) => ({ name: `${index} ${JSON.stringify(one.sql)}`, one }));
  return sample(cases, { name, share: SHARE, kind: ({ one }) => one.kind });
}

onServers('drops of the corpus on $name', (server, on) => {
  const bench = { server, proxy: on.proxy(), root: on.session(), made: new Set([SCHEMA]) };
  on.afterAll(async () => {
    const { root, made } = bench;
    for (const schema of made) await root.query(`DROP DATABASE IF EXISTS ${quoted(schema)}`);
  });

  test.each(casesOf(server))('$name has its native outcome, or is refused', async ({ one }) => {
    expect(problemOf(one, await runCase(one, bench))).toBe(null);
  });
});

/** In words. */
function problemOf(one: CorpusCase, run: Awaited<ReturnType<typeof runCase>>) {
  const { direct, proxied, lost } = run;
  if (lost.length > 0) return lost.join('; ');
  const refusal = proxied.answers.find((answer) => answer.includes('UNDROP_'));
  if (refusal === undefined) {
    const isSame = JSON.stringify(direct) === JSON.stringify(proxied);
    return isSame ? null : JSON.stringify(run);
  }
  const isAccepted = !direct.answers.some((answer) => answer.startsWith('ERR'));
  const isByKind = REFUSED_KINDS.has(one.kind) || REFUSED.test(refusal);
  return isAccepted && !isByKind ? refusal : null;
}

async function runCase(one: CorpusCase, { server, proxy, root, made }: Bench) {
  const named = (one.tables ?? []).map(([schema, table]) => [schema ?? SCHEMA, table] as const);
  const inSchema = one.schema === undefined ? [] : [[one.schema, 'any'] as const];
  const tables = [...named, ...inSchema, ...ALWAYS.map((table) => [SCHEMA, table] as const)].filter(
    ([, table]) => !(one.notBefore ?? []).includes(table),
  );
  const schemas = [...new Set(tables.map(([schema]) => schema))];
  for (const schema of schemas) made.add(schema);
  const survival = new Survival(root, schemas);
  const outcome = async (target: Target): Promise<Outcome> => ({
    answers: await say(one, target),
    left: await list(root, schemas),
  });
  const isClean = !LEAVES_MORE.test(one.sql);
  await make(root, tables);
  const direct = await outcome(server);
  await clear(root, isClean ? [] : schemas);
  await make(root, tables);
  await survival.remember();
  const proxied = await outcome(proxy);
  const lost = /rename/i.test(one.sql) ? [] : await survival.findLost();
  await clear(root, isClean ? [] : schemas);
  return { direct, proxied, lost };
}

async function say(one: CorpusCase, target: Target): Promise<readonly string[]> {
  const flags = MODERN | (one.multiStatements === true ? CLIENT.MULTI_STATEMENTS : 0);
  await using client = await RawClient.open(target, { schema: SCHEMA, flags });
  await client.run(['SET NAMES utf8mb4', `SET sql_mode = '${one.sqlMode ?? ''}'`]);
  const { results } = await client.query(one.sql);
  return results.map((result) => {
    if (result.kind !== 'err') return result.kind;
    const isOurs = result.message.toString().startsWith('UNDROP_');
    return `ERR ${result.errno}${isOurs ? ` ${result.message}` : ''}`;
  });
}

async function list(root: Session, schemas: readonly string[]): Promise<readonly string[]> {
  const rows = await root.rows(
    `SELECT CONCAT(table_schema, '.', table_name, ' ', table_type) AS name
     FROM information_schema.tables WHERE table_schema IN (?)`,
    [schemas],
  );
  return rows.map(({ name }) => String(name)).sort();
}

async function make(root: Session, tables: readonly (readonly [string, string])[]): Promise<void> {
  for (const schema of new Set(tables.map(([name]) => name))) {
    await root.query(`CREATE DATABASE IF NOT EXISTS ${quoted(schema)} CHARACTER SET utf8`);
  }
  const schemas = [...new Set(tables.map(([schema]) => schema))];
  const there = new Set(await list(root, schemas));
  for (const [schema, table] of tables) {
    const key = `${schema}.${table} BASE TABLE`;
    if (there.has(key)) continue;
    there.add(key);
    const name = `${quoted(schema, table)}`;
    await root.query(`CREATE TABLE ${name} (a INT) ENGINE=MyISAM`);
    await root.query(`INSERT INTO ${name} VALUES (1), (2)`);
  }
}

async function clear(root: Session, schemas: readonly string[]): Promise<void> {
  for (const schema of schemas) await root.query(`DROP DATABASE IF EXISTS ${quoted(schema)}`);
}
