/**
 * The collector on real servers: what it may touch, must not touch, and when it keeps still; its
 * idea of the server's clock; who else may have its lock; and what its one connection is left as,
 * for which the leader is imported, as no command shows that.
 */
import { systemClock } from '../../src/clock.js';
import { leadWhenever } from '../../src/collector/leader/leader.js';
import { type ServicePool, sql } from '../../src/connections/sql.js';
import { createTrigger, showTriggers } from '../../src/held/triggers/definition.js';
import type { HeldTrigger } from '../../src/ledger/detached/detached.js';
import { silentLog } from '../../src/log.js';
import type { Collecting, CollectSettings, Held } from '../collector/collecting.js';
import {
  beforeEachStep,
  countRows,
  holdTable,
  nearMisses,
  serverTime,
  startCollecting,
  until,
  untilGone,
  whereIs,
} from '../collector/collecting.js';
import { dropRecycleSchemas, freshLedger } from '../support/fresh-ledger.js';
import { ledgerInsert } from '../support/ledger-rows.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { runUndrop } from '../support/proxy.js';
import { openRelay } from '../support/relay.js';
import { connect, generalLog, query, type Session } from '../support/servers.js';
import { type PoolTap, tapBy, tappedPool } from '../support/tapped-pool.js';
import { newId } from './service-fixture.js';

const ID = '0195a1b2c3d4700080000000000000ff';

