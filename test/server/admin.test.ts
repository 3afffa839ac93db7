/**
 * `/healthz`, `/readyz` and `/metrics` of a proxy on a real server: they follow the server down and
 * up, and the end of the proxy from its first moment; under load the metrics are readable, and
 * right.
 */
import { join } from 'node:path';
import { temporaryFolder } from '../support/folders.js';
import { startKillable } from '../support/killable-server.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { parseExposition } from '../support/prometheus-text.js';
import { adminOf, spawnProxy, type Variables } from '../support/proxy.js';
import { connect, query, type Target } from '../support/servers.js';

async function watched(server: Target, variables: Variables = {}) {
  const proxy = await spawnProxy(server, { ADMIN_LISTEN: '127.0.0.1:0', ...variables });
  const ask = async (path: string) => {
    const response = await fetch(`http://${adminOf(proxy)}${path}`);
    return { status: response.status, text: await response.text() };
  };
  const metrics = async () => parseExposition((await ask('/metrics')).text);
  return { proxy, ask, metrics };
}

onServersAtOnce('the admin listener on $name', (server, on) => {
  const { afterEach, test } = on;
  afterEach(() => query(server, 'DROP DATABASE IF EXISTS watched'));
  const watch = async (to: Target, variables?: Variables) => {
    const one = await watched(to, variables);
    on.each.keep(one.proxy);
    return one;
  };

  test.each(['1', '2'])('metrics under load, %s workers', async (WORKERS) => {
    const one = await watch(server, { WORKERS, COLLECT: 'on', MODE: 'hold' });
    await query(server, 'CREATE DATABASE watched');
    const CLIENTS = 4;
    const TABLES = 3;
    let isOver = false;
    const scrapes = (async () => {
      let count = 0;
      for (; !isOver; count++) await one.metrics();
      return count;
    })();
    await Promise.all(
      Array.from({ length: CLIENTS }, async (_, client) => {
        await using session = await connect(one.proxy);
        for (let table = 0; table < TABLES; table++) {
          const name = `watched.t_${client}_${table}`;
          await session.run(`CREATE TABLE ${name} (id INT)`, `DROP TABLE ${name}`);
        }
        await session.query(`UNDROP TABLE watched.t_${client}_0`);
        await session.query('DROP TABLE _undrop.x').catch(() => undefined);
      }),
    );
    isOver = true;
    expect(await scrapes).toBeGreaterThan(0);
    const expected = {
      'undrop_logins_total{outcome="ok"}': CLIENTS,
      'undrop_held_total{how="DROP TABLE"}': CLIENTS * TABLES,
      undrop_restored_total: CLIENTS,
      undrop_sessions: 0,
      undrop_upstream_up: 1,
      undrop_drops_ready: 1,
      undrop_draining: 0,
    };
    // What workers have counted is a second old.
    await until(async () => {
      const found = await one.metrics();
      return Object.entries(expected).every(([name, value]) => found.get(name) === value);
    }, 'the metrics are what was done');
    const found = await one.metrics();
    expect(found.get('undrop_refused_total{code="UNDROP_RECYCLE_SCHEMA"}')).toBe(CLIENTS);
    expect(found.get('undrop_commands_total')).toBeGreaterThan(CLIENTS * TABLES);
    expect(found.get('undrop_relayed_bytes_total{from="client"}')).toBeGreaterThan(0);
    await until(async () => {
      const now = await one.metrics();
      return (now.get('undrop_held_tables{state="hold"}') ?? 0) >= CLIENTS * (TABLES - 1);
    }, 'the collector has seen what is held');
    expect((await one.metrics()).get('undrop_collector_leader')).toBe(1);
  });

  test('a proxy is ready until the first moment of its end', async () => {
    const one = await watch(server, { DRAIN_WAIT: '1h' });
    await until(async () => (await one.ask('/readyz')).text === 'ready\n', 'it is ready');
    one.proxy.kill('SIGTERM');
    await until(async () => (await one.ask('/readyz')).status === 503, 'it is not ready any more');
    expect((await one.ask('/readyz')).text).toBe('it is about to end\n');
    expect(await one.ask('/healthz')).toMatchObject({ status: 200 });
    // It lets clients in all the same.
    await query(one.proxy, 'SELECT 1');
    one.proxy.kill('SIGKILL');
    await one.proxy.ended;
  });

  test('a socket file that a killed proxy left is in nobody’s way', async () => {
    await using folder = await temporaryFolder('admin');
    const variables = { ADMIN_LISTEN: join(folder.path, 'admin.sock') };
    const first = await spawnProxy(server, variables);
    first.kill('SIGKILL');
    await first.ended;
    await using proxy = await spawnProxy(server, variables);
    expect(adminOf(proxy)).toBe(variables.ADMIN_LISTEN);
  });

  test('a proxy is ready when its server is', async () => {
    const own = await startKillable(server.name);
    try {
      const one = await watch(own);
      const isReady = async () => (await one.ask('/readyz')).status === 200;
      await until(isReady, 'it is ready');
      own.kill();
      await until(async () => !(await isReady()), 'it is not ready');
      expect((await one.ask('/readyz')).text).toMatch(/no server of UNDROP_UPSTREAM answers/);
      expect(await one.ask('/healthz')).toMatchObject({ status: 200 });
      expect((await one.metrics()).get('undrop_upstream_up')).toBe(0);
      await own.restart();
      await until(isReady, 'it is ready again');
      await query(own, "UPDATE _undrop.control SET wakes = 99 WHERE name = 'version'");
      expect(await one.ask('/readyz?drops')).toEqual({
        status: 503,
        text: expect.stringMatching(/^the ledger is not ready: .*its version is 99/),
      });
      expect((await one.metrics()).get('undrop_drops_ready')).toBe(0);
      await until(isReady, 'it is ready for all but drops');
    } finally {
      await own.stop();
    }
  });
});
