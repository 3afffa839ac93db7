/**
 * Two proxies on one server, and the one that collects is lost: killed, stopped, or cut off without
 * a word. The other takes over, and the first does nothing stale when it wakes, by the server's own
 * log of what each connection said.
 */
import { jest } from '@jest/globals';
import { countRows, holdTable, until, whereIs } from '../lifecycle/collecting.js';
import { dropRecycleSchemas, freshLedger } from '../support/fresh-ledger.js';
import { inLanes } from '../support/lanes.js';
import { testOnOne } from '../support/on-one-server.js';
import { type ProxyProcess, spawnProxy } from '../support/proxy.js';
import { openRelay } from '../support/relay.js';
import {
  generalLog,
  type LoggedCommand,
  type TestServer,
  testServers,
} from '../support/servers.js';

const LONGEST_MS = 600_000;
jest.setTimeout(LONGEST_MS);

/** Twice what was promised, because a busy machine is slow. */
const TAKEOVER_MS = 180_000;
const SETTINGS = {
  COLLECT: 'auto',
  GRACE: '0s',
  FAST_DROP: 'never',
  EVAC: '0s',
  CHECK_INTERVAL: '1s',
};
/** More than a few chunks. */
const BIG_ROWS = 50_000;
const COLLECTS = 'became the collector of this server';
const IDLE = 'another proxy collects on this server';

/** Takes the collecting proxy away; `wake` brings it back, where that can be done. */
interface Loss {
  lose(first: ProxyProcess): void;
  wake?(first: ProxyProcess): void;
}

const LOSSES: Readonly<Record<string, (server: TestServer) => Promise<void>>> = {
  'by SIGKILL is taken over from': (server) =>
    takeOver(server, server, { lose: (first) => first.kill('SIGKILL') }),
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
  LONGEST_MS,
);

/** `way` is how the first proxy reaches the server. */
async function takeOver(server: TestServer, way: Parameters<typeof spawnProxy>[0], loss: Loss) {
  await freshLedger(server);
  await using log = await generalLog(server);
  const proxies: ProxyProcess[] = [];
  try {
    const first = await spawnProxy(way, SETTINGS);
    proxies.push(first);
    await until(`${server.name}: the first collects`, () => says(first, COLLECTS));
    const second = await spawnProxy(server, SETTINGS);
    proxies.push(second);
    await until(`${server.name}: the second keeps still`, () => says(second, IDLE));

    // In the middle of a purge, so that the first has much left to do.
    const big = await holdTable(server, { state: 'PURGE', rows: BIG_ROWS });
    const small = await holdTable(server);
    await until(
      `${server.name}: started to delete the rows of a held table`,
      async () => (await countRows(server, big.quoted)) < BIG_ROWS,
    );
    loss.lose(first);
    await until(`${server.name}: takeover`, () => says(second, COLLECTS), TAKEOVER_MS);
    if (loss.wake !== undefined) {
      loss.wake(first);
      await until(`${server.name}: the first is awake`, () => says(first, IDLE), TAKEOVER_MS);
    }
    const late = await holdTable(server);
    await until(
      `${server.name}: all tables are gone`,
      async () => {
        const places = [big, small, late].map(({ id }) => whereIs(server, id));
        return (await Promise.all(places)).flat().length === 0;
      },
      TAKEOVER_MS,
    );
    expectOneAtATime(await log.read(), threadsOf(first), threadsOf(second));
  } finally {
    for (const proxy of proxies) proxy.kill('SIGKILL');
    await Promise.all(proxies.map(({ ended }) => ended));
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