onServersAtOnce('the collector on $name', (server, on) => {
  const { afterAll, afterEach, beforeEach, test } = on;
  const slow = { fastDrop: 'never' } as const;

  beforeEach(() => freshLedger(server));
  afterEach(() => query(server, 'SET GLOBAL read_only = OFF'));
  afterAll(() => freshLedger(server));

  const collect = (settings: CollectSettings = slow) =>
    on.each.keep(startCollecting(server, settings));
  const stays = async (held: Held) => {
    expect(await whereIs(server, held.id)).toEqual([`${held.schema}.${held.name}`]);
    expect(await countRows(server, held.quoted)).toBe(10);
  };
  const reasonsOf = ({ said }: Collecting) => said.map(({ fields }) => fields['because']);
  const own = on.each.schema();

  test('never touches what merely looks like a held table', async () => {
    const names = [
      ...nearMisses(ID).map((name) => `\`_undrop\`.\`${name}\``),
      // The full pattern, but in a schema that isn't ours and without a row in the ledger.
      ...['HOLD', 'DROP'].map((state) => `\`${own.name}\`.\`_vt_${state}_${ID}_20200101000000\``),
    ];
    for (const name of names) {
      await query(server, `CREATE TABLE ${name} (id INT)`, `INSERT INTO ${name} VALUES (1), (2)`);
    }
    const held = await holdTable(server);
    const collecting = collect({ ...slow, lifecycle: ['PURGE', 'EVAC', 'DROP'] });
    await untilGone(server, held);
    await collecting.looked();
    for (const name of names) expect([name, await countRows(server, name)]).toEqual([name, 2]);
  });

  test('leaves a view alone that has the name of a held table', async () => {
    const live = `${own.name}.live`;
    await query(
      server,
      `CREATE TABLE ${live} (id INT PRIMARY KEY)`,
      `INSERT INTO ${live} VALUES (1), (2)`,
      ...['PURGE', 'DROP'].map(
        (state) => `CREATE VIEW _undrop._vt_${state}_${ID}_20200101000000 AS SELECT * FROM ${live}`,
      ),
    );
    const collecting = collect();
    await collecting.looked();
    expect(await whereIs(server, ID)).toHaveLength(2);
    expect(await countRows(server, live)).toBe(2);
    expect(reasonsOf(collecting).filter((one) => one === 'it is a VIEW')).toHaveLength(2);
  });

  test('never fires a trigger: a table with one is left, and said once', async () => {
    const live = `${own.name}.live`;
    const held = await holdTable(server, { state: 'PURGE' });
    await query(
      server,
      `CREATE TABLE ${live} (id INT)`,
      `INSERT INTO ${live} VALUES (1)`,
      `CREATE TRIGGER _undrop.tr BEFORE DELETE ON ${held.quoted} FOR EACH ROW DELETE FROM ${live}`,
    );
    const collecting = collect({ ...slow, purgeCheckIntervalMs: 10 });
    await collecting.looked();
    await collecting.looked();
    await stays(held);
    expect(await countRows(server, live)).toBe(1);
    const said = reasonsOf(collecting).filter((because) => because === 'it has the trigger tr');
    expect(said).toHaveLength(1);
    await query(server, 'DROP TRIGGER _undrop.tr');
    await untilGone(server, held);
  });

  test.each(['PURGE', 'DROP'] as const)(
    'never follows a foreign key into live rows: a parent in %s is left',
    async (state) => {
      const held = await holdTable(server, { state });
      const child = `${own.name}.child`;
      await query(
        server,
        `CREATE TABLE ${child} (id INT PRIMARY KEY, parent INT,
         CONSTRAINT fk FOREIGN KEY (parent) REFERENCES ${held.quoted} (id) ON DELETE CASCADE)`,
        `INSERT INTO ${child} VALUES (1, 1), (2, 2)`,
      );
      const collecting = collect({ ...slow, purgeCheckIntervalMs: 10 });
      await collecting.looked();
      await stays(held);
      expect(await countRows(server, child)).toBe(2);
      expect(reasonsOf(collecting)).toContainEqual(
        expect.stringMatching(/^foreign key .*child.*fk refers to it$/),
      );
      await query(server, `DROP TABLE ${child}`);
      await untilGone(server, held);
    },
  );

  test('purges a table that refers to itself, and one that refers to a live one', async () => {
    const parent = `${own.name}.parent`;
    await query(server, `CREATE TABLE ${parent} (id INT PRIMARY KEY)`);
    const definition = `(id INT PRIMARY KEY, note VARCHAR(40), up INT, other INT,
      FOREIGN KEY (other) REFERENCES ${parent} (id)) ENGINE=InnoDB`;
    const held = await holdTable(server, { definition });
    await query(
      server,
      `ALTER TABLE ${held.quoted} ADD CONSTRAINT self FOREIGN KEY (up)
       REFERENCES ${held.quoted} (id) ON DELETE CASCADE`,
      `INSERT INTO ${parent} VALUES (1)`,
      `UPDATE ${held.quoted} SET up = 1, other = 1`,
    );
    collect();
    await untilGone(server, held);
    expect(await countRows(server, parent)).toBe(1);
  });

  test('does not empty what a MERGE table merely stands for', async () => {
    const live = `${own.name}.live`;
    await query(server, `CREATE TABLE ${live} (id INT, note VARCHAR(40)) ENGINE=MyISAM`);
    const definition = `(id INT, note VARCHAR(40)) ENGINE=MERGE UNION=(${live}) INSERT_METHOD=LAST`;
    const held = await holdTable(server, { definition, state: 'PURGE' });
    expect(await countRows(server, live)).toBe(10);
    collect();
    await untilGone(server, held);
    expect(await countRows(server, live)).toBe(10);
  });

  /** Columns, keys and partitions. */
  const SHAPES: readonly string[] = [
    '(id INT, note VARCHAR(40))',
    '(id BIGINT UNSIGNED, note VARCHAR(40), PRIMARY KEY (note, id))',
    '(id INT, note VARCHAR(40) CHARACTER SET utf8mb4, PRIMARY KEY (note))',
    '(id INT, note VARCHAR(40) CHARACTER SET latin1 PRIMARY KEY)',
    '(id INT, note VARBINARY(40) PRIMARY KEY)',
    '(id DECIMAL(30, 10) PRIMARY KEY, note VARCHAR(40))',
    '(id INT NOT NULL UNIQUE, note VARCHAR(40))',
    '(id INT NULL UNIQUE, note VARCHAR(40))',
    '(id INT, note VARCHAR(40) NOT NULL, UNIQUE (note(8)))',
    '(id FLOAT PRIMARY KEY, note VARCHAR(40))',
    '(id INT PRIMARY KEY, note VARCHAR(40)) PARTITION BY HASH (id) PARTITIONS 3',
    '(id INT, note VARCHAR(40)) PARTITION BY KEY (id) PARTITIONS 3',
    `(id INT PRIMARY KEY, note VARCHAR(40)) PARTITION BY RANGE (id) SUBPARTITION BY HASH (id)
      SUBPARTITIONS 2 (PARTITION \`p 0\` VALUES LESS THAN (30), PARTITION p1 VALUES LESS THAN (50),
      PARTITION \`select\` VALUES LESS THAN MAXVALUE)`,
    `(id INT, note VARCHAR(40), at DATETIME(6) DEFAULT '2020-01-01 00:00:00.5', PRIMARY KEY (at, id))`,
  ];
  test('removes all rows of tables with keys and partitions of every kind', async () => {
    const tables: Held[] = [];
    for (const definition of SHAPES) {
      tables.push(await holdTable(server, { definition, rows: 237 }));
    }
    const { said } = collect({ ...slow, purgeChunkRows: 20 });
    await untilGone(server, ...tables);
    const ends = said.filter(({ fields }) => 'rowsRemoved' in fields);
    const removed = new Map(ends.map(({ fields }) => [fields['id'], fields['rowsRemoved']]));
    expect(SHAPES.map((shape, index) => [shape, removed.get(tables[index]?.id)])).toEqual(
      SHAPES.map((shape) => [shape, 237]),
    );
  });

  test('removes what is not purged: other engines, sequences, versioned tables', async () => {
    const creations = [
      'CREATE TABLE x (id INT) ENGINE=MyISAM',
      'CREATE TABLE x (id INT) ENGINE=MEMORY',
      'CREATE TABLE x (id INT NOT NULL) ENGINE=CSV',
      ...(server.flavour === 'mariadb'
        ? ['CREATE SEQUENCE x', 'CREATE TABLE x (id INT PRIMARY KEY) WITH SYSTEM VERSIONING']
        : []),
    ];
    const ids = creations.map((_creation, index) => `${ID.slice(1)}${index}`);
    for (const [index, creation] of creations.entries()) {
      const name = `_undrop._vt_HOLD_${ids[index]}_20200101000000`;
      await query(server, creation.replace(' x', ` ${name}`));
    }
    const { said } = collect();
    const left = async () => (await Promise.all(ids.map((id) => whereIs(server, id)))).flat();
    await until('the tables are gone', async () => (await left()).length === 0);
    expect(said.some(({ fields }) => fields['event'] === 'purge')).toBe(false);
  });

  test('a table in its own schema is the one that the ledger knows, whoever copies its id', async () => {
    const held = await holdTable(server);
    const copied = `_vt_DROP_${held.id}_20200101000000`;
    await query(
      server,
      `CREATE TABLE ${own.name}.orders (id INT)`,
      ledgerInsert({
        ...{ id: `'${held.id}'`, schema_name: `'${own.name}'`, table_name: "'orders'" },
        ...{ hold_schema: `'${own.name}'`, hold_name: `'${held.name}'` },
      }),
      `RENAME TABLE ${held.quoted} TO ${own.name}.${held.name}`,
      `CREATE TABLE ${own.name}.${copied} (id INT)`,
    );
    const collecting = collect();
    const names = async () =>
      (await query(server, `SHOW TABLES FROM ${own.name}`)).flatMap((row) => Object.values(row));
    await until('one is gone', async () => (await names()).length < 3);
    await collecting.looked();
    expect((await names()).sort()).toEqual([copied, 'orders']);
    expect(collecting.said.filter(({ fields }) => fields['event'] === 'removal')).toHaveLength(1);
  });

  test('removes rows of one table at a time, the oldest first, and lets others pass', async () => {
    const young = await holdTable(server, { state: 'PURGE', dueInSeconds: -10 });
    const old = await holdTable(server, { state: 'PURGE', dueInSeconds: -20, rows: 1_500 });
    const passing = await holdTable(server, { dueInSeconds: 1 });
    const rowByRow = collect({ ...slow, purgeChunkRows: 1, purgeChunkMs: 0 });
    const eventsOf = ({ said }: Collecting) =>
      said.map(({ fields }) => `${fields['event']} ${fields['id']}`);
    const hasPassed = () => eventsOf(rowByRow).includes(`transition ${passing.id}`);
    await until('one lets another pass', hasPassed);
    // Row by row the rest would take long on a busy machine.
    await rowByRow.stop();
    const again = collect();
    await untilGone(server, young, old, passing);
    const events = [...eventsOf(rowByRow), ...eventsOf(again)];
    const first = (event: string, held: Held) => events.indexOf(`${event} ${held.id}`);
    expect(first('purge', old)).toBeGreaterThanOrEqual(0);
    expect(first('removal', old)).toBeLessThan(first('purge', young));
    expect(first('transition', passing)).toBeLessThan(first('transition', old));
  });

  test('begins with the table that frees most bytes for a row', async () => {
    const narrow = await holdTable(server, { state: 'PURGE', dueInSeconds: -20 });
    const wide = await holdTable(server, { state: 'PURGE', dueInSeconds: -10 });
    const row = { state: "'PURGE'", row_estimate: '10' };
    await query(
      server,
      ledgerInsert({ ...row, id: `'${narrow.id}'`, byte_estimate: '1000' }),
      ledgerInsert({ ...row, id: `'${wide.id}'`, byte_estimate: '2000' }),
    );
    const { said } = collect();
    await untilGone(server, narrow, wide);
    const purges = said.filter(({ fields }) => fields['event'] === 'purge');
    expect(purges[0]?.fields['id']).toBe(wide.id);
  });

  test('waits for a table that somebody reads, and goes on when it is free', async () => {
    const held = await holdTable(server);
    await using reader = await connect(server);
    await reader.run('BEGIN', `SELECT * FROM ${held.quoted}`);
    const other = await holdTable(server);
    collect({ purgeCheckIntervalMs: 200 });
    await untilGone(server, other);
    await stays(held);
    await reader.run('COMMIT');
    await untilGone(server, held);
  });

  test('takes many together, save what is used, referred to, or taken back meanwhile', async () => {
    const held: Held[] = [];
    for (let nr = 0; nr < 20; nr++) held.push(await holdTable(server));
    const [parent, read, back, ...others] = held.toReversed() as [Held, Held, Held, ...Held[]];
    const child = `${own.name}.child`;
    const key = `FOREIGN KEY (id) REFERENCES ${parent.quoted} (id)`;
    await query(server, `CREATE TABLE ${child} (id INT PRIMARY KEY, CONSTRAINT fk ${key})`);
    await using reader = await connect(server);
    await reader.run('BEGIN', `SELECT * FROM ${read.quoted}`);
    let taken: Promise<unknown> | null = null;
    const takeBack = (pool: ServicePool) =>
      beforeEachStep(pool, () => {
        taken ??= query(server, `RENAME TABLE ${back.quoted} TO ${own.name}.back`);
        return taken;
      });
    const collecting = on.each.keep(startCollecting(server, { fastDrop: 'always' }, takeBack));
    await untilGone(server, ...others);
    for (const { id } of [parent, read]) {
      const [at = ''] = await whereIs(server, id);
      expect(await countRows(server, at)).toBe(10);
    }
    expect(await countRows(server, `${own.name}.back`)).toBe(10);
    await until('the foreign key is named', () =>
      reasonsOf(collecting).some((reason) => `${reason}`.includes('fk refers to it')),
    );
    await query(server, `DROP TABLE ${child}`);
    await reader.run('COMMIT');
    await untilGone(server, parent, read);
  });

  test('ends amid many that are read, when it is stopped', async () => {
    const held: Held[] = [];
    for (let nr = 0; nr < 8; nr++) held.push(await holdTable(server, { state: 'DROP' }));
    await using reader = await connect(server);
    await reader.run('BEGIN', ...held.map(({ quoted }) => `SELECT * FROM ${quoted}`));
    const tried = new Set<string>();
    const ending: { stopped?: Promise<void> } = {};
    const tap = (pool: ServicePool) =>
      beforeEachStep(pool, async (quoted) => {
        tried.add(quoted);
        if (tried.size === 2) ending.stopped = collecting.stop();
      });
    const collecting = on.each.keep(startCollecting(server, { fastDrop: 'always' }, tap));
    await until('a second one is tried', () => ending.stopped !== undefined);
    await ending.stopped;
    expect(tried.size).toBe(2);
    for (const { id, schema, name } of held) {
      expect(await whereIs(server, id)).toEqual([`${schema}.${name}`]);
    }
  });

  test('does nothing on a read-only server, says so, and goes on when it is writable', async () => {
    const held = await holdTable(server);
    await query(server, 'SET GLOBAL read_only = ON');
    const { said, collector } = collect({});
    await until('it says so', () =>
      said.some(({ message }) => message.startsWith('the server is read-only')),
    );
    collector.wake();
    await stays(held);
    await query(server, 'SET GLOBAL read_only = OFF');
    await untilGone(server, held);
  });

  test('goes on with the ledger lost, and makes it anew', async () => {
    const held = await holdTable(server);
    await query(server, 'DROP TABLE _undrop.ledger');
    collect();
    await untilGone(server, held);
    await until('there is a ledger', async () => (await whereIs(server, 'ledger')).length === 1);
    expect(await countRows(server, '_undrop.ledger')).toBe(0);
  });

  test('does nothing with UNDROP_COLLECT=off', async () => {
    const held = await holdTable(server);
    const off = collect({ collect: 'off' });
    collect({ lifecycle: ['HOLD'], collect: 'auto' });
    await untilGone(server, held);
    await off.stop();
    expect(off.said.map(({ message }) => message)).toEqual([
      'started without a collector; UNDROP_COLLECT is off',
    ]);
  });

  test('writes nothing of a local table to the binary log', async () => {
    const local = await holdTable(server, { schema: '_undrop_local', rows: 0 });
    await query(
      server,
      'SET sql_log_bin = 0',
      `INSERT INTO ${local.quoted} (id, note) VALUES (1, 'a'), (2, 'b')`,
      'FLUSH LOGS',
    );
    const logged = await holdTable(server, { rows: 30 });
    collect();
    await untilGone(server, local, logged);
    const binlog = await readBinlog();
    expect(binlog.filter((info) => info.includes(local.id))).toEqual([]);
    const steps = binlog.filter((info) => info.includes(logged.id) && !info.includes('making'));
    expect(steps.filter((info) => info.includes('RENAME'))).toHaveLength(3);
    expect(steps.filter((info) => /DROP \/\*|DROP TABLE/.test(info))).toHaveLength(1);
  });

  test('keeps the rows of a purge out of the binary log', async () => {
    const held = await holdTable(server, { rows: 30 });
    collect(slow);
    await untilGone(server, held);
    const purged = `_undrop._vt_PURGE_${held.id}`;
    expect((await readBinlog()).some((info) => info.includes(purged))).toBe(false);
  });

  const grants = ['ALL ON `\\_undrop`.*', 'SELECT, PROCESS ON *.*'];
  on.account('collect', { password: 'c0llect', grants });
  test('purges into the binary log where the account may not switch it off, and says so', async () => {
    const held = await holdTable(server, { rows: 30 });
    const local = await holdTable(server, { schema: '_undrop_local' });
    const user = { ...server, user: 'collect', password: 'c0llect' };
    const collecting = on.each.keep(startCollecting(user, slow));
    await untilGone(server, held);
    await collecting.looked();
    await stays(local);
    expect(collecting.said.map(({ message }) => message)).toContain(
      'cannot switch sql_log_bin off; the purge is in the binary log',
    );
  });

  /** The texts and table names of all events since the last FLUSH LOGS. */
  async function readBinlog(): Promise<readonly string[]> {
    const logs = await query<{ Log_name: string }>(server, 'SHOW BINARY LOGS');
    const last = logs.at(-1)?.Log_name ?? '';
    const events = await query<{ Info: string }>(server, `SHOW BINLOG EVENTS IN '${last}'`);
    return events.map(({ Info }) => Info);
  }
});

