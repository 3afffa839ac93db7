/**
 * The services in front of a server, as `undrop status` lists them: their settings are compared, a
 * reload keeps their rows, their end deletes them; and how the rows get into the binary log.
 */
import { dropRecycleSchemas, freshLedger } from '../support/fresh-ledger.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import type { ProxyProcess, Variables } from '../support/proxy.js';
import { reloadBySignal, runUndrop, spawnProxy } from '../support/proxy.js';
import { connect, freshSchema, query } from '../support/servers.js';
import { makeServiceAccount, SERVICE_ACCOUNT } from '../support/service-account.js';
import { wireTap } from '../support/wire-tap.js';

const MANAGED = 'listed';
/** A service that could not delete its row counts as running for two minutes. */
const GONE_WITHIN_MS = 150_000;

interface Listed {
  readonly id: string;
  readonly listen: string;
  readonly startedAt: string;
  readonly processes: number;
  readonly collects: boolean;
}

onServersAtOnce('the services in front of $name', (server, on) => {
  const { afterAll, beforeAll, beforeEach, test } = on;
  beforeAll(() => makeServiceAccount(server, { user: MANAGED, tier: 'managed' }));
  beforeEach(() => freshLedger(server));
  afterAll(() => query(server, `DROP USER ${MANAGED}`));
  const spawn = async (variables: Variables) => {
    return on.each.keep(await spawnProxy(server, variables));
  };
  const status = async () => {
    const { code, stdout } = await runUndrop(server, ['status', '--json']);
    const { services, attention } = JSON.parse(stdout) as {
      readonly services: readonly Listed[];
      readonly attention: readonly { readonly text: string }[];
    };
    return { code, services, attention: attention.map(({ text }) => text) };
  };
  const listenOf = ({ host, port }: ProxyProcess) => `${host}:${port}`;
  const untilListed = (...proxies: readonly ProxyProcess[]) => {
    const wanted = proxies.map(listenOf).sort();
    return until(
      async () => {
        const found = (await status()).services.map(({ listen }) => listen);
        return JSON.stringify(found.sort()) === JSON.stringify(wanted);
      },
      'they are listed',
      GONE_WITHIN_MS,
    );
  };

  test('are listed, until they end', async () => {
    const first = await spawn({ HOLD: '2h', COLLECT: 'on', WORKERS: '2' });
    const second = await spawn({ HOLD: '1h', MAX_CONNECTIONS: '100', MAX_BYTES: '1G' });
    await untilListed(first, second);
    await until(async () => (await status()).services.some((one) => one.collects), 'one leads');

    const { services } = await status();
    expect(services).toMatchObject([
      { listen: listenOf(first), processes: 3, collects: true },
      { listen: listenOf(second), processes: 2, collects: false },
    ]);
    const { stdout } = await runUndrop(server, ['status']);
    expect(stdout).toContain(`${listenOf(first)}: version `);

    await second.stop();
    await untilListed(first);
    await reloadBySignal(first);
    const [before] = services;
    await until(async () => {
      const [row] = (await status()).services;
      return row?.collects === true;
    }, 'it collects again');
    const after = await status();
    expect([after.code, after.attention]).toEqual([0, []]);
    const { id, startedAt } = before ?? {};
    expect(after.services).toMatchObject([{ id, startedAt }]);
  });

  test('are in the binary log where the account may not keep them out', async () => {
    const { password } = SERVICE_ACCOUNT;
    const full = await spawn({});
    const managed = await spawn({ USER: MANAGED, PASSWORD: password });
    await untilListed(full, managed);
    const logged = async () => {
      const rows = await query<{ readonly listen: string; readonly logged: number }>(
        server,
        'SELECT listen, row_logged AS logged FROM _undrop.proxies ORDER BY row_logged',
      );
      return rows.map((row) => [row.listen, row.logged]);
    };
    expect(await logged()).toEqual([
      [listenOf(full), 0],
      [listenOf(managed), 1],
    ]);
    // Its row stays when it is killed, and goes with the next start at its address.
    managed.kill('SIGKILL');
    await managed.ended;
    const next = await spawn({ USER: MANAGED, PASSWORD: password, LISTEN: listenOf(managed) });
    await until(async () => {
      const { services } = await status();
      return services.length === 2 && (await logged()).length === 2;
    }, 'the row of the killed one is deleted');
    expect((await logged()).at(-1)).toEqual([listenOf(next), 1]);
  });
});

/**
 * A process that is killed amid a drop: whoever collects finishes what it left within seconds, not
 * at its next look.
 */
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
