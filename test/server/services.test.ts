/**
 * The services in front of a server, as `undrop status` lists them: their settings are compared, a
 * reload keeps their rows, their end deletes them; and how the rows get into the binary log.
 */
import { freshLedger } from '../support/fresh-ledger.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import type { ProxyProcess, Variables } from '../support/proxy.js';
import { reloadBySignal, runUndrop, spawnProxy } from '../support/proxy.js';
import { query } from '../support/servers.js';
import { makeServiceAccount, SERVICE_ACCOUNT } from '../support/service-account.js';

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
    await until(
      async () => (await status()).services.some(({ collects }) => collects),
      'one leads',
    );

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