/**
 * The question for the server's clock may take long to get there; then the answer is younger than
 * the question, and a table must not leave HOLD because of it.
 */
onServersAtOnce('on a slow way to $name', (server, on) => {
  const { beforeEach, test } = on;
  beforeEach(() => freshLedger(server));

  /** When the server was told to rename that table, by the server's own clock, in whole seconds. */
  async function movedAt(id: string): Promise<readonly string[]> {
    const rows = await query<{ at: string }>(
      server,
      "SET time_zone = '+00:00'",
      `SELECT DATE_FORMAT(event_time, '%Y%m%d%H%i%s') AS at FROM mysql.general_log
       WHERE argument LIKE '%RENAME /* undrop move ${id}%'
       AND argument NOT LIKE '%general_log%' ORDER BY event_time`,
    );
    return rows.map(({ at }) => at);
  }

  test('no table leaves HOLD before its due time by the clock of the server', async () => {
    on.each.keep(await generalLog(server));
    const held = await holdTable(server, { dueInSeconds: 6 });
    // The question for the clock arrives two seconds before the due time; it was asked four before.
    const arrival = await serverTime(server, 4);
    let heldBack = 0;
    await using relay = await openRelay(server, (chunk) => {
      if (heldBack > 0 || !chunk.includes('UTC_TIMESTAMP() AS utcNow')) return null;
      heldBack += 1;
      return until('the clock is there', async () => (await serverTime(server, 0)) >= arrival);
    });
    on.each.keep(startCollecting(relay, { lifecycle: ['HOLD'], holdMs: 3_600_000 }));
    await untilGone(server, held);
    expect(heldBack).toBe(1);
    const [due] = /\d{14}$/.exec(held.name) ?? [];
    const [first, ...more] = await movedAt(held.id);
    expect(more).toEqual([]);
    expect(Number(first)).toBeGreaterThanOrEqual(Number(due));
  });

  test('a clock that jumps while nobody leads is seen by the next leader', async () => {
    await holdTable(server, { dueInSeconds: 3_600 });
    let [aheadMs, leaderships] = [0, 0];
    const onLock: PoolTap = (send, texts) => {
      if (texts.some((text) => text.includes('GET_LOCK('))) leaderships += 1;
      if (leaderships > 1) aheadMs = -120_000;
      return send();
    };
    const settings = { graceMs: 1_000, holdMs: 3_600_000 };
    const clock = () => performance.now() + aheadMs;
    const collecting = on.each.keep(
      startCollecting(server, settings, tapBy(onLock), { monotonicMs: clock }),
    );
    await collecting.looked();
    const [lock] = await query<{ id: number }>(
      server,
      "SELECT IS_USED_LOCK(CONCAT('undrop:collector:', nonce)) AS id FROM _undrop.leader WHERE nonce <> ''",
    );
    await query(server, `KILL ${lock?.id}`);
    await until('it is said', () =>
      collecting.said.some(({ fields }) => fields['because'] === "the server's clock jumped"),
    );
    // A leader that is held up may lose the lock by itself.
    expect(leaderships).toBeGreaterThanOrEqual(2);
  });

  test('a clock that jumps while no proxy runs is seen by the next, by its own clock', async () => {
    const settings = { graceMs: 3_600_000, holdMs: 36_000_000 };
    const collecting = on.each.keep(startCollecting(server, settings));
    await collecting.looked();
    await collecting.stop();
    // As if the server's clock had gone ten minutes ahead since.
    const ahead = "SET holder = '-600000' WHERE server_identity LIKE 'round %'";
    await query(server, `UPDATE _undrop.leader ${ahead}`);
    const held = await holdTable(server);
    const again = on.each.keep(startCollecting(server, settings));
    await again.looked();
    expect(await whereIs(server, held.id)).toHaveLength(1);
    const said = again.said.map(({ fields }) => fields['because']);
    expect(said).toContain("the server's clock, or the proxy's, jumped since the last round");
  });
});

