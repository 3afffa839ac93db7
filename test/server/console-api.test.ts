/**
 * The API of the console against real servers: what it shows and changes is what the account may by
 * SQL, and what comes from elsewhere does nothing.
 */
import type http from 'node:http';
import type { ToldByConsole } from '../support/console.js';
import { askConsole, consoleOn, OPERATOR, OWNER, PASSWORD } from '../support/console.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { adminOf } from '../support/proxy.js';
import { query } from '../support/servers.js';
import { readText } from '../support/source-file.js';

interface OpenApi {
  readonly components: { readonly schemas: { readonly Table: { readonly properties: object } } };
  readonly paths: Readonly<Record<string, object>>;
}

const OPENAPI = JSON.parse(readText('src/faces/console/assets/openapi.json')) as OpenApi;

interface Asked {
  /** Default: the account of the test; null: none. */
  readonly as?: string | null;
  readonly password?: string;
  readonly headers?: http.OutgoingHttpHeaders;
  readonly body?: string;
}

type Told = Omit<ToldByConsole, 'text'> & { readonly body: Readonly<Record<string, unknown>> };

onServers('the API of the console on $name', (server, on) => {
  const { test } = on;
  const here = { CONSOLE: 'on', ADMIN_HOSTS: 'undrop.example' };
  const { schema, account, proxy, drop, tables } = consoleOn(server, on, here);

  async function ask(method: string, path: string, asked: Asked = {}): Promise<Told> {
    const { as = OWNER, password = PASSWORD, headers = {}, body } = asked;
    const auth = as === null ? undefined : `${as}:${password}`;
    const type = body === undefined ? {} : { 'content-type': 'application/json' };
    const how = { method, auth, body, headers: { ...type, ...headers } };
    const { text, ...told } = await askConsole(proxy, path, how);
    return { ...told, body: JSON.parse(text) as Told['body'] };
  }

  const list = async (search = '', asked: Asked = {}) => {
    const { status, body } = await ask('GET', `/api/v1/tables?${search}`, asked);
    expect(status).toBe(200);
    return body as unknown as {
      readonly tables: readonly Readonly<Record<string, unknown>>[];
      readonly next: string | null;
    };
  };
  const idOf = async (table: string) =>
    String((await list()).tables.find((one) => one['table'] === table)?.['id']);
  const act = async (table: string, action: string, body: object = {}) =>
    ask('POST', `/api/v1/tables/${await idOf(table)}/${action}`, { body: JSON.stringify(body) });
  test('lists what the account could bring back, by pages and by what is searched', async () => {
    const odd = `<img src=x onerror="alert('1')">\n%`;
    await drop('a', 'only_b', odd);
    const first = await list('limit=2');
    expect(first.tables.map(({ table }) => table)).toEqual([odd, 'only_b']);
    const second = await list(`limit=2&cursor=${first.next}`);
    expect(second.tables.map(({ table }) => table)).toEqual(['a']);
    expect(second.next).toBeNull();
    const [one = {}] = second.tables;
    expect(Object.keys(one)).toEqual(Object.keys(OPENAPI.components.schemas.Table.properties));
    expect(one).toMatchObject({
      ...{ schema: schema.name, table: 'a', state: 'HOLD', how: 'DROP TABLE', user: server.user },
      droppedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
    });
    expect((await ask('GET', `/api/v1/tables/${String(one['id'])}`)).body).toEqual(one);
    for (const [search, expected] of [
      [`q=${encodeURIComponent("alert('1')")}`, [odd]],
      ['q=%25', [odd]],
      [`schema=${schema.name}&user=${server.user}&state=HOLD&since=2020-01-01&q=ly_b`, ['only_b']],
      ['state=PURGE', []],
      ['user=nobody', []],
      ['schema=another', []],
      ["q=' OR 1=1 -- ", []],
      // Its reader may not see statements.
      ['q=drop table', []],
    ] as const) {
      const found = await list(encodeURI(search).replaceAll('%25', '%'));
      expect([search, found.tables.map(({ table }) => table)]).toEqual([search, expected]);
    }
  });

  test('restores, under another name too, and nothing else', async () => {
    await drop('a', 'b', 'c');
    const plan = await ask('GET', `/api/v1/tables/${await idOf('a')}/plan?to=other`);
    const planned = { foreignKeys: 0, triggers: 0, notes: [], isRefused: false };
    expect(plan.body).toMatchObject({ becomes: expect.stringMatching(/\.other$/), ...planned });
    expect(await act('a', 'restore')).toMatchObject({
      status: 200,
      body: { action: 'restore', message: expect.stringContaining('a'), warnings: [] },
    });
    for (const wrong of [{ t0: `${schema.name}.b2` }, { keys: 'on' }]) {
      expect((await act('b', 'restore', wrong)).status).toBe(400);
    }
    await act('b', 'restore', { to: `${schema.name}.b2` });
    await query(server, `CREATE TABLE ${schema.name}.c (id INT)`);
    expect((await act('c', 'restore')).status).toBe(409);
    for (const action of ['swap', 'hold', 'purge', 'pin']) {
      const { status, body } = await act('c', action, { for: '9d' });
      expect([status, body['error']]).toMatchObject([404, { code: 'UNDROP_API_ROUTE' }]);
    }
    expect(await tables()).toEqual(['a', 'b2', 'c']);
  });

  test('undoes a drop, a schema and a span of time, and nothing wider', async () => {
    const undo = (body: object) => ask('POST', '/api/v1/undo', { body: JSON.stringify(body) });
    await drop('a', 'b');
    const { dropId } = (await ask('GET', `/api/v1/tables/${await idOf('a')}`)).body;
    expect(await undo({ drop: dropId })).toMatchObject({ status: 200, body: { action: 'undo' } });
    expect(await tables()).toEqual(['a']);
    const [misspelt, empty] = [
      { shema: 'x', since: '1h' },
      { schema: schema.name, since: '' },
    ];
    for (const wrong of [{}, misspelt, empty, { since: '1h', swap: 'yes' }]) {
      expect((await undo(wrong)).status).toBe(400);
    }
    expect(await undo({ schema: schema.name, since: '1h' })).toMatchObject({ status: 200 });
    expect(await tables()).toEqual(['a', 'b']);
    await query(proxy, `DROP DATABASE ${schema.name}`);
    expect(await undo({ schema: schema.name })).toMatchObject({ status: 200 });
    expect(await tables()).toEqual(['a', 'b']);
  });

  test('each route of the document is there', async () => {
    for (const [path, methods] of Object.entries(OPENAPI.paths)) {
      for (const method of Object.keys(methods)) {
        const asked = path.replace('{id}', 'f'.repeat(32));
        const post = method === 'post' ? { body: '{}' } : {};
        const said = await ask(method.toUpperCase(), asked, post);
        expect([path, said.body['error']]).not.toMatchObject([path, { code: 'UNDROP_API_ROUTE' }]);
      }
    }
    expect((await ask('GET', '/api/v1/none')).body['error']).toMatchObject({
      code: 'UNDROP_API_ROUTE',
    });
  });

  test('an account sees and may what SQL lets it', async () => {
    await account('console_reader', `SELECT ON ${schema.name}.*`);
    await account('console_dropper', `DROP ON ${schema.name}.*`);
    await drop('a');
    const id = await idOf('a');
    for (const as of ['console_reader', 'console_dropper']) {
      expect((await list('', { as })).tables).toEqual([]);
      expect((await ask('GET', `/api/v1/tables/${id}`, { as })).status).toBe(404);
      const said = await ask('POST', `/api/v1/tables/${id}/restore`, { as, body: '{}' });
      expect([as, said.status]).toEqual([as, 404]);
    }
    expect(await tables()).toEqual([]);
  });

  test('operators read the history, and nobody else does', async () => {
    await account(OPERATOR, 'SELECT, UPDATE ON _undrop.ledger');
    await drop('a');
    expect(await ask('GET', '/api/v1/history')).toMatchObject({
      status: 403,
      body: { error: { code: 'UNDROP_API_DENIED' } },
    });
    const history = await ask('GET', '/api/v1/history?limit=1', { as: OPERATOR });
    expect(history.body['events']).toMatchObject([{ event: 'held', table: `${schema.name}.a` }]);
    expect((await ask('GET', '/api/v1/history?event=none', { as: OPERATOR })).status).toBe(400);
  });

  test('what nobody signed in for, or comes from another page, does nothing', async () => {
    await drop('a');
    const path = `/api/v1/tables/${await idOf('a')}/restore`;
    const post = (asked: Asked) => ask('POST', path, { body: '{}', ...asked });
    const none = await post({ as: null });
    expect(none).toMatchObject({ status: 401, body: { error: { code: 'UNDROP_API_SIGN_IN' } } });
    expect(none.headers['www-authenticate']).toMatch(/^Basic /);
    const host = adminOf(proxy);
    for (const wrong of ['{"to":7}', '{"to":"a.b.c"}']) {
      expect([wrong, (await post({ body: wrong })).status]).toEqual([wrong, 400]);
    }
    for (const route of [
      ...['/api/v1/tables/x', `/api/v1/tables/${"'"}`, '/api/v1/tables?limit=0'],
      ...['/api/v1/tables?cursor=1', '/api/v1/nothing', '/api/', '/api/v1/tables/../../metrics'],
      '/api/v1/tables/%2e%2e/%2e%2e/etc',
    ]) {
      const { status } = await ask('GET', route);
      expect([route, [400, 404].includes(status)]).toEqual([route, true]);
    }
    expect(await tables()).toEqual([]);
    const good = { origin: `http://${host}` };
    expect((await post({ headers: good })).status).toBe(200);
    let told: Told['body'] = {};
    await until(async () => {
      const headers = { host: 'undrop.example' };
      told = (await ask('GET', '/api/v1/status', { headers })).body;
      return told['isReady'] === true;
    }, 'it is ready');
    expect(told).toEqual({ version: expect.any(String), isReady: true, problems: [] });
  });
});
