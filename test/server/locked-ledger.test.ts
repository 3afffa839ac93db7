/**
 * The ledger can't be written to, as a session holds the whole server for reading: a drop by that
 * session has the server's own words at once, and one by another waits as long as natively and goes
 * on. And where it can't be written to for a moment, nothing stays in it that was refused.
 */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { describeAnswer } from '../support/native-case.js';
import { until } from '../support/poll.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { RawClient } from '../support/raw-client.js';
import { connect, freshSchema, type Target, testServers } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';
import { Survival } from '../support/survival.js';
import { type WireTap, wireTap } from '../support/wire-tap.js';

// A busy machine is slow, not wrong.
jest.setTimeout(60_000);

const HOLD_ALL = 'FLUSH TABLES WITH READ LOCK';

describe.each(testServers())('on $name', (server) => {
  let tap: WireTap;
  let proxy: ProxyTarget;
  let root: Connection;
  let schema = '';
  let survival: Survival;
  /** Of texts that write an intent. */
  let answered = 0;
  /** Until then their answers are kept back. */
  let gate: Promise<void> = Promise.resolve();
  /** What was sent was given up. */
  let kills = 0;
  /** So many of the statements that forget an intent find no server. */
  let forgetsToCut = 0;

  beforeAll(async () => {
    tap = await wireTap(server, async ({ moment, command }) => {
      if (moment === 'before statement' && /^KILL /m.test(command.toString())) kills++;
      if (moment === 'before statement' && command.includes('/* undrop forget ')) {
        if (forgetsToCut-- > 0) return 'cut';
      }
      if (moment !== 'before answer' || !command.includes('INTO `_undrop`.`ledger`')) return true;
      answered++;
      await gate;
      return true;
    });
    proxy = await proxyInFront(tap);
    root = await connect(server);
    schema = (await freshSchema(server, 'locked')).name;
    await root.query(`USE ${schema}`);
    survival = new Survival(root, [schema]);
  });

  afterAll(async () => {
    await root.query(`DROP DATABASE ${schema}`);
    await root.end();
    await proxy.stop();
    await tap.close();
  });

  async function make(): Promise<void> {
    for (const table of ['a', 'b']) {
      await root.query(`CREATE TABLE IF NOT EXISTS ${table} (id INT PRIMARY KEY)`);
      await root.query(`REPLACE INTO ${table} VALUES (1), (2)`);
    }
    await survival.remember();
  }

  async function settled(): Promise<void> {
    await intentsSettled(root, [schema]);
    expect(await survival.findLost()).toEqual([]);
  }

  test('a drop by the session that holds the server is refused by the first word', async () => {
    await make();
    const hear = async (target: Target) => {
      const client = await RawClient.open(target, { schema });
      await client.run(['DO 0', HOLD_ALL]);
      const heard: string[] = [];
      for (const text of ['DROP TABLE a', 'DROP TABLE IF EXISTS missing, a', 'SHOW WARNINGS']) {
        heard.push(...describeAnswer(await client.query(text)));
      }
      await client.run(['UNLOCK TABLES']);
      await client.quit();
      return heard;
    };
    const direct = await hear(server);
    expect(direct[0]).toContain('ERR 1223');
    // The intent has no answer, and nobody has given it up: but for what a busy machine delays.
    await until(async () => {
      let open: () => void = () => undefined;
      gate = new Promise((resolve) => {
        open = resolve;
      });
      kills = 0;
      try {
        expect(await hear(proxy)).toEqual(direct);
        return kills === 0;
      } finally {
        open();
        await settled();
      }
    }, 'the answer comes before the intent is given up');
    const [tables] = await root.query<RowDataPacket[]>('SHOW TABLES');
    expect(tables).toHaveLength(2);
  });

  test('a drop beside a session that holds the server waits for its end', async () => {
    await make();
    const holder = await RawClient.open(server, { schema });
    const client = await RawClient.open(proxy, { schema });
    await client.run(['DO 0']);
    await holder.run([HOLD_ALL]);
    answered = 0;
    const answering = client.query('DROP TABLE a, b');
    // The second try to write the intent has failed as well.
    await until(() => answered === 2, 'the intent is given up');
    await holder.run(['UNLOCK TABLES']);
    expect((await answering).results).toMatchObject([{ kind: 'ok', warnings: 0 }]);
    await holder.quit();
    await client.quit();
    await settled();
    const [tables] = await root.query<RowDataPacket[]>('SHOW TABLES');
    expect(tables).toHaveLength(0);
  });

  test('a drop beside such a session ends when the client says how long it waits', async () => {
    await make();
    const hear = async (target: Target) => {
      const holder = await RawClient.open(server, { schema });
      const client = await RawClient.open(target, { schema });
      await client.run(['SET lock_wait_timeout = 1']);
      await holder.run([HOLD_ALL]);
      const heard = describeAnswer(await client.query('DROP TABLE a, b'));
      await holder.run(['UNLOCK TABLES']);
      await holder.quit();
      await client.quit();
      return heard;
    };
    const direct = await hear(server);
    expect(direct[0]).toContain('ERR 1205');
    expect(await hear(proxy)).toEqual(direct);
    await settled();
  });

  test('an intent that can not be forgotten at once is forgotten a moment later', async () => {
    await root.query('CREATE TABLE parent (id INT PRIMARY KEY)');
    await root.query('CREATE TABLE child (id INT, FOREIGN KEY (id) REFERENCES parent (id))');
    const client = await RawClient.open(proxy, { schema });
    forgetsToCut = 2;
    const { results } = await client.query('DROP TABLE parent');
    expect(results.map(({ kind }) => kind)).toEqual(['err']);
    await settled();
    expect(forgetsToCut).toBe(-1);
    await client.quit();
    await root.query('DROP TABLE child, parent');
  });
});
