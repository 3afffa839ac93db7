/**
 * `undrop serve` is told to end: what happens to sessions that are idle, busy or in a transaction,
 * on all servers at once. And signals to it as a process, in one and in several, while it starts
 * and while it serves: none ends it without a line of the log, and none opens a debugger.
 */
import { type EventEmitter, once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { constants } from 'node:os';
import { portOf, until } from '../support/poll.js';
import type { LaunchedProxy, ProxyProcess, Variables } from '../support/proxy.js';
import { launchProxy, linesWith, proxyInFront, spawnProxy, workerPids } from '../support/proxy.js';
import { rounds, sample } from '../support/sample.js';
import type { Target, TestServer } from '../support/servers.js';
import { connect, freshSchema, hasProcess, query, testServers } from '../support/servers.js';

/** Signals that are no further apart are taken for one. */
const ECHO_MS = 600;

type MySql2Insides = { readonly connection: { readonly stream: EventEmitter } };

async function open(target: Target, schema?: string) {
  const connection = await connect(target, schema === undefined ? {} : { database: schema });
  connection.on('error', () => undefined);
  const { stream } = (connection as unknown as MySql2Insides).connection;
  const closed = once(stream, 'close');
  const session = { connection, closed, isClosed: false };
  closed.then(
    () => {
      session.isClosed = true;
    },
    () => undefined,
  );
  return session;
}

function steps(proxy: ProxyProcess): readonly unknown[] {
  return linesWith(proxy, { event: 'draining' }).map(({ step }) => step);
}

function logs(proxy: Pick<ProxyProcess, 'lines'>, fields: Parameters<typeof linesWith>[1]) {
  return until(() => linesWith(proxy, fields).length > 0, `${JSON.stringify(fields)} in the log`);
}

/** Its exit code, and everything on standard error. */
async function endOf(proxy: LaunchedProxy): Promise<readonly unknown[]> {
  await proxy.ended;
  return [proxy.child.exitCode, proxy.stderr()];
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
      await new Promise<void>((resolve, reject) =>
        setTimeout(() => {
          const dropped = connection.query(`DROP TABLE ${table}`).catch(() => undefined);
          Promise.all([dropped, proxy.running.stop(PATIENT)]).then(() => resolve(), reject);
        }),
      );
      const isOf = `schema_name = '${schema}' AND table_name = '${table}'`;
      const rows = await query(server, `SELECT state FROM _undrop.ledger WHERE ${isOf}`);
      states.push(rows.flatMap((row) => Object.values(row)).join());
    }
    expect(new Set(states)).toEqual(new Set(['HOLD']));
  }
});

describe('SIGTERM (wire 55)', () => {
  test('idle sessions are answered once more; what precedes a statement is no statement', () =>
    onServers({ DRAIN_TIMEOUT: '1h' }, async (proxy) => {
      const [idle, pinging] = [await open(proxy), await open(proxy)];
      await pinging.connection.ping();
      proxy.kill('SIGTERM');
      await logs(proxy, { event: 'draining' });
      await expect(connect(proxy)).rejects.toThrow(/ECONNREFUSED/);
      expect((await idle.connection.query('SELECT 1 AS one'))[0]).toEqual([{ one: 1 }]);
      await idle.closed;
      await pinging.connection.ping();
      const prepared = pinging.connection.execute('SELECT 2 AS two');
      expect((await prepared)[0]).toEqual([{ two: 2 }]);
      await pinging.closed;
      expect((await endOf(proxy))[0]).toBe(0);
      expect(steps(proxy)).toEqual(['close']);
    }));

  test('busy sessions end behind their answer, transactions behind their end', () =>
    onServers({ DRAIN_TIMEOUT: '1h' }, async (proxy, server) => {
      const { name: schema, drop } = await freshSchema(server);
      await query(server, `CREATE TABLE ${schema}.t (a INT) ENGINE=InnoDB`);
      const busy = await open(proxy);
      const inTransaction = await open(proxy, schema);
      const { connection: writer } = inTransaction;
      await writer.run('BEGIN', 'INSERT INTO t VALUES (1)');
      const lock = await connect(server);
      await lock.query("SELECT GET_LOCK('drain', 0)");
      const answer = busy.connection.query("SELECT GET_LOCK('drain', 60) AS got");
      await isWaiting(server);

      proxy.kill('SIGTERM');
      await logs(proxy, { event: 'draining' });
      expect([busy.isClosed, inTransaction.isClosed]).toEqual([false, false]);
      await lock.end();
      expect((await answer)[0]).toEqual([{ got: 1 }]);
      await busy.closed;
      await writer.run('INSERT INTO t VALUES (2)', 'COMMIT');
      await inTransaction.closed;
      expect((await endOf(proxy))[0]).toBe(0);
      expect(steps(proxy)).toEqual(['close']);
      const rows = await query(server, `SELECT a FROM ${schema}.t ORDER BY a`);
      expect(rows).toEqual([{ a: 1 }, { a: 2 }]);
      await drop();
    }));

  test('lets clients in for the time that load balancers need; a second one ends it all', () =>
    onServers({ DRAIN_WAIT: '1h', DRAIN_TIMEOUT: '1h' }, async (proxy) => {
      const early = await open(proxy);
      proxy.kill('SIGTERM');
      await logs(proxy, { event: 'draining' });
      const firstMs = performance.now();
      const late = await open(proxy);
      for (const { connection } of [early, late]) {
        expect((await connection.query('SELECT 1 AS one'))[0]).toEqual([{ one: 1 }]);
      }
      await late.connection.query('BEGIN');
      await until(() => performance.now() - firstMs > ECHO_MS, 'the end of the echo of the first');
      proxy.kill('SIGTERM');
      await Promise.all([early.closed, late.closed]);
      expect((await endOf(proxy))[0]).toBe(0);
    }));
});

