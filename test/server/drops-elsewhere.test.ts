/**
 * A drop that a client sends to the server itself: the metric has it within a minute, and `undrop
 * doctor` names its account; drops through undrop, and its own, are none.
 */
import net from 'node:net';
import { onServersAtOnce } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { parseExposition } from '../support/prometheus-text.js';
import { adminOf, runUndrop, spawnProxy } from '../support/proxy.js';
import { connect, query } from '../support/servers.js';

/** Loopback, as undrop's own address is, but another. */
const ELSEWHERE = '127.0.0.2';
const DIRECT = 'goes_past';
const WITHIN_MS = 90_000;

onServersAtOnce('drops past undrop, on $name', (server, on) => {
  const { test } = on;
  const schema = on.schema('elsewhere');
  on.freshLedger();
  on.account(DIRECT, { password: 'pw', grants: ['ALL ON *.*'] });
  on.account('goes_through', { password: 'pw', grants: ['ALL ON *.*'] });

  test('are counted and named, and no others', async () => {
    // A table of digests without room has no new one.
    const digests = 'performance_schema.events_statements_summary_by_digest';
    if (server.flavour === 'mysql') await query(server, `TRUNCATE TABLE ${digests}`);
    const options = { ADMIN_LISTEN: '127.0.0.1:0', COLLECT: 'on', HOLD: '1s', EVAC: '1s' };
    await using proxy = await spawnProxy(server, options);
    const counted = async () => {
      const response = await fetch(`http://${adminOf(proxy)}/metrics`);
      return parseExposition(await response.text());
    };
    const isAt = async (name: string, value: number) => (await counted()).get(name) === value;
    await until(() => isAt('undrop_server_drops_total', 0), 'it counts', WITHIN_MS);

    const through = { ...proxy, user: 'goes_through', password: 'pw' };
    const other = `${schema.name}_other`;
    await query(
      through,
      `CREATE TABLE ${schema.name}.held (a INT)`,
      `DROP TABLE ${schema.name}.held`,
      `CREATE DATABASE ${other}`,
      `CREATE TABLE ${other}.held (a INT)`,
      `DROP DATABASE ${other}`,
      `CREATE TABLE ${schema.name}.destroyed (a INT)`,
    );
    await until(() => isAt('undrop_removed_total', 2), 'undrop has dropped them', WITHIN_MS);

    const stream = net.connect({ ...server, localAddress: ELSEWHERE });
    await using direct = await connect({ ...server, user: DIRECT, password: 'pw' }, { stream });
    await direct.query(`DROP TABLE ${schema.name}.destroyed`);
    await until(
      async () => ((await counted()).get('undrop_server_drops_total') ?? 0) > 0,
      'it is counted',
      WITHIN_MS,
    );
    expect((await counted()).get('undrop_server_drops_total')).toBe(1);

    const { stdout } = await runUndrop(server, ['doctor']);
    expect(stdout).toMatch(/^note +elsewhere +goes_past/m);
    expect(stdout).not.toMatch(/goes_through/);
  });
});
