/**
 * `undrop serve --check` on each server: what it finds of the server and the account, beside a
 * proxy and before the first, and that the server is as it was.
 */
import { dropRecycleSchemas, freshLedger } from '../support/fresh-ledger.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import {
  proxyInFront,
  runUndrop,
  spawnProxy,
  spawnUndrop,
  type Variables,
} from '../support/proxy.js';
import { connect } from '../support/servers.js';

/** The files that a process may open are no matter here. */
const FEW: Variables = { MAX_CONNECTIONS: '10' };

onServers('undrop serve --check on $name', (server, on) => {
  const { test } = on;
  const user = 'check_it';
  on.freshLedger();
  on.account(user, { password: 'ch3ck', grants: ['SELECT ON *.*'] });
  const root = on.session();

  const check = (variables: Variables = {}) =>
    runUndrop(server, ['serve', '--check'], { ...FEW, ...variables });
  const schemas = () => root.column('SHOW DATABASES');

  test('finds that a first start is possible, and makes nothing there', async () => {
    await dropRecycleSchemas(server);
    try {
      const before = await schemas();
      const { code, stdout, stderr } = await spawnUndrop(server, ['serve', '--check'], FEW);
      expect({ code, stdout, stderr }).toEqual({
        code: 0,
        stdout: expect.stringMatching(/^note +ledger +there is none/m),
        stderr: '',
      });
      expect(stdout).toMatch(
        /^ok +server +127\.0\.0\.1:\d+: (MySQL|MariaDB) .*: a tested version$/m,
      );
      expect(stdout).toMatch(/^ok +account +undrop@%: tier full$/m);
      expect(stdout).toMatch(/\nundrop would start and hold drops\.\n$/);
      expect(await schemas()).toEqual(before);
    } finally {
      await freshLedger(server);
    }
  });

  test('runs beside the proxy, which goes on', async () => {
    await using proxy = await proxyInFront(server);
    await using client = await connect(proxy);
    const { code, stdout } = await check({ LISTEN: `${proxy.host}:${proxy.port}` });
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^note +listen +.* is in use/m)]);
    expect(stdout).toMatch(/^ok +ledger +version \d+$/m);
    expect(await client.column('SELECT 1')).toHaveLength(1);
  });

  test.each([
    ['lacks privileges', { USER: user, PASSWORD: 'ch3ck' }, 1, /^warning +account +missing /m],
    ['is refused', { PASSWORD: 'another' }, 2, /^failed +server +.*refuses the service account/m],
    ['is unknown', { USER: 'nobody_at_all' }, 2, /^failed +server +/m],
  ])('finds that the account %s', async (_what, variables: Variables, code, line) => {
    const done = await check(variables);
    expect([done.code, done.stdout]).toEqual([code, expect.stringMatching(line)]);
  });

  test('warns of a variable that is no setting', async () => {
    const { code, stdout } = await check({ HODL: '3d' });
    expect([code, stdout]).toEqual([1, expect.stringMatching(/^warning +settings .*UNDROP_HODL/m)]);
  });

  test.each([
    ['SELECT no_such', 'UNDROP_THROTTLE_QUERY failed: '],
    ['SELECT 1 LIMIT 0', 'UNDROP_THROTTLE_QUERY returned no row'],
  ])('runs the query of the throttle: %s', async (THROTTLE_QUERY, words) => {
    const { code, stdout } = await check({ THROTTLE_QUERY });
    const line = `^warning +throttle +the collector would wait: ${words}`;
    expect([code, stdout]).toEqual([1, expect.stringMatching(new RegExp(line, 'm'))]);
  });

  test('lets the query of the throttle make the collector wait', async () => {
    const { code, stdout } = await check({ THROTTLE_QUERY: 'SELECT 1' });
    expect([code, stdout]).toEqual([0, expect.stringMatching(/would start and hold drops/)]);
  });

  test('reads the lag of the replicas', async () => {
    const REPLICAS = `127.0.0.1:1,${server.host}:${server.port}`;
    const { code, stdout } = await check({ REPLICAS });
    expect([code, stdout]).toEqual([
      1,
      expect.stringMatching(/of the replica 127\.0\.0\.1:1 is not/),
    ]);
    const why = /(: it does not replicate|you need .* MONITOR privilege.*)$/m;
    expect(stdout).toMatch(why);
  });

  test('warns at the start of a query of the throttle that fails', async () => {
    const variables = { ...FEW, COLLECT: 'on', THROTTLE_QUERY: 'SELECT no_such' };
    await using proxy = await spawnProxy(server, variables);
    const said = 'cannot collect tables when they are due: UNDROP_THROTTLE_QUERY failed: ';
    const isSaid = (line: Readonly<Record<string, unknown>>) => `${line['msg']}`.startsWith(said);
    await until(() => proxy.lines.some(isSaid), 'the query is warned of');
    expect(proxy.lines.find(isSaid)).toMatchObject({ level: 40, event: 'collector' });
  });

  test('looks at each server of UNDROP_UPSTREAM', async () => {
    const UPSTREAM = `127.0.0.1:1,${server.host}:${server.port}`;
    const { code, stdout } = await check({ UPSTREAM });
    expect([code, stdout]).toEqual([
      1,
      expect.stringMatching(/^warning +server +127\.0\.0\.1:1: /m),
    ]);
    expect(stdout).toMatch(/^ok +account +undrop@%/m);
  });

  test('tells a proxy from a server', async () => {
    await using proxy = await proxyInFront(server);
    const { code, stdout } = await check({ UPSTREAM: `${proxy.host}:${proxy.port}` });
    expect([code, stdout]).toEqual([2, expect.stringMatching(/^failed .* is a proxy of undrop/m)]);
  });
});
