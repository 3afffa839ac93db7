/**
 * Attacks on both doors of programs, the API of the console and the tools at `/mcp`: whatever is
 * tried there does nothing and tells nothing, and the next client is served.
 */
import {
  type AskedOfConsole,
  askConsole,
  basic,
  callOf,
  consoleOn,
  MCP_TYPES,
  OWNER,
  PASSWORD,
} from '../support/console.js';
import { onServers } from '../support/on-servers.js';
import { ownAddress } from '../support/own-address.js';
import { adminOf, type ProxyProcess } from '../support/proxy.js';

interface Asked extends AskedOfConsole {
  readonly path?: string;
  readonly of?: ProxyProcess;
}

const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;

onServers('attacks on the doors of programs on $name', (server, on) => {
  const { beforeEach, test } = on;
  const console = consoleOn(server, on, { CONSOLE: 'on' });
  const { schema, account, spawn, proxy, drop, tables } = console;
  let id = '';
  beforeEach(async () => {
    await drop('a');
    id = await console.newestId();
  });

  /** Requests that bring the table back. */
  const DOORS = {
    api: () => ({ path: `/api/v1/tables/${id}/restore`, body: '{}' }),
    mcp: () => ({ path: '/mcp', body: callOf('undrop', { table: `${schema.name}.a` }) }),
  };
  const doors = ['api', 'mcp'] as const;
  const TYPES = { ...MCP_TYPES, 'content-type': 'application/json' };

  /** An undefined header isn't sent. */
  async function ask(door: (typeof doors)[number], { of = proxy, path, ...asked }: Asked = {}) {
    const good = DOORS[door]();
    const body = asked.method === undefined ? good.body : undefined;
    const all = { ...TYPES, authorization: basic(OWNER), ...asked.headers };
    const sent = Object.entries(all).filter(([, value]) => value !== undefined);
    const how = { body, ...asked, headers: Object.fromEntries(sent) };
    const told = await askConsole(of, path ?? good.path, how);
    expect(told.headers['access-control-allow-origin']).toBeUndefined();
    return told;
  }

  /** Each has one of these statuses. */
  async function refused(
    door: (typeof doors)[number],
    attacks: readonly Asked[],
    statuses: readonly number[],
  ): Promise<void> {
    for (const attack of attacks) {
      const { status, text } = await ask(door, attack);
      const shown = JSON.stringify(attack).slice(0, 200);
      expect([shown, status]).toEqual([shown, statuses.find((one) => one === status)]);
      expect(text).not.toMatch(/DROP TABLE|Restored|root:|process_/);
    }
    expect(await tables()).toEqual([]);
  }

  test.each(doors)('%s: nobody is let in by another login, host or origin', async (door) => {
    const logins = [
      ...[undefined, '', 'Basic', 'Basic !', 'Bearer x', `Bearer ${basic(OWNER).slice(6)}`],
      ...[basic(`'${OWNER}'`), basic(`${OWNER}\0`), basic(''), 'Basic b3duZXI='],
      ...[basic(OWNER, 'wrong'), basic('x'.repeat(3_000)), basic('nobody', 'x'.repeat(3_000))],
    ];
    const all = logins.map((authorization) => ({ headers: { authorization } }));
    const asking = { headers: { authorization: undefined, cookie: 'undrop_session_1=x' } };
    await refused(door, [...all, asking, { ...asking, method: 'OPTIONS' }], [401]);
    const listen = adminOf(proxy);
    const foreign: readonly NonNullable<Asked['headers']>[] = [
      ...[
        'evil.example',
        'localhost.evil.example',
        'localhost:1@evil.example',
        '127.0.0.1.',
        '127.1',
      ].map((host) => ({ host, 'x-forwarded-host': 'localhost' })),
      ...[
        'null',
        '',
        'http://evil.example',
        `https://${listen}`,
        `http://${listen}.evil.example`,
      ].map((origin) => ({ origin })),
      ...[
        'text/plain',
        'application/x-www-form-urlencoded',
        'application/json, text/plain',
        undefined,
      ].map((type) => ({ 'content-type': type })),
    ];
    await refused(
      door,
      foreign.map((headers) => ({ headers })),
      [400],
    );
    expect((await ask(door, { headers: { origin: `http://${listen}` } })).status).toBe(200);
    expect(await tables()).toEqual(['a']);
  });

  test.each(doors)('%s: other bodies, methods and paths do nothing', async (door) => {
    const { path, body } = DOORS[door]();
    const bodies = [
      '[]',
      '{',
      'null',
      '7',
      `[${body},${body}]`,
      body.slice(0, -1),
      `\ufeff${body}`,
    ];
    const large = `{"to":"${'x'.repeat(70_000)}"}`;
    const deep = [`{"to":${nested(30_000)}}`, nested(30_000)];
    await refused(
      door,
      [...bodies, large, ...deep].map((one) => ({ body: one })),
      [400],
    );
    const methods = ['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD', 'TRACE', 'PROPFIND'];
    await refused(
      door,
      methods.map((method) => ({ method })),
      [404, 405],
    );
    await refused(
      door,
      [{ method: 'GET', headers: { upgrade: 'websocket', connection: 'upgrade' } }],
      [404, 405],
    );
    const paths = [
      ...[`${path}/`, `${path}/x`, `${path}%2f`, `${path}%00`, `${path};x`, `/${path}`],
      ...[`${path}/../../metrics`, `${path}/..%2f..%2fetc%2fpasswd`, path.toUpperCase()],
      ...[`http://localhost${path}`, `/metrics${path}`, `/?${path}`],
    ];
    await refused(
      door,
      paths.map((one) => ({ path: one, body })),
      [404, 405],
    );
    const tooLong = { 'x-long': 'x'.repeat(9_000) };
    await refused(door, [{ headers: tooLong }], [431]);
    const lengths = { 'content-length': '2', 'transfer-encoding': 'chunked' };
    await refused(door, [{ headers: lengths, body: '{}' }], [400]);
    expect((await ask(door)).status).toBe(200);
    expect(await tables()).toEqual(['a']);
  });

  test('messages of MCP that are no requests, or of others, do nothing', async () => {
    const { body } = DOORS.mcp();
    const deep = body.replace(/"arguments":\{.*?\}/, `"arguments":{"table":${nested(30_000)}}`);
    const messages = [
      ...['{}', '{"__proto__":{"jsonrpc":"2.0","id":1,"method":"tools/list"}}', deep],
      ...[body.replace('"id":1,', ''), body.replace('"id":1', '"id":{}')],
      ...[body.replace('undrop', 'constructor'), body.replace('tools/call', 'x'.repeat(60_000))],
      '{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///etc/passwd"}}',
    ];
    await refused(
      'mcp',
      messages.map((one) => ({ body: one })),
      [200, 202, 400],
    );
    const headers = [{ accept: 'text/html' }, { 'mcp-protocol-version': '1' }];
    await refused(
      'mcp',
      headers.map((one) => ({ headers: one })),
      [400, 406],
    );
    expect((await ask('mcp')).status).toBe(200);
    expect(await tables()).toEqual(['a']);
  });

  test('of a hundred wrong passwords at both doors five reach the server, and no log has one', async () => {
    await account('console_guessed');
    const guess = (password: string, nr: number) =>
      ask(doors[nr % 2] ?? 'api', {
        headers: { authorization: basic('console_guessed', password) },
      });
    const told = await Promise.all(
      Array.from({ length: 100 }, (_, nr) => guess(`guess-${nr}`, nr).catch(() => null)),
    );
    const statuses = told.map((one) => one?.status ?? 0);
    expect(statuses.filter((status) => status === 401)).toHaveLength(5);
    expect(statuses.every((status) => [401, 429, 503, 0].includes(status))).toBe(true);
    for (const nr of [0, 1]) expect((await guess(PASSWORD, nr)).status).toBe(429);
    expect(JSON.stringify([proxy.lines, told])).not.toMatch(/guess-\d|a secret of the test/);
    expect(await tables()).toEqual([]);
  });

  test('a hundred calls at once keep the next one away from nobody', async () => {
    const body = callOf('list_dropped');
    const calls = Array.from({ length: 100 }, () => ask('mcp', { body }).catch(() => null));
    const statuses = (await Promise.all(calls)).map((told) => told?.status ?? 0);
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThan(0);
    expect(statuses.every((status) => [200, 429, 503, 0].includes(status))).toBe(true);
    for (const door of doors) expect((await ask(door)).status).toBeLessThan(429);
  });

  test('from elsewhere the doors are there by TLS alone', async () => {
    await using far = await spawn({ ADMIN_LISTEN: `${ownAddress()}:0` });
    for (const door of doors)
      await refused(door, [{ of: far }, { of: far, method: 'GET' }], [404, 405]);
    const statuses = doors.map(async (door) => (await ask(door, { of: far, tls: true })).status);
    expect(await Promise.all(statuses)).toContain(200);
    expect(await tables()).toEqual(['a']);
  });

  test('a password that is too long for the driver is a wrong one', async () => {
    await using plain = await spawn({ TLS: 'off' });
    const headers = { authorization: basic(OWNER, 'x'.repeat(300)) };
    for (const door of doors) await refused(door, [{ of: plain, headers }], [401]);
    for (const door of doors) expect((await ask(door, { of: plain })).status).toBe(200);
  });
});
