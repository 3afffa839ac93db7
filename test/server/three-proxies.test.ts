/**
 * Several proxies on one server, and some of them are lost. Of three one is killed, ended, frozen
 * or cut off every moment, while clients of all drop and undrop, and what is held is collected.
 * Nobody but the clients of that one sees an error; what was said to be dropped or brought back is;
 * and nothing is removed twice. Of two the one that collects is lost: the other takes over, and the
 * first does nothing stale when it wakes, by the server's own log of what each connection said.
 */
import { jest } from '@jest/globals';
import { countRows, holdTable, whereIs } from '../collector/collecting.js';
import { Dice, seededRandom } from '../support/dice.js';
import { dropRecycleSchemas, freshLedger } from '../support/fresh-ledger.js';
import { inLanes } from '../support/lanes.js';
import { LATE } from '../support/load.js';
import { testOnOne } from '../support/on-one-server.js';
import { onServer } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { type ProxyProcess, spawnProxy } from '../support/proxy.js';
import { openRelay, type Relay } from '../support/relay.js';
import { isLong, rounds, sample, seedFor } from '../support/sample.js';
import type { LoggedCommand, Session, TestServer } from '../support/servers.js';
import { connect, generalLog, testServers } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';

// A busy machine is slow, not wrong.
jest.setTimeout(1_200_000);

/** For each server. */
const LASTS_MS = rounds(15_000, 0);
/** At least. */
const MISHAPS = 4;
const [PROXIES, CLIENTS, ROWS] = [3, 1, 3];
/** Whoever led was lost again and again, so all is to be collected in the end. */
const COLLECTED_WITHIN_MS = 900_000;
/** What the others have done before a mishap is over, and before the next. */
const [MEANWHILE, BETWEEN] = [20, 10];
/** Without EVAC: how long that takes depends on what other tests do with the buffer pool. */
const SETTINGS = {
  ...{ HOLD: '3s', DRAIN_TIMEOUT: '2s', MIN_HOLD: '0s', LIFECYCLE: 'hold,purge,drop' },
  ...{ COLLECT: 'on', CHECK_INTERVAL: '1s' },
};
// A table that is being purged may be locked.
const REFUSED = /UNDROP_(BUSY|CHANGED_MEANWHILE|NO_SUCH_HELD|NOT_HELD|NOT_RESTORABLE)/;

type Mishap = 'killed' | 'ended' | 'frozen' | 'cut off';
/** `unknown`: the last word on it was lost. */
type Fate = 'live' | 'dropped' | 'unknown';

interface Place {
  /** Changes with each mishap: errors across it are expected. */
  mishaps: number;
  isWell: boolean;
  relay: Relay;
  proxy: ProxyProcess;
  /** Of all proxies that were there. */
  readonly lines: ProxyProcess['lines'][];
}

async function startPlace(server: TestServer): Promise<Place> {
  const relay = await openRelay(server);
  const proxy = await spawnProxy(relay, SETTINGS);
  return { mishaps: 0, isWell: true, relay, proxy, lines: [proxy.lines] };
}

async function stopPlace({ proxy, relay }: Place): Promise<void> {
  proxy.kill('SIGKILL');
  await proxy.ended;
  await relay.close();
}

const servers = isLong ? testServers() : sample(testServers(), { name: 'three', count: 1 });