const KNOWN = 'undrop:collector';
const COLLECTS = 'became the collector of this server';

/**
 * GET_LOCK takes no right: nobody who is no proxy of ours keeps tables from being collected, and
 * whoever tries is named.
 */
onServersAtOnce('the collector’s lock on $name', (server, on) => {
  const { afterAll, afterEach, beforeEach, test } = on;
  const running: Collecting[] = [];
  const intruders: Session[] = [];
  afterAll(() => dropRecycleSchemas(server));
  on.account('lock_it', { password: 'l0ck' });
  beforeEach(() => freshLedger(server));
  afterEach(async () => {
    await Promise.all(intruders.splice(0).map((intruder) => intruder.end()));
    await stopAll();
  });

  const collect = () => {
    const one = startCollecting(server, { lifecycle: ['HOLD'] });
    running.push(one);
    return one;
  };
  const stopAll = () => Promise.all(running.splice(0).map((one) => one.stop()));
  const messages = (one: Collecting) => one.said.map(({ message }) => message);
  const leads = (one: Collecting) => until('it collects', () => messages(one).includes(COLLECTS));

  /** A session of an account that may log in, and nothing else; or of our own. */
  async function withLock(name: string, account: object = { user: 'lock_it', password: 'l0ck' }) {
    const intruder = await connect({ ...server, ...account });
    intruders.push(intruder);
    const [rows] = await intruder.query('SELECT GET_LOCK(?, 0) AS got', [name]);
    expect(rows).toEqual([{ got: 1 }]);
    return intruder;
  }

  const secretName = async () => {
    const named = "SELECT nonce FROM _undrop.leader WHERE nonce <> ''";
    const [row] = await query<{ nonce: string }>(server, named);
    return `${KNOWN}:${row?.nonce}`;
  };

  test('under the name of the last leadership is not waited for either', async () => {
    const first = collect();
    await leads(first);
    const name = await secretName();
    await stopAll();
    const { threadId } = await withLock(name);
    const held = await holdTable(server);
    const next = collect();
    await untilGone(server, held);
    const warning = next.said.find(({ message }) =>
      message.startsWith('ignored the collector lock'),
    );
    expect(warning?.fields['who']).toMatch(new RegExp(`^${threadId} lock_it@\\S+ has ${name}$`));
    expect(await secretName()).not.toBe(name);
    await stopAll();
    await withLock(await secretName());
    expect((await runUndrop(server, ['doctor'])).stdout).toContain(' lock_it@');
    await until('nobody is named any more', async () => {
      await Promise.all(intruders.splice(0).map((intruder) => intruder.end()));
      return !(await runUndrop(server, ['doctor'])).stdout.includes('lock_it@');
    });
  });

  test('has one of several proxies that begin at once, whoever else tries, and then another', async () => {
    await withLock(KNOWN);
    const all = [collect(), collect(), collect(), collect()];
    await until('each has tried', () => all.every(({ said }) => said.length > 0));
    const ends = all.map((one) => messages(one).filter((said) => / collect(s|or of)/.test(said)));
    expect(ends.map(([said]) => said).sort()).toEqual([
      ...Array.from({ length: 3 }, () => 'another proxy collects on this server'),
      COLLECTS,
    ]);
    await all.find((one) => messages(one).includes(COLLECTS))?.stop();
    await until('another takes over', () => {
      return all.filter((one) => messages(one).includes(COLLECTS)).length === 2;
    });
  });

  test('is given up where its row is lost, and had again', async () => {
    const one = collect();
    await leads(one);
    await query(server, 'DROP TABLE _undrop.leader');
    const times = () => messages(one).filter((said) => said === COLLECTS).length;
    await until('it collects again', () => times() === 2);
  });
});

