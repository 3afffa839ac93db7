/**
 * A key of a live child that is led back to its parent's own name: its index keeps its name where
 * two proxies do it at once, and the binary log has of it what it has of the parent's drop. Imports
 * what leads it back: no client can stop one proxy between two statements while the other goes on.
 */
import { jest } from '@jest/globals';
import type { RowDataPacket } from 'mysql2/promise';
import { repointForeignKey } from '../../src/held/foreign-keys/add-keys.js';
import { detach } from '../../src/held/foreign-keys/detach.js';
import { ensureLedger } from '../../src/ledger/tables.js';
import { recordOutcome } from '../../src/ledger/write.js';
import type { ServicePool, TaskConnection } from '../../src/service/pool/pools.js';
import { readServerFacts } from '../../src/service/server-facts.js';
import { newId } from '../../src/steps/intents.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { tappedPool } from '../support/tapped-pool.js';
import { intend, renameAway } from './service-fixture.js';

onServers('the key of a child on $name', (server, on) => {
  const { beforeAll, test } = on;

  const schema = on.schema('child').name;
  const root = on.session({ schema });
  const pool = on.pool(2);
  beforeAll(() => ensureLedger(pool));
  const show = (table = 'kid') => root.show(table);

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
    await repointForeignKey(between, child, { id: newId(), away, server: facts, logged: true });
    expect(await show()).toBe(before);
  });

  /** Every event since then. */
  async function loggedSince(from: BinlogPlace): Promise<readonly string[]> {
    const place = await binlogPlace();
    expect(place.file).toBe(from.file);
    if (place.position === from.position) return [];
    const rows = await root.rows(`SHOW BINLOG EVENTS IN '${from.file}' FROM ${from.position}`);
    return rows.map((row) => String(row['Info']));
  }

  async function binlogPlace(): Promise<BinlogPlace> {
    const isNew = server.name === 'mysql-9.7';
    const [[row]] = await root.query<RowDataPacket[]>(
      isNew ? 'SHOW BINARY LOG STATUS' : 'SHOW MASTER STATUS',
    );
    return { file: String(row?.['File']), position: Number(row?.['Position']) };
  }

  test.each([
    { sqlLogBin: 1, holdSchema: '_undrop', steps: ['DROP FOREIGN KEY', 'ADD CONSTRAINT'] },
    { sqlLogBin: 0, holdSchema: '_undrop_local', steps: [] },
  ])(
    'is led back in the binary log as its parent was dropped in it: sql_log_bin=$sqlLogBin',
    async ({ sqlLogBin, holdSchema, steps }) => {
      const [parent, child] = [`parent_${sqlLogBin}`, `child_${sqlLogBin}`];
      await root.query(`CREATE TABLE ${parent} (id INT PRIMARY KEY)`);
      await root.query(`CREATE TABLE ${child} (pid INT, CONSTRAINT ${child}_key
        FOREIGN KEY (pid) REFERENCES ${parent} (id))`);
      const drop = { schema, tables: [parent], sqlLogBin: sqlLogBin === 1 };
      const { facts, holdNames } = await intend(pool, root, drop);
      const [[{ id } = { id: '' }], [holdName = '']] = [facts.tables, holdNames];
      await root.query(`SET sql_log_bin = ${sqlLogBin}`);
      await root.run(`RENAME TABLE ${parent} TO ${holdSchema}.${holdName}`, 'SET sql_log_bin = 1');
      const held = { id, holdSchema, holdName, relocated: true };
      await recordOutcome(pool, { tables: [held] });
      expect(await show(child)).toContain(`REFERENCES \`${holdSchema}\`.\`${holdName}\``);
      const before = await binlogPlace();
      // On a busy machine its time may be over before it has begun.
      const isRestored = async () => {
        const table = { id, fromSchema: holdSchema, holdName, table: parent };
        await detach(pool, [table], { logged: sqlLogBin === 1 });
        return (await show(child)).includes(`REFERENCES \`${parent}\` (\`id\`)`);
      };
      await until(isRestored, 'the key is led back');
      const written = await loggedSince(before);
      expect(written.length > 0).toBe(sqlLogBin === 1);
      const isWritten = (step: string) => written.some((text) => text.includes(step));
      expect(['DROP FOREIGN KEY', 'ADD CONSTRAINT'].filter(isWritten)).toEqual(steps);
    },
  );

  test('is led back by a debt’s payer however long the looks before it took', async () => {
    await root.query('CREATE TABLE slow (id INT PRIMARY KEY)');
    await root.query(`CREATE TABLE slow_kid (pid INT, CONSTRAINT slow_key
      FOREIGN KEY (pid) REFERENCES slow (id))`);
    const drop = await intend(pool, root, { schema, tables: ['slow'] });
    await renameAway(root, drop);
    const [{ id } = { id: '' }] = drop.facts.tables;
    const [holdName = ''] = drop.holdNames;
    const now = performance.now.bind(performance);
    let lateMs = 0;
    const clock = jest.spyOn(performance, 'now').mockImplementation(() => now() + lateMs);
    const slow = tappedPool(pool, async (send, texts) => {
      const answer = await send();
      if (texts.some((text) => text.includes('information_schema.TRIGGERS'))) lateMs = 5_000;
      return answer;
    });
    try {
      const table = { id, fromSchema: schema, holdName, table: 'slow' };
      expect(await detach(slow, [table], { logged: true })).toEqual([null]);
      expect(lateMs).toBe(5_000);
    } finally {
      clock.mockRestore();
    }
    expect(await show('slow_kid')).toContain('REFERENCES `slow` (`id`)');
  });
});

interface BinlogPlace {
  readonly file: string;
  readonly position: number;
}