describe.each(servers)('three proxies on $name', (server) => {
  const dice = new Dice(seededRandom(seedFor(server.name)));
  const places: Place[] = [];
  const fates = new Map<string, Fate>();
  const errors: string[] = [];
  let [done, isOver] = [0, false];
  const on = onServer(server);
  on.freshLedger();
  const root = on.session();
  const schema = on.schema('three').name;
  on.beforeAll(async () => {
    for (let nr = 0; nr < PROXIES; nr++) places.push(await startPlace(server));
  });
  on.afterAll(() => Promise.all(places.map(stopPlace)));

  test('one in trouble after another', async () => {
    const clients = places.flatMap((place, at) =>
      Array.from({ length: CLIENTS }, (_client, nr) => work(place, `t${at}_${nr}`)),
    );
    const endMs = performance.now() + LASTS_MS;
    const order: readonly Mishap[] = ['killed', 'frozen', 'cut off', 'ended'];
    for (let nr = 0; nr < MISHAPS || performance.now() < endMs; nr++) {
      await progress(BETWEEN);
      await happen(dice.of(places), order[nr % order.length] ?? 'killed');
    }
    isOver = true;
    await Promise.all(clients);
    expect(errors).toEqual([]);
    await intentsSettled(root, [schema]);
    await until(async () => (await countHeld()) === 0, 'all is collected', COLLECTED_WITHIN_MS);
    await expectFates();
    const ids = places
      .flatMap(({ lines }) => lines.flat())
      .filter(({ event }) => event === 'removal')
      .map(({ id }) => String(id));
    expect(ids.length).toBeGreaterThan(0);
    expect(ids.filter((id, at) => ids.indexOf(id) !== at)).toEqual([]);
  });

  async function happen(place: Place, mishap: Mishap): Promise<void> {
    place.isWell = false;
    place.mishaps++;
    switch (mishap) {
      case 'killed':
        await stopPlace(place);
        break;
      case 'ended':
        await place.proxy.stop();
        await place.relay.close();
        break;
      case 'frozen':
        place.proxy.kill('SIGSTOP');
        await progress(MEANWHILE);
        place.mishaps++;
        place.proxy.kill('SIGCONT');
        place.isWell = true;
        return;
      case 'cut off':
        place.relay.swallow();
        await progress(MEANWHILE);
        await stopPlace(place);
        break;
    }
    const { relay, proxy, lines } = await startPlace(server);
    place.lines.push(...lines);
    Object.assign(place, { relay, proxy, mishaps: place.mishaps + 1, isWell: true });
  }

  function progress(operations: number): Promise<void> {
    const goal = done + operations;
    return until(() => done >= goal || errors.length > 0, 'the others go on');
  }

  /** A client of one place, which comes back after each of its mishaps. */
  async function work(place: Place, prefix: string): Promise<void> {
    let session: Session | null = null;
    for (let nr = 0; !isOver; nr++) {
      const name = `${prefix}_${nr}`;
      const before = place.mishaps;
      try {
        await until(() => place.isWell || isOver, 'its proxy is there');
        session ??= await connect(place.proxy, { database: schema });
        await live(session, name);
      } catch (error) {
        fates.set(name, 'unknown');
        session?.destroy();
        session = null;
        const isExpected = before !== place.mishaps || !place.isWell || LATE.test(String(error));
        if (!isExpected) errors.push(`${name}: ${error}`);
      }
    }
    session?.destroy();
  }

  async function live(session: Session, name: string): Promise<void> {
    const say = async (statement: string, fate: Fate | null) => {
      fates.set(name, 'unknown');
      await session.query(statement);
      if (fate !== null) fates.set(name, fate);
      done++;
    };
    await say(`CREATE TABLE ${name} (id INT PRIMARY KEY) ENGINE=InnoDB`, null);
    const values = Array.from({ length: ROWS }, (_row, id) => `(${id})`).join(', ');
    await say(`INSERT INTO ${name} VALUES ${values}`, 'live');
    await say(`DROP TABLE ${name}`, 'dropped');
    if (dice.chance(0.5)) return;
    try {
      await say(`UNDROP TABLE ${name}`, 'live');
    } catch (error) {
      if (!REFUSED.test(String(error))) throw error;
      fates.set(name, 'dropped');
      return;
    }
    if (dice.chance(0.5)) await say(`DROP TABLE ${name}`, 'dropped');
  }

  async function expectFates(): Promise<void> {
    const there = new Set(await root.tables(schema));
    const rows = await root.rows(
      'SELECT table_name, GROUP_CONCAT(state) AS states FROM _undrop.ledger WHERE schema_name = ? GROUP BY table_name',
      [schema],
    );
    const states = new Map(rows.map((row) => [row['table_name'], String(row['states'])]));
    for (const [name, fate] of fates) {
      const isThere = there.has(name);
      const found = { name, isThere, states: states.get(name) };
      if (fate === 'live') expect(found).toMatchObject({ isThere: true });
      if (fate === 'dropped')
        expect(found).toMatchObject({ isThere: false, states: expect.stringContaining('removed') });
      if (!isThere || fate === 'unknown') continue;
      expect([name, await root.count(`${schema}.${name}`)]).toEqual([name, ROWS]);
    }
  }

  /** By the ledger, which follows what is done. */
  const countHeld = () =>
    root.count(
      `_undrop.ledger WHERE schema_name = '${schema}' AND state IN ('HOLD', 'PURGE', 'EVAC', 'DROP')`,
    );
});

