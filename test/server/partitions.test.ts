/**
 * ALTER TABLE … DROP and TRUNCATE PARTITION where UNDROP_PROTECT names them, beside what
 * native_cases.json has of their answers: what is held of each, rows that others commit meanwhile,
 * locks, triggers, rules, the way back, an account that may not lock, a crash between.
 */
import { expect } from '@jest/globals';
import { recordIntent } from '../../src/ledger/intents/record-intent.js';
import { silentLog } from '../../src/log.js';
import { formatHoldName } from '../../src/names/names.js';
import { reconcile } from '../../src/recovery/reconcile.js';
import { newId } from '../../src/steps/intents.js';
import { NumberTables } from '../support/number-tables.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { runUndrop } from '../support/proxy.js';
import type { RawAnswer } from '../support/raw-client.js';
import { rounds } from '../support/sample.js';
import { connect } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { intentsSettled } from '../support/settled.js';

const PROTECT = 'drop-table,drop-partition';
const RULES = '*.kept: refuse; *.short: hold=2h';
/** Partitions that are dropped while others write to them. */
const ROUNDS = rounds(5, 2);
/** As many as one statement takes, and one that it leaves. */
const PARTS = 17;

function rangeOf(n: number): string {
  return `PARTITION p${n} VALUES LESS THAN (${10 * n + 10})`;
}

