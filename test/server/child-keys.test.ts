/** A key of a live child that two proxies lead back at once: its index keeps its name. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { leadBack } from '../../src/moves/child-keys.js';
import type { ServicePool, TaskConnection } from '../../src/service/pools.js';
import { readServerFacts } from '../../src/service/server-facts.js';
import { newId } from '../../src/session/intercept.js';
import { connect, freshSchema, testServers } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';

describe.each(testServers())('the key of a child on $name', (server) => {
  let root: Connection;
  let schema: string;
  let dropSchema: () => Promise<void>;
  let pool: ServicePool;

  beforeAll(async () => {
    root = await connect(server);
    ({ name: schema, drop: dropSchema } = await freshSchema(server, 'child'));
    await root.query(`USE ${schema}`);
    pool = poolOn(server, 2);
  });

  afterAll(async () => {
    await pool.dispose();
    await dropSchema();
    await root.end();
  });

  const show = async (): Promise<string> => {
    const [[row]] = await root.query<RowDataPacket[]>('SHOW CREATE TABLE kid');
    return String(row?.['Create Table']);
  };

  test('is led back as it was where another takes it off right before', async () => {
    await root.query('CREATE TABLE b (id INT PRIMARY KEY)');
    await root.query('CREATE TABLE kid (bid INT, FOREIGN KEY (bid) REFERENCES b (id))');
    const before = await show();
    await root.query('RENAME TABLE b TO away');
    const between: ServicePool = {
      run: pool.run.bind(pool),
      killQuery: pool.killQuery.bind(pool),
      isWaiting: pool.isWaiting.bind(pool),
      dispose: pool.dispose.bind(pool),
      task: async <T>(work: (connection: TaskConnection) => Promise<T>) => {
        if ((await show()).includes('`away`')) {
          await root.query('ALTER TABLE kid DROP FOREIGN KEY kid_ibfk_1');
        }
        return pool.task(work);
      },
    };
    const key = {
      name: 'kid_ibfk_1',
      columns: ['bid'],
      parentSchema: schema,
      parentTable: 'b',
      parentColumns: ['id'],
      onDelete: null,
      onUpdate: null,
      index: 'bid',
    };
    const child = { childSchema: schema, childTable: 'kid', key, isDone: false };
    const away = { schema, table: 'away' };
    const facts = await readServerFacts(pool);
    await leadBack(between, child, { id: newId(), away, server: facts, logged: true });
    expect(await show()).toBe(before);
  });
});
