/**
 * Webhooks of a proxy on a real server: news of statements arrive signed, survive a reload, and
 * hold up nothing.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { makeCertificates } from '../support/certificates.js';
import { temporaryFolder } from '../support/folders.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { spawnProxy } from '../support/proxy.js';
import { connect, query } from '../support/servers.js';
import { SERVICE_ACCOUNT } from '../support/service-account.js';
import { type HookReceiver, isSigned, receiveHooks, status } from '../support/webhook-receiver.js';

const SECRET = 'signed by the test';
const LITERAL = 'hunter2';
const FAILS = { errno: 1146 };

onServers('webhooks on $name', (server, on) => {
  const { afterAll, beforeEach, test } = on;
  beforeEach(() => freshLedger(server));
  afterAll(() => freshLedger(server));
  const schema = on.each.schema('news');

  async function openProxy(receiver: HookReceiver) {
    const { path } = on.each.keep(await temporaryFolder('webhook'));
    const file = join(path, 'key');
    await writeFile(file, `${SECRET}\n`);
    const variables = { WEBHOOK: receiver.url, WEBHOOK_SECRET_FILE: file };
    return on.each.keep(await spawnProxy(server, variables));
  }

  const create = (table: string) =>
    query(server, `CREATE TABLE ${schema.name}.${table} (id INT PRIMARY KEY)`);

  test('a DROP DATABASE and a use arrive signed, a small drop does not', async () => {
    const receiver = on.each.keep(await receiveHooks());
    const proxy = await openProxy(receiver);
    await create('small');
    await create('rest');
    await using client = await connect(proxy, { database: schema.name });
    await client.query('DROP TABLE small');
    await expect(client.query('SELECT * FROM small')).rejects.toMatchObject(FAILS);
    await client.query(`DROP DATABASE /* ${LITERAL} */ ${schema.name}`);
    await until(() => receiver.hooks.length >= 2, 'two events');
    expect(receiver.hooks.every((hook) => isSigned(hook, SECRET))).toBe(true);
    const bodies = new Map(receiver.hooks.map(({ body }) => [body['event'], body]));
    expect([...bodies.keys()].sort()).toEqual(['drop-database', 'used-while-held']);
    expect(bodies.get('drop-database')).toMatchObject({
      ...{ user: server.user, how: 'DROP DATABASE', schema: schema.name },
      ...{ tables: [`${schema.name}.rest`], tableCount: 1 },
      ...{ server: `${server.host}:${server.port}`, client: expect.stringMatching(/:\d+$/) },
      text: expect.stringContaining(`\`${server.user}\` dropped \`${schema.name}\``),
    });
    expect(bodies.get('used-while-held')).toMatchObject({ table: 'small', count: 1 });
    const ids = receiver.hooks.map(({ headers }) => headers['undrop-event-id']);
    expect(ids).toEqual(receiver.hooks.map(({ body }) => body['eventId']));
    expect(new Set(ids).size).toBe(2);
    const all = receiver.hooks.map(({ text }) => text).join('\n');
    for (const secret of [LITERAL, SECRET, SERVICE_ACCOUNT.password, 'T0SECRET']) {
      expect(all).not.toContain(secret);
    }
    expect(JSON.stringify(proxy.lines)).not.toMatch(/T0SECRET|signed by the test/);
  });

  test('over HTTPS, with the tags that a tracing library added to the drop', async () => {
    const { ca, cert, key } = on.each.keep(makeCertificates());
    const receiver = on.each.keep(await receiveHooks({ tls: { cert, key } }));
    const under = ['env', `NODE_EXTRA_CA_CERTS=${ca}`];
    const proxy = on.each.keep(await spawnProxy(server, { WEBHOOK: receiver.url }, under));
    await create('traced');
    const tags = { application: 'shop', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` };
    const pairs = Object.entries(tags).map(([name, value]) => `${name}='${value}'`);
    await query(proxy, `DROP DATABASE ${schema.name} /*${pairs.join(',')}*/`);
    await until(() => receiver.hooks.length > 0, 'the event');
    expect(receiver.hooks[0]?.body).toMatchObject({ event: 'drop-database', tags });
    expect(proxy.lines).toContainEqual(expect.objectContaining({ event: 'held', tags }));
    const [row] = await query(server, 'SELECT statement_text FROM _undrop.ledger');
    expect(String(row?.['statement_text'])).toContain(tags.traceparent);
  });

  test('a receiver that fails holds up no drop, and a reload loses no event', async () => {
    const receiver = on.each.keep(await receiveHooks());
    receiver.answer = status(500);
    const proxy = await openProxy(receiver);
    await create('rest');
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
});
