/**
 * How many service connections there are, whatever becomes of them: no more than is said, pools
 * that were replaced included; and how they end: with a goodbye, as servers count and log others.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { asking } from '../support/asking.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront, runUndrop } from '../support/proxy.js';
import { connect, freshSchema, query, type TestServer } from '../support/servers.js';
import { SERVICE_ACCOUNT } from '../support/service-account.js';

/** As a proxy of one process has. */
const CONNECTIONS_MAX = 8;
const CLIENTS = 40;
/** Who looks all the time leaves no time to the others. */
const BETWEEN_LOOKS_MS = 5;

onServersAtOnce('service connections on $name', (server, on) => {
  const { afterEach, test } = on;
  /** None of an earlier test. */
  afterEach(() => until(async () => (await countAll(server)) === 0, 'no service connection'));

  test('are no more than is said under a global read lock', async () => {
    await using proxy = await proxyInFront(server);
    await using schema = await freshSchema(server);
    const names = Array.from({ length: CLIENTS }, (_, index) => `t${index}`);
    const clients = await Promise.all(names.map(() => connect(proxy, { database: schema.name })));
    const locker = await connect(server);
    try {
      for (const name of names) await locker.query(`CREATE TABLE ${schema.name}.${name} (a INT)`);
      await locker.query('FLUSH TABLES WITH READ LOCK');
      const counting = await countUntilTold(server);
      let answered = 0;
      const dropping = names.map(async (name, index) => {
        await clients[index]?.query(`DROP TABLE ${name}`).catch(() => undefined);
        answered++;
      });
      await until(() => answered > CONNECTIONS_MAX, 'some give up', 12_000).catch(() => undefined);
      await locker.query('UNLOCK TABLES');
      await Promise.all(dropping);
      expect(await counting.stop()).toBeLessThanOrEqual(CONNECTIONS_MAX + 1);
    } finally {
      await Promise.all([locker, ...clients].map((connection) => connection.end()));
    }
  });

  test('of a command end in order', async () => {
    await query(server, 'FLUSH STATUS');
    const before = await countAborted(server);
    for (const args of [['list'], ['restore', 'no.such_table'], ['doctor']]) {
      await runUndrop(server, args);
    }
    await until(async () => (await countAll(server)) === 0, 'their end');
    expect(await countAborted(server)).toBe(before);
  });
});

const countAll = async (server: TestServer) => Number(await asking(server).cell(COUNT));

const COUNT = `SELECT COUNT(*) AS n FROM information_schema.PROCESSLIST
  WHERE USER = '${SERVICE_ACCOUNT.user}'`;
/** A busy server lists one that is killed for a while. */
const COUNT_ALIVE = `${COUNT} AND COMMAND NOT IN ('Killed', 'Quit')`;

/** Looks again and again; the most that there were at a time. */
async function countUntilTold(server: TestServer): Promise<{ stop(): Promise<number> }> {
  const connection = await connect(server);
  let isOver = false;
  const looking = (async () => {
    let most = 0;
    while (!isOver) {
      const [rows] = await connection.query(COUNT_ALIVE);
      const [row] = rows as unknown as readonly { n: number }[];
      most = Math.max(most, Number(row?.n));
      await sleep(BETWEEN_LOOKS_MS);
    }
    await connection.end();
    return most;
  })();
  return {
    stop: () => {
      isOver = true;
      return looking;
    },
  };
}

async function countAborted(server: TestServer): Promise<number> {
  const [row] = await query<{ Value: string }>(server, "SHOW GLOBAL STATUS LIKE 'Aborted_clients'");
  return Number(row?.Value);
}
