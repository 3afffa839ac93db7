/**
 * Drops that wait for a lock, that are killed, and that lose their client: the answer is the
 * server's own, and afterwards each table is live, or held with its row in the ledger; no intent is
 * left over. By an account with every right, and by one that may drop alone.
 */
import { serverTime } from '../collector/collecting.js';
import { inLanes } from '../support/lanes.js';
import { describeAnswer } from '../support/native-case.js';
import { onServer } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { RawClient } from '../support/raw-client.js';
import { type Target, testServers } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';
import { Survival } from '../support/survival.js';

const HOLD_MS = 3_600_000;

/** `grants` on the schema, or on `tables` of it; null: root. */
const ACCOUNTS = [
  { who: 'root', grants: null, tables: [] },
  { who: 'a user with DROP alone', grants: 'DROP', tables: ['*'] },
  { who: 'a user with DROP on its tables', grants: 'DROP', tables: ['a', 'b'] },
] as const;
const runs = testServers().flatMap((server) =>
  ACCOUNTS.map((account) => ({ ...account, server, name: server.name })),
);

inLanes(runs, 'on $name, by $who', ({ server, grants, tables }, lane) => {
  const on = onServer(server, lane);
  const { beforeAll, test } = on;
  const proxy = on.proxy({ HOLD: `${HOLD_MS}ms` });
  const schema = on.schema('waits').name;
  const root = on.session({ schema });
  const user = grants === null ? 'root' : `u_${schema.slice(-8)}`;
  if (grants !== null) on.account(user);
  const survival = new Survival(root, [schema]);
  beforeAll(async () => {
    await make('a', 'b');
    for (const table of tables) await root.query(`GRANT ${grants} ON ${table} TO ${user}@'%'`);
  });

  async function make(...tables: readonly string[]): Promise<void> {
    for (const table of tables) {
      await root.query(`CREATE TABLE IF NOT EXISTS ${table} (id INT PRIMARY KEY)`);
      await root.query(`REPLACE INTO ${table} VALUES (1), (2)`);
    }
    await survival.remember();
  }

  const open = async (target: Target = proxy) => RawClient.open(target, { schema, user });

  /** A session that keeps `table` from being dropped until it is closed. */
  async function reader(table: string): Promise<RawClient> {
    const client = await RawClient.open(server, { schema });
    await client.run(['BEGIN', `SELECT * FROM ${table}`]);
    return client;
  }

  const live = () => root.tables();

  async function settled(): Promise<void> {
    await intentsSettled(root, [schema]);
    expect(await survival.findLost()).toEqual([]);
  }

  const isWaiting = (threadId: number) =>
    root.hasProcess(`ID = ${threadId} AND COMMAND = 'Query' AND STATE LIKE '%lock%'`);

  /** The drop while somebody reads the table, and what `meanwhile` does once it waits. */
  async function dropWhileRead(
    target: Target,
    meanwhile: (client: RawClient) => Promise<void>,
    before = '',
  ): Promise<readonly string[]> {
    await make('a', 'b');
    const other = await reader('a');
    await using client = await open(target);
    if (before !== '') await client.run([before]);
    let isOver = false;
    const answering = client.query('DROP TABLE b, a').finally(() => {
      isOver = true;
    });
    // A wait of a second may be over before it is seen.
    await until(async () => isOver || (await isWaiting(client.threadId)), 'it waits for the lock');
    await meanwhile(client);
    const answer = describeAnswer(await answering);
    const warnings = describeAnswer(await client.query('SHOW WARNINGS'));
    expect(await live()).toEqual(['a', 'b']);
    await other.quit();
    return [...answer, ...warnings];
  }

  const kill = ({ threadId }: RawClient) => root.run(`KILL QUERY ${threadId}`);
  const wait = async () => undefined;
  test.each([
    ['KILL QUERY ends a drop that waits', 'ERR 1317', kill, ''],
    ['a drop waits as long as the session says', 'ERR 1205', wait, 'SET lock_wait_timeout = 1'],
  ] as const)('%s, in the words of the server: %s', async (_what, error, meanwhile, before) => {
    const direct = await dropWhileRead(server, meanwhile, before);
    expect(direct[0]).toContain(error);
    expect(await dropWhileRead(proxy, meanwhile, before)).toEqual(direct);
    await settled();
  });

  test('a drop that waited goes on, and its table is held no shorter for that', async () => {
    await make('a');
    const other = await reader('a');
    const client = await open();
    const began = await serverTime(server, 0);
    const answering = client.query('DROP TABLE a');
    await until(() => isWaiting(client.threadId), 'the drop waits for the lock');
    const isLater = async () => (await serverTime(server, -4)) >= began;
    await until(isLater, 'four seconds have passed for the server');
    const released = await serverTime(server, 0);
    await other.quit();
    expect((await answering).results).toMatchObject([{ kind: 'ok', warnings: 0 }]);
    expect(await live()).not.toContain('a');
    await client.quit();
    await settled();
    const [row] = await root.rows<{ name: string; due: string; until: number }>(
      `SELECT hold_name AS name, DATE_FORMAT(hold_until, '%Y%m%d%H%i%s') AS due,
         UNIX_TIMESTAMP(CONVERT_TZ(hold_until, '+00:00', @@time_zone)) AS until
       FROM _undrop.ledger WHERE schema_name = ? ORDER BY id DESC LIMIT 1`,
      [schema],
    );
    expect(await root.tables('_undrop')).toContain(row?.name);
    expect(row?.name.slice(-14)).toBe(row?.due);
    // A table that is renamed once has no second name for less.
    expect(Number(row?.until) * 1_000).toBeGreaterThanOrEqual(released.getTime() + 0.99 * HOLD_MS);
  });

  test('a client that leaves at any moment leaves no half of it (wire 51)', async () => {
    for (let turn = 0; turn < 8; turn++) {
      await make('a', 'b');
      const client = await open();
      client.write([client.queryPayload('DROP TABLE a, b')]);
      // Each turn a little later: reads that take the server a moment each.
      for (let moment = 0; moment < turn; moment++) await root.query('SELECT 1');
      client.close();
      const own = `ID = ${client.threadId}`;
      await until(async () => !(await root.hasProcess(own)), 'its session has ended');
      await settled();
      const left = await live();
      expect(left.includes('a')).toBe(left.includes('b'));
    }
  });

  test('COM_QUIT behind a drop waits for it', async () => {
    await make('a');
    const client = await open();
    client.write([client.queryPayload('DROP TABLE a'), Buffer.from([0x01])]);
    expect((await client.answer()).results).toMatchObject([{ kind: 'ok' }]);
    await settled();
    expect(await live()).not.toContain('a');
  });
});
