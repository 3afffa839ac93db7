/**
 * Drops that wait for a lock, that are killed, that lose their client, and that meet each other:
 * the answer is the server's own, and afterwards each table is live, or held with its row in the
 * ledger; no intent is left over. By an account with every right, and by one that may drop alone.
 */
import { expect } from '@jest/globals';
import { parseHoldName } from '../../src/names/names.js';
import { serverTime } from '../lifecycle/collecting.js';
import { inLanes } from '../support/lanes.js';
import { describeAnswer } from '../support/native-case.js';
import { onServer } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { type RawAnswer, RawClient } from '../support/raw-client.js';
import { freshSchema, query, type Target, testServers } from '../support/servers.js';
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
    await grant(schema);
  });

  async function make(...tables: readonly string[]): Promise<void> {
    for (const table of tables) {
      await root.query(`CREATE TABLE IF NOT EXISTS ${table} (id INT PRIMARY KEY)`);
      await root.query(`REPLACE INTO ${table} VALUES (1), (2)`);
    }
    await survival.remember();
  }

  /** On the tables of a schema, which are there. */
  async function grant(on: string): Promise<void> {
    const there = await root.tables(on);
    for (const table of tables.filter((name) => name === '*' || there.includes(name))) {
      await root.query(`GRANT ${grants} ON ${on}.${table} TO ${user}@'%'`);
    }
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
    before: readonly string[] = [],
  ): Promise<readonly string[]> {
    await make('a', 'b');
    const other = await reader('a');
    await using client = await open(target);
    await client.run(before);
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

  test('KILL QUERY ends a drop that waits, in the words of the server', async () => {
    const kill = async ({ threadId }: RawClient) => {
      await root.query(`KILL QUERY ${threadId}`);
    };
    const direct = await dropWhileRead(server, kill);
    expect(direct[0]).toContain('ERR 1317');
    expect(await dropWhileRead(proxy, kill)).toEqual(direct);
    await settled();
  });

  test('a drop waits as long as the session says, and not longer', async () => {
    const wait = async () => undefined;
    const session = ['SET lock_wait_timeout = 1'];
    const direct = await dropWhileRead(server, wait, session);
    expect(direct[0]).toContain('ERR 1205');
    expect(await dropWhileRead(proxy, wait, session)).toEqual(direct);
    await settled();
  });

  test('a drop that waited goes on when the lock is free', async () => {
    await make('a');
    const other = await reader('a');
    const client = await open();
    const answering = client.query('DROP TABLE a');
    await until(() => isWaiting(client.threadId), 'the drop waits for the lock');
    await other.quit();
    expect((await answering).results).toMatchObject([{ kind: 'ok', warnings: 0 }]);
    expect(await live()).not.toContain('a');
    await client.quit();
    await settled();
  });

  test('what a drop waited is not missing from the time that its table is held', async () => {
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
    expect((await answering).results).toMatchObject([{ kind: 'ok' }]);
    await client.quit();
    await settled();
    const [row] = await root.rows(
      `SELECT hold_name, UNIX_TIMESTAMP(CONVERT_TZ(hold_until, '+00:00', @@time_zone)) AS until
       FROM _undrop.ledger WHERE schema_name = ? ORDER BY id DESC LIMIT 1`,
      [schema],
    );
    const [held] = await query<{ name: string }>(
      server,
      `SELECT TABLE_NAME AS name FROM information_schema.TABLES
       WHERE TABLE_SCHEMA = '_undrop' AND TABLE_NAME = '${row?.['hold_name']}'`,
    );
    const due = parseHoldName(held?.name ?? '')?.due.getTime() ?? 0;
    // A table that is renamed once has no second name for less.
    expect(due).toBeGreaterThanOrEqual(released.getTime() + 0.99 * HOLD_MS);
    expect(Number(row?.['until']) * 1000).toBe(due);
  });

  test('a client that leaves while its drop waits leaves no half of it', async () => {
    await make('a', 'b');
    const other = await reader('a');
    const client = await open();
    client.write([client.queryPayload('DROP TABLE b, a')]);
    await until(() => isWaiting(client.threadId), 'the drop waits for the lock');
    client.close();
    await other.quit();
    await settled();
    const left = await live();
    expect(left.includes('a')).toBe(left.includes('b'));
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

  test('half a drop is none', async () => {
    await make('a');
    const client = await open();
    const payload = client.queryPayload('DROP TABLE a');
    const header = Buffer.from([payload.length, 0, 0, 0]);
    client.writeRaw(Buffer.concat([header, payload.subarray(0, -1)]));
    client.close();
    await settled();
    expect(await live()).toContain('a');
  });

  test('of two sessions that drop the same table one does, the other is told', async () => {
    for (let turn = 0; turn < 5; turn++) {
      await make('a');
      const [one, other] = [await open(), await open()];
      const both = await Promise.all([one.query('DROP TABLE a'), other.query('DROP TABLE a')]);
      expect(both.map(outcomeOf).sort()).toEqual([`1051 Unknown table '${schema}.a'`, 'OK 0']);
      await Promise.all([one.quit(), other.quit()]);
      await settled();
    }
  });

  test('of two sessions that drop it IF EXISTS one gets a note', async () => {
    for (let turn = 0; turn < 5; turn++) {
      await make('a');
      const [one, other] = [await open(), await open()];
      const sql = 'DROP TABLE IF EXISTS a';
      const both = await Promise.all([one.query(sql), other.query(sql)]);
      expect(both.map(outcomeOf).sort()).toEqual(['OK 0', 'OK 1']);
      await Promise.all([one.quit(), other.quit()]);
      await settled();
    }
  });

  test('the default schema is the one of the moment, however it was chosen', async () => {
    await using second = await freshSchema(server, 'waits');
    await root.query(`CREATE TABLE ${second.name}.a (id INT PRIMARY KEY)`);
    await grant(second.name);
    await make('a', 'b');
    const client = await open();
    const use = client.queryPayload(`USE ${second.name}`);
    const initDb = Buffer.from(`\x02${schema}`);
    const drop = (name: string) => client.queryPayload(`DROP TABLE ${name}`);
    client.write([use, drop('a'), initDb, drop('b'), client.queryPayload('SELECT DATABASE()')]);
    const answers: RawAnswer[] = [];
    for (let count = 0; count < 5; count++) answers.push(await client.answer());
    expect(answers.map(outcomeOf)).toEqual(['OK 0', 'OK 0', 'OK 0', 'OK 0', schema]);
    expect(await live()).toEqual(['a']);
    const left = await root.rows(`SHOW TABLES FROM ${second.name}`);
    expect(left).toEqual([]);
    await client.quit();
    await settled();
  });
});

function outcomeOf({ results }: RawAnswer): string {
  const [result] = results;
  if (result === undefined) return 'nothing';
  if (result.kind === 'err') return `${result.errno} ${result.message}`;
  return result.kind === 'ok' ? `OK ${result.warnings}` : String(result.rows[0]?.[0]);
}