/** Somebody waits for the lock of this test. */
function isWaiting(server: Target): Promise<void> {
  const waiting = "STATE = 'User lock' AND INFO LIKE '%GET_LOCK(''drain'', 60)%'";
  return until(() => hasProcess(server, waiting), 'a session that waits');
}

const WORKERS = ['1', '2'];
const { SIGHUP } = constants.signals;

/** Whether the process has a handler for it; Node has none of its own for SIGHUP. */
function handles(pid: number, signal: number): boolean {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const mask = BigInt(`0x${/^SigCgt:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  return ((mask >> BigInt(signal - 1)) & 1n) === 1n;
}

/** Accepts and says nothing, until it is told to go on to the server. */
async function silentServer(server: Target) {
  const sockets: Socket[] = [];
  const listener: Server = createServer((socket) => sockets.push(socket));
  const reached = once(listener, 'connection');
  const port = await portOf(listener);
  return {
    target: { ...server, host: '127.0.0.1', port },
    reached,
    close: () => {
      for (const socket of sockets) socket.destroy();
      listener.close();
    },
  };
}

const [server] = testServers();
if (server === undefined) throw new Error('there is a server');

describe.each(WORKERS)('with UNDROP_WORKERS=%s', (workers) => {
  /** In one process or in several; in a long run in both. */
  const testOnce = (name: string, run: () => Promise<void>): void => {
    if (sample(WORKERS, { name, count: 1 }).includes(workers)) test(name, run);
  };

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    testOnce(`${signal} while it starts ends it, with a line of the log`, async () => {
      const silent = await silentServer(server);
      const proxy = launchProxy(silent.target, { WORKERS: workers });
      await silent.reached;
      proxy.kill(signal);
      await logs(proxy, { event: 'signal', signal, msg: 'ending before clients are served' });
      expect(await endOf(proxy)).toEqual([0, '']);
      silent.close();
    });
  }

  testOnce('one that comes before anything is loaded is not lost', async () => {
    const proxy = launchProxy(server, { WORKERS: workers });
    await until(async () => handles(proxy.child.pid ?? 0, SIGHUP), 'it listens for signals');
    proxy.kill('SIGTERM');
    await logs(proxy, { event: 'signal', signal: 'SIGTERM' });
    expect(await endOf(proxy)).toEqual([0, '']);
  });

  testOnce('SIGHUP while it starts has the settings read anew when it serves', async () => {
    const proxy = launchProxy(server, { WORKERS: workers });
    await until(async () => handles(proxy.child.pid ?? 0, SIGHUP), 'it listens for signals');
    proxy.kill('SIGHUP');
    await logs(proxy, { event: 'ready' });
    await logs(proxy, { event: 'reload' });
    proxy.kill('SIGTERM');
    expect(await endOf(proxy)).toEqual([0, '']);
  });

  testOnce('SIGUSR1 opens no debugger, and SIGUSR2 ends nothing', async () => {
    const proxy = await spawnProxy(server, { WORKERS: workers });
    const pids = [proxy.child.pid ?? 0, ...workerPids(proxy)];
    expect(pids).toHaveLength(1 + Number(workers));
    const signals = ['SIGUSR1', 'SIGUSR2'] as const;
    for (const pid of pids) for (const signal of signals) process.kill(pid, signal);
    const heard = (signal: string) => proxy.lines.some((line) => line['signal'] === signal);
    await until(async () => signals.every(heard), 'it has heard both');
    for (let count = 0; count < 4; count++) await (await connect(proxy)).end();
    await proxy.stop();
    expect(await endOf(proxy)).toEqual([0, '']);
    expect(proxy.lines.filter(({ msg }) => String(msg).includes('died'))).toEqual([]);
  });
});
