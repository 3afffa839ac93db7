/** The lifecycle on real servers, seen in the servers' own general log. */
import type { ServicePool } from '../../src/connections/sql.js';
import type { CollectSettings, Held } from '../collector/collecting.js';
import {
  beforeEachStep,
  countRows,
  holdTable,
  startCollecting,
  until,
  untilGone,
  whereIs,
} from '../collector/collecting.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { sample } from '../support/sample.js';
import { generalLog, type LoggedCommand, query, startServer } from '../support/servers.js';

const WHOLE_WAY = ['HOLD → PURGE', 'PURGE → EVAC', 'EVAC → DROP', 'DROP → gone'];

onServersAtOnce('the lifecycle on $name', (server, on) => {
  const { afterAll, beforeEach, test } = on;
  const isOld = ['mysql-5.6', 'mariadb-10.5'].includes(server.name);
  beforeEach(() => freshLedger(server));
  afterAll(() => freshLedger(server));

  /** Every transition of `held` that the server was sent, by its own log. */
  async function wayOf(held: Held, settings: CollectSettings): Promise<string[]> {
    await using log = await generalLog(server);
    await using _collecting = startCollecting(server, settings);
    await untilGone(server, held);
    const commands = await log.read();
    return transitions(commands, held.id);
  }

  test('goes the way that this server needs, with one id', async () => {
    const held = await holdTable(server);
    expect(await wayOf(held, {})).toEqual(isOld ? WHOLE_WAY : ['HOLD → DROP', 'DROP → gone']);
  });

  test('a HOLD that is not due waits, and goes when it is, without anybody waking it', async () => {
    const held = await holdTable(server, { dueInSeconds: 3 });
    const later = await holdTable(server, { dueInSeconds: 3_600 });
    const settings = { checkIntervalMs: 3_600_000, holdMs: 3_600_000, purgeCheckIntervalMs: 200 };
    on.each.keep(startCollecting(server, settings));
    const due = held.name.slice(-14);
    await until(
      'the first table moves on',
      async () => !(await whereIs(server, held.id)).includes(`_undrop.${held.name}`),
    );
    const [row] = await query<{ late: number }>(
      server,
      `SELECT UTC_TIMESTAMP() >= STR_TO_DATE('${due}', '%Y%m%d%H%i%s') AS late LIMIT 1`,
    );
    expect(Number(row?.late)).toBe(1);
    expect(await whereIs(server, later.id)).toEqual([`_undrop.${later.name}`]);
    expect(await countRows(server, later.quoted)).toBe(10);
  });

  test.each([
    [['HOLD', 'PURGE', 'EVAC', 'DROP'], -5],
    // Without HOLD nothing waits for it.
    [['PURGE', 'EVAC', 'DROP'], 3_600],
  ] as const)('UNDROP_LIFECYCLE=%j goes its way, due in %i s', async (lifecycle, dueInSeconds) => {
    const held = await holdTable(server, { dueInSeconds });
    expect(await wayOf(held, { lifecycle, fastDrop: 'never' })).toEqual(WHOLE_WAY);
  });

  test('EVAC lasts its time, where nothing says earlier that no page is cached', async () => {
    const held = await holdTable(server, { rows: 5_000 });
    const settings = { lifecycle: ['HOLD', 'EVAC'] as const, fastDrop: 'never' as const };
    const collecting = on.each.keep(startCollecting(server, { ...settings, evacMs: 3_600_000 }));
    await until('it is in EVAC', async () => (await whereIs(server, held.id)).some(isEvac));
    await collecting.looked();
    expect((await whereIs(server, held.id)).filter(isEvac)).toHaveLength(1);
  });

  const columns = '(id INT PRIMARY KEY, note VARCHAR(40)) ENGINE=InnoDB';
  const parted = `${columns} PARTITION BY HASH (id) PARTITIONS 2`;
  const purged = isOld ? WHOLE_WAY : ['HOLD → PURGE', 'PURGE → DROP', 'DROP → gone'];
  const waits = isOld ? WHOLE_WAY : ['HOLD → EVAC', 'EVAC → DROP', 'DROP → gone'];
  const dropped = isOld ? WHOLE_WAY : ['HOLD → DROP', 'DROP → gone'];

  test.each([
    ['innodb_adaptive_hash_index', 'ON', columns, waits],
    // In the system tablespace.
    ['innodb_file_per_table', 'OFF', columns, purged],
    ['innodb_file_per_table', 'OFF', parted, purged],
  ])('with %s=%s goes as a DROP then needs: %s', async (variable, value, definition, way) => {
    const [before] = await query<{ value: number }>(server, `SELECT @@${variable} AS value`);
    await query(server, `SET GLOBAL ${variable} = ${value}`);
    try {
      const held = await holdTable(server, { definition });
      expect(await wayOf(held, {})).toEqual(way);
    } finally {
      await query(server, `SET GLOBAL ${variable} = ${Number(before?.value)}`);
    }
  });

  test('a table in a general tablespace is purged; partitions with files are not', async () => {
    if (server.name === 'mysql-9.7') {
      await query(server, `CREATE TABLESPACE shared ADD DATAFILE 'shared.ibd'`);
      const held = await holdTable(server, { definition: `${columns} TABLESPACE shared` });
      expect(await wayOf(held, {})).toEqual(purged);
      await query(server, 'DROP TABLESPACE shared');
    }
    const held = await holdTable(server, { definition: parted });
    expect(await wayOf(held, {})).toEqual(dropped);
  });

  test('every row is there until its PURGE', async () => {
    const held = await holdTable(server);
    const counts: number[] = [];
    const tap = (pool: ServicePool) =>
      beforeEachStep(pool, async (quoted) => counts.push(await countRows(server, quoted)));
    const collecting = on.each.keep(startCollecting(server, { fastDrop: 'never' }, tap));
    await untilGone(server, held);
    await collecting.stop();
    expect(counts).toEqual([10, 0, 0, 0]);
  });
});

