/** What the collector may touch, must not touch, and when it keeps still, on real servers. */
import { expect } from '@jest/globals';
import { recordIntent } from '../../src/ledger/intents/record-intent.js';
import type { LifecycleSettings } from '../../src/lifecycle/next-step.js';
import type { ServicePool } from '../../src/service/pool/pools.js';
import {
  type Collecting,
  countRows,
  type Held,
  type HoldOptions,
  holdTable,
  startCollecting,
  until,
  whereIs,
} from '../lifecycle/collecting.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { connect, freshSchema, query, type Session } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { type PoolTap, tappedPool } from '../support/tapped-pool.js';

const ID = '0195a1b2c3d4700080000000000000ff';
const NEAR_MISSES: readonly string[] = [
  `_vt_HOLD_${ID}_20200101000000_`,
  `_vt_HOLD_${ID}_2020010100000`,
  `_vt_HOLD_${ID}_202001010000000`,
  `_vt_HOLD_${ID}_20200230000000`,
  `_vt_HOLD_${ID}_20200101240000`,
  `_vt_HOLD_${ID}_20201301000000`,
  `_vt_HOLD_${ID}_00000000000000`,
  `_vt_HOLD_${ID.slice(1)}_20200101000000`,
  `_vt_HOLD_${ID}0_20200101000000`,
  `_vt_HOLD_${ID.replace('f', 'g')}_20200101000000`,
  `_vt_HOLDS_${ID}_20200101000000`,
  `_vt_KEEP_${ID}_20200101000000`,
  `_vt_${ID}_20200101000000`,
  `vt_HOLD_${ID}_20200101000000`,
  `__vt_HOLD_${ID}_20200101000000`,
  `_vt_DROP_${ID}_20200101000000x`,
  `x_vt_DROP_${ID}_20200101000000`,
  `_vt_DROP-${ID}_20200101000000`,
  `_vt_DROP_${ID}-20200101000000`,
  `_vt_drp_${ID}_20200101000000`,
  `_vt_vrp_${ID}_20200101000000_`,
  'orders',
  'ledger2',
  '_vt_',
  '_vt_DROP',
];

