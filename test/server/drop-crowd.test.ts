/**
 * Sessions create, fill and drop the same few tables at once. Every row whose INSERT was
 * answered OK is afterwards in a live table or in a held one: none is lost, none is there twice.
 */
import { LATE } from '../support/load.js';
import { onServer } from '../support/on-servers.js';
import { RawClient } from '../support/raw-client.js';
import { rounds, sample } from '../support/sample.js';
import { testServers } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';

const SESSIONS = rounds(50, 20);
const TABLES = 4;
const ROUNDS = 6;
const ROWS_A_ROUND = 3;

/** What natively happens to those who meet: exists, unknown, no such table, deadlock. */
const EXPECTED = new Set([1050, 1051, 1146, 1213]);
/** Tables that never hold still are refused, whichever of the two looks missed them last. */
const REFUSED = /^UNDROP_(CHANGED_MEANWHILE|NOT_SEEN) ?/;

describe.each(sample(testServers(), { name: 'crowd', count: 1 }))('on $name', (server) => {
  const on = onServer(server);
  const proxy = on.proxy();
  const root = on.session();
  const schema = on.schema('crowd').name;

  test('no row is lost in a crowd', async () => {
    const surprises: string[] = [];
    let inserted = 0;
    let dropped = 0;

    async function send(client: RawClient, sql: string): Promise<boolean> {
      const [result] = (await client.query(sql)).results;
      if (result?.kind !== 'err') return true;
      const message = result.message.toString();
      const isRefusal = REFUSED.test(message) || LATE.test(message);
      if (!EXPECTED.has(result.errno) && !isRefusal) surprises.push(`${sql}: ${result.message}`);
      return false;
    }

    async function live(session: number): Promise<void> {
      await using client = await RawClient.open(proxy, { schema });
      for (let round = 0; round < ROUNDS; round++) {
        const table = `t${(session + round) % TABLES}`;
        await send(client, `CREATE TABLE IF NOT EXISTS ${table} (session INT, round INT)`);
        for (let row = 0; row < ROWS_A_ROUND; row++) {
          const values = `(${session}, ${round})`;
          if (await send(client, `INSERT INTO ${table} VALUES ${values}`)) inserted++;
        }
        const ifExists = round % 2 === 0 ? 'IF EXISTS ' : '';
        if (await send(client, `DROP TABLE ${ifExists}${table}`)) dropped++;
      }
    }

    await Promise.all(Array.from({ length: SESSIONS }, (_session, index) => live(index)));
    expect(surprises).toEqual([]);
    expect(dropped).toBeGreaterThan(SESSIONS);
    await intentsSettled(root, [schema]);
    const held = await root.rows(
      'SELECT hold_schema AS place, hold_name AS name FROM _undrop.ledger WHERE schema_name = ?',
      [schema],
    );
    const there = await root.rows(
      `SELECT table_schema AS place, table_name AS name FROM information_schema.tables
     WHERE table_schema = ? AND table_name NOT LIKE '\\_vt\\_%'`,
      [schema],
    );
    expect(held.length).toBeGreaterThan(TABLES);
    let counted = 0;
    for (const { place, name } of [...held, ...there])
      counted += await root.count(`${place}.${name}`);
    expect(counted).toBe(inserted);
  });
});
