/**
 * The tools of an agent, by the client of the SDK: on standard input and output, and at `/mcp`.
 * They tell and do what the account may by SQL, and remove nothing.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { askConsole, consoleOn, OPERATOR, OWNER, PASSWORD } from '../support/console.js';
import { onServers } from '../support/on-servers.js';
import { adminOf, MAIN, spawnUndrop } from '../support/proxy.js';
import { query, type Target } from '../support/servers.js';

interface Told {
  readonly text: string;
  readonly isError: boolean;
  readonly content: Readonly<Record<string, unknown>>;
}

onServers('the tools of an agent on $name', (server, on) => {
  const { test } = on;
  const { schema, account, proxy, drop, tables } = consoleOn(server, on, { CONSOLE: 'on' });

  const urlOf = (to: Target = proxy, user = OWNER) =>
    `mysql://${user}:${encodeURIComponent(PASSWORD)}@127.0.0.1:${to.port}/${schema.name}`;
  const basic = (user: string) => `Basic ${Buffer.from(`${user}:${PASSWORD}`).toString('base64')}`;
  const WAYS = {
    stdio: (user = OWNER) =>
      new StdioClientTransport({
        ...{ command: process.execPath, args: [MAIN, 'mcp'], stderr: 'ignore' },
        env: { UNDROP_MCP_URL: urlOf(proxy, user) },
      }),
    http: (user = OWNER) =>
      new StreamableHTTPClientTransport(new URL(`http://${adminOf(proxy)}/mcp`), {
        requestInit: { headers: { authorization: basic(user) } },
      }),
  };

  async function agent(way: keyof typeof WAYS = 'stdio', user = OWNER) {
    const client = new Client({ name: 'an agent', version: '1' });
    // Its types want `undefined` to be said.
    await client.connect(WAYS[way](user) as Parameters<Client['connect']>[0]);
    const call = async (name: string, given: object = {}): Promise<Told> => {
      const told = await client.callTool({ name, arguments: { ...given } });
      const [first] = told.content as readonly { readonly text: string }[];
      const content = (told.structuredContent ?? {}) as Told['content'];
      return { text: first?.text ?? '', isError: told.isError === true, content };
    };
    return { client, call, [Symbol.asyncDispose]: () => client.close() };
  }

  test.each(['stdio', 'http'] as const)('are five by %s, and do what they say', async (way) => {
    await drop('a', 'b');
    await using one = await agent(way);
    const { tools } = await one.client.listTools();
    expect(tools.map(({ name, annotations }) => [name, annotations?.readOnlyHint])).toEqual([
      ...[['list_dropped', true] as const, ['explain_undrop', true] as const],
      ...[['undrop', false] as const, ['hold', false] as const, ['history', true] as const],
    ]);
    const about = await one.client.readResource({ uri: 'undrop://about' });
    expect(JSON.stringify(about)).toMatch(/cannot bring back/);
    const listed = await one.call('list_dropped', { schema: schema.name });
    expect(listed.text).toMatch(new RegExp(`^${schema.name}\\.b: DROP TABLE at .* by root`, 'm'));
    expect(listed.content['tables']).toHaveLength(2);
    const table = `${schema.name}.a`;
    const plan = await one.call('explain_undrop', { table });
    expect(plan.text).toMatch(/^UNDROP TABLE .*\n.* becomes .*/);
    expect(await tables()).toEqual([]);
    const done = await one.call('undrop', { table });
    expect(done).toMatchObject({ isError: false, text: expect.stringMatching(/^Restored /) });
    const held = await one.call('hold', { table: `${schema.name}.b`, for: '9d' });
    expect(held.text).toMatch(/ is held until /);
    expect(await one.call('hold', { table: `${schema.name}.b`, for: '1h' })).toMatchObject({
      ...{ isError: true, text: expect.stringMatching(/HOLD only lengthens/) },
    });
    const all = await one.call('undrop', { schema: schema.name, since: '1 hour ago' });
    expect(all).toMatchObject({ isError: false });
    expect(await tables()).toEqual(['a', 'b']);
  });

  test('undo a reset by swap, and turn it round', async () => {
    await drop('a');
    await query(server, `CREATE TABLE ${schema.name}.a (id INT)`);
    await using one = await agent();
    const count = async () => {
      const [row] = await query<{ n: number }>(
        server,
        `SELECT COUNT(*) AS n FROM ${schema.name}.a`,
      );
      return row?.n;
    };
    const reset = { schema: schema.name, since: '1 hour ago' };
    expect(await one.call('undrop', reset)).toMatchObject({
      ...{ isError: true, text: expect.stringMatching(/SWAP holds the live tables instead/) },
    });
    expect(await one.call('undrop', { ...reset, swap: true })).toMatchObject({ isError: false });
    expect(await count()).toBe(2);
    expect(await one.call('undrop', { ...reset, swap: true })).toMatchObject({ isError: false });
    expect(await count()).toBe(0);
  });

  test('tell what is wrong with what they are given', async () => {
    await using one = await agent();
    const wrong = [
      ['undrop', {}, /one of table, drop, schema or since/],
      ['undrop', { table: 'a', drop: 'b' }, /one of table, drop, schema or since/],
      ['undrop', { table: 'a', by: 'b' }, /until and by with since only/],
      ['undrop', { since: 'whenever' }, /Expected in since .* found "whenever"/],
      ['undrop', { table: 'a', swapp: true }, /swapp/],
      ['undrop', { table: "a'; DROP TABLE b; -- " }, /UNDROP_NO_SUCH_HELD|Incorrect table name/],
      ['list_dropped', { limit: 0 }, /limit/],
      ['hold', { table: `${schema.name}.none`, for: 'ever' }, /UNDROP_/],
      ['purge', {}, /not found/],
    ] as const;
    for (const [name, given, text] of wrong) {
      const told = await one.call(name, given);
      expect([name, given, told.isError, told.text]).toEqual([
        ...[name, given, true, expect.stringMatching(text)],
      ]);
    }
    expect((await one.call('list_dropped')).isError).toBe(false);
  });

  test('show and restore to an account without rights nothing, and the history to operators', async () => {
    await drop('a');
    await account('console_stranger', 'CREATE ON mysql.none');
    await using stranger = await agent('http', 'console_stranger');
    expect(await stranger.call('list_dropped')).toMatchObject({ content: { tables: [] } });
    const refused = await stranger.call('undrop', { table: `${schema.name}.a` });
    expect(refused.isError).toBe(true);
    expect(await tables()).toEqual([]);
    const denied = await stranger.call('history');
    expect(denied).toMatchObject({ isError: true, text: expect.stringMatching(/denied/) });
    await account(OPERATOR, 'ALL ON _undrop.*', `CREATE ON ${schema.name}.*`);
    await using operator = await agent('stdio', OPERATOR);
    const { text } = await operator.call('history', { table: `${schema.name}.a` });
    expect(text).toMatch(/"event":"held"/);
  });

  test('a thousand calls, the end of the input, and of the reader', async () => {
    {
      await using one = await agent();
      const calls = Array.from({ length: 1_000 }, () => one.call('list_dropped', { limit: 1 }));
      for (const { isError } of await Promise.all(calls)) expect(isError).toBe(false);
    }
    const env = { ...process.env, UNDROP_MCP_URL: urlOf() };
    const hello = {
      protocolVersion: '2025-06-18',
      capabilities: {},
      clientInfo: { name: 'a', version: '1' },
    };
    const messages = [
      { jsonrpc: '2.0', id: 1, method: 'initialize', params: hello },
      { jsonrpc: '2.0', method: 'notifications/initialized' },
      {
        jsonrpc: '2.0',
        id: 2,
        method: 'tools/call',
        params: { name: 'list_dropped', arguments: {} },
      },
    ].map((message) => `${JSON.stringify(message)}\n`);
    const piped = spawn(process.execPath, [MAIN, 'mcp'], {
      env,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let said = '';
    piped.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    piped.stdin.end(messages.join(''));
    expect(await once(piped, 'close')).toEqual([0, null]);
    expect(said).toMatch(/"id":2/);
    const unread = spawn(process.execPath, [MAIN, 'mcp'], {
      env,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    unread.stdin.on('error', () => undefined);
    unread.stdout.destroy();
    unread.stdin.write(messages.join(''));
    expect(await once(unread, 'close')).toEqual([0, null]);
  });

  test('need the address of undrop, which is in no error', async () => {
    const wrong = [undefined, 'undrop:3307', `http://u:${PASSWORD}@127.0.0.1/`];
    for (const url of wrong) {
      const variables: Record<string, string> = url === undefined ? {} : { MCP_URL: url };
      const { code, stderr } = await spawnUndrop(server, ['mcp'], variables);
      expect([url, code, stderr]).toEqual([
        url,
        2,
        expect.stringMatching(/UNDROP_MCP_URL: expected/),
      ]);
      expect(stderr).not.toContain(PASSWORD);
    }
    const client = new Client({ name: 'an agent', version: '1' });
    const env = { UNDROP_MCP_URL: urlOf(server) };
    const program = { command: process.execPath, args: [MAIN, 'mcp'], env };
    await client.connect(new StdioClientTransport(program));
    const told = await client.callTool({ name: 'list_dropped', arguments: {} });
    expect(JSON.stringify(told)).toMatch(/a server without undrop in front/);
    await client.close();
  });

  test('let nobody in at /mcp who is not let in at the API', async () => {
    const call = { jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} };
    const ask = (headers: Record<string, string>, method = 'POST') =>
      askConsole(proxy, '/mcp', {
        ...{ method, body: method === 'POST' ? JSON.stringify(call) : undefined },
        headers: {
          ...{ accept: 'application/json, text/event-stream', 'content-type': 'application/json' },
          ...headers,
        },
      });
    const authorization = basic(OWNER);
    const wrong = Buffer.from(`${OWNER}:wrong`).toString('base64');
    const told = [
      await ask({}),
      await ask({ authorization: `Basic ${wrong}` }),
      await ask({ authorization, origin: 'http://evil.example' }),
      await ask({ authorization, host: 'evil.example' }),
      await ask({ authorization, 'content-type': 'text/plain' }),
      await ask({ authorization }, 'GET'),
      await ask({ authorization }),
    ];
    expect(told.map(({ status }) => status)).toEqual([401, 401, 400, 400, 400, 405, 200]);
  });
});
