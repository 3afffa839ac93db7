/**
 * `undrop serve --check` on each server: what it finds of the server and the account, beside a
 * proxy and before the first, and that the server is as it was. And the commands as processes in a
 * shell: a pipe that closes; a proxy in the place of a server.
 */
import { tryCommand } from '../../throwaway-servers/run-command.js';
import { dropRecycleSchemas, freshLedger } from '../support/fresh-ledger.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import * as proxies from '../support/proxy.js';
import { connect } from '../support/servers.js';

/** The files that a process may open are no matter here. */
const FEW: proxies.Variables = { MAX_CONNECTIONS: '10' };

onServers('undrop serve --check on $name', (server, on) => {
  const { test } = on;
  const user = 'check_it';
  on.freshLedger();
  on.account(user, { password: 'ch3ck', grants: ['SELECT ON *.*'] });
  const root = on.session();

  const check = (variables: proxies.Variables = {}) =>
    proxies.runUndrop(server, ['serve', '--check'], { ...FEW, ...variables });
  const schemas = () => root.column('SHOW DATABASES');

  test('finds that a first start is possible, and makes nothing there', async () => {
    await dropRecycleSchemas(server);
    try {
      const before = await schemas();
      const { code, stdout, stderr } = await proxies.spawnUndrop(server, ['serve', '--check'], FEW);
      expect({ code, stdout, stderr }).toEqual({
        ...{ code: 0, stdout: expect.stringMatching(/^note +ledger +there is none/m), stderr: '' },
      });
      expect(stdout).toMatch(/^ok +server +[\d.]+:\d+: (MySQL|MariaDB) .*: a tested version$/m);
      expect(stdout).toMatch(/^ok +account +undrop@%: tier full$/m);
      expect(stdout).toMatch(/\nundrop would start and hold drops\.\n$/);
      expect(await schemas()).toEqual(before);
    } finally {
      await freshLedger(server);
    }
  });

  test('runs beside the proxy, which goes on', async () => {
    await using proxy = await proxies.proxyInFront(server);
    await using client = await connect(proxy);
    const { code, stdout } = await check({ LISTEN: `${proxy.host}:${proxy.port}` });
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^note +listen +.* is in use/m)]);
    expect(stdout).toMatch(/^ok +ledger +version \d+$/m);
    expect(await client.column('SELECT 1')).toHaveLength(1);
  });

  const waits = (why: string) =>
    new RegExp(`^warning +throttle +the collector would wait: UNDROP_THROTTLE_QUERY ${why}`, 'm');
  const both = `127.0.0.1:1,${server.host}:${server.port}`;
  const FINDS: readonly (readonly [string, proxies.Variables, number, ...RegExp[]])[] = [
    ['no privileges', { USER: user, PASSWORD: 'ch3ck' }, 1, /^warning +account +missing /m],
    ['a refusal', { PASSWORD: 'another' }, 2, /^failed +server +.*refuses the service account/m],
    ['no such account', { USER: 'nobody_at_all' }, 2, /^failed +server +/m],
    ['a variable that is no setting', { HODL: '3d' }, 1, /^warning +settings .*UNDROP_HODL/m],
    ['a query that fails', { THROTTLE_QUERY: 'SELECT no_such' }, 1, waits('failed: ')],
    ['one of no row', { THROTTLE_QUERY: 'SELECT 1 LIMIT 0' }, 1, waits('returned no row')],
    ['one that is true', { THROTTLE_QUERY: 'SELECT 1' }, 0, /would start and hold drops/],
    [
      'replicas without a lag',
      { REPLICAS: both },
      1,
      /of the replica 127\.0\.0\.1:1 is not/,
      /(: it does not replicate|you need .* MONITOR privilege.*)$/m,
    ],
    [
      'a server of UNDROP_UPSTREAM that is not there',
      { UPSTREAM: both },
      1,
      /^warning +server +127\.0\.0\.1:1: /m,
      /^ok +account +undrop@%/m,
    ],
  ];
  test.each(FINDS)('finds %s', async (_what, variables, code, ...lines) => {
    const done = await check(variables);
    for (const line of lines) {
      expect([done.code, done.stdout]).toEqual([code, expect.stringMatching(line)]);
    }
  });

  test('warns at the start of a query of the throttle that fails', async () => {
    const variables = { ...FEW, COLLECT: 'on', THROTTLE_QUERY: 'SELECT no_such' };
    await using proxy = await proxies.spawnProxy(server, variables);
    const said = 'cannot collect tables when they are due: UNDROP_THROTTLE_QUERY failed: ';
    const isSaid = (line: Readonly<Record<string, unknown>>) => `${line['msg']}`.startsWith(said);
    await until(() => proxy.lines.some(isSaid), 'the query is warned of');
    expect(proxy.lines.find(isSaid)).toMatchObject({ level: 40, event: 'collector' });
  });

  test('a command whose reader has gone ends quietly, with its own exit code', async () => {
    const text = '"$0" "$@" | true; exit $PIPESTATUS';
    const argv = ['bash', '-c', text, process.execPath, proxies.MAIN, 'list'];
    const ended = await tryCommand(argv, { env: proxies.environment(server, {}) });
    expect(ended).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  test.each([
    ['restore', ['restore', 'nothing']],
    ['doctor', ['doctor']],
  ])('%s tells a proxy from a server', async (_command, args) => {
    await using proxy = await proxies.proxyInFront(server);
    const { code, stdout, stderr } = await proxies.spawnUndrop({ ...proxy, user: 'root' }, args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/UNDROP_UPSTREAM 127\.0\.0\.1:\d+ is a proxy of undrop/);
  });

  test('serve --check tells a proxy from a server', async () => {
    await using proxy = await proxies.proxyInFront(server);
    const { code, stdout } = await check({ UPSTREAM: `${proxy.host}:${proxy.port}` });
    expect([code, stdout]).toEqual([2, expect.stringMatching(/^failed .* is a proxy of undrop/m)]);
  });
});
