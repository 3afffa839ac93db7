/**
 * The tour of the README, by the tools that people have, through the proxy, on every server: two
 * tables dropped in one statement, both held, one brought back, rows counted before and after. And
 * a dump reloaded over what is there, which drops every table.
 */
import { beforeAll, describe, expect, test } from '@jest/globals';
import { fillShop, SHOP_ROWS, type ShopTable } from '../../demo/shop.js';
import { runTour } from '../../demo/tour.js';
import { type ClientName, dumpTools, runClient } from '../support/clients.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { type ProxyTarget, proxyInFront, runUndrop } from '../support/proxy.js';
import { sample } from '../support/sample.js';
import {
  connect,
  type FreshSchema,
  freshSchema,
  query,
  type TestServer,
  testServer,
  testServers,
} from '../support/servers.js';

const TABLES = Object.keys(SHOP_ROWS) as ShopTable[];

/** Short times; the tour itself needs a few seconds between the drop and the restore. */
const SHORT = { HOLD: '15s', EVAC: '1s', CHECK_INTERVAL: '1s' };

/** The tour is the same on each server, and costs most by the rows of its shop. */
const TOURED = sample(testServers(), { name: 'tour', count: 1 });

describe('the tour by mysql2', () => {
  const tours = new Map<string, { readonly code: number; readonly text: string }>();

  // All at once: each of them waits for its table to leave HOLD.
  beforeAll(async () => {
    await Promise.all(TOURED.map(async (server) => tours.set(server.name, await tourOn(server))));
  });

  test.each(TOURED)('$name: both are held, one comes back, the other goes', ({ name }) => {
    const { code, text } = tours.get(name) ?? { code: null, text: 'no tour' };
    expect(text).toContain('DROP TABLE order_items, orders;\nQuery OK, 0 rows affected');
    expect(text).toMatch(/ERROR 1146 \(42S02\): Table '\w+\.order_items' doesn't exist/);
    // In any order, among those of others.
    for (const table of ['orders', 'order_items']) {
      expect(text).toMatch(new RegExp(`^\\w+ .* DROP TABLE \\S+\\.${table} `, 'm'));
    }
    expect(text).toContain('100000 rows before the drop, 100000 after it came back.');
    expect(text).toMatch(/HOLD +_undrop\._vt_HOLD_[0-9a-f]{32}_\d{14}\n/);
    expect(text).toMatch(/orders is gone\.\n$/);
    expect(code).toBe(0);
  });
});

async function tourOn(server: TestServer): Promise<{ code: number; text: string }> {
  const shop = await freshShop(server);
  await using proxy = await proxyInFront(server, { ...SHORT, COLLECT: 'on' });
  await using connection = await connect(proxy);
  let text = '';
  const code = await runTour({
    connection,
    schema: shop.name,
    write: (more) => {
      text += more;
    },
    commandName: 'undrop',
    command: (args) => runUndrop(server, args),
  });
  await shop.drop();
  return { code, text };
}

onServersAtOnce('the tour on $name', (server, on) => {
  const { test } = on;
  const proxy = on.proxy();

  const clients = sample(clientsOf(server), { name: `clients of ${server.name}`, count: 1 });
  test.each(clients)('%s: drop two tables, bring one back', async (client) => {
    await using shop = await freshShop(server);
    const run = (sql: string) => runClient(client, proxy, ['-N', '-B', shop.name], { input: sql });
    const dropped = await run(
      `SELECT COUNT(*) FROM orders;
       DROP TABLE orders, order_items;
       SHOW TABLES;`,
    );
    expect(dropped).toMatchObject({ code: 0, stdout: '40000\ncustomers\nproducts\n' });
    const gone = await run('SELECT COUNT(*) FROM orders');
    expect(gone.stderr).toContain('ERROR 1146 (42S02) at line 1: Table');
    expect((await held(server, shop.name)).sort()).toEqual(['order_items', 'orders']);
    const restored = await runUndrop(server, ['restore', `${shop.name}.orders`]);
    expect(restored).toMatchObject({ code: 0, stdout: expect.stringContaining('Restored') });
    const back = await run('SELECT COUNT(*) FROM orders; SHOW TABLES');
    expect(back).toMatchObject({ code: 0, stdout: '40000\ncustomers\norders\nproducts\n' });
  });

  test('a dump reloaded through the proxy drops, holds and creates every table', async () => {
    await using shop = await freshShop(server);
    const { client } = dumpTools(server);
    const dump = await dumpOf(server, shop.name, proxy);
    expect(dump.match(/^DROP TABLE IF EXISTS/gm)).toHaveLength(TABLES.length);
    const before = await counts(server, shop.name);
    await query(server, `DELETE FROM ${shop.name}.customers WHERE id > 5`);

    const reloaded = await runClient(client, proxy, [shop.name], { input: dump });
    expect(reloaded).toMatchObject({ code: 0 });
    expect(await counts(server, shop.name)).toEqual(before);

    expect((await held(server, shop.name)).sort()).toEqual([...TABLES].sort());
    // What was dropped is what was there, not what the dump brought.
    const asIs = `${shop.name}.customers_before`;
    const restored = await runUndrop(server, [
      ...['restore', `${shop.name}.customers`, '--to', asIs],
    ]);
    expect(restored).toMatchObject({ code: 0, stdout: expect.stringContaining('Restored') });
    expect(await query(server, `SELECT COUNT(*) AS n FROM ${asIs}`)).toEqual([{ n: 5 }]);
  });
});

/** Clients that the server lets in; MySQL 9's own lack the login plugin of the others. */
function clientsOf(server: TestServer): readonly ClientName[] {
  const everywhere = ['mariadb-10.11', 'mariadb-11.8'] as const;
  return server.name === 'mysql-9.7' ? [...everywhere, 'mysql-9.7'] : everywhere;
}

async function freshShop(server: TestServer): Promise<FreshSchema> {
  const schema = await freshSchema(server, 'shop');
  await using connection = await connect(server);
  await fillShop(connection, schema.name);
  return schema;
}

/** By the server's own tool through the proxy; MySQL 5.6 has none here, so another's dump. */
async function dumpOf(server: TestServer, schema: string, proxy: ProxyTarget): Promise<string> {
  const { dump, options } = dumpTools(server);
  if (server.name !== 'mysql-5.6') {
    const { code, stdout } = await runClient(dump, proxy, [...options, schema]);
    expect(code).toBe(0);
    return stdout;
  }
  const other = testServer('mariadb-10.11');
  const shop = await freshShop(other);
  const { code, stdout } = await runClient(dump, other, [...options, shop.name]);
  await shop.drop();
  expect(code).toBe(0);
  return stdout;
}

async function counts(server: TestServer, schema: string): Promise<Record<string, number>> {
  const parts = TABLES.map(
    (table) => `SELECT '${table}' AS name, COUNT(*) AS n FROM ${schema}.${table}`,
  );
  const rows = await query<{ name: string; n: number }>(server, parts.join(' UNION ALL '));
  return Object.fromEntries(rows.map(({ name, n }) => [name, n]));
}

/** Names of the tables of a schema that are held now. */
async function held(server: TestServer, schema: string): Promise<string[]> {
  const { code, stdout } = await runUndrop(server, ['list', '--json']);
  expect(code).toBe(0);
  const tables = JSON.parse(stdout) as { schema: string | null; table: string | null }[];
  return tables.filter((one) => one.schema === schema).map((one) => one.table ?? '');
}
