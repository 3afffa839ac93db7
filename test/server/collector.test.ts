/** What the collector may touch, must not touch, and when it keeps still, on real servers. */
import {
  type Collecting,
  type CollectSettings,
  countRows,
  type Held,
  holdTable,
  startCollecting,
  until,
  untilGone,
  whereIs,
} from '../lifecycle/collecting.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { ledgerInsert } from '../support/ledger-rows.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { connect, query } from '../support/servers.js';

const ID = '0195a1b2c3d4700080000000000000ff';
/** Of each kind some; all of them are in test/names/hold-name.test.ts. */
const NEAR_MISSES: readonly string[] = [
  `_vt_HOLD_${ID}_20200230000000`,
  `_vt_HOLD_${ID.slice(1)}_20200101000000`,
  `_vt_KEEP_${ID}_20200101000000`,
  `x_vt_DROP_${ID}_20200101000000`,
  `_vt_DROP_${ID}_20200101000000_`,
  'orders',
];

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
      ...NEAR_MISSES.map((name) => `\`_undrop\`.\`${name}\``),
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

  test('waits UNDROP_GRACE on a server that is new to the ledger, over a restart too', async () => {
    const held = await holdTable(server);
    const graceOf = async (collecting: Collecting) => {
      await collecting.looked();
      await stays(held);
      return collecting.said.find(({ fields }) => fields['event'] === 'grace')?.fields;
    };
    const collecting = collect({ graceMs: 20_000 });
    const first = await graceOf(collecting);
    expect(first?.['because']).toBe('this server is new to the ledger');
    await collecting.stop();
    const second = await graceOf(collect({ graceMs: 20_000, holdMs: 3_600_000 }));
    expect(second).toMatchObject({ because: 'a wait that began earlier', until: first?.['until'] });
    await untilGone(server, held);
  });

  test('goes on with the ledger lost, and makes it anew', async () => {
    const held = await holdTable(server);
    await query(server, 'DROP TABLE _undrop.ledger');
    collect();
    await untilGone(server, held);
    await until('there is a ledger', async () => (await whereIs(server, 'ledger')).length === 2);
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

  on.account('collect', {
    password: 'c0llect',
    grants: ['ALL ON `\\_undrop`.*', 'SELECT, PROCESS ON *.*'],
  });
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
