/**
 * A process that is killed amid a drop, on real servers: whoever collects finishes what it left
 * within seconds, not at its next look.
 */
import { dropRecycleSchemas, freshLedger } from '../support/fresh-ledger.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { type ProxyProcess, spawnProxy } from '../support/proxy.js';
import { connect, freshSchema, query } from '../support/servers.js';
import { wireTap } from '../support/wire-tap.js';

onServersAtOnce('a killed drop on $name', (server, on) => {
  const { afterAll, beforeEach, test } = on;
  beforeEach(() => freshLedger(server));
  afterAll(() => dropRecycleSchemas(server));

  test('of a worker is finished though nobody drops anything else', async () => {
    await using schema = await freshSchema(server, 'orphans');
    const at = `${schema.name}.`;
    await query(
      server,
      `CREATE TABLE ${at}parent (id INT PRIMARY KEY) ENGINE=InnoDB`,
      `CREATE TABLE ${at}child (id INT, FOREIGN KEY (id) REFERENCES ${at}parent (id)) ENGINE=InnoDB`,
    );
    let proxy: ProxyProcess | null = null;
    let isKilled = false;
    await using tap = await wireTap(server, ({ moment, text, user }) => {
      if (moment !== 'before answer' || user === 'undrop' || !text.includes('RENAME')) return true;
      for (const { msg, pid } of proxy?.lines ?? []) {
        if (msg === 'started a worker' && !isKilled) process.kill(Number(pid), 'SIGKILL');
      }
      isKilled = true;
      return 'cut';
    });
    try {
      const variables = { WORKERS: '2', COLLECT: 'auto', CHECK_INTERVAL: '1d', TLS: 'off' };
      proxy = await spawnProxy(tap, variables);
      const collects = () =>
        proxy?.lines.some(({ msg }) => msg === 'became the collector of this server');
      await until(() => collects() === true, 'it collects');
      const client = await connect(proxy, { database: schema.name });
      client.on('error', () => undefined);
      await client.query('SET foreign_key_checks = 0');
      await expect(client.query('DROP TABLE parent')).rejects.toThrow();
      expect(isKilled).toBe(true);
      await query(
        server,
        `CREATE TABLE ${at}parent (id INT PRIMARY KEY) ENGINE=InnoDB`,
        `INSERT INTO ${at}parent VALUES (1)`,
      );
      const isTaken = () =>
        query(server, `INSERT INTO ${at}child VALUES (1)`).then(
          () => true,
          () => false,
        );
      await until(isTaken, 'the child takes rows of the new parent', 60_000);
    } finally {
      await proxy?.stop();
    }
  });
});