onServersAtOnce('the collector on $name', (server, on) => {
  const { afterAll, afterEach, beforeEach, test } = on;
  const slow: Partial<LifecycleSettings> = { fastDrop: 'never' };

  beforeEach(() => freshLedger(server));
  afterEach(() => query(server, 'SET GLOBAL read_only = OFF'));
  afterAll(() => freshLedger(server));

  const gone = (held: Held) => async () => (await whereIs(server, held.id)).length === 0;
  const stays = async (held: Held) => {
    expect(await whereIs(server, held.id)).toEqual([`${held.schema}.${held.name}`]);
    expect(await countRows(server, held.quoted)).toBe(10);
  };

  test('never touches what merely looks like a held table', async () => {
    await using schema = await freshSchema(server);
    const mine = schema.name;
    const names = [
      ...NEAR_MISSES.map((name) => `\`_undrop\`.\`${name}\``),
      // The full pattern, but in a schema that isn't ours and without a row in the ledger.
      ...['HOLD', 'PURGE', 'EVAC', 'DROP'].map(
        (state) => `\`${mine}\`.\`_vt_${state}_${ID}_20200101000000\``,
      ),
    ];
    for (const name of names) {
      await query(server, `CREATE TABLE ${name} (id INT)`, `INSERT INTO ${name} VALUES (1), (2)`);
    }
    const held = await holdTable(server);
    const settings = { ...slow, lifecycle: ['PURGE', 'EVAC', 'DROP'] as const };
    const collecting = on.each.keep(startCollecting(server, settings));
    await until('the held table is gone', gone(held));
    await collecting.looked();
    for (const name of names) expect([name, await countRows(server, name)]).toEqual([name, 2]);
  });

  test('leaves a view alone that has the name of a held table', async () => {
    await using schema = await freshSchema(server);
    await query(
      server,
      `CREATE TABLE ${schema.name}.live (id INT PRIMARY KEY)`,
      `INSERT INTO ${schema.name}.live VALUES (1), (2)`,
      ...['PURGE', 'DROP'].map(
        (state) =>
          `CREATE VIEW _undrop._vt_${state}_${ID}_20200101000000 AS SELECT * FROM ${schema.name}.live`,
      ),
    );
    const collecting = on.each.keep(startCollecting(server, slow));
    await collecting.looked();
    expect(await whereIs(server, ID)).toHaveLength(2);
    expect(await countRows(server, `${schema.name}.live`)).toBe(2);
    const said = collecting.said.filter(({ fields }) => fields['because'] === 'it is a VIEW');
    expect(said).toHaveLength(2);
  });

  test('never fires a trigger: a table with one is left, and said once', async () => {
    await using schema = await freshSchema(server);
    const held = await holdTable(server, { state: 'PURGE' });
    await query(
      server,
      `CREATE TABLE ${schema.name}.live (id INT)`,
      `INSERT INTO ${schema.name}.live VALUES (1)`,
      `CREATE TRIGGER _undrop.tr BEFORE DELETE ON ${held.quoted} FOR EACH ROW
       DELETE FROM ${schema.name}.live`,
    );
    const collecting = on.each.keep(startCollecting(server, { ...slow, purgeCheckIntervalMs: 10 }));
    await collecting.looked();
    await collecting.looked();
    await stays(held);
    expect(await countRows(server, `${schema.name}.live`)).toBe(1);
    const said = collecting.said.map(({ fields }) => fields['because']);
    expect(said.filter((because) => because === 'it has the trigger tr')).toHaveLength(1);
    await query(server, 'DROP TRIGGER _undrop.tr');
    await until('the table is gone', gone(held));
  });

  test.each(['PURGE', 'DROP'] as const)(
    'never follows a foreign key into live rows: a parent in %s is left',
    async (state) => {
      await using schema = await freshSchema(server);
      const held = await holdTable(server, { state });
      const child = `${schema.name}.child`;
      await query(
        server,
        `CREATE TABLE ${child} (id INT PRIMARY KEY, parent INT,
         CONSTRAINT fk FOREIGN KEY (parent) REFERENCES ${held.quoted} (id) ON DELETE CASCADE)`,
        `INSERT INTO ${child} VALUES (1, 1), (2, 2)`,
      );
      const collecting = on.each.keep(
        startCollecting(server, { ...slow, purgeCheckIntervalMs: 10 }),
      );
      await collecting.looked();
      await stays(held);
      expect(await countRows(server, child)).toBe(2);
      expect(collecting.said.map(({ fields }) => fields['because'])).toContainEqual(
        expect.stringMatching(/^foreign key .*child.*fk refers to it$/),
      );
      await query(server, `DROP TABLE ${child}`);
      await until('the table is gone', gone(held));
    },
  );

  test('purges a table that refers to itself, and one that refers to a live one', async () => {
    await using schema = await freshSchema(server);
    const parent = `${schema.name}.parent`;
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
    on.each.keep(startCollecting(server, slow));
    await until('the table is gone', gone(held));
    expect(await countRows(server, parent)).toBe(1);
  });

  test('does not empty what a MERGE table merely stands for', async () => {
    await using schema = await freshSchema(server);
    await query(
      server,
      `CREATE TABLE ${schema.name}.live (id INT, note VARCHAR(40)) ENGINE=MyISAM`,
    );
    const definition = `(id INT, note VARCHAR(40))
      ENGINE=MERGE UNION=(${schema.name}.live) INSERT_METHOD=LAST`;
    const held = await holdTable(server, { definition, state: 'PURGE' });
    expect(await countRows(server, `${schema.name}.live`)).toBe(10);
    on.each.keep(startCollecting(server, slow));
    await until('the table is gone', gone(held));
    expect(await countRows(server, `${schema.name}.live`)).toBe(10);
  });

  const shapes: readonly (readonly [string, string])[] = [
    ['without a key', '(id INT, note VARCHAR(40))'],
    ['with a key of two columns', '(id BIGINT UNSIGNED, note VARCHAR(40), PRIMARY KEY (note, id))'],
    ['with a key of text', '(id INT, note VARCHAR(40) CHARACTER SET utf8mb4, PRIMARY KEY (note))'],
    ['with a key of text in latin1', '(id INT, note VARCHAR(40) CHARACTER SET latin1 PRIMARY KEY)'],
    ['with a key of bytes', '(id INT, note VARBINARY(40) PRIMARY KEY)'],
    ['with a key of decimals', '(id DECIMAL(30, 10) PRIMARY KEY, note VARCHAR(40))'],
    ['with a unique key only', '(id INT NOT NULL UNIQUE, note VARCHAR(40))'],
    ['with a unique key that may be NULL', '(id INT NULL UNIQUE, note VARCHAR(40))'],
    ['with a key of a prefix', '(id INT, note VARCHAR(40) NOT NULL, UNIQUE (note(8)))'],
    ['with a key of floats', '(id FLOAT PRIMARY KEY, note VARCHAR(40))'],
    [
      'with partitions',
      '(id INT PRIMARY KEY, note VARCHAR(40)) PARTITION BY HASH (id) PARTITIONS 3',
    ],
    [
      'with partitions, without a key',
      '(id INT, note VARCHAR(40)) PARTITION BY KEY (id) PARTITIONS 3',
    ],
    [
      'with partitions of partitions',
      `(id INT PRIMARY KEY, note VARCHAR(40)) PARTITION BY RANGE (id) SUBPARTITION BY HASH (id)
        SUBPARTITIONS 2 (PARTITION \`p 0\` VALUES LESS THAN (30), PARTITION p1 VALUES LESS THAN (50),
        PARTITION \`select\` VALUES LESS THAN MAXVALUE)`,
    ],
    [
      'with a key of a time',
      "(id INT, note VARCHAR(40), at DATETIME(6) DEFAULT '2020-01-01 00:00:00.5', PRIMARY KEY (at, id))",
    ],
  ];
  test.each(shapes)('removes all rows of a table %s', async (_name, definition) => {
    const held = await holdTable(server, { definition, rows: 237 });
    const collecting = on.each.keep(startCollecting(server, { ...slow, purgeChunkRows: 20 }));
    await until('the table is gone', gone(held));
    const removed = collecting.said.find(({ fields }) => 'rowsRemoved' in fields);
    expect(removed?.fields).toMatchObject({ id: held.id, rowsRemoved: 237 });
  });

  const kinds: readonly (readonly [string, string])[] = [
    ['MyISAM', 'CREATE TABLE x (id INT) ENGINE=MyISAM'],
    ['MEMORY', 'CREATE TABLE x (id INT) ENGINE=MEMORY'],
    ['CSV', 'CREATE TABLE x (id INT NOT NULL) ENGINE=CSV'],
    ...(server.flavour === 'mariadb'
      ? ([
          ['a sequence', 'CREATE SEQUENCE x'],
          ['system versioned', 'CREATE TABLE x (id INT PRIMARY KEY) WITH SYSTEM VERSIONING'],
        ] as const)
      : []),
  ];
  test.each(kinds)('removes what is not purged: %s', async (_name, creation) => {
    const name = `_vt_HOLD_${ID}_20200101000000`;
    await query(server, creation.replace(' x', ` _undrop.${name}`));
    const collecting = on.each.keep(startCollecting(server, slow));
    await until('the table is gone', async () => (await whereIs(server, ID)).length === 0);
    expect(collecting.said.some(({ fields }) => fields['event'] === 'purge')).toBe(false);
  });

  /** In the ledger it is `orders` of that schema, where a new one has the name. */
  async function recordDrop({ id }: Held, own: string): Promise<void> {
    await query(server, `CREATE TABLE ${own}.orders (id INT)`);
    await using pool = poolOn(server);
    await recordIntent(pool, {
      ...{ groupId: id, proxyId: 'test', threadId: 1, user: 'app', clientAddress: 'x' },
      ...{ statementText: 'DROP TABLE orders', holdMs: 1 },
      tables: [{ id, schema: own, table: 'orders' }],
    });
  }

  test('a table in its own schema is the one that the ledger knows, whoever copies its id', async () => {
    await using schema = await freshSchema(server);
    const held = await holdTable(server);
    await recordDrop(held, schema.name);
    const copied = `_vt_DROP_${held.id}_20200101000000`;
    await query(
      server,
      `RENAME TABLE ${held.quoted} TO ${schema.name}.${held.name}`,
      `CREATE TABLE ${schema.name}.${copied} (id INT)`,
      `UPDATE _undrop.ledger SET state = 'HOLD', hold_schema = '${schema.name}',
         hold_name = '${held.name}', relocated = 0 WHERE id = '${held.id}'`,
    );
    const collecting = on.each.keep(startCollecting(server, slow));
    const own = schema.name;
    const names = async () =>
      (await query(server, `SHOW TABLES FROM ${own}`)).flatMap((row) => Object.values(row));
    await until('one is gone', async () => (await names()).length < 3);
    await collecting.looked();
    expect((await names()).sort()).toEqual([copied, 'orders']);
    expect(collecting.said.filter(({ fields }) => fields['event'] === 'removal')).toHaveLength(1);
  });

  test('says which table it was, where the ledger knows', async () => {
    const held = await holdTable(server);
    await using schema = await freshSchema(server);
    await recordDrop(held, schema.name);
    const collecting = on.each.keep(startCollecting(server, { lifecycle: ['HOLD'] }));
    const { said: all } = collecting;
    const isRemoval = (line: (typeof all)[number]) => line.fields['event'] === 'removal';
    await until('it says so', () => all.some(isRemoval));
    const said = all.filter(({ fields }) => fields['id'] === held.id);
    const of = { schema: schema.name, table: 'orders', dropId: held.id };
    expect(said.map(({ fields }) => fields)).toMatchObject([
      { event: 'transition', ...of, from: 'HOLD', to: 'DROP' },
      { event: 'removal', ...of },
    ]);
  });

  test('removes rows of one table at a time, the oldest first, and lets others pass', async () => {
    const young = await holdTable(server, { state: 'PURGE', dueInSeconds: -10 });
    const old = await holdTable(server, { state: 'PURGE', dueInSeconds: -20, rows: 1_500 });
    const passing = await holdTable(server, { dueInSeconds: 1 });
    const rowByRow = startCollecting(server, { ...slow, purgeChunkRows: 1, purgeChunkMs: 0 });
    const _collecting = rowByRow;
    const eventsOf = ({ said }: Collecting) =>
      said.map(({ fields }) => `${fields['event']} ${fields['id']}`);
    const hasPassed = () => eventsOf(rowByRow).includes(`transition ${passing.id}`);
    await until('one lets another pass', hasPassed);
    // Row by row the rest would take long on a busy machine.
    await rowByRow.stop();
    const again = on.each.keep(startCollecting(server, slow));
    for (const held of [young, old, passing]) await until('it is gone', gone(held));
    const events = [...eventsOf(rowByRow), ...eventsOf(again)];
    const first = (event: string, held: Held) => events.indexOf(`${event} ${held.id}`);
    expect(first('purge', old)).toBeGreaterThanOrEqual(0);
    expect(first('removal', old)).toBeLessThan(first('purge', young));
    expect(first('transition', passing)).toBeLessThan(first('transition', old));
  });

  test('begins with the table that frees most bytes for a row', async () => {
    await using schema = await freshSchema(server);
    const narrow = await holdTable(server, { state: 'PURGE', dueInSeconds: -20 });
    const wide = await holdTable(server, { state: 'PURGE', dueInSeconds: -10 });
    for (const [held, bytes] of [
      [narrow, 1_000],
      [wide, 2_000],
    ] as const) {
      await recordDrop(held, schema.name);
      await query(
        server,
        `DROP TABLE ${schema.name}.orders`,
        `UPDATE _undrop.ledger SET state = 'PURGE', row_estimate = 10, byte_estimate = ${bytes}
         WHERE id = '${held.id}'`,
      );
    }
    const { said } = on.each.keep(startCollecting(server, slow));
    for (const held of [narrow, wide]) await until('it is gone', gone(held));
    const purges = said.filter(({ fields }) => fields['event'] === 'purge');
    expect(purges[0]?.fields['id']).toBe(wide.id);
  });

  test('purges one small table after another without a look at all for each', async () => {
    const held: Held[] = [];
    for (let nr = 0; nr < 20; nr++) held.push(await holdTable(server, { state: 'PURGE' }));
    let looks = 0;
    const count: PoolTap = (send, texts) => {
      if (texts.some((text) => text.includes('/* undrop list */'))) looks++;
      return send();
    };
    const tap = (pool: ServicePool) => tappedPool(pool, count);
    // A busy machine doesn't take longer by this clock.
    on.each.keep(startCollecting(server, slow, tap, undefined, () => performance.now() / 20));
    for (const one of held) await until('it is gone', gone(one));
    expect(looks).toBeGreaterThan(0);
    expect(looks).toBeLessThan(held.length / 2);
  });

  test('waits for a table that somebody reads, and goes on when it is free', async () => {
    const held = await holdTable(server);
    const reader: Session = await connect(server);
    await reader.run('BEGIN', `SELECT * FROM ${held.quoted}`);
    const other = await holdTable(server);
    on.each.keep(startCollecting(server, { purgeCheckIntervalMs: 200 }));
    await until('the other is gone all the same', gone(other));
    await stays(held);
    await reader.end();
    await until('the table is gone', gone(held));
  });

  test('does nothing on a read-only server, says so, and goes on when it is writable', async () => {
    const held = await holdTable(server);
    await query(server, 'SET GLOBAL read_only = ON');
    const collecting = on.each.keep(startCollecting(server));
    await until('it says so', () =>
      collecting.said.some(({ message }) => message.startsWith('the server is read-only')),
    );
    collecting.collector.wake();
    await stays(held);
    await query(server, 'SET GLOBAL read_only = OFF');
    await until('the table is gone', gone(held));
  });

  test('waits UNDROP_GRACE on a server that is new to the ledger, over a restart too', async () => {
    const held = await holdTable(server);
    const collecting = on.each.keep(startCollecting(server, { graceMs: 20_000 }));
    await collecting.looked();
    await stays(held);
    const [first] = collecting.said.filter(({ fields }) => fields['event'] === 'grace');
    expect(first?.fields['because']).toBe('this server is new to the ledger');
    await collecting.stop();
    const again = on.each.keep(startCollecting(server, { graceMs: 20_000, holdMs: 3_600_000 }));
    await again.looked();
    await stays(held);
    const [second] = again.said.filter(({ fields }) => fields['event'] === 'grace');
    expect(second?.fields['because']).toBe('a wait that began earlier');
    expect(second?.fields['until']).toEqual(first?.fields['until']);
    await until('the table is gone', gone(held));
  });

  test('needs no wait where this server was looked at lately', async () => {
    const collecting = on.each.keep(
      startCollecting(server, { graceMs: 3_600_000, holdMs: 3_600_000 }),
    );
    await collecting.looked();
    await collecting.stop();
    const held = await holdTable(server);
    on.each.keep(startCollecting(server, { graceMs: 3_600_000, holdMs: 3_600_000 }));
    await until('the table is gone', gone(held));
  });

  test('goes on with the ledger lost, and makes it anew', async () => {
    const held = await holdTable(server);
    await query(server, 'DROP TABLE _undrop.ledger');
    on.each.keep(startCollecting(server, slow));
    await until('the table is gone', gone(held));
    await until('there is a ledger', async () => (await whereIs(server, 'ledger')).length === 2);
    expect(await countRows(server, '_undrop.ledger')).toBe(0);
  });

  test('is one for each server: the second keeps still, and takes over from the first', async () => {
    const collecting = on.each.keep(startCollecting(server));
    await collecting.looked();
    await using second = startCollecting(server);

    await until('the second says that another collects', () =>
      second.said.some(({ message }) => message === 'another proxy collects on this server'),
    );
    const held = await holdTable(server);
    await until('the table is gone', gone(held));
    await collecting.stop();
    const next = await holdTable(server);
    await until('the second has taken over', gone(next));
    expect(
      second.said.some(({ message }) => message === 'became the collector of this server'),
    ).toBe(true);
  });

  test('does nothing with UNDROP_COLLECT=off', async () => {
    const held = await holdTable(server);
    const off = startCollecting(server, { collect: 'off' });
    on.each.keep(startCollecting(server, { lifecycle: ['HOLD'], collect: 'auto' }));
    await until('another proxy collects', gone(held));
    await off.stop();
    expect(off.said.map(({ message }) => message)).toEqual([
      'started without a collector; UNDROP_COLLECT is off',
    ]);
  });

  test('writes nothing of a local table to the binary log', async () => {
    const local = await unlogged({ schema: '_undrop_local', rows: 30 });
    const logged = await holdTable(server, { rows: 30 });
    on.each.keep(startCollecting(server, slow));
    await until('both are gone', async () => (await gone(local)()) && (await gone(logged)()));
    const binlog = await readBinlog();
    expect(binlog.filter((info) => info.includes(local.id))).toEqual([]);
    const steps = binlog.filter((info) => info.includes(logged.id) && !info.includes('making'));
    expect(steps.filter((info) => info.includes('RENAME'))).toHaveLength(3);
    expect(
      steps.filter((info) => info.includes('DROP /*') || info.includes('DROP TABLE')),
    ).toHaveLength(1);
  });

  test('keeps the rows of a purge out of the binary log', async () => {
    const held = await holdTable(server, { rows: 30 });
    on.each.keep(startCollecting(server, slow));
    await until('the table is gone', gone(held));
    const tables = (await readBinlog()).filter((info) =>
      info.includes(`_undrop._vt_PURGE_${held.id}`),
    );
    expect(tables).toEqual([]);
  });

  test('purges into the binary log where the account may not switch it off, and says so', async () => {
    const user = { ...server, user: 'collect', password: 'c0llect' };
    await query(
      server,
      "CREATE USER 'collect'@'%' IDENTIFIED BY 'c0llect'",
      "GRANT ALL ON `\\_undrop`.* TO 'collect'@'%'",
      "GRANT SELECT, PROCESS ON *.* TO 'collect'@'%'",
    );
    try {
      const held = await holdTable(server, { rows: 30 });
      const local = await holdTable(server, { schema: '_undrop_local' });
      const collecting = on.each.keep(startCollecting(user, slow));
      await until('the table is gone', gone(held));
      await collecting.looked();
      await stays(local);
      expect(collecting.said.map(({ message }) => message)).toContain(
        'cannot switch sql_log_bin off; the purge is in the binary log',
      );
    } finally {
      await query(server, "DROP USER 'collect'@'%'");
    }
  });

  async function unlogged(options: HoldOptions): Promise<Held> {
    const held = await holdTable(server, { ...options, rows: 0 });
    await query(
      server,
      'SET sql_log_bin = 0',
      `INSERT INTO ${held.quoted} (id, note) VALUES (1, 'a'), (2, 'b')`,
    );
    await query(server, 'FLUSH LOGS');
    return held;
  }

  /** The texts and table names of all events since the last FLUSH LOGS. */
  async function readBinlog(): Promise<readonly string[]> {
    const logs = await query<{ Log_name: string }>(server, 'SHOW BINARY LOGS');
    const events = await query<{ Info: string }>(
      server,
      `SHOW BINLOG EVENTS IN '${logs.at(-1)?.Log_name ?? ''}'`,
    );
    return events.map(({ Info }) => Info);
  }
});