/**
 * It has no default schema, which each of its later statements would have in the binary log (`use`,
 * of a schema that may be gone by then); and what it does on another connection is not done without
 * its lock.
 */
onServersAtOnce('a collector’s session on $name', (server, on) => {
  const { test } = on;

  const pool = on.pool();
  const schema = on.schema('leads');

  /** No schema is in its text, so one must be used. */
  const aTrigger = async (table: string) => {
    await query(server, `CREATE TABLE ${schema.name}.${table} (n INT)`);
    const head = `CREATE TRIGGER tr_${table} BEFORE INSERT ON `;
    const tail = ' FOR EACH ROW SET NEW.n = 7';
    const trigger: HeldTrigger = {
      ...{ name: `tr_${table}`, event: 'BEFORE INSERT', order: 1, definer: 'a@b', sqlMode: '' },
      ...{ characterSetClient: 'utf8mb4', collationConnection: 'utf8mb4_bin', quote: '`' },
      ...{ databaseCollation: 'utf8mb4_bin', shownHead: head, shownTail: tail },
      head: Buffer.from(head).toString('base64'),
      tail: Buffer.from(tail).toString('base64'),
    };
    return { to: { id: newId(), schema: schema.name, table }, trigger };
  };

  test('has no default schema behind a trigger that it made', async () => {
    const { to, trigger } = await aTrigger('one');
    const seen: unknown[] = [];
    await lead(pool, async (connection) => {
      await createTrigger(connection, to, trigger);
      const [rows] = await connection.run(sql`SELECT DATABASE() AS at`);
      seen.push(rows?.[0]?.['at'], (await showTriggers(connection, to)).length);
    });
    expect(seen).toEqual([null, 1]);
  });

  for (const when of ['before it looks', 'behind its look'] as const) {
    test(`makes no trigger where the lock is lost ${when}`, async () => {
      const { to, trigger } = await aTrigger(when.slice(0, 4));
      let unlock = async () => {};
      const losing = tappedPool(pool, async (send, texts) => {
        if (texts.some((text) => text.includes('UNION SELECT'))) await unlock();
        return send();
      });
      const seen: unknown[] = [];
      await lead(losing, async (connection) => {
        const release = sql`DO RELEASE_LOCK(
          (SELECT CONCAT('undrop:collector:', nonce) FROM _undrop.leader WHERE nonce <> ''))`;
        unlock = async () => void (await connection.run(release));
        if (when === 'before it looks') await unlock();
        const making = createTrigger(connection, to, trigger);
        seen.push(await making.catch((error: { readonly code?: string }) => error.code));
      });
      expect(seen).toEqual(['UNDROP_NOT_COLLECTOR']);
      expect(await showTriggers(pool, to)).toEqual([]);
    });
  }
});

async function lead(pool: ServicePool, work: (connection: ServicePool) => Promise<void>) {
  const stopping = new AbortController();
  const { signal } = stopping;
  await leadWhenever({ pool, clock: systemClock, log: silentLog, signal }, async (lease) => {
    try {
      await work(lease.connection);
    } finally {
      stopping.abort();
    }
  });
}
