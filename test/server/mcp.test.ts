/**
 * The tools of an agent, by the client of the SDK: on standard input and output, and at `/mcp`.
 * They tell and do what the account may by SQL, and remove nothing.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { basic, consoleOn, OPERATOR, OWNER, PASSWORD } from '../support/console.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { adminOf, MAIN, spawnUndrop } from '../support/proxy.js';
import { query, type Target } from '../support/servers.js';

interface Told {
  readonly text: string;
  readonly isError: boolean;
  readonly content: Readonly<Record<string, unknown>>;
}

onServers('the tools of an agent on $name', (server, on) => {
  const { test } = on;
  const { schema, account, proxy, drop, tables, newestId } = consoleOn(server, on, {
    CONSOLE: 'on',
  });

  const urlOf = (to: Target = proxy, user = OWNER) =>
    `mysql://${user}:${encodeURIComponent(PASSWORD)}@127.0.0.1:${to.port}/${schema.name}`;
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

  test('bring back the schema of their own address', async () => {
    await query(proxy, `CREATE TABLE ${schema.name}.a (id INT)`, `DROP DATABASE ${schema.name}`);
    await using one = await agent();
    expect(await one.call('undrop', { schema: schema.name })).toMatchObject({ isError: false });
    expect(await tables()).toEqual(['a']);
  });

  test('tell what is wrong with what they are given', async () => {
    await using one = await agent();
    const wrong = [
      ['undrop', {}, /one of table, drop, schema or since/],
      ['undrop', { table: 'a', drop: 'b' }, /one of table, drop, schema or since/],
      ['undrop', { table: 'a', by: 'b' }, /until, by, program with since only/],
      ['undrop', { since: 'whenever' }, /Expected in since .* found "whenever"/],
      ['undrop', { table: 'a', swapp: true }, /swapp/],
      ['undrop', { table: "a'; DROP TABLE b; -- " }, /UNDROP_NO_SUCH_HELD|Incorrect table name/],
      ['list_dropped', { limit: 0 }, /limit/],
      ['hold', { table: `${schema.name}.none`, for: 'ever' }, /UNDROP_/],
      ['purge', {}, /not found/],
      ...[{ limit: '1' }, { limit: 501 }, { limit: 1.5 }, { limit: null }, { schema: 7 }].map(
        (given) => ['list_dropped', given, /list_dropped: /] as const,
      ),
      ...[
        { like: '' },
        { by: ['root'] },
        { since: {} },
        { none: 1 },
        { schema: 'x'.repeat(1e6) },
      ].map((given) => ['list_dropped', given, /list_dropped: /] as const),
      ...['explain_undrop', 'undrop'].flatMap((name) => [
        ...[
          { table: null },
          { table: 7 },
          { swap: 'yes', table: 'a' },
          { table: 'x'.repeat(1e6) },
        ].map((given) => [name, given, /undrop: Invalid|undrop: Too big/] as const),
        ...[
          { drop: 'b', schema: 'c' },
          { table: 'a', since: '1h' },
          { until: '1h' },
          { by: 'b' },
        ].map((given) => [name, given, /one of table, drop, schema or since/] as const),
        ...['a\0b', '`', '.', "' OR 1=1 -- ", `${schema.name}.\`; DROP TABLE a; -- `].map(
          (table) => [name, { table }, /UNDROP_|Incorrect|near/] as const,
        ),
      ]),
      ...[
        {},
        { table: 'a' },
        { for: '9d' },
        { table: 'a', for: 9 },
        { table: 'a', for: '9d', to: 'b' },
      ].map((given) => ['hold', given, /hold: /] as const),
      ...[{ table: [] }, { limit: 501 }, { id: 'a' }].map(
        (given) => ['history', given, /history: /] as const,
      ),
    ] as const;
    for (const [name, given, text] of wrong) {
      const told = await one.call(name, given);
      const shown = JSON.stringify(given).slice(0, 200);
      expect([name, shown, told.isError, told.text]).toEqual([
        ...[name, shown, true, expect.stringMatching(text)],
      ]);
      expect(told.text.length).toBeLessThan(2_000);
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

  test('tell an account without rights the same of what is held and of what is not', async () => {
    const odd = `held_q\`u'o"te%`;
    await drop(odd);
    const id = await newestId();
    const [row] = await query<{ readonly dropId: string }>(
      server,
      `SELECT group_id AS dropId FROM _undrop.ledger WHERE id = '${id}'`,
    );
    const view = `${schema.name}.held_view`;
    await query(server, `CREATE VIEW ${view} AS SELECT 1`);
    await query(proxy, `DROP VIEW ${view}`);
    await account('console_stranger', 'CREATE ON mysql.none');
    await using stranger = await agent('http', 'console_stranger');
    const other = (digits: string) => digits.replace(/^./, (first) => (first === 'f' ? 'e' : 'f'));
    const dropId = row?.dropId ?? '';
    const held = { in: schema.name, name: odd, view: 'held_view', id, dropId };
    const none = {
      in: 'no_schema',
      name: 'no_table',
      view: 'no_view',
      id: other(id),
      dropId: other(dropId),
    };
    const texts = async (of: typeof held) => {
      const table = [of.in, of.name].map((name) => `\`${name.replaceAll('`', '``')}\``).join('.');
      const tables = [table, `${of.in}.${of.view}`, of.id, of.id.slice(0, 9), of.id.slice(-9)];
      const since = '1 hour ago';
      const many = [{ drop: of.dropId }, { schema: of.in }, { schema: of.in, since }, { since }];
      const calls = [
        ...['explain_undrop', 'undrop'].flatMap((name) =>
          [...tables.map((one) => ({ table: one })), ...many].flatMap((given) => [
            ...[[name, given] as const, [name, { ...given, swap: true }] as const],
          ]),
        ),
        ...tables.map((one) => ['hold', { table: one, for: '9d' }] as const),
        ...[
          {},
          { schema: of.in },
          { like: of.id },
          { like: of.name },
          { by: server.user },
          { since },
        ].map((given) => ['list_dropped', given] as const),
        ...[{}, { table: of.id }, { table }].map((given) => ['history', given] as const),
      ];
      const told: string[] = [];
      for (const [name, given] of calls) {
        const { text, content } = await stranger.call(name, given);
        const found = `${text} ${JSON.stringify(content)}`.replaceAll(
          /\d{4}-\d\d-\d\d [\d:]+/g,
          'then',
        );
        const quoted = of.name.replaceAll('`', '``');
        const own = [
          quoted,
          of.name,
          of.in,
          of.view,
          of.id,
          of.dropId,
          of.id.slice(0, 9),
          of.id.slice(-9),
        ].flatMap((one) => [JSON.stringify(one).slice(1, -1), one]);
        told.push(`${name} ${own.reduce((so, one) => so.replaceAll(one, '…'), found)}`);
      }
      return told;
    };
    expect(await texts(held)).toEqual(await texts(none));
    expect(await tables()).toEqual([]);
  });

  test('a thousand calls, the end of the input, and of the reader', async () => {
    {
      await drop('a', 'b');
      await using one = await agent();
      const names = Array.from({ length: 1_000 }, (_, nr) => (nr % 2 === 0 ? 'a' : 'b'));
      const calls = names.map((like) => one.call('list_dropped', { like }));
      const told = (await Promise.all(calls)).map(({ content }) => content['tables']);
      expect(told).toEqual(names.map((Table) => [expect.objectContaining({ Table })]));
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
    const start = () => {
      const child = spawn(process.execPath, [MAIN, 'mcp'], { env, stdio: 'pipe' });
      child.stdin.on('error', () => undefined);
      const said = { out: '', error: '' };
      child.stdout.on('data', (chunk: Buffer) => {
        said.out += chunk.toString();
      });
      child.stderr.on('data', (chunk: Buffer) => {
        said.error += chunk.toString();
      });
      return { child, said, ended: once(child, 'close') };
    };
    const piped = start();
    piped.child.stdin.end(messages.join(''));
    expect(await piped.ended).toEqual([0, null]);
    expect(piped.said).toEqual({ out: expect.stringMatching(/"id":2/), error: '' });
    const unread = start();
    unread.child.stdout.destroy();
    unread.child.stdin.write(messages.join(''));
    expect(await unread.ended).toEqual([0, null]);
    expect(unread.said.error).toBe('');
    const slow = start();
    slow.child.stdout.removeAllListeners('data').pause();
    slow.child.stdin.end(messages.join('') + (messages.at(-1) ?? '').repeat(500));
    await until(() => slow.child.stdout.readableLength > 0, 'it answers');
    slow.child.stdout.destroy();
    expect(await slow.ended).toEqual([0, null]);
    expect(slow.said.error).toBe('');
    const endless = start();
    // It takes no line of so many bytes; its input stays open.
    endless.child.stdin.write(messages.join('') + 'x'.repeat(11_000_000));
    expect(await endless.ended).toEqual([0, null]);
    expect(endless.said.error).toBe('');
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
});
