/**
 * The pages of the console by plain HTTP, as somebody sends them who isn't a browser of a person:
 * none of it does anything, or keeps others from their pages.
 */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import type { AskedOfConsole } from '../support/console.js';
import {
  askConsole,
  basic,
  callOf,
  consoleOn,
  MCP_TYPES,
  OPERATOR,
  OWNER,
  PASSWORD,
  tablesIn,
} from '../support/console.js';
import { temporaryFolder } from '../support/folders.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { adminOf, type ProxyProcess, reloadBySignal } from '../support/proxy.js';
import { connect, query } from '../support/servers.js';

interface Asked extends AskedOfConsole {
  readonly form?: Readonly<Record<string, string>>;
  readonly of?: ProxyProcess;
}

onServers('attacks on the console on $name', (server, on) => {
  const { beforeEach, test } = on;
  const { schema, account, spawn, proxy, drop, tables, newestId } = consoleOn(server, on);
  let id = '';
  beforeEach(async () => {
    await drop('a');
    id = await newestId();
  });

  function ask(path: string, { form, of = proxy, headers, ...asked }: Asked = {}) {
    if (form === undefined) return askConsole(of, path, { headers: headers ?? {}, ...asked });
    const type = { 'content-type': 'application/x-www-form-urlencoded' };
    const body = new URLSearchParams(form).toString();
    return askConsole(of, path, { ...asked, body, headers: { ...type, ...headers } });
  }

  /** The headers of a person who is signed in, and the token of the pages. */
  async function signIn(user = OWNER, of = proxy) {
    const form = { user, password: PASSWORD, next: '/console' };
    const { status, headers } = await ask('/console/sign-in', { form, of });
    expect(status).toBe(303);
    const [set = ''] = headers['set-cookie'] ?? [];
    expect(set).toMatch(
      /^undrop_session_\d+=[\w-]{32}; Path=\/console; HttpOnly; SameSite=Strict$/,
    );
    const cookie = set.split(';')[0] ?? '';
    const page = await ask('/console/tables', { headers: { cookie }, of });
    const token = /name="token" value="([^"]+)"/.exec(page.text)?.[1] ?? '';
    expect(token).not.toBe('');
    return { cookie, token };
  }

  const restored = async () => (await tables()).length > 0;

  test('a person whose session is killed while a page loads is asked to sign in', async () => {
    await using locking = await connect(server);
    const { cookie } = await signIn();
    await locking.query('LOCK TABLES _undrop.ledger WRITE');
    const page = ask('/console/tables', { headers: { cookie } });
    const sessions = 'SELECT ID FROM information_schema.PROCESSLIST WHERE';
    const waiting = `${sessions} STATE LIKE 'Waiting for table%lock'`;
    await until(async () => (await locking.column(waiting)).length > 0, 'it waits');
    const [its] = await locking.column(`${sessions} USER = '${OWNER}'`);
    await locking.run(`KILL ${its}`, 'UNLOCK TABLES');
    expect((await page).status).not.toBe(500);
    expect((await ask('/console/tables', { headers: { cookie } })).status).toBe(303);
  });

  test('nobody is let in without a session, or by a secret that is none', async () => {
    for (const cookie of [null, 'undrop_session_1=x', `undrop_session=${'a'.repeat(32)}`]) {
      for (const path of ['', '/tables', `/tables/${id}`, '/jobs/x']) {
        const headers = cookie === null ? {} : { cookie };
        const { status, headers: told } = await ask(`/console${path}`, { headers });
        expect([path, status, told.location]).toEqual([
          ...[path, 303],
          expect.stringMatching(/^\/console\/sign-in\?next=/),
        ]);
      }
      const form = { token: 'x' };
      const headers = cookie === null ? {} : { cookie };
      expect((await ask(`/console/tables/${id}/restore`, { form, headers })).status).toBe(303);
    }
    expect(await restored()).toBe(false);
  });

  test('a form needs the token of its person, the origin, and a name of the listener', async () => {
    await account('console_other', `ALL ON ${schema.name}.*`);
    const mine = await signIn();
    const other = await signIn('console_other');
    const path = `/console/tables/${id}/restore`;
    const { cookie, token } = mine;
    for (const [headers, form] of [
      [{ cookie }, {}],
      [{ cookie }, { token: 'x' }],
      [{ cookie }, { token: other.token }],
      [{ cookie, origin: 'http://evil.example' }, { token }],
      [{ cookie, origin: 'null' }, { token }],
      [{ cookie, host: 'evil.example' }, { token }],
    ] as const) {
      const { status } = await ask(path, { headers, form });
      expect([headers, form, status]).toEqual([headers, form, 403]);
    }
    const json = { cookie, 'content-type': 'application/json' };
    expect((await ask(path, { headers: json, body: JSON.stringify({ token }) })).status).toBe(400);
    expect(await restored()).toBe(false);
    const origin = `http://${adminOf(proxy)}`;
    expect((await ask(path, { headers: { cookie, origin }, form: { token } })).status).toBe(303);
    expect(await restored()).toBe(true);
  });

  test("another user's table is not there, by its id or its drop, with DROP alone", async () => {
    await account('console_stranger', `DROP ON ${schema.name}.*`);
    const { cookie, token } = await signIn('console_stranger');
    const headers = { cookie };
    const { text } = await ask('/console/tables', { headers });
    expect(text).toContain('Nothing is held that this account could bring back.');
    expect((await ask(`/console/tables/${id}`, { headers })).status).toBe(404);
    for (const action of ['restore', 'hold']) {
      const form = { token, for: '9d' };
      const told = await ask(`/console/tables/${id}/${action}`, { headers, form });
      const after = await ask('/console', { headers });
      expect([action, told.status, after.text.includes('is held until')]).toEqual([
        ...[action, expect.any(Number), false],
      ]);
    }
    expect(await restored()).toBe(false);
  });

  test('a cookie of another proxy, and of one that was signed out, lets nobody in', async () => {
    await using second = await spawn();
    const { cookie: other } = await signIn(OWNER, second);
    const [, port] = adminOf(proxy).split(':');
    for (const one of [other, `undrop_session_${port}=${other.split('=')[1]}`]) {
      expect((await ask('/console/tables', { headers: { cookie: one } })).status).toBe(303);
    }
    const { cookie, token } = await signIn();
    await ask('/console/sign-out', { headers: { cookie }, form: { token } });
    expect((await ask('/console/tables', { headers: { cookie } })).status).toBe(303);
  });

  test('a sign-out in the middle of work ends that, and nothing else', async () => {
    const names = Array.from({ length: 30 }, (_, nr) => `${schema.name}.w${nr}`);
    for (const name of names) await query(server, `CREATE TABLE ${name} (id INT)`);
    await query(proxy, `DROP TABLE ${names.join(', ')}`);
    const { cookie, token } = await signIn();
    const list = await ask('/console/tables?view=tables', { headers: { cookie } });
    const ids = [...list.text.matchAll(/name="id" value="([0-9a-f]{32})"/g)].map(([, one]) => one);
    expect(ids.length).toBeGreaterThan(29);
    const form = new URLSearchParams({ token, action: 'hold', for: '9d', back: '/console/tables' });
    for (const one of ids) form.append('id', one ?? '');
    const type = { 'content-type': 'application/x-www-form-urlencoded' };
    const body = form.toString();
    const selected = '/console/tables/selected';
    expect((await ask(selected, { headers: { cookie, ...type }, body })).status).toBe(303);
    await ask('/console/sign-out', { headers: { cookie }, form: { token } });
    const again = await signIn();
    expect((await ask('/console/tables', { headers: { cookie: again.cookie } })).status).toBe(200);
    expect(proxy.lines.filter(({ level }) => Number(level) >= 50)).toEqual([]);
    expect(JSON.stringify(proxy.lines)).not.toContain('it ended');
  });

  test('of a schema that was dropped twice each drop comes back as itself', async () => {
    const name = `${schema.name}_twice`;
    await account('console_twice', `ALL ON ${name}.*`);
    const drops: string[] = [];
    for (const table of ['old', 'new']) {
      await query(server, `CREATE DATABASE ${name}`, `CREATE TABLE ${name}.${table} (id INT)`);
      await query(proxy, `DROP DATABASE ${name}`);
      const [row] = await query<{ readonly dropId: string }>(
        server,
        `SELECT group_id AS dropId FROM _undrop.ledger WHERE table_name = '${table}'
         AND schema_name = '${name}'`,
      );
      drops.push(row?.dropId ?? '');
    }
    const { cookie, token } = await signIn('console_twice');
    const headers = { cookie };
    const restore = async (dropId = '') => {
      const form = { token, drop: dropId, back: '/console/tables' };
      const { headers: told } = await ask('/console/undo', { headers, form });
      const path = told.location ?? '';
      let page = await ask(path, { headers });
      await until(async () => {
        if (!page.text.includes('Under way')) return true;
        page = await ask(path, { headers });
        return false;
      }, 'the work is over');
      return page.text;
    };
    const [older, newer] = drops;
    expect(await restore(older)).toContain('Done: 1; failed: 0.');
    expect(await restore(newer)).toContain('Done: 1; failed: 0.');
    const found = await tablesIn(server, name);
    await query(server, `DROP DATABASE ${name}`);
    expect(found).toEqual(['new', 'old']);
  });

  test('a view that has the name of a held table is not run', async () => {
    await drop('a');
    await query(server, `CREATE VIEW ${schema.name}.a AS SELECT SLEEP(1000) AS id`);
    const { cookie } = await signIn();
    const { text } = await ask(`/console/tables/${await newestId()}`, { headers: { cookie } });
    expect(text).toContain(`${schema.name}.a exists as a view`);
  });

  test('whoever is an operator no longer sees nothing of theirs', async () => {
    await account(OPERATOR, `ALL ON ${schema.name}.*`, 'SELECT, UPDATE ON _undrop.ledger');
    const { cookie } = await signIn(OPERATOR);
    const overview = async () => (await ask('/console', { headers: { cookie } })).text;
    expect(await overview()).toContain('Last events');
    await query(server, `REVOKE SELECT, UPDATE ON _undrop.ledger FROM ${OPERATOR}@'%'`);
    expect(await overview()).not.toContain('Last events');
  });

  test('pages that hang keep monitoring away from nobody', async () => {
    const { cookie } = await signIn();
    const root = await connect(server);
    await root.query('LOCK TABLES _undrop.ledger WRITE');
    const types = { ...MCP_TYPES, 'content-type': 'application/json' };
    const call = {
      headers: { ...types, authorization: basic(OWNER) },
      body: callOf('list_dropped'),
    };
    const hanging = Array.from({ length: 90 }, (_, nr) => {
      const asked =
        nr % 3 === 0 ? ask('/mcp', call) : ask('/console/tables', { headers: { cookie } });
      return asked.catch(() => null);
    });
    expect((await ask('/healthz')).text).toBe('ok\n');
    await root.query('UNLOCK TABLES');
    await root.end();
    const statuses = (await Promise.all(hanging)).map((told) => told?.status);
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThan(0);
    expect((await ask('/console/tables', { headers: { cookie } })).status).toBe(200);
  });

  test('a name that the server reads as another account is none', async () => {
    for (const user of [`'${OWNER}'`, `${OWNER}\0`, `"${OWNER}"`, `\`${OWNER}\``]) {
      const form = { user, password: PASSWORD, next: '/console' };
      expect([user, (await ask('/console/sign-in', { form })).status]).toEqual([user, 401]);
    }
  });

  test('a refused sign-in is in the audit, without the password', async () => {
    await using folder = await temporaryFolder('audit');
    const file = join(folder.path, 'audit.log');
    await using other = await spawn({ AUDIT_FILE: file });
    const form = { user: 'console_nobody', password: 'a wrong one', next: '/console' };
    expect((await ask('/console/sign-in', { form, of: other })).status).toBe(401);
    const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '');
    const told = lines.map((line) => JSON.parse(line) as object);
    const who = { user: 'console_nobody', client: '127.0.0.1' };
    expect(told).toContainEqual(expect.objectContaining({ event: 'sign-in-refused', ...who }));
    expect(lines.join()).not.toContain('a wrong one');
  });

  test('after a reload people sign in again', async () => {
    const { cookie } = await signIn();
    await reloadBySignal(proxy);
    const { status, headers } = await ask('/console/tables', { headers: { cookie } });
    expect([status, headers.location]).toEqual([303, '/console/sign-in?next=%2Fconsole%2Ftables']);
    await signIn();
  });

  test('rows are for whoever may SELECT from the whole schema, and the history has it', async () => {
    await account('console_maker', `CREATE, INSERT, DROP, ALTER ON ${schema.name}.*`);
    const maker = await signIn('console_maker');
    const path = `/console/tables/${id}?rows=on`;
    const none = await ask(path, { headers: { cookie: maker.cookie } });
    expect(none.status).toBe(200);
    expect(none.text).not.toContain('First rows');
    const { cookie } = await signIn();
    expect((await ask(path, { headers: { cookie } })).text).toContain('First rows');
    const rows = await query(
      server,
      `SELECT who FROM _undrop.history WHERE event = 'rows-shown' AND id = '${id}'`,
    );
    expect(rows).toEqual([{ who: `${OWNER} from 127.0.0.1` }]);
  });

  test('tricks with paths and places to go on to', async () => {
    const { cookie } = await signIn();
    for (const path of [
      ...['/console/../metrics/x', '/console/%2e%2e/%2e%2e/etc/passwd'],
      ...['/console/tables/..%2f..%2fetc', '/console/tables/%00', '/console/%'],
      ...[`/console/tables/${id}'`, '/console/style.css/../../x', '/consolex'],
    ]) {
      const { status, text } = await ask(path, { headers: { cookie } });
      const has = text.includes('root:');
      expect([path, [400, 404].includes(status), has]).toEqual([path, true, false]);
    }
    for (const next of [
      ...['//evil.example', 'http://evil.example', '/\\evil.example', '/consolex', '/console/\nx'],
      ...['/console/../x', '/console/%2e%2e/x'],
    ]) {
      const form = { user: OWNER, password: PASSWORD, next };
      const { headers } = await ask('/console/sign-in', { form });
      expect([next, headers.location]).toEqual([next, '/console']);
    }
  });

  test('each page forbids what it does not need, and is kept by nobody', async () => {
    const { cookie } = await signIn();
    const { headers, text } = await ask('/console/tables', { headers: { cookie } });
    expect(headers).toMatchObject({
      'content-security-policy': expect.stringMatching(
        /^default-src 'none'; style-src 'self'; script-src 'self'/,
      ),
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'cache-control': 'no-store',
    });
    expect(text).not.toMatch(/<style|<script(?! src="\/console\/script\.js)|\son\w+=|\sstyle=/);
    expect(text).not.toContain(PASSWORD);
    expect(JSON.stringify(proxy.lines)).not.toContain(PASSWORD);
  });

  test('a large body, and 200 connections that say little, keep nobody away', async () => {
    const { cookie, token } = await signIn();
    const body = `token=${token}&for=${'x'.repeat(20_000_000)}`;
    const type = { 'content-type': 'application/x-www-form-urlencoded' };
    const status = await ask(`/console/tables/${id}/hold`, {
      headers: { cookie, ...type },
      body,
    }).then(
      (told) => told.status,
      () => 400,
    );
    expect(status).toBe(400);
    const [host = '', port] = adminOf(proxy).split(':');
    const slow = Array.from({ length: 200 }, () => {
      const socket = net.connect(Number(port), host).resume();
      socket.on('error', () => undefined);
      socket.write('GET /console HTTP/1.1\r\nHost: lo');
      return new Promise((resolve) => socket.once('close', resolve));
    });
    // Most are still there.
    expect((await ask('/healthz')).text).toBe('ok\n');
    await Promise.all(slow);
    expect((await ask('/console/tables', { headers: { cookie } })).status).toBe(200);
  });

  test('100 requests whose bodies come slowly keep nobody away', async () => {
    const { cookie } = await signIn();
    const [host = '', port] = adminOf(proxy).split(':');
    for (const path of ['/console/sign-in', '/api/v1/tables/x/restore', '/mcp']) {
      const isPage = path.startsWith('/console');
      const type = isPage ? 'application/x-www-form-urlencoded' : 'application/json';
      const slow = Array.from({ length: 100 }, async () => {
        const socket = net.connect(Number(port), host);
        socket.on('error', () => undefined);
        socket.write(
          `POST ${path} HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Type: ${type}\r\n` +
            `Authorization: Basic eDp5\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n`,
        );
        // It is being answered, or made room for another one.
        await new Promise((resolve) => socket.once('data', resolve).once('close', resolve));
        return socket;
      });
      const sockets = await Promise.all(slow);
      expect((await ask('/console/tables', { headers: { cookie } })).status).toBe(200);
      const headers = { authorization: basic(OWNER), 'content-type': 'application/json' };
      expect((await ask('/api/v1/tables', { headers })).status).toBe(200);
      const tools = { headers: { ...headers, ...MCP_TYPES }, body: callOf('list_dropped') };
      expect((await ask('/mcp', tools)).status).toBe(200);
      expect((await ask('/healthz')).text).toBe('ok\n');
      for (const socket of sockets) socket.destroy();
    }
  });

  test('TLS on the same port, by the certificate of the proxy', async () => {
    const [host = '', port] = adminOf(proxy).split(':');
    const socket = tls.connect({ host, port: Number(port), rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    socket.write(
      `GET /console/sign-in HTTP/1.1\r\nHost: localhost:${port}\r\nConnection: close\r\n\r\n`,
    );
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(socket, 'close');
    expect(Buffer.concat(chunks).toString()).toMatch(/^HTTP\/1\.1 200 [\s\S]*Sign in/);
  });
});