onServers('partitions on $name', (server, on) => {
  const { test } = on;
  const isOld = server.flavour === 'mysql' && server.version.startsWith('5.');

  const proxy = on.proxy({ PROTECT, RULES });
  const schema = on.schema('parts').name;
  const root = on.session({ schema });
  const client = on.client({ to: proxy, schema });

  /** Partitions of ten each: p0 has 0 to 9. */
  async function make(table: string, ...values: readonly number[]): Promise<void> {
    const parts = [0, 1, 2, 3].map(rangeOf);
    await root.query(
      `CREATE TABLE ${table} (v INT PRIMARY KEY, w INT NULL, KEY w (w))
       PARTITION BY RANGE (v) (${parts.join(', ')})`,
    );
    await fill(table, ...values);
  }

  const numbers = new NumberTables(root, schema);
  const fill = (table: string, ...values: readonly number[]) => numbers.fill(table, ...values);
  const valuesOf = (table: string) => numbers.valuesOf(table);

  async function partitionsOf(table: string): Promise<readonly string[]> {
    const values = await root.column(
      `SELECT DISTINCT PARTITION_NAME AS name FROM information_schema.PARTITIONS
       WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY name`,
      [schema, table],
    );
    return values.map(String);
  }

  /** What is held of a table, by the names of the ledger and by rows. */
  async function held(table: string): Promise<Record<string, readonly number[]>> {
    await intentsSettled(root, [schema]);
    const rows = await root.rows(
      `SELECT table_name, CONCAT('\`', hold_schema, '\`.\`', hold_name, '\`') AS place
       FROM _undrop.ledger WHERE schema_name = ? AND table_name LIKE ? AND state = 'HOLD'
         AND hold_schema LIKE '\\_undrop%' ORDER BY id`,
      [schema, `${table}#%`],
    );
    const found: Record<string, readonly number[]> = {};
    for (const row of rows) {
      const name = String(row['table_name']);
      found[name] = [...(found[name] ?? []), ...(await valuesOf(String(row['place'])))];
    }
    return found;
  }

  const said = ({ results }: RawAnswer) =>
    results.map((one) => (one.kind === 'err' ? String(one.message) : one.kind));

  if (server.name === 'mariadb-10.5') {
    test('are not dropped where no partition can be exchanged with a filled table', async () => {
      await make('t', 1, 11);
      const answer = said(await client.query('ALTER TABLE t DROP PARTITION p1'));
      expect(answer).toEqual([expect.stringMatching(/^UNDROP_NOT_DONE_YET: /)]);
      expect(await valuesOf('t')).toEqual([1, 11]);
    });
    return;
  }

  test('are held each for itself when they are dropped, and the table goes on', async () => {
    await make('t', 1, 11, 12, 21, 31);
    expect(said(await client.query('ALTER TABLE t DROP PARTITION p1, `P2`'))).toEqual(['ok']);
    expect([await partitionsOf('t'), await valuesOf('t')]).toEqual([
      ['p0', 'p3'],
      [1, 31],
    ]);
    expect(await held('t')).toEqual({ 't#p1': [11, 12], 't#p2': [21] });
    // What was the partition's is now the next one's.
    await fill('t', 13);
    expect(await valuesOf('t')).toEqual([1, 13, 31]);
  });

  test('are held when they are emptied, and are there still', async () => {
    await make('e', 1, 11, 21);
    expect(said(await client.query('ALTER TABLE e TRUNCATE PARTITION p1'))).toEqual(['ok']);
    await fill('e', 12);
    expect(said(await client.query('alter table e truncate partition all'))).toEqual(['ok']);
    expect([(await partitionsOf('e')).length, await valuesOf('e')]).toEqual([4, []]);
    const found = await held('e');
    expect(found['e#p1']).toEqual([11, 12]);
    expect([found['e#p0'], found['e#p2'], found['e#p3']]).toEqual([[1], [21], []]);
  });

  test('come back as a table, and go into a partition from there', async () => {
    await make('back', 1, 11, 12);
    await client.run(['ALTER TABLE back TRUNCATE PARTITION p1']);
    await intentsSettled(root, [schema]);
    // The partition that is there has statistics then, under a name with its own in it.
    await root.query('ANALYZE TABLE back');
    const { code, stderr } = await runUndrop(server, ['restore', `${schema}.back#p1`]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(await valuesOf('`back#p1`')).toEqual([11, 12]);
    await root.query('ALTER TABLE back EXCHANGE PARTITION p1 WITH TABLE `back#p1`');
    expect(await valuesOf('back')).toEqual([1, 11, 12]);
  });

  test('of a table with triggers, and with a CHECK, are held and bind nobody', async () => {
    await make('tr', 1, 11);
    await root.query('ALTER TABLE tr ADD CONSTRAINT positive CHECK (v >= 0)');
    await root.query('CREATE TRIGGER tr_w BEFORE INSERT ON tr FOR EACH ROW SET NEW.w = NEW.v');
    const dropped = said(await client.query('ALTER TABLE tr DROP PARTITION p1'));
    if (server.flavour === 'mariadb') {
      expect(dropped).toEqual([expect.stringMatching(/^UNDROP_NOT_DONE_YET: .*Trigger/)]);
      expect(said(await client.query('ALTER TABLE tr TRUNCATE PARTITION p1'))).toEqual(['ok']);
    } else {
      expect(dropped).toEqual(['ok']);
    }
    expect(await held('tr')).toEqual({ 'tr#p1': [11] });
    await fill('tr', 2);
    const rows = await root.rows('SELECT w FROM tr WHERE v = 2');
    expect(rows).toEqual([{ w: 2 }]);
  });

  test('are not taken, where there are more than sixteen of them', async () => {
    const parts = Array.from({ length: PARTS }, (_x, n) => rangeOf(n)).join(', ');
    await root.query(`CREATE TABLE many (v INT) PARTITION BY RANGE (v) (${parts})`);
    await fill('many', 1);
    const refused = [expect.stringMatching(/^UNDROP_NOT_DONE_YET: .*more than 16 partitions/)];
    expect(said(await client.query('ALTER TABLE many TRUNCATE PARTITION ALL'))).toEqual(refused);
    expect([await valuesOf('many'), await held('many')]).toEqual([[1], {}]);
  });

  test('of subpartitions are not taken, nor some that hardly anybody writes', async () => {
    await root.query(
      `CREATE TABLE s (v INT, w INT) PARTITION BY RANGE (v) SUBPARTITION BY HASH (w) SUBPARTITIONS 2
       (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))`,
    );
    await root.query('INSERT INTO s VALUES (1, 1), (2, 2), (11, 11)');
    await make('twice', 1, 11);
    const texts = [
      'ALTER TABLE s TRUNCATE PARTITION p0',
      'ALTER TABLE s DROP PARTITION p1',
      'ALTER TABLE twice TRUNCATE PARTITION p1, P1',
      'ALTER TABLE twice DROP PARTITION `ß`',
    ];
    for (const text of texts) {
      expect(said(await client.query(text))).toEqual([
        expect.stringMatching(/^UNDROP_NOT_DONE_YET: .*(?:subpartitions|twice|ASCII)/),
      ]);
    }
    expect([await valuesOf('s'), await valuesOf('twice')]).toEqual([
      [1, 2, 11],
      [1, 11],
    ]);
    expect([await held('s'), await held('twice')]).toEqual([{}, {}]);
  });

  test('stay as long as a rule says, and where one refuses', async () => {
    for (const table of ['kept', 'short']) await make(table, 1, 11);
    const kept = said(await client.query('ALTER TABLE kept DROP PARTITION p1'));
    expect(kept).toEqual([expect.stringMatching(/^UNDROP_RULE: /)]);
    expect(said(await client.query('ALTER TABLE short DROP PARTITION p1'))).toEqual(['ok']);
    expect([await valuesOf('kept'), await held('kept')]).toEqual([[1, 11], {}]);
    const rows = await root.rows(
      `SELECT kind, TIMESTAMPDIFF(HOUR, dropped_at, hold_until) AS hours FROM _undrop.ledger
       WHERE schema_name = ? AND table_name = 'short#p1'`,
      [schema],
    );
    expect(rows).toEqual([{ kind: 'partition', hours: 2 }]);
  });

  test('are not taken under LOCK TABLES, nor where the columns are of two ages', async () => {
    await make('locked', 1, 11);
    const answers = await client
      .run([
        'LOCK TABLES locked WRITE',
        'ALTER TABLE locked TRUNCATE PARTITION p1',
        'UNLOCK TABLES',
      ])
      .catch((error: unknown) => String(error));
    expect(String(answers)).toMatch(/UNDROP_NOT_DONE_YET: .*LOCK TABLES/);
    await client.run(['UNLOCK TABLES']);
    expect([await valuesOf('locked'), await held('locked')]).toEqual([[1, 11], {}]);
    if (server.flavour !== 'mysql' || isOld) return;
    await root.query('ALTER TABLE locked ADD COLUMN late INT, ALGORITHM = INSTANT');
    const late = said(await client.query('ALTER TABLE locked DROP PARTITION p1'));
    expect(late).toEqual([expect.stringMatching(/INSTANT COLUMN.*ALTER TABLE … FORCE/)]);
    expect([await valuesOf('locked'), await held('locked')]).toEqual([[1, 11], {}]);
    await root.query('ALTER TABLE locked FORCE');
    expect(said(await client.query('ALTER TABLE locked DROP PARTITION p1'))).toEqual(['ok']);
    expect(await held('locked')).toEqual({ 'locked#p1': [11] });
  });

  test.each(['DROP', 'TRUNCATE'])(
    'of which others write all the time: by %s each row is there or held',
    async (verb) => {
      const writers = await Promise.all([1, 2].map(() => connect(server, { database: schema })));
      for (let round = 0; round < ROUNDS; round++) {
        const table = `busy_${verb.toLowerCase()}${round}`;
        await make(table, 1);
        let isOver = false;
        const committed: number[] = [1];
        const writing = writers.map(async (writer, index) => {
          for (let v = 10 + 15 * index; !isOver && v < 25 + 15 * index; v++) {
            await writer.query(`INSERT INTO ${table} (v) VALUES (${v})`);
            committed.push(v);
          }
        });
        const statement = `ALTER TABLE ${table} ${verb} PARTITION p1, p2`;
        const answer = await client.query(statement);
        isOver = true;
        await Promise.all(writing);
        expect([round, said(answer)]).toEqual([round, ['ok']]);
        const all = [...Object.values(await held(table)), await valuesOf(table)].flat();
        const sorted = (values: readonly number[]) => [...values].sort((a, b) => a - b);
        expect([round, sorted(all)]).toEqual([round, sorted(committed)]);
      }
      for (const writer of writers) await writer.end();
    },
  );

  test('of which a reader holds one: the statement waits, and is done when the reader is', async () => {
    await make('seen', 1, 11);
    await using reader = await connect(server, { database: schema });
    await reader.run('BEGIN', 'SELECT * FROM seen');
    const answered = client.query('ALTER TABLE seen DROP PARTITION p1');
    const waiting = `INFO LIKE 'ALTER%undrop wait-for-lock%' AND STATE LIKE 'Waiting%' AND DB = '${schema}'`;
    await until(() => root.hasProcess(waiting), 'it waits');
    await reader.query('ROLLBACK');
    expect(said(await answered)).toEqual(['ok']);
    expect([await valuesOf('seen'), await held('seen')]).toEqual([[1], { 'seen#p1': [11] }]);
  });

  const disturbances: Record<string, (table: string, isOver: () => boolean) => Promise<void>> = {
    'a reader': async (table, isOver) => {
      await using reader = await connect(server, { database: schema });
      await reader.run('BEGIN', `SELECT COUNT(*) FROM ${table}`);
      await until(async () => isOver() || (await waits(/ALTER|LOCK/)), 'somebody waits');
      await reader.query('ROLLBACK');
    },
    'other subpartitions': async (table) => {
      const parts = Array.from({ length: PARTS }, (_x, n) => rangeOf(n)).join(', ');
      const by = `PARTITION BY RANGE (v) SUBPARTITION BY HASH (v) SUBPARTITIONS 2 (${parts})`;
      // Where one of them is gone by then, its rows have the next one's place.
      await root.query(`ALTER TABLE ${table} ${by}`).catch(() => undefined);
    },
    ...(server.name === 'mysql-9.7'
      ? {
          'a backup': async (_table: string, isOver: () => boolean) => {
            await using backup = await connect(server);
            await backup.query('LOCK INSTANCE FOR BACKUP');
            await until(async () => isOver() || (await waits(/ALTER/)), 'it waits');
            await backup.query('UNLOCK INSTANCE');
          },
        }
      : {}),
  };
  async function waits(words: RegExp): Promise<boolean> {
    const rows = await root.rows(
      "SELECT INFO FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting%'",
    );
    return rows.some(({ INFO: info }) => words.test(String(info)));
  }

  test.each(
    Object.keys(disturbances).flatMap((what) => [
      [what, 'DROP'] as const,
      [what, 'TRUNCATE'] as const,
    ]),
  )('beside %s that comes between: by %s no row is lost, and OK is true', async (what, verb) => {
    const table = `${verb}_${what.replaceAll(' ', '_')}`;
    const parts = Array.from({ length: PARTS }, (_x, n) => rangeOf(n));
    await root.query(
      `CREATE TABLE ${table} (v INT PRIMARY KEY) PARTITION BY RANGE (v) (${parts.join(', ')})`,
    );
    const values = Array.from({ length: PARTS * 3 }, (_x, n) => Math.floor(n / 3) * 10 + (n % 3));
    await fill(table, ...values);
    let isOver = false;
    const names = parts.slice(0, -1).map((_x, n) => `p${n}`);
    const answered = client
      .query(`ALTER TABLE ${table} ${verb} PARTITION ${names.join(', ')}`)
      .finally(() => {
        isOver = true;
      });
    const hasBegun = async () => {
      const rows = await root.rows(
        'SELECT 1 FROM _undrop.ledger WHERE schema_name = ? AND table_name LIKE ?',
        [schema, `${table}#%`],
      );
      return isOver || rows.length > 0;
    };
    await until(hasBegun, 'its intents');
    await disturbances[what]?.(table, () => isOver);
    const answer = said(await answered);
    const live = await valuesOf(table);
    const all = [...Object.values(await held(table)), live].flat();
    expect([...all].sort((one, other) => one - other)).toEqual(values);
    if (answer[0] === 'ok') expect(live).toEqual(values.slice(-3));
    else expect(answer).toEqual([expect.stringMatching(/^UNDROP_/)]);
  });

  test('of a prepared ALTER in another charset now are not taken, plain ones are', async () => {
    await root.query(
      `CREATE TABLE accents (v INT PRIMARY KEY) PARTITION BY RANGE (v)
       (PARTITION é VALUES LESS THAN (10), PARTITION Ã© VALUES LESS THAN (20),
        PARTITION plain VALUES LESS THAN (30), PARTITION more VALUES LESS THAN (40))`,
    );
    await fill('accents', 1, 11, 21, 31);
    await client.run(['SET NAMES latin1']);
    // Ã© in latin1, é in UTF-8.
    const accent = await client.prepare('ALTER TABLE accents DROP PARTITION `é`');
    const plain = await client.prepare('ALTER TABLE accents DROP PARTITION plain');
    const execute = async ({ id }: { readonly id: number | null }) =>
      said(await client.execute(id ?? 0));
    await client.run(['SET NAMES utf8']);
    const [refused] = await execute(accent);
    expect(refused).toMatch(/^UNDROP_NOT_DONE_YET: .*not ASCII/);
    expect(await valuesOf('accents')).toEqual([1, 11, 21, 31]);
    expect(await execute(plain)).toEqual(['ok']);
    expect(await valuesOf('accents')).toEqual([1, 11, 31]);
    await client.run(['SET NAMES latin1']);
    const [taken] = await execute(accent);
    await client.run(['SET NAMES utf8']);
    expect(taken).toMatch(/^UNDROP_NOT_DONE_YET: .*not ASCII/);
    expect(await valuesOf('accents')).toEqual([1, 11, 31]);
  });

  test('of a table with rows of other times, or of another engine, are not taken', async () => {
    const refused = [expect.stringMatching(/^UNDROP_NOT_DONE_YET: /)];
    if (server.name !== 'mysql-9.7') {
      await make('mine', 11);
      await root.query('ALTER TABLE mine ENGINE=MyISAM');
      expect(said(await client.query('ALTER TABLE mine TRUNCATE PARTITION p1'))).toEqual(refused);
      expect([await valuesOf('mine'), await held('mine')]).toEqual([[11], {}]);
    }
    if (server.flavour !== 'mariadb') return;
    await root.query(
      `CREATE TABLE ages (v INT) WITH SYSTEM VERSIONING PARTITION BY SYSTEM_TIME LIMIT 3
       (PARTITION h0 HISTORY, PARTITION h1 HISTORY, PARTITION pn CURRENT)`,
    );
    await root.run('INSERT INTO ages VALUES (1), (2)', 'DELETE FROM ages WHERE v = 1');
    expect(said(await client.query('ALTER TABLE ages DROP PARTITION h0'))).toEqual(refused);
    const rows = await root.rows('SELECT v FROM ages FOR SYSTEM_TIME ALL');
    expect([rows.length, await held('ages')]).toEqual([2, {}]);
  });

  test('of an exchange that never was: the intent is forgotten, nothing else is touched', async () => {
    await make('lost', 11);
    await using pool = poolOn(server, 2);
    const id = newId();
    const recorded = { table: 'lost#p1', rowEstimate: null, byteEstimate: null };
    const intent = await recordIntent(pool, {
      groupId: newId(),
      proxyId: 'lost',
      threadId: 1,
      user: 'root',
      clientAddress: '127.0.0.1',
      statementText: 'ALTER TABLE lost DROP PARTITION p1',
      holdMs: 3_600_000,
      tables: [{ id, schema, table: 'lost', partition: recorded }],
    });
    const [seen] = intent.tables;
    const due = seen?.holdUntil ?? new Date(0);
    const holdName = formatHoldName({ state: 'HOLD', id, due });
    await root.query(`CREATE TABLE _undrop.\`${holdName}\` (v INT)`);
    await reconcile(pool, { proxyId: 'other', activeIds: new Set(), log: silentLog });
    const rows = await root.rows('SELECT 1 FROM _undrop.ledger WHERE id = ?', [id]);
    expect([rows, await valuesOf('lost')]).toEqual([[], [11]]);
  });
});
