/**
 * A replica that may be written to, and recovery there: what replication brings of drops that are
 * under way on the source is left alone, and is this server's once nothing is replicated any more.
 */
import { holdTable, startCollecting, untilGone, whereIs } from '../collector/collecting.js';
import { asking } from '../support/asking.js';
import { inLanes } from '../support/lanes.js';
import { inHooks } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront } from '../support/proxy.js';
import { startPair } from '../support/replica-pair.js';
import { connect, query } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { recoverOnce } from './service-fixture.js';

inLanes(
  [{ name: 'mysql-9.7' }, { name: 'mariadb-11.8' }],
  'a replica of $name that may be written to',
  ({ name }, lane) => {
    const { beforeAll, open } = inHooks(lane);
    const { test } = lane;
    const pair = open(() => startPair({ name, gtid: true }));
    beforeAll(() => query(pair.replica, 'SET GLOBAL read_only = OFF'));
    const proxy = open(() => proxyInFront(pair.source, { COLLECT: 'off' }));
    const there = open(() => poolOn(pair.replica));
    beforeAll(() => query(pair.source, 'CREATE DATABASE d'));

    const recover = () => recoverOnce(there);

    /** A drop on the source that waits for a reader, and whose intent is on the replica. */
    async function waitingDrop(table: string) {
      await query(pair.source, `CREATE TABLE d.${table} (a INT)`);
      const reader = await connect(pair.source, { database: 'd' });
      await reader.run('START TRANSACTION', `SELECT * FROM ${table}`);
      const client = await connect(proxy, { database: 'd' });
      const dropped = client.query(`DROP TABLE ${table}`);
      const stateOn = (server: typeof pair.source) =>
        asking(server).cell(`SELECT CONCAT(state, relocated) FROM _undrop.ledger
          WHERE table_name = '${table}'`);
      await until(async () => (await stateOn(pair.replica)) === 'intent0', 'the intent is there');
      const end = async () => {
        await reader.query('COMMIT');
        await dropped;
        await until(async () => (await stateOn(pair.source)) === 'HOLD1', 'it is held');
        await reader.end();
        await client.end();
      };
      return { end, stateOn };
    }

    test('leaves alone what is under way on its source', async () => {
      const drop = await waitingDrop('t');
      const { completed, forgotten, untouched } = await recover();
      expect([completed, forgotten, untouched.length]).toEqual([[], [], 1]);
      await drop.end();
      await pair.caughtUp();
      expect(await drop.stateOn(pair.replica)).toBe('HOLD1');
      expect((await recover()).untouched).toEqual([]);
    });

    test('collects nothing of what its source may collect, unless it is told to', async () => {
      const held = await holdTable(pair.replica);
      const auto = startCollecting(pair.replica, { collect: 'auto' });
      await auto.looked();
      await auto.stop();
      expect(await whereIs(pair.replica, held.id)).toEqual([`${held.schema}.${held.name}`]);
      expect(auto.said.at(-1)?.message).toMatch(/^this server replicates from another/);
      await using _on = startCollecting(pair.replica, { collect: 'on' });
      await untilGone(pair.replica, held);
    });

    /** A DROP DATABASE on the source that waits for a reader, its tables held on both. */
    async function waitingSchemaDrop(schema: string) {
      for (const text of [
        `CREATE DATABASE ${schema}`,
        `CREATE TABLE ${schema}.t (a INT)`,
        `INSERT INTO ${schema}.t VALUES (1)`,
        `CREATE VIEW ${schema}.v AS SELECT 1 AS one`,
      ]) {
        await query(pair.source, text);
      }
      const reader = await connect(pair.source, { database: schema });
      await reader.run('START TRANSACTION', 'SELECT * FROM v');
      const client = await connect(proxy);
      const dropped = client.query(`DROP DATABASE ${schema}`);
      const EMPTIED = "SELECT id FROM _undrop.ledger WHERE state = 'emptied'";
      const isEmptied = async () => (await query(pair.replica, EMPTIED)).length > 0;
      await until(isEmptied, 'the replica has all but the DROP');
      const end = async () => {
        await reader.query('COMMIT');
        await dropped;
        await reader.end();
        await client.end();
      };
      return { end };
    }

    test('settles it once it is a source of its own', async () => {
      const drop = await waitingDrop('u');
      const schemaDrop = await waitingSchemaDrop('e');
      await query(pair.replica, 'STOP REPLICA');
      const intent = "SELECT id FROM _undrop.ledger WHERE table_name = 'u'";
      const ids = [await asking(pair.replica).cell(intent)];
      const { forgotten, schemasBack, schemasGone } = await recover();
      expect([forgotten, schemasBack, schemasGone]).toEqual([ids, ['e'], []]);
      expect(await query(pair.replica, 'SELECT a FROM e.t')).toEqual([{ a: 1 }]);
      await drop.end();
      await schemaDrop.end();
    });
  },
  300_000,
);
