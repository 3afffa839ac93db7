/** What the collector waits for, by a clock of the test and servers that say what it wants. */
import type { ThrottleSettings } from '../../../src/collector/throttle/throttle.js';
import { lagOf, Throttle } from '../../../src/collector/throttle/throttle.js';
import { ServerError } from '../../../src/connections/errors.js';
import type { Row, Rows, SQLQuery } from '../../../src/connections/sql.js';
import { renderQuery } from '../../../src/connections/sql.js';
import { fakePool } from '../../support/tapped-pool.js';

const NONE: ThrottleSettings = { window: null, query: null, replicas: [], maxLagMs: 2_000 };
type Text = string | null;
const NOON = new Date('2026-11-25T12:00:00Z');

function rowsOf(...rows: readonly Row[]): Rows {
  return Object.assign([...rows], { affectedRows: 0 });
}

/** A server whose answer to each query is what `answer` says by then. */
function serverOf(answer: (text: string) => Rows) {
  const asked: string[] = [];
  const pool = fakePool(async (text) => {
    const texts = ([text].flat() as readonly SQLQuery[]).map(renderQuery);
    asked.push(...texts);
    return texts.map(answer);
  });
  return Object.assign(pool, { asked });
}

interface World {
  nowMs: number;
  value: Row[string];
  lag: Row[string];
  /** What each server answers instead. */
  error: ServerError | null;
}

function start(settings: Partial<ThrottleSettings>) {
  const world: World = { nowMs: 0, value: 0, lag: 0, error: null };
  const answer = (row: Row) => {
    if (world.error !== null) throw world.error;
    return rowsOf(row);
  };
  const connection = serverOf(() => answer({ value: world.value }));
  const running = { Replica_IO_Running: 'Yes', Replica_SQL_Running: 'Yes' };
  const replica = serverOf((text) =>
    /VERSION/.test(text)
      ? answer({ version: '9.7.0' })
      : answer({ ...running, Seconds_Behind_Source: world.lag }),
  );
  const throttle = new Throttle({
    settings: { throttle: { ...NONE, ...settings } },
    pool: connection,
    replicas: settings.maxLagMs === undefined ? [] : [{ name: 'db2:3306', connection: replica }],
    monotonicMs: () => world.nowMs,
  });
  const because = async (afterMs = 100, now = NOON) => {
    world.nowMs += afterMs;
    return (await throttle.wait(now))?.because ?? null;
  };
  return { world, because, throttle, connection };
}

test('where nothing is set there is nothing to wait for, and nobody is asked', async () => {
  const { because, connection } = start({});
  expect([await because(), connection.asked]).toEqual([null, []]);
});

test('outside its window it waits until that opens', async () => {
  const { throttle } = start({ window: { fromMinute: 22 * 60, toMinute: 6 * 60 } });
  expect(await throttle.wait(NOON)).toEqual({
    ...{ for: 'window', because: 'outside UNDROP_WINDOW (22:00-06:00 UTC)', forMs: 36_000_000 },
  });
});

test.each([
  ['0', null],
  [0, null],
  [1, expect.stringMatching(/other than 0/)],
  [-0.5, expect.stringMatching(/other than 0/)],
  [null, expect.stringMatching(/not return a number/)],
  ['soon', expect.stringMatching(/not return a number/)],
  ['', 'UNDROP_THROTTLE_QUERY did not return a number'],
  [' ', 'UNDROP_THROTTLE_QUERY did not return a number'],
])('a query of %j', async (value, expected) => {
  const { world, because } = start({ query: 'SELECT 1;' });
  world.value = value;
  expect(await because()).toEqual(expected);
});

test.each([
  ['a query', { query: 'SELECT 1' }, 'UNDROP_THROTTLE_QUERY failed: '],
  ['a replica', { maxLagMs: 4_000 }, 'the lag of the replica db2:3306 is not known: '],
])('%s that fails is a reason, as long as it does', async (_what, settings, words) => {
  const { world, because } = start(settings);
  world.error = new ServerError({ errno: 1146, sqlState: '42S02', sqlMessage: 'no such table' });
  expect(await because()).toBe(`${words}no such table (1146)`);
  world.error = null;
  await because(1_000);
  expect(await because(10_000)).toBeNull();
});

test('a reason has to be over for two seconds', async () => {
  const { world, because } = start({ query: 'SELECT 1' });
  world.value = 1;
  const reason = await because();
  world.value = 0;
  expect(await because(500)).toBe(reason);
  expect(await because(1_500)).toBe(reason);
  world.value = 1;
  expect(await because(400)).toBe(reason);
  world.value = 0;
  expect(await because(400)).toBe(reason);
  expect(await because(1_900)).toBe(reason);
  expect(await because(200)).toBeNull();
});

test('replicas that lagged have to come within half of the limit', async () => {
  const { world, because } = start({ maxLagMs: 4_000 });
  world.lag = 4;
  expect(await because()).toBeNull();
  world.lag = 5;
  const reason = await because();
  expect(reason).toBe('the replica db2:3306 lags by more than 4s (UNDROP_MAX_LAG)');
  world.lag = 3;
  expect(await because(10_000)).toBe(reason);
  world.lag = 2;
  expect(await because(10_000)).toBe(reason);
  expect(await because(2_000)).toBeNull();
  world.lag = 4;
  expect(await because()).toBeNull();
});

test('an answer holds for two chunks at most, and not for long', async () => {
  const { because, connection } = start({ query: 'SELECT 1' });
  for (let chunk = 0; chunk < 10; chunk++) await because(1);
  expect(connection.asked).toHaveLength(5);
  for (let chunk = 0; chunk < 10; chunk++) await because(60);
  expect(connection.asked).toHaveLength(15);
});

const channel = (io: Text, sql: Text, seconds: Text | number): Row => ({
  ...{ Slave_IO_State: '', Slave_IO_Running: io, Slave_SQL_Running: sql },
  ...{ Slave_SQL_Running_State: 'whatever', Seconds_Behind_Master: seconds },
});

test.each([
  ['its seconds', [channel('Yes', 'Yes', '7')], 7],
  ['the slowest channel', [channel('Yes', 'Yes', 1), channel('Yes', 'Yes', 9)], 9],
  ['not known: NULL', [channel('Yes', 'Yes', null)], expect.stringMatching(/NULL/)],
  [
    'not known: stopped',
    [channel('Yes', 'Yes', 0), channel('Yes', 'No', 0)],
    expect.stringMatching(/SQL thread is not running \(No\)/),
  ],
  [
    'not known: connecting',
    [channel('Connecting', 'Yes', 0)],
    expect.stringMatching(/IO thread is not running \(Connecting\)/),
  ],
  ['not known: no replica', [], expect.stringMatching(/does not replicate/)],
])('the lag of a replica: %s', (_what, channels, expected) => {
  expect(lagOf(channels)).toEqual(expected);
});
