/** The lifecycle on real servers, seen in the servers' own general log. */
import type { ServicePool } from '../../src/connections/sql.js';
import * as rig from '../collector/collecting.js';
import { asking } from '../support/asking.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { ledgerInsert } from '../support/ledger-rows.js';
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
  async function wayOf(held: rig.Held, settings: rig.CollectSettings): Promise<string[]> {
    await using log = await generalLog(server);
    await using _collecting = rig.startCollecting(server, settings);
    await rig.untilGone(server, held);
    const commands = await log.read();
    return transitions(commands, held.id);
  }

  test('goes the way that this server needs, with one id', async () => {
    const held = await rig.holdTable(server);
    expect(await wayOf(held, {})).toEqual(isOld ? WHOLE_WAY : ['HOLD → DROP', 'DROP → gone']);
  });

  test('a HOLD that is not due waits, and goes when it is, without anybody waking it', async () => {
    const held = await rig.holdTable(server, { dueInSeconds: 3 });
    const later = await rig.holdTable(server, { dueInSeconds: 3_600 });
    const settings = { checkIntervalMs: 3_600_000, holdMs: 3_600_000, purgeCheckIntervalMs: 200 };
    on.each.keep(rig.startCollecting(server, settings));
    const due = held.name.slice(-14);
    await rig.until(
      'the first table moves on',
      async () => !(await rig.whereIs(server, held.id)).includes(`_undrop.${held.name}`),
    );
    const isLate = `SELECT UTC_TIMESTAMP() >= STR_TO_DATE('${due}', '%Y%m%d%H%i%s') LIMIT 1`;
    expect(Number(await asking(server).cell(isLate))).toBe(1);
    expect(await rig.whereIs(server, later.id)).toEqual([`_undrop.${later.name}`]);
    expect(await rig.countRows(server, later.quoted)).toBe(10);
  });

  test.each([
    [['HOLD', 'PURGE', 'EVAC', 'DROP'], -5],
    // Without HOLD nothing waits for it.
    [['PURGE', 'EVAC', 'DROP'], 3_600],
  ] as const)('UNDROP_LIFECYCLE=%j goes its way, due in %i s', async (lifecycle, dueInSeconds) => {
    const held = await rig.holdTable(server, { dueInSeconds });
    expect(await wayOf(held, { lifecycle, fastDrop: 'never' })).toEqual(WHOLE_WAY);
  });

  test('EVAC lasts its time, where nothing says earlier that no page is cached', async () => {
    const held = await rig.holdTable(server, { rows: 5_000 });
    const settings = { lifecycle: ['HOLD', 'EVAC'] as const, fastDrop: 'never' as const };
    const collecting = on.each.keep(
      rig.startCollecting(server, { ...settings, evacMs: 3_600_000 }),
    );
    await rig.until('it is in EVAC', async () => (await rig.whereIs(server, held.id)).some(isEvac));
    await collecting.looked();
    expect((await rig.whereIs(server, held.id)).filter(isEvac)).toHaveLength(1);
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
    const before = await asking(server).cell(`SELECT @@${variable}`);
    await query(server, `SET GLOBAL ${variable} = ${value}`);
    try {
      const held = await rig.holdTable(server, { definition });
      expect(await wayOf(held, {})).toEqual(way);
    } finally {
      await query(server, `SET GLOBAL ${variable} = ${Number(before)}`);
    }
  });

  test('a table in a general tablespace is purged; partitions with files are not', async () => {
    if (server.name === 'mysql-9.7') {
      await query(server, `CREATE TABLESPACE shared ADD DATAFILE 'shared.ibd'`);
      const held = await rig.holdTable(server, { definition: `${columns} TABLESPACE shared` });
      expect(await wayOf(held, {})).toEqual(purged);
      await query(server, 'DROP TABLESPACE shared');
    }
    const held = await rig.holdTable(server, { definition: parted });
    expect(await wayOf(held, {})).toEqual(dropped);
  });

  test('every row is there until its PURGE', async () => {
    const held = await rig.holdTable(server);
    const counts: number[] = [];
    const tap = (pool: ServicePool) =>
      rig.beforeEachStep(pool, async (quoted) => counts.push(await rig.countRows(server, quoted)));
    const collecting = on.each.keep(rig.startCollecting(server, { fastDrop: 'never' }, tap));
    await rig.untilGone(server, held);
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
const FOLDS = sample(FOLDING, { name: 'folding', count: 1 });
test.each(FOLDS)('keys from live rows are found where names are folded, on %s', async (name) => {
  await using server = await startServer(name, ['--lower-case-table-names=1']);
  await freshLedger(server);
  const parent = await rig.holdTable(server);
  await query(
    server,
    'CREATE DATABASE live',
    `CREATE TABLE live.child (id INT, FOREIGN KEY (id) REFERENCES ${parent.quoted} (id)
     ON DELETE CASCADE)`,
    'INSERT INTO live.child VALUES (1)',
  );
  expect(await rig.whereIs(server, parent.id)).toEqual([`_undrop.${parent.name.toLowerCase()}`]);
  await using collecting = rig.startCollecting(server, { fastDrop: 'never' });
  await collecting.looked();
  await collecting.looked();
  expect(await rig.countRows(server, parent.quoted)).toBe(10);
  expect(await rig.countRows(server, 'live.child')).toBe(1);
});

/** By what is cached of them on MySQL 9.7; the others only tell how much they have read since. */
const POOLS = [
  ['mysql-9.7', '5M'],
  ['mysql-5.6', '8M'],
  ['mariadb-10.11', '8M'],
  ['mariadb-11.8', '8M'],
] as const;
const POOL = sample(POOLS, { name: 'pools', count: 1 });
test.each(POOL)('EVAC ends with its pages, on %s', async (name, pool) => {
  await using server = await startServer(name, [`--innodb-buffer-pool-size=${pool}`]);
  await freshLedger(server);
  const held = await rig.holdTable(server, { rows: 5_000 });
  await query(
    server,
    'CREATE DATABASE live',
    'CREATE TABLE live.big (id INT AUTO_INCREMENT PRIMARY KEY, pad CHAR(255))',
    "INSERT INTO live.big (pad) VALUES ('x')",
  );
  const settings = { lifecycle: ['HOLD', 'EVAC'] as const, fastDrop: 'never' as const };
  await using collecting = rig.startCollecting(server, { ...settings, evacMs: 3_600_000 });
  const { said } = collecting;
  // By what it says: in so small a pool nothing may be left of the table when we look.
  await rig.until('it has been in EVAC', () => said.some(({ fields }) => fields['to'] === 'EVAC'));
  // Rows of others push it out: 2^16 of them are more than the pool can take.
  for (let doubled = 0; doubled < 16; doubled += 1) {
    await query(server, 'INSERT INTO live.big (pad) SELECT pad FROM live.big');
  }
  await rig.until('the table is gone', async () => {
    // Some more is read as long as it isn't.
    await query(server, 'SELECT SUM(LENGTH(pad)) FROM live.big');
    return (await rig.whereIs(server, held.id)).length === 0;
  });
  const [way] = said.filter(({ fields }) => fields['from'] === 'EVAC');
  expect(way?.fields['because']).toBe('no page cached');
});

/** What the collector removes from the ledger in the end, and what keeps it from that. */
onServersAtOnce('old rows of the ledger on $name', (server, on) => {
  const { beforeEach, each, test } = on;
  beforeEach(() => freshLedger(server));

  /** One that began, and ended, in 2020. */
  const row = (
    id: string,
    { kind, state, group = id }: { kind: string; state: string; group?: string },
  ) => {
    const own = { id: `'${id}'`, group_id: `'${group}'`, kind: `'${kind}'`, state: `'${state}'` };
    const times = { dropped_at: "'2020-01-01'", hold_until: "'2020-01-02'" };
    return query(server, ledgerInsert({ ...own, ...times, ended_at: "'2020-01-02'" }));
  };

  async function states(): Promise<Readonly<Record<string, string>>> {
    const rows = await query<{ readonly id: string; readonly state: string }>(
      server,
      'SELECT id, state FROM _undrop.ledger ORDER BY id',
    );
    return Object.fromEntries(rows.map(({ id, state }) => [id, state]));
  }

  test('ended rows outlast UNDROP_GRACE', async () => {
    await row('0b', { kind: 'base', state: 'removed' });
    // Without a held table there is nothing to wait for.
    await rig.holdTable(server, { dueInSeconds: 3_600 });
    const collecting = each.keep(
      rig.startCollecting(server, { graceMs: 3_600_000, holdMs: 3_600_000 }),
    );
    await collecting.looked();
    const waits = collecting.said.filter(({ fields }) => fields['event'] === 'grace');
    expect(waits.map(({ fields }) => fields['heldCount'])).toEqual([1]);
    expect(await states()).toEqual({ '0b': 'removed' });
    await collecting.stop();
    const _again = each.keep(rig.startCollecting(server, { graceMs: 0 }));
    await rig.until('it is given up', async () => !('0b' in (await states())));
  });

  test('the row of a dropped schema outlasts its tables', async () => {
    await row('0a', { kind: 'schema', state: 'removed', group: '0a' });
    await row('0b', { kind: 'base', state: 'HOLD', group: '0a' });
    await row('0c', { kind: 'schema', state: 'removed', group: '0c' });
    await row('0d', { kind: 'base', state: 'restored', group: '0c' });
    const collecting = each.keep(rig.startCollecting(server));
    await rig.until('others are given up', async () => !('0c' in (await states())));
    await collecting.looked();
    expect(await states()).toEqual({ '0a': 'removed', '0b': 'HOLD' });
    await query(server, "UPDATE _undrop.ledger SET state = 'removed' WHERE id = '0b'");
    await rig.until('all are given up', async () => Object.keys(await states()).length === 0);
    expect(await states()).toEqual({});
  });
});
