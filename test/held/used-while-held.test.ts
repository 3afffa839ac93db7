/** How failures of names are counted: once a minute, with a bound, by a clock that a test moves. */
import type { Clock } from '../../src/clock.js';
import type { Rows, SQLQuery } from '../../src/connections/sql.js';
import { renderQuery } from '../../src/connections/sql.js';
import { UndropError } from '../../src/errors.js';
import { UsedWhileHeld } from '../../src/held/used-while-held.js';
import type { Log } from '../../src/log.js';
import { encodeErr } from '../../src/wire/response.js';
import { until } from '../support/poll.js';
import { fakePool } from '../support/tapped-pool.js';

const BY = { user: 'app', client: '10.0.0.1:5', threadId: 7, program: null };
const ID = '0193'.padEnd(32, '0');

/** A ledger in which `d.t` is held, on a server that can't be asked for more. */
function watching() {
  const asked: string[] = [];
  const said: object[] = [];
  const naps: { readonly ms: number; readonly end: () => void }[] = [];
  const row = { id: ID, group_id: ID, schema_name: 'd', table_name: 't' };
  const run = async (query: SQLQuery | readonly SQLQuery[]): Promise<readonly Rows[]> => {
    if (Array.isArray(query)) throw new UndropError('UNDROP_SERVICE_FAILED');
    const text = renderQuery(query as SQLQuery);
    asked.push(text);
    const rows = text.includes("schema_name = 'd' AND table_name = 't'") ? [row] : [];
    return [Object.assign(rows, { affectedRows: 0 })] as unknown as readonly Rows[];
  };
  const clock: Clock = {
    nowMs: () => 0,
    sleep: (ms) => new Promise((resolve) => naps.push({ ms, end: resolve })),
  };
  const say = (fields: object) => said.push(fields);
  const log: Log = { debug: () => undefined, info: say, warn: say, error: say };
  const { signal } = new AbortController();
  const pool = fakePool(run);
  const uses = new UsedWhileHeld({ pool, clock, log, signal, background: () => undefined });
  const missing = (text: string) =>
    uses.add(encodeErr({ errno: 1146, sqlState: '42S02', message: Buffer.from(text) }), BY);
  /** The next sleep of that length ends. */
  const pass = async (ms: number) => {
    await until(() => naps.length > 0, 'somebody to sleep');
    const nap = naps.shift();
    expect(nap?.ms).toBe(ms);
    nap?.end();
  };
  const looks = () => asked.filter((text) => text.includes('undrop used')).length;
  return { missing, pass, said, asked, looks, naps };
}

test('a held table is said at once, then once a minute, with the count of the time between', async () => {
  const { missing, pass, said, looks } = watching();
  for (let times = 0; times < 3; times++) missing("Table 'd.t' doesn't exist");
  missing("Table 'd.other' doesn't exist");
  await pass(1_000);
  await until(() => said.length === 1, 'the first line');
  expect(said[0]).toMatchObject({ ...BY, event: 'used-while-held', id: ID, schema: 'd', count: 3 });
  for (let times = 0; times < 500; times++) missing("La table 'd.t' n'existe pas");
  expect(looks()).toBe(1);
  await pass(60_000);
  await until(() => said.length === 2, 'the second line');
  expect(said[1]).toMatchObject({ id: ID, count: 500 });
  // A minute in which nothing has failed ends it.
  await pass(60_000);
  expect(looks()).toBe(2);
});

test('any number of names is one look, of a bounded number of them', async () => {
  const { missing, pass, asked, looks } = watching();
  for (let index = 0; index < 1_000; index++) missing(`Table 'd.${'.'.repeat(90)}${index}' ?`);
  await pass(1_000);
  await until(() => looks() === 1, 'a look');
  expect(asked[0]?.match(/schema_name = /g)?.length).toBe(600);
});

const NAMELESS = ["Table 'no dot' doesn't exist", 'nothing quoted', '', "it's a.b"];
test.each(NAMELESS)('no name is read from %j', (text) => {
  const { missing, naps } = watching();
  missing(text);
  expect(naps).toEqual([]);
});
