/**
 * A client that means harm, speaking the protocol by hand: statements hidden where the server finds
 * them and a proxy may not look, and handles of ours that it never got. Whatever it sends, no base
 * table is destroyed.
 */
import { heldRows } from '../support/client-held.js';
import { onServer, onServers } from '../support/on-servers.js';
import { CLIENT, RawClient } from '../support/raw-client.js';
import { query, testServer } from '../support/servers.js';

const COM_QUERY = 0x03;
/** "The statement that was prepared last", on MariaDB. */
const LAST_PREPARED = 0xffffffff;

onServers('$name: behind a DROP that was refused', (server, on) => {
  const proxy = on.proxy();
  on.beforeAll(() => query(server, 'CREATE TABLE _undrop.kept (id INT) ENGINE=InnoDB'));
  on.afterAll(() => query(server, 'DROP TABLE _undrop.kept'));

  test('no handle is left with which its text could be executed', async () => {
    await using client = await RawClient.open(proxy);
    const count = async () => {
      const text = "SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'";
      const [row] = await query<{ Value: string }>(server, text);
      return Number(row?.Value);
    };
    const before = await count();
    for (let times = 0; times < 3; times++) {
      expect(await client.words('DROP TABLE _undrop.kept')).toMatch(/^1142 /);
    }
    for (const id of [LAST_PREPARED, 1, 2, 3, 4]) await client.execute(id);
    expect(await query(server, "SHOW TABLES FROM _undrop LIKE 'kept'")).toHaveLength(1);
    expect(await count()).toBe(before);
  });
});

/**
 * Values of one attribute in which a DROP stands that the server runs, as it takes them for shorter
 * or longer than they look: a length in three bytes where a row has one, a length where a row has a
 * fixed size, a type of two bytes.
 */
const HIDDEN: readonly (readonly [string, number, (drop: string) => Buffer])[] = [
  ...[7, 10, 12].map(
    (type) =>
      [
        `a date of type ${type} with a long length`,
        type,
        (drop: string) => {
          const shown = `${drop} -- `.padEnd(252 - 6, 'x');
          return Buffer.concat([
            Buffer.from([0xfc, 4, 0, 1, 1, 1, 1]),
            Buffer.from(`${shown}DO 1`),
          ]);
        },
      ] as const,
  ),
  ...[6, 9, 13].map(
    (type) =>
      [
        `a value of type ${type} with a length`,
        type,
        (drop: string) => Buffer.concat([Buffer.from('#'.padEnd(36)), Buffer.from(drop)]),
      ] as const,
  ),
  [
    'a type of two bytes',
    0x0108,
    (drop) =>
      Buffer.concat([Buffer.from([35, ...Buffer.from('-- '.padEnd(35))]), Buffer.from(drop)]),
  ],
];

describe('mysql-9.7: in the query attributes', () => {
  const server = testServer('mysql-9.7');
  const on = onServer(server);
  const schema = on.schema();
  const proxy = on.proxy();

  test.each(HIDDEN)('%s hides no DROP (wire 4)', async (name, type, valueWith) => {
    const hidden = `hidden_${HIDDEN.findIndex(([one]) => one === name)}`;
    const table = `${schema.name}.${hidden}`;
    await query(server, `CREATE TABLE ${table} (id INT)`);
    await using client = await RawClient.open(proxy, { flags: CLIENT.QUERY_ATTRIBUTES });
    const head = Buffer.from([COM_QUERY, 1, 1, 0, 1, type & 0xff, type >> 8, 1, 0x61]);
    await client.command(Buffer.concat([head, valueWith(`DROP TABLE ${table}`)]));
    const live = await query(server, `SHOW TABLES FROM ${schema.name} LIKE '${hidden}'`);
    const held = await heldRows(server, schema.name);
    expect(live.length === 1 || hidden in held).toBe(true);
  });
});
