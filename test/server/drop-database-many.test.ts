/** A DROP DATABASE of many tables: all of it comes back from the answer on, whatever ends then. */
import { expect } from '@jest/globals';
import { silentLog } from '../../src/log.js';
import { reconcile } from '../../src/recovery/reconcile.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { runUndrop, spawnProxy } from '../support/proxy.js';
import { connect, hasProcess, query } from '../support/servers.js';
import { SERVICE_ACCOUNT } from '../support/service-account.js';
import { poolOn } from '../support/service-pool.js';

const TABLES = 150;
const SCHEMA = 'many_tables';
const THERE = `SELECT COUNT(*) AS n FROM information_schema.TABLES WHERE TABLE_SCHEMA = '${SCHEMA}'`;
const DESCRIBED = `SELECT COUNT(*) AS n, COUNT(definition) AS defined, COUNT(restore_script) AS scripts
  FROM _undrop.ledger WHERE schema_name = '${SCHEMA}' AND kind = 'base' AND state = 'HOLD'`;

onServersAtOnce('a DROP DATABASE of many tables on $name', (server, on) => {
  const { afterEach, beforeEach, test } = on;

  beforeEach(async () => {
    await freshLedger(server);
    await using root = await connect(server);
    await root.query(`CREATE DATABASE ${SCHEMA}`);
    for (let nr = 0; nr < TABLES; nr++) {
      await root.query(`CREATE TABLE ${SCHEMA}.t${nr} (id INT PRIMARY KEY) ENGINE=InnoDB`);
    }
  });
  afterEach(async () => {
    await query(server, `DROP DATABASE IF EXISTS ${SCHEMA}`);
    await freshLedger(server);
  });

  test('UNDROP DATABASE right after the answer brings all of it back', async () => {
    await using proxy = await spawnProxy(server);
    await using client = await connect(proxy);
    await client.run(`DROP DATABASE ${SCHEMA}`, `UNDROP DATABASE ${SCHEMA}`);
    expect(await query(server, THERE)).toEqual([{ n: TABLES }]);
  });

  /** Drops the schema through a proxy that is killed as soon as the client has its answer. */
  async function dropAndKill(): Promise<void> {
    await using proxy = await spawnProxy(server);
    const client = await connect(proxy);
    client.on('error', () => undefined);
    await client.query(`DROP DATABASE ${SCHEMA}`);
    proxy.child.kill('SIGKILL');
    client.destroy();
  }

  test('the proxy is killed after the answer: `undrop restore` brings all of it back', async () => {
    await dropAndKill();
    const { code, stderr } = await runUndrop(server, ['restore', '--schema', SCHEMA]);
    expect([code, stderr]).toEqual([0, '']);
    expect(await query(server, THERE)).toEqual([{ n: TABLES }]);
  });

  test('the proxy is killed after the answer: recovery writes the rest', async () => {
    await dropAndKill();
    // Its worker ends a moment later, and may write until then.
    const own = `USER = '${SERVICE_ACCOUNT.user}'`;
    await until(async () => !(await hasProcess(server, own)), 'its sessions are gone');
    // As if the last of them had not been written, a minute ago.
    await query(
      server,
      `UPDATE _undrop.ledger SET restore_script = NULL, definition = NULL,
        state_since = state_since - INTERVAL 2 MINUTE
       WHERE schema_name = '${SCHEMA}' AND table_name IN ('t7', 't8', 't9')`,
    );
    const { stdout } = await runUndrop(server, ['status']);
    expect(stdout).toMatch(new RegExp(`settling \\d+ of ${TABLES} tables of ${SCHEMA}`));
    const pool = poolOn(server);
    try {
      const how = { proxyId: 'another', activeIds: new Set<string>(), log: silentLog };
      await query(
        server,
        'UPDATE _undrop.ledger SET state_since = state_since - INTERVAL 2 MINUTE',
      );
      await reconcile(pool, how);
    } finally {
      await pool.dispose();
    }
    expect(await query(server, DESCRIBED)).toEqual([
      { n: TABLES, defined: TABLES, scripts: TABLES },
    ]);
  });
});
