/**
 * Every statement of the corpus on live servers, directly and through the proxy, to the same
 * tables: the same results, the same names left, what is gone is held. Nothing is refused that the
 * server does, but what is said to be refused by its kind.
 */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { type CorpusCase, corpusCases } from '../sql/corpus.js';
import type { ServerKey } from '../sql/describe-verdict.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { CLIENT, MODERN, RawClient } from '../support/raw-client.js';
import { connect, type Target, type TestServer, testServers } from '../support/servers.js';
import { Survival } from '../support/survival.js';

jest.setTimeout(300_000);

const SCHEMA = 'corpus';
/** Made for every statement, beside what it names. */
const ALWAYS = ['t1', 't2', 'b', 'c', 'a;b', "x'y"];
/** What it leaves behind is more than tables that are gone. */
const LEAVES_MORE = /create|alter|rename|database|schema|sequence|insert|truncate/i;
const REFUSED_KINDS = new Set(['drop-database']);

interface Outcome {
  readonly answers: readonly string[];
  readonly left: readonly string[];
}

interface Run {
  readonly direct: Outcome;
  readonly proxied: Outcome;
  readonly lost: readonly string[];
}

const proxies: ProxyTarget[] = [];
const runs = new Map<string, Promise<readonly Run[]>>();

beforeAll(async () => {
  for (const server of testServers()) {
    const proxy = await proxyInFront(server);
    proxies.push(proxy);
    const all = runAll(server, proxy);
    all.catch(() => undefined);
    runs.set(server.name, all);
  }
});

afterAll(async () => {
  await Promise.allSettled(runs.values());
  for (const proxy of proxies) await proxy.stop();
});

function casesOf({ name }: TestServer): readonly CorpusCase[] {
  return corpusCases().filter(({ on, live }) => live !== false && on.includes(name as ServerKey));
}

describe.each(testServers())('on $name', (server) => {
  test('each statement of the corpus has its native outcome, or is refused by its kind', async () => {
    const done = (await runs.get(server.name)) ?? [];
    const problems: string[] = [];
    for (const [index, one] of casesOf(server).entries()) {
      const problem = problemOf(one, done[index]);
      if (problem !== null) problems.push(`${JSON.stringify(one.sql)}: ${problem}`);
    }
    expect(problems).toEqual([]);
    expect(done.length).toBeGreaterThan(200);
  });
});

function problemOf(one: CorpusCase, run: Run | undefined): string | null {
  if (run === undefined) return 'it was not run';
  const { direct, proxied, lost } = run;
  if (lost.length > 0) return lost.join('; ');
  const refusal = proxied.answers.find((answer) => answer.includes('UNDROP_'));
  if (refusal === undefined) {
    const isSame = JSON.stringify(direct) === JSON.stringify(proxied);
    return isSame ? null : JSON.stringify(run);
  }
  const isAccepted = !direct.answers.some((answer) => answer.startsWith('ERR'));
  const isByKind = REFUSED_KINDS.has(one.kind);
  return isAccepted && !isByKind ? refusal : null;
}

async function runAll(server: TestServer, proxy: Target): Promise<readonly Run[]> {
  const root = await connect(server);
  const done: Run[] = [];
  const made = new Set([SCHEMA]);
  try {
    for (const one of casesOf(server)) done.push(await runCase(one, { server, proxy, root, made }));
  } finally {
    for (const schema of made) await root.query(`DROP DATABASE IF EXISTS ${quote(schema)}`);
    await root.end();
  }
  return done;
}

interface Bench {
  readonly server: TestServer;
  readonly proxy: Target;
  readonly root: Connection;
  readonly made: Set<string>;
}

async function runCase(one: CorpusCase, { server, proxy, root, made }: Bench): Promise<Run> {
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
  const client = await RawClient.open(target, { schema: SCHEMA, flags });
  await client.run(['SET NAMES utf8mb4', `SET sql_mode = '${one.sqlMode ?? ''}'`]);
  const { results } = await client.query(one.sql);
  await client.quit();
  return results.map((result) => {
    if (result.kind !== 'err') return result.kind;
    const isOurs = result.message.toString().startsWith('UNDROP_');
    return `ERR ${result.errno}${isOurs ? ` ${result.message}` : ''}`;
  });
}

async function list(root: Connection, schemas: readonly string[]): Promise<readonly string[]> {
  const [rows] = await root.query<RowDataPacket[]>(
    `SELECT CONCAT(table_schema, '.', table_name, ' ', table_type) AS name
     FROM information_schema.tables WHERE table_schema IN (?)`,
    [schemas],
  );
  return rows.map(({ name }) => String(name)).sort();
}

async function make(
  root: Connection,
  tables: readonly (readonly [string, string])[],
): Promise<void> {
  for (const schema of new Set(tables.map(([name]) => name))) {
    await root.query(`CREATE DATABASE IF NOT EXISTS ${quote(schema)} CHARACTER SET utf8`);
  }
  const schemas = [...new Set(tables.map(([schema]) => schema))];
  const there = new Set(await list(root, schemas));
  for (const [schema, table] of tables) {
    const key = `${schema}.${table} BASE TABLE`;
    if (there.has(key)) continue;
    there.add(key);
    const name = `${quote(schema)}.${quote(table)}`;
    await root.query(`CREATE TABLE ${name} (a INT) ENGINE=MyISAM`);
    await root.query(`INSERT INTO ${name} VALUES (1), (2)`);
  }
}

async function clear(root: Connection, schemas: readonly string[]): Promise<void> {
  for (const schema of schemas) await root.query(`DROP DATABASE IF EXISTS ${quote(schema)}`);
}

function quote(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}
