/**
 * The tour of the README, by the tools that people have, through the proxy, on every server: two
 * tables dropped in one statement, both held, one brought back, rows counted before and after. The
 * shop is the demo's own, which is imported for it. The demo's tour: demo-run.test.ts.
 */
import { fillShop } from '../../demo/shop.js';
import { type ClientName, runClient } from '../support/clients.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { runUndrop } from '../support/proxy.js';
import { sample } from '../support/sample.js';
import { connect, type FreshSchema, freshSchema, type TestServer } from '../support/servers.js';
import { listed } from '../support/undrop-cli.js';

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
    const held = (await listed(server)).filter(({ schema }) => schema === shop.name);
    expect(held.map(({ table }) => table).sort()).toEqual(['order_items', 'orders']);
    const restored = await runUndrop(server, ['restore', `${shop.name}.orders`]);
    expect(restored).toMatchObject({ code: 0, stdout: expect.stringContaining('Restored') });
    const back = await run('SELECT COUNT(*) FROM orders; SHOW TABLES');
    expect(back).toMatchObject({ code: 0, stdout: '40000\ncustomers\norders\nproducts\n' });
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
