/**
 * Two sessions on two proxies that drop the same tables at once: they say what two native sessions
 * say, one of which comes first; each table has one row in the ledger and is held whole.
 */
import { jest } from '@jest/globals';
import { inLanes } from '../support/lanes.js';
import { onServer } from '../support/on-servers.js';
import type { ProxyTarget } from '../support/proxy.js';
import { RawClient } from '../support/raw-client.js';
import { rounds } from '../support/sample.js';
import { type Session, type TestServer, testServers } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';

/** For each server. */
const ROUNDS = rounds(25, 8);

const LONGEST_MS = 120_000 + ROUNDS * 2_000;
jest.setTimeout(LONGEST_MS);

/** Rows of the first table and of the second. */
const ROWS = [2, 3] as const;
/** What the two say, about tables `a…` and `b…`. */
const PAIRS = [
  ['DROP TABLE a, b', 'DROP TABLE a, b'],
  ['DROP TABLE a, b', 'DROP TABLE b, a'],
  ['DROP TABLE IF EXISTS a, b', 'DROP TABLE b, a'],
  ['DROP TABLE IF EXISTS b, a', 'DROP TABLE IF EXISTS a, b'],
] as const;

type Said = readonly [string, string];

inLanes(
  testServers(),
  'rivals for a table on $name',
  (server, lane) => {
    const on = onServer(server, lane);
    const proxies = [on.proxy(), on.proxy()] as const;
    const root = on.session();
    const schema = on.schema('rivals').name;

    on.testOnEach(
      `${ROUNDS} times two proxies drop the same tables at once: one does, the other is told`,
      async () => {
        expect(await runAll(server, proxies, { root, schema })).toEqual([]);
      },
    );
  },
  LONGEST_MS,
);

type Place = { readonly root: Session; readonly schema: string };

/** What was wrong, in words. */
async function runAll(
  server: TestServer,
  proxies: readonly [ProxyTarget, ProxyTarget],
  place: Place,
): Promise<readonly string[]> {
  const { schema } = place;
  const problems: string[] = [];
  const wins = [0, 0];
  const natively: (readonly string[])[] = [];
  const sessions = [
    await RawClient.open(proxies[0], { schema }),
    await RawClient.open(proxies[1], { schema }),
  ] as const;
  const direct = await RawClient.open(server, { schema });
  for (const pair of PAIRS) natively.push(await nativeOutcomes(direct, pair, place));
  for (let round = 0; round < ROUNDS && problems.length < 5; round++) {
    const kind = round % PAIRS.length;
    const [first, second] = PAIRS[kind] ?? PAIRS[0];
    const name = (text: string) => text.replaceAll(/\b([ab])\b/g, `$1${round}`);
    const same = (text: string) => text.replaceAll(`a${round}`, 'a').replaceAll(`b${round}`, 'b');
    await make(place, round);
    const answers = await Promise.all([
      outcomeOf(sessions[0], name(first), schema),
      outcomeOf(sessions[1], name(second), schema),
    ]);
    const said = JSON.stringify(answers.map(same));
    if (!natively[kind]?.includes(said)) {
      problems.push(`round ${round}, ${first} and ${second}: ${said}, natively ${natively[kind]}`);
    }
    const winner = answers.indexOf('OK 0');
    wins[winner] = (wins[winner] ?? 0) + 1;
    problems.push(...(await notHeldOnce(place, round)));
  }
  for (const session of [...sessions, direct]) await session.quit();
  process.stdout.write(`${server.name}: ${ROUNDS} rounds, first was ${wins.join(' and ')} times\n`);
  return problems;
}

/** What the two say one behind the other, in both orders. */
async function nativeOutcomes(direct: RawClient, [first, second]: Said, place: Place) {
  const outcomes: string[] = [];
  for (const isTurned of [false, true]) {
    await make(place, '');
    const early = await outcomeOf(direct, isTurned ? second : first, place.schema);
    const late = await outcomeOf(direct, isTurned ? first : second, place.schema);
    outcomes.push(JSON.stringify(isTurned ? [late, early] : [early, late]));
  }
  return outcomes;
}

async function make({ root, schema }: Place, round: number | ''): Promise<void> {
  for (const [index, table] of ['a', 'b'].entries()) {
    const values = Array.from({ length: ROWS[index] ?? 0 }, (_, row) => `(${row})`).join(', ');
    await root.query(`CREATE TABLE ${schema}.${table}${round} (id INT PRIMARY KEY)`);
    await root.query(`INSERT INTO ${schema}.${table}${round} VALUES ${values}`);
  }
}

/** Without the name of the schema. */
async function outcomeOf(client: RawClient, text: string, schema: string): Promise<string> {
  const [result] = (await client.query(text)).results;
  if (result === undefined || result.kind === 'rows') return 'rows';
  if (result.kind === 'ok') return `OK ${result.warnings}`;
  return `${result.errno} ${result.message}`.replaceAll(`${schema}.`, '');
}

/** One row for each of the two tables, and all its rows where that row says. */
async function notHeldOnce({ root, schema }: Place, round: number): Promise<readonly string[]> {
  const tables = [`a${round}`, `b${round}`];
  await intentsSettled(root, [schema]);
  const found = await root.rows(
    `SELECT table_name AS name, state AS state, hold_schema AS place, hold_name AS held
     FROM _undrop.ledger WHERE schema_name = ? AND table_name IN (?) ORDER BY table_name`,
    [schema, tables],
  );
  const names = found.map(({ name }) => String(name));
  if (JSON.stringify(names) !== JSON.stringify(tables)) {
    return [`round ${round}: the ledger has ${JSON.stringify(found)}`];
  }
  const problems: string[] = [];
  for (const [index, { state, place, held }] of found.entries()) {
    const count = await root.count(`${place}.${held}`);
    if (state === 'HOLD' && count === ROWS[index]) continue;
    problems.push(`round ${round}: ${tables[index]} is in state ${state} with ${count} rows`);
  }
  return problems;
}