/** Twice what was promised, because a busy machine is slow. */
const TAKEOVER_MS = 180_000;
const TAKEN_OVER = {
  ...{ COLLECT: 'auto', GRACE: '0s', FAST_DROP: 'never', EVAC: '0s', CHECK_INTERVAL: '1s' },
};
/** More than a few chunks. */
const BIG_ROWS = 50_000;
const COLLECTS = 'became the collector of this server';
const IDLE = 'another proxy collects on this server';

/** Takes the collecting proxy away, and brings it back. */
interface Loss {
  lose(first: ProxyProcess): void;
  wake(first: ProxyProcess): void;
}

const LOSSES: Readonly<Record<string, (server: TestServer) => Promise<void>>> = {
  'by SIGSTOP is taken over from, and does nothing stale after SIGCONT': (server) =>
    takeOver(server, server, {
      lose: (first) => first.kill('SIGSTOP'),
      wake: (first) => first.kill('SIGCONT'),
    }),
  'by a network that swallows its bytes is taken over from, and does nothing stale': async (
    server,
  ) => {
    await using relay = await openRelay(server);
    await takeOver(server, relay, { lose: () => relay.swallow(), wake: () => relay.resume() });
  },
};

/** Servers wait at the same time; a run that is not long has each loss on one of them. */
inLanes(
  testServers(),
  'a collector on $name that is lost',
  (server, lane) => {
    const test = testOnOne(server, lane);
    lane.afterAll(() => dropRecycleSchemas(server));
    for (const [loss, run] of Object.entries(LOSSES)) test(loss, () => run(server));
  },
  600_000,
);

/** `way` is how the first proxy reaches the server. */
async function takeOver(server: TestServer, way: Parameters<typeof spawnProxy>[0], loss: Loss) {
  await freshLedger(server);
  await using log = await generalLog(server);
  const started: ProxyProcess[] = [];
  const untilOf = (what: string, check: () => boolean | Promise<boolean>, withinMs?: number) =>
    until(check, `${server.name}: ${what}`, withinMs);
  try {
    const first = await spawnProxy(way, TAKEN_OVER);
    started.push(first);
    await untilOf('the first collects', () => says(first, COLLECTS));
    const second = await spawnProxy(server, TAKEN_OVER);
    started.push(second);
    await untilOf('the second keeps still', () => says(second, IDLE));

    // In the middle of a purge, so that the first has much left to do.
    const big = await holdTable(server, { state: 'PURGE', rows: BIG_ROWS });
    const small = await holdTable(server);
    const isPurging = async () => (await countRows(server, big.quoted)) < BIG_ROWS;
    await untilOf('started to delete the rows of a held table', isPurging);
    loss.lose(first);
    await untilOf('takeover', () => says(second, COLLECTS), TAKEOVER_MS);
    loss.wake(first);
    await untilOf('the first is awake', () => says(first, IDLE), TAKEOVER_MS);
    const late = await holdTable(server);
    const areGone = async () => {
      const places = [big, small, late].map(({ id }) => whereIs(server, id));
      return (await Promise.all(places)).flat().length === 0;
    };
    await untilOf('all tables are gone', areGone, TAKEOVER_MS);
    expectOneAtATime(await log.read(), threadsOf(first), threadsOf(second));
  } finally {
    for (const proxy of started) proxy.kill('SIGKILL');
    await Promise.all(started.map(({ ended }) => ended));
  }
}

/** Once a connection of the second has done a collector's work, none of the first's ever does. */
function expectOneAtATime(
  commands: readonly LoggedCommand[],
  first: ReadonlySet<number>,
  second: ReadonlySet<number>,
): void {
  const work = commands.filter(
    ({ command, text }) =>
      command === 'Query' && /(RENAME|DROP|DELETE) \/\* undrop (move|remove|purge)/.test(text),
  );
  const owners = work.map(({ threadId }) =>
    first.has(threadId) ? 'first' : second.has(threadId) ? 'second' : `somebody: ${threadId}`,
  );
  expect([...new Set(owners)]).toEqual(['first', 'second']);
  expect(owners.lastIndexOf('first')).toBeLessThan(owners.indexOf('second'));
}

/** The connections on which a proxy had the lock. */
function threadsOf({ lines }: ProxyProcess): ReadonlySet<number> {
  return new Set(
    lines.filter(({ msg }) => msg === COLLECTS).map((line) => Number(line['threadId'])),
  );
}

function says({ lines }: ProxyProcess, message: string): boolean {
  return lines.some(({ msg }) => msg === message);
}
