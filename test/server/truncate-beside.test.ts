/**
 * TRUNCATE, and DROP or TRUNCATE PARTITION, beside what others do to the same table, its schema or
 * its parent at that moment: the words are the server's own, and the foreign keys of its children
 * lead to its name.
 */
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { testOnOne } from '../support/on-one-server.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { type RawAnswer, RawClient } from '../support/raw-client.js';
import { connect, freshSchema, testServers } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';
import { type TapEvent, wireTap } from '../support/wire-tap.js';

const PROTECT = 'drop-table,truncate,drop-partition';
/** Races in which nothing says when who is where. */
const ROUNDS = 60;

function said({ results }: RawAnswer): readonly string[] {
  return results.map((one) => (one.kind === 'err' ? `${one.errno} ${one.message}` : one.kind));
}

describe.each(testServers())('what empties a table on $name', (server) => {
  const test = testOnOne(server);
  let proxy: ProxyTarget;
  let root: Connection;
  let schema: string;
  let dropSchema: () => Promise<void>;

  beforeAll(async () => {
    proxy = await proxyInFront(server, { PROTECT });
    root = await connect(server);
    ({ name: schema, drop: dropSchema } = await freshSchema(server, 'beside'));
    await root.query(`USE ${schema}`);
  });

  afterAll(async () => {
    await proxy.stop();
    await dropSchema();
    await root.end();
  });

  /** What a client is told through a proxy whose statements wait for `onStatement`. */
  async function saidThrough(
    onEvent: (text: string, moment: TapEvent['moment']) => Promise<unknown> | undefined,
    ...texts: readonly string[]
  ): Promise<readonly string[]> {
    const tap = await wireTap(server, async ({ moment, command }) => {
      await onEvent(command.toString('latin1'), moment);
      return true;
    });
    const tapped = await proxyInFront({ ...server, ...tap }, { PROTECT });
    const client = await RawClient.open(tapped, { schema });
    try {
      const answers: string[] = [];
      for (const text of texts) answers.push(...said(await client.query(text)));
      return answers;
    } finally {
      await client.quit();
      await tapped.stop();
      await tap.close();
    }
  }

  /** Once, before the first statement that has this in it. */
  function rightBefore(part: string, work: () => Promise<unknown>) {
    let isDone = false;
    return async (text: string, moment: TapEvent['moment']) => {
      if (isDone || moment !== 'before statement' || !text.includes(part)) return;
      isDone = true;
      await work();
    };
  }

  async function makeFamily(name: string): Promise<void> {
    await root.query(`CREATE TABLE ${name}_par (v INT PRIMARY KEY) ENGINE=InnoDB`);
    await root.query(`CREATE TABLE ${name}_ch (v INT, CONSTRAINT ${schema}_${name}
      FOREIGN KEY (v) REFERENCES ${name}_par (v)) ENGINE=InnoDB`);
    await root.query(`INSERT INTO ${name}_par VALUES (1)`);
    await root.query(`INSERT INTO ${name}_ch VALUES (1)`);
  }

  async function parentOf(table: string): Promise<readonly string[]> {
    const [rows] = await root.query<RowDataPacket[]>(
      `SELECT CONCAT(UNIQUE_CONSTRAINT_SCHEMA, '.', REFERENCED_TABLE_NAME) AS parent
       FROM information_schema.REFERENTIAL_CONSTRAINTS
       WHERE CONSTRAINT_SCHEMA = ? AND TABLE_NAME = ?`,
      [schema, table],
    );
    return rows.map(({ parent }) => String(parent));
  }

  async function heldOf(table: string): Promise<readonly string[]> {
    await intentsSettled(root, [schema]);
    const [rows] = await root.query<RowDataPacket[]>(
      `SELECT CONCAT(hold_schema, '.', hold_name) AS name FROM _undrop.ledger
       WHERE schema_name = ? AND table_name = ? AND state = 'HOLD' ORDER BY id`,
      [schema, table],
    );
    return rows.map(({ name }) => String(name));
  }

  test('of a parent: the keys of its children lead to the name', async () => {
    await makeFamily('flushed');
    const client = await RawClient.open(proxy, { schema });
    await client.run(['SET foreign_key_checks = 0']);
    const answers: string[] = [];
    for (let n = 0; n < 2; n++) answers.push(...said(await client.query('TRUNCATE flushed_par')));
    await client.quit();
    expect(answers).toEqual(['ok', 'ok']);
    expect(await heldOf('flushed_par')).toHaveLength(2);
    expect(await parentOf('flushed_ch')).toEqual([`${schema}.flushed_par`]);
  });

  test('of one table from several sessions at once: nobody fails', async () => {
    await root.query('CREATE TABLE crowd (v INT) ENGINE=InnoDB');
    const clients = await Promise.all([1, 2, 3].map(() => RawClient.open(proxy, { schema })));
    const answers = await Promise.all(
      clients.map(async (client) => {
        const own: string[] = [];
        for (let n = 0; n < 8; n++) own.push(...said(await client.query('TRUNCATE crowd')));
        await client.quit();
        return own;
      }),
    );
    expect(new Set(answers.flat())).toEqual(new Set(['ok']));
  });

  test('of a table that goes before its ghost is made: the server’s own words', async () => {
    await root.query('CREATE TABLE going (v INT) ENGINE=InnoDB');
    const drop = rightBefore('CREATE TABLE /* undrop ghost ', () => root.query('DROP TABLE going'));
    expect(await saidThrough(drop, 'TRUNCATE going')).toEqual([
      `1146 Table '${schema}.going' doesn't exist`,
    ]);
  });

  test('of a parent whose child InnoDB has locked: 1205 after the session’s own time', async () => {
    // Of MySQL that is a metadata lock.
    if (server.flavour !== 'mariadb') return;
    await makeFamily('waiting');
    const other = await connect(server, { database: schema });
    await other.query('SET foreign_key_checks = 0');
    await other.query('BEGIN');
    await other.query('INSERT INTO waiting_ch VALUES (2)');
    const client = await RawClient.open(proxy, { schema });
    await client.run(['SET foreign_key_checks = 0, innodb_lock_wait_timeout = 1']);
    try {
      expect(said(await client.query('TRUNCATE waiting_par'))).toEqual([
        '1205 Lock wait timeout exceeded; try restarting transaction',
      ]);
    } finally {
      await other.end();
    }
    expect(await heldOf('waiting_par')).toEqual([]);
    expect(said(await client.query('TRUNCATE waiting_par'))).toEqual(['ok']);
    await client.quit();
    expect(await heldOf('waiting_par')).toHaveLength(1);
    expect(await parentOf('waiting_ch')).toEqual([`${schema}.waiting_par`]);
  });

  const parted = (name: string) => `CREATE TABLE ${name} (v INT) ENGINE=InnoDB
    PARTITION BY RANGE (v) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))`;

  test.each([
    'TRUNCATE raced',
    'ALTER TABLE raced TRUNCATE PARTITION p0',
    'ALTER TABLE raced DROP PARTITION p0',
  ])('%s beside DROP and CREATE of it: done, or the server’s own words', async (text) => {
    const client = await RawClient.open(proxy, { schema });
    const other = await connect(server, { database: schema });
    let isOver = false;
    const making = (async () => {
      while (!isOver) {
        await other.query(parted('raced'));
        await other.query('DROP TABLE raced');
      }
    })();
    const answers = new Set<string>();
    for (let n = 0; n < ROUNDS; n++)
      for (const one of said(await client.query(text))) answers.add(one);
    isOver = true;
    await making;
    await other.end();
    await client.quit();
    // Who never gets a quiet moment in twelve tries is told so; who comes twice to one table, too.
    const twice = '1507 Error in list of partitions.*|1508 Cannot remove all partitions.*';
    const busy = '1205 UNDROP_CHANGED_MEANWHILE: .*';
    const own = new RegExp(`^(?:ok|1146 Table '\\w+.raced' doesn't exist|${busy}|${twice})$`);
    expect([...answers].filter((one) => !own.test(one))).toEqual([]);
  });

  test.each(['TRUNCATE', 'DROP'])('%s PARTITION in a schema that goes', async (verb) => {
    const { name, drop } = await freshSchema(server, 'going');
    await root.query(parted(`${name}.t`));
    await root.query(`INSERT INTO ${name}.t VALUES (1)`);
    const isDdl = /EXCHANGE PARTITION|CONVERT PARTITION|LOCK \/\* undrop partition/;
    let isDone = false;
    const drops = async (text: string, moment: TapEvent['moment']) => {
      if (isDone || moment !== 'before statement' || !isDdl.test(text)) return;
      isDone = true;
      await root.query(`DROP DATABASE ${name}`);
    };
    const [answer] = await saidThrough(drops, `ALTER TABLE ${name}.t ${verb} PARTITION p0`);
    await drop();
    expect(answer).toMatch(/^1146 Table '.*' doesn't exist$|^1049 Unknown database /);
  });
});
