/**
 * Webhooks of a proxy on a real server: news of statements arrive signed, survive a reload, and
 * hold up nothing; and the news of the state of a server, read from that server.
 */
import { expect } from '@jest/globals';
import type { Clock } from '../../src/clock.js';
import { silentLog } from '../../src/log.js';
import type { News } from '../../src/news.js';
import { ServerNews, type ServerNewsOptions } from '../../src/webhook/server-news.js';
import { makeCertificates } from '../support/certificates.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { spawnProxy, type Variables } from '../support/proxy.js';
import { connect, query } from '../support/servers.js';
import { SERVICE_ACCOUNT } from '../support/service-account.js';
import { poolOn } from '../support/service-pool.js';
import { type HookReceiver, isSigned, receiveHooks, status } from '../support/webhook-receiver.js';

const SECRET = 'signed by the test';
const LITERAL = 'hunter2';
const FAILS = { errno: 1146 };

onServers('webhooks on $name', (server, on) => {
  const { afterAll, beforeEach, test } = on;
  beforeEach(() => freshLedger(server));
  afterAll(() => freshLedger(server));
  const schema = on.each.schema('news');

  async function openProxy(receiver: HookReceiver, more: Variables = {}) {
    const own = { WEBHOOK: receiver.url, WEBHOOK_SECRET: SECRET, WEBHOOK_FORMAT: 'event' };
    return on.each.keep(await spawnProxy(server, { ...own, WEBHOOK_DROP_SIZE: '1M', ...more }));
  }

  async function tableOf(to: Parameters<typeof connect>[0], table: string, kilobytes: number) {
    await using session = await connect(to, { database: schema.name });
    await session.query(`CREATE TABLE ${table} (id INT PRIMARY KEY, a LONGTEXT)`);
    if (kilobytes > 0) {
      await session.query(`INSERT INTO ${table} VALUES (1, REPEAT('x', ${1_024 * kilobytes}))`);
      await session.query(`ANALYZE TABLE ${table}`);
    }
  }

  test('a big drop, a DROP DATABASE and a use arrive signed, a small drop does not', async () => {
    const receiver = on.each.keep(await receiveHooks());
    const proxy = await openProxy(receiver);
    await tableOf(proxy, 'small', 0);
    await tableOf(proxy, 'big', 4_096);
    await tableOf(proxy, 'rest', 0);
    await using client = await connect(proxy, { database: schema.name });
    await client.query('DROP TABLE small');
    await client.query(`DROP TABLE /* ${LITERAL} */ big`);
    await expect(client.query('SELECT * FROM big')).rejects.toMatchObject(FAILS);
    await client.query(`DROP DATABASE ${schema.name}`);
    await until(() => receiver.hooks.length >= 3, 'three events');
    expect(receiver.hooks.every((hook) => isSigned(hook, SECRET))).toBe(true);
    const bodies = new Map(receiver.hooks.map(({ body }) => [body['event'], body]));
    const { user } = server;
    expect(bodies.get('drop')).toMatchObject({
      ...{ user, how: 'DROP TABLE', tables: [`${schema.name}.big`], tableCount: 1 },
      ...{ server: `${server.host}:${server.port}`, client: expect.stringMatching(/:\d+$/) },
    });
    expect(Number(bodies.get('drop')?.['bytes'])).toBeGreaterThan(4_000_000);
    expect(bodies.get('drop-database')).toMatchObject({ schema: schema.name, tableCount: 1 });
    expect(bodies.get('used-while-held')).toMatchObject({ table: 'big', count: 1 });
    const ids = receiver.hooks.map(({ headers }) => headers['undrop-event-id']);
    expect(ids).toEqual(receiver.hooks.map(({ body }) => body['eventId']));
    expect(new Set(ids).size).toBe(3);
    const all = receiver.hooks.map(({ text }) => text).join('\n');
    for (const secret of [LITERAL, SECRET, SERVICE_ACCOUNT.password, 'T0SECRET']) {
      expect(all).not.toContain(secret);
    }
    expect(JSON.stringify(proxy.lines)).not.toMatch(/T0SECRET|signed by the test/);
  });

  test('over HTTPS, with the tags that a tracing library added to the drop', async () => {
    const { ca, cert, key } = on.each.keep(makeCertificates());
    const receiver = on.each.keep(await receiveHooks({ tls: { cert, key } }));
    const variables = { WEBHOOK: receiver.url, WEBHOOK_FORMAT: 'event', WEBHOOK_DROP_SIZE: '1' };
    const under = ['env', `NODE_EXTRA_CA_CERTS=${ca}`];
    const proxy = on.each.keep(await spawnProxy(server, variables, under));
    await tableOf(proxy, 'traced', 64);
    const tags = { application: 'shop', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` };
    const pairs = Object.entries(tags).map(([name, value]) => `${name}='${value}'`);
    await query(proxy, `DROP TABLE ${schema.name}.traced /*${pairs.join(',')}*/`);
    await until(() => receiver.hooks.length > 0, 'the event');
    expect(receiver.hooks[0]?.body).toMatchObject({ event: 'drop', tags });
    expect(proxy.lines).toContainEqual(expect.objectContaining({ event: 'held', tags }));
    const [row] = await query(server, 'SELECT statement_text FROM _undrop.ledger');
    expect(String(row?.['statement_text'])).toContain(tags.traceparent);
  });

  test('a receiver that fails holds up no drop, and a reload loses no event', async () => {
    const receiver = on.each.keep(await receiveHooks());
    receiver.answer = status(500);
    const proxy = await openProxy(receiver);
    await tableOf(proxy, 'rest', 0);
    await using client = await connect(proxy, { database: schema.name });
    await client.query(`DROP DATABASE ${schema.name}`);
    await until(() => receiver.hooks.length > 0, 'a try');
    const reloads = () => proxy.lines.filter(({ event }) => event === 'reload');
    proxy.kill('SIGHUP');
    await until(() => reloads().length > 0, 'a reload');
    const before = receiver.hooks.length;
    receiver.answer = status(200);
    await until(() => receiver.hooks.length > before, 'the event of the process before');
    expect(new Set(receiver.hooks.map(({ text }) => text)).size).toBe(1);
    expect(JSON.stringify(proxy.lines)).not.toMatch(/T0SECRET|signed by the test/);
  });

  test('a shutdown does not wait for a receiver that hangs, and says what is left', async () => {
    const receiver = on.each.keep(await receiveHooks());
    receiver.answer = () => undefined;
    const proxy = await openProxy(receiver);
    await tableOf(proxy, 'rest', 0);
    await query(proxy, `DROP DATABASE ${schema.name}`);
    await until(() => receiver.hooks.length > 0, 'a request');
    proxy.kill('SIGTERM');
    await proxy.ended;
    const [{ headers } = { headers: undefined }] = receiver.hooks;
    const ids = [headers?.['undrop-event-id']];
    expect(proxy.lines).toContainEqual(expect.objectContaining({ event: 'webhook', ids }));
  });

  const clock: Clock = { nowMs: () => 0, sleep: async () => undefined };

  /** The news of one look after another. */
  function watcher(more: Partial<ServerNewsOptions> = {}) {
    const pool = on.each.keep(poolOn({ ...server, ...SERVICE_ACCOUNT }));
    const news: News[] = [];
    const limits = { bytesMax: null, tablesMax: null, minHoldMs: 0, freeBytesMin: null };
    const watched = new ServerNews({
      ...{ pool: () => pool, figures: { leads: true }, limits: { ...limits, dataFolder: null } },
      ...{
        disk: async () => null,
        ledgerProblem: async () => null,
        add: (one) => void news.push(one),
      },
      ...{ clock, log: silentLog, signal: new AbortController().signal },
      ...more,
    });
    const look = async () => {
      news.length = 0;
      await watched.look();
      return [...news];
    };
    return { watched, look };
  }

  const kindsOf = (news: readonly News[]) => news.map(({ kind }) => kind);

  test('a limit at 80 % is news once, with who holds most, and again after it was below 75 %', async () => {
    const proxy = on.each.keep(await spawnProxy(server));
    for (const table of ['a', 'b', 'c', 'd']) await tableOf(proxy, table, 0);
    const drop = (table: string) => query(proxy, `DROP TABLE ${schema.name}.${table}`);
    const held = async () =>
      query(server, "SELECT id FROM _undrop.ledger WHERE state = 'HOLD'").then(
        (rows) => rows.length,
      );
    const limits = { bytesMax: null, tablesMax: 5, minHoldMs: 0, freeBytesMin: null };
    const { watched, look } = watcher({ limits: { ...limits, dataFolder: null } });
    for (const table of ['a', 'b', 'c']) await drop(table);
    await until(async () => (await held()) === 3, 'three are held');
    expect(await look()).toEqual([]);
    await drop('d');
    await until(async () => (await held()) === 4, 'four are held');
    expect(await look()).toMatchObject([
      {
        kind: 'limit',
        fields: {
          ...{ limit: 'UNDROP_MAX_TABLES', used: 4, max: 5, tables: 4 },
          holders: [{ user: server.user, tables: 4 }],
        },
      },
    ]);
    expect(await look()).toEqual([]);
    // The next process of the service knows what was reported.
    const next = watcher({ limits: { ...limits, dataFolder: null } });
    next.watched.resume(watched.reported);
    expect(await next.look()).toEqual([]);
    await query(proxy, `UNDROP TABLE ${schema.name}.a`);
    await until(async () => (await held()) === 3, 'three are held');
    expect(await look()).toEqual([]);
    await drop('a');
    await until(async () => (await held()) === 4, 'four are held');
    expect(kindsOf(await look())).toEqual(['limit']);
  });

  test('a table that is used and expires is news once; so is the disk, with what may go', async () => {
    const receiver = on.each.keep(await receiveHooks());
    const proxy = await openProxy(receiver, { HOLD: '20h' });
    await tableOf(proxy, 'used', 0);
    await tableOf(proxy, 'unused', 0);
    await using client = await connect(proxy, { database: schema.name });
    await client.run('DROP TABLE used', 'DROP TABLE unused');
    const held = () => query(server, "SELECT id FROM _undrop.ledger WHERE state = 'HOLD'");
    await until(async () => (await held()).length === 2, 'both are held');
    await expect(client.query('SELECT * FROM used')).rejects.toMatchObject(FAILS);
    const uses = () => query(server, "SELECT id FROM _undrop.history WHERE event LIKE 'used%'");
    await until(async () => (await uses()).length === 1, 'the use is in the history');
    let used = 0.79;
    const { look } = watcher({ disk: async () => ({ used, freeBytes: 1e9 }) });
    expect(await look()).toMatchObject([
      { kind: 'expiring', fields: { schema: schema.name, table: 'used', uses: 1 } },
    ]);
    expect(await look()).toEqual([]);
    used = 0.8;
    const removable = expect.arrayContaining([
      expect.objectContaining({ table: `${schema.name}.used`, user: server.user }),
    ]);
    expect(await look()).toMatchObject([
      { kind: 'disk', fields: { used, freeBytes: 1e9, tables: 2, removable } },
    ]);
    used = 0.76;
    expect(await look()).toEqual([]);
    used = 0.8;
    expect(await look()).toEqual([]);
    used = 0.74;
    expect(await look()).toEqual([]);
    used = 0.9;
    expect(kindsOf(await look())).toEqual(['disk']);
  });

  test('no collector and no ledger are news at the second look, by each proxy', async () => {
    const figures = { leads: false };
    await using ledger = await spawnProxy(server);
    const first = watcher({ figures });
    expect(await first.look()).toEqual([]);
    const alone = watcher({ figures });
    // A reload is no second look.
    alone.watched.resume(first.watched.reported);
    expect([await alone.look(), kindsOf(await alone.look()), await alone.look()]).toEqual([
      [],
      ['collector'],
      [],
    ]);
    await ledger.stop();
    const collecting = on.each.keep(await spawnProxy(server, { COLLECT: 'on' }));
    const leads = () => collecting.lines.some(({ msg }) => /^became the collector/.test(`${msg}`));
    await until(leads, 'it collects');
    // Below the limit of one table, but another proxy reports that.
    expect([await alone.look(), await alone.look()]).toEqual([[], []]);
    const refused = watcher({ figures, ledgerProblem: async () => 'the ledger is not ready' });
    expect([await refused.look(), kindsOf(await refused.look())]).toEqual([[], ['ledger']]);
  });
});