const isEvac = (name: string): boolean => name.includes('._vt_EVAC_');

/**
 * `HOLD → PURGE` … `DROP → gone` for each RENAME and DROP of that id. MariaDB logs a text of
 * several statements as one.
 */
function transitions(commands: readonly LoggedCommand[], id: string): string[] {
  const statements = commands
    .filter(({ command }) => command === 'Query')
    .flatMap(({ text }) => text.split(';\n'));
  return statements.flatMap((statement) => {
    if (!/^(RENAME|DROP)/.test(statement)) return [];
    const names = statement.matchAll(new RegExp(`_vt_([A-Z]+)_${id}_`, 'g'));
    const [from, to = 'gone'] = [...names].map(([, state]) => state);
    return from === undefined ? [] : [`${from} → ${to}`];
  });
}

/** MySQL 8 and later take the option only where a data folder is made. */
const FOLDING = ['mysql-5.6', 'mariadb-10.11', 'mariadb-11.8'];
test.each(sample(FOLDING, { name: 'folding', count: 1 }))(
  'a foreign key from live rows is found where names are stored in lower case, on %s',
  async (name) => {
    await using server = await startServer(name, ['--lower-case-table-names=1']);
    await freshLedger(server);
    const parent = await holdTable(server);
    await query(
      server,
      'CREATE DATABASE live',
      `CREATE TABLE live.child (id INT, FOREIGN KEY (id) REFERENCES ${parent.quoted} (id)
       ON DELETE CASCADE)`,
      'INSERT INTO live.child VALUES (1)',
    );
    expect(await whereIs(server, parent.id)).toEqual([`_undrop.${parent.name.toLowerCase()}`]);
    await using collecting = startCollecting(server, { fastDrop: 'never' });
    await collecting.looked();
    await collecting.looked();
    expect(await countRows(server, parent.quoted)).toBe(10);
    expect(await countRows(server, 'live.child')).toBe(1);
  },
);

/** By what is cached of them on MySQL 9.7; the others only tell how much they have read since. */
const POOLS = [
  ['mysql-9.7', '5M'],
  ['mysql-5.6', '8M'],
  ['mariadb-10.11', '8M'],
  ['mariadb-11.8', '8M'],
] as const;
test.each(sample(POOLS, { name: 'pools', count: 1 }))(
  'an EVAC ends as soon as the pages have left the buffer pool, on %s',
  async (name, pool) => {
    await using server = await startServer(name, [`--innodb-buffer-pool-size=${pool}`]);
    await freshLedger(server);
    const held = await holdTable(server, { rows: 5_000 });
    await query(
      server,
      'CREATE DATABASE live',
      'CREATE TABLE live.big (id INT AUTO_INCREMENT PRIMARY KEY, pad CHAR(255))',
      "INSERT INTO live.big (pad) VALUES ('x')",
    );
    const settings = { lifecycle: ['HOLD', 'EVAC'] as const, fastDrop: 'never' as const };
    await using collecting = startCollecting(server, { ...settings, evacMs: 3_600_000 });
    const { said } = collecting;
    // By what it says: in so small a pool nothing may be left of the table when we look.
    await until('it has been in EVAC', () => said.some(({ fields }) => fields['to'] === 'EVAC'));
    // Rows of others push it out: 2^16 of them are more than the pool can take.
    for (let doubled = 0; doubled < 16; doubled += 1) {
      await query(server, 'INSERT INTO live.big (pad) SELECT pad FROM live.big');
    }
    await until('the table is gone', async () => {
      // Some more is read as long as it isn't.
      await query(server, 'SELECT SUM(LENGTH(pad)) FROM live.big');
      return (await whereIs(server, held.id)).length === 0;
    });
    const [way] = said.filter(({ fields }) => fields['from'] === 'EVAC');
    expect(way?.fields['because']).toBe('no page cached');
  },
);
