/**
 * `undrop serve` is told to end: what happens to sessions that are idle, busy or in a transaction,
 * on all servers at once.
 */
import { type EventEmitter, once } from 'node:events';
import type { Connection } from 'mysql2/promise';
import { until } from '../support/poll.js';
import { type ProxyProcess, proxyInFront, spawnProxy, type Variables } from '../support/proxy.js';
import { rounds, sample } from '../support/sample.js';
import {
  connect,
  freshSchema,
  hasProcess,
  query,
  type Target,
  type TestServer,
  testServers,
} from '../support/servers.js';

/** Signals that are no further apart are taken for one. */
const ECHO_MS = 600;

interface Session {
  readonly connection: Connection;
  readonly closed: Promise<unknown>;
  isClosed: boolean;
}

interface MySql2Insides {
  readonly connection: { readonly stream: EventEmitter };
}

async function open(target: Target, schema?: string): Promise<Session> {
  const connection = await connect(target, schema === undefined ? {} : { database: schema });
  connection.on('error', () => undefined);
  const { stream } = (connection as unknown as MySql2Insides).connection;
  const closed = once(stream, 'close');
  const session: Session = { connection, closed, isClosed: false };
  closed.then(
    () => {
      session.isClosed = true;
    },
    () => undefined,
  );
  return session;
}

async function exitCode(proxy: ProxyProcess): Promise<number | null> {
  await proxy.ended;
  return proxy.child.exitCode;
}

function steps(proxy: ProxyProcess): readonly unknown[] {
  return proxy.lines.filter(({ event }) => event === 'draining').map(({ step }) => step);
}

function logged(proxy: ProxyProcess, event: string, count = 1): Promise<void> {
  return until(
    () => proxy.lines.filter((line) => line['event'] === event).length >= count,
    `${event} in the log`,
  );
}

/** A proxy of its own in front of one server (a long run: of each), gone afterwards in any case. */
async function onServers(
  variables: Variables,
  run: (proxy: ProxyProcess, server: TestServer) => Promise<void>,
): Promise<void> {
  const onOne = async (server: TestServer) => {
    const proxy = await spawnProxy(server, variables);
    try {
      await run(proxy, server);
    } finally {
      proxy.kill('SIGKILL');
    }
  };
  const servers = sample(testServers(), { name: run.toString(), count: 1 });
  await Promise.all(servers.map(onOne));
}

/** A drop that is under way is not cut off. */
const PATIENT = { timeoutMs: 60_000 };

test('a drop that comes at a shutdown is done', async () => {
  for (const server of sample(testServers(), { name: 'a late drop', count: 1 })) {
    await using fresh = await freshSchema(server);
    const { name: schema } = fresh;
    const states: unknown[] = [];
    for (let time = 0; time < rounds(10, 2); time++) {
      const table = `t_${time}`;
      await query(server, `CREATE TABLE ${schema}.${table} (a INT)`);
      await using proxy = await proxyInFront(server);
      const { connection } = await open(proxy, schema);
      // In a timer, which comes right before what clients have sent is read.
      await new Promise<void>((resolve, reject) => {
        setTimeout(() => {
          const dropped = connection.query(`DROP TABLE ${table}`).catch(() => undefined);
          Promise.all([dropped, proxy.running.stop(PATIENT)]).then(() => resolve(), reject);
        });
      });
      const isOf = `schema_name = '${schema}' AND table_name = '${table}'`;
      const rows = await query(server, `SELECT state FROM _undrop.ledger WHERE ${isOf}`);
      states.push(rows.flatMap((row) => Object.values(row)).join());
    }
    expect(new Set(states)).toEqual(new Set(['HOLD']));
  }
});

describe('SIGTERM (wire 55)', () => {
  test('idle sessions are answered once more; what precedes a statement is no statement', async () => {
    await onServers({ DRAIN_TIMEOUT: '1h' }, async (proxy) => {
      const [idle, pinging] = [await open(proxy), await open(proxy)];
      await pinging.connection.ping();
      proxy.kill('SIGTERM');
      await logged(proxy, 'draining');
      await expect(connect(proxy)).rejects.toThrow(/ECONNREFUSED/);
      expect((await idle.connection.query('SELECT 1 AS one'))[0]).toEqual([{ one: 1 }]);
      await idle.closed;
      await pinging.connection.ping();
      const prepared = pinging.connection.execute('SELECT 2 AS two');
      expect((await prepared)[0]).toEqual([{ two: 2 }]);
      await pinging.closed;
      expect(await exitCode(proxy)).toBe(0);
      expect(steps(proxy)).toEqual(['close']);
    });
  });

  test('busy sessions end behind their answer, transactions behind their end', async () => {
    await onServers({ DRAIN_TIMEOUT: '1h' }, async (proxy, server) => {
      const { name: schema, drop } = await freshSchema(server);
      await query(server, `CREATE TABLE ${schema}.t (a INT) ENGINE=InnoDB`);
      const busy = await open(proxy);
      const inTransaction = await open(proxy, schema);
      const { connection: writer } = inTransaction;
      await writer.query('BEGIN');
      await writer.query('INSERT INTO t VALUES (1)');
      const lock = await connect(server);
      await lock.query("SELECT GET_LOCK('drain', 0)");
      const answer = busy.connection.query("SELECT GET_LOCK('drain', 60) AS got");
      await isWaiting(server);

      proxy.kill('SIGTERM');
      await logged(proxy, 'draining');
      expect([busy.isClosed, inTransaction.isClosed]).toEqual([false, false]);
      await lock.end();
      expect((await answer)[0]).toEqual([{ got: 1 }]);
      await busy.closed;
      await writer.query('INSERT INTO t VALUES (2)');
      await writer.query('COMMIT');
      await inTransaction.closed;
      expect(await exitCode(proxy)).toBe(0);
      expect(steps(proxy)).toEqual(['close']);
      expect(await query(server, `SELECT a FROM ${schema}.t ORDER BY a`)).toEqual([
        { a: 1 },
        { a: 2 },
      ]);
      await drop();
    });
  });

  test('cuts off what is not over in time', async () => {
    await onServers({ DRAIN_TIMEOUT: '100ms' }, async (proxy) => {
      const { connection, closed } = await open(proxy);
      await connection.query('START TRANSACTION');
      await connection.query('SELECT 1 FROM mysql.user');
      proxy.kill('SIGTERM');
      await closed;
      expect(await exitCode(proxy)).toBe(0);
      expect(steps(proxy)).toEqual(['close', 'cut']);
    });
  });

  test('lets clients in for the time that load balancers need; a second one ends it all', async () => {
    await onServers({ DRAIN_WAIT: '1h', DRAIN_TIMEOUT: '1h' }, async (proxy) => {
      const early = await open(proxy);
      proxy.kill('SIGTERM');
      await logged(proxy, 'draining');
      const firstMs = performance.now();
      const late = await open(proxy);
      for (const { connection } of [early, late]) {
        expect((await connection.query('SELECT 1 AS one'))[0]).toEqual([{ one: 1 }]);
      }
      await late.connection.query('BEGIN');
      await until(() => performance.now() - firstMs > ECHO_MS, 'the end of the echo of the first');
      proxy.kill('SIGTERM');
      await Promise.all([early.closed, late.closed]);
      expect(await exitCode(proxy)).toBe(0);
    });
  });
});

/** Somebody waits for the lock of this test. */
function isWaiting(server: Target): Promise<void> {
  const waiting = "STATE = 'User lock' AND INFO LIKE '%GET_LOCK(''drain'', 60)%'";
  return until(() => hasProcess(server, waiting), 'a session that waits');
}
