/**
 * What is dropped where something breaks in the middle of it: tables a and b with whatever hangs on
 * them; where they may be afterwards. What else takes tables away is in kin-scenes.ts.
 */
import type { ConnectionOptions } from 'mysql2/promise';
import { until } from '../support/poll.js';
import type { TapEvent } from '../support/wire-tap.js';
import type { Fault, FaultRig } from './fault-rig.js';

export const DROPPER = 'dropper';

/**
 * `whole`: as if nothing had been said; `done`: as if it had come to its end; `torn`: the server
 * has left a table in pieces, and recovery says so; else in between.
 */
export type End = 'whole' | 'done' | 'between' | 'torn';

export interface Scene {
  readonly title: string;
  /** Of the set's servers; default: all. */
  readonly on?: RegExp;
  /** Default: all. */
  readonly faults?: readonly Fault[];
  /** In a long run one of so many events is struck. */
  readonly eventsForOneStruck?: number;
  /** Who says it; default: root. */
  readonly as?: ConnectionOptions;
  /** In the client's session, the last being what breaks. */
  readonly texts: (schema: string) => readonly string[];
  make(rig: FaultRig): Promise<void>;
  /** Servers on which it is done one by one, so that the first part may be done alone. */
  readonly inTurnOn?: RegExp;
  /** Its session keeps what it has locked. */
  readonly locks?: true;
  /** The events that count; default: all. */
  readonly counts?: (event: TapEvent) => boolean;
  /** Begins when it does; resolves to what ends it. */
  meanwhile?(rig: FaultRig): Promise<() => Promise<void>>;
  /** What is under its own name: recovery renames nothing that lives, and restores nothing. */
  live?(rig: FaultRig): Promise<string>;
  /** A proxy that lives on may go on with it behind its answer. */
  readonly resumes?: true;
  /** Rejects where something is lost. What is held is restored by it. */
  end(rig: FaultRig, fault: Fault | null): Promise<End>;
}

interface DropScene extends Pick<Scene, 'title' | 'as' | 'inTurnOn' | 'locks'> {
  /** In the client's session, before the drop. */
  readonly before?: readonly string[];
  readonly drop?: string;
  /** That the drop adds to b before it goes. */
  readonly rowsOfB?: number;
  /** What makes them, by the server. */
  readonly tables?: (server: string) => readonly string[];
  /** When they are made. */
  hang?(rig: FaultRig): Promise<void>;
  /** Rejects where that isn't as it was; `held`: both are. */
  check?(rig: FaultRig, when: 'held' | 'restored'): Promise<void>;
}

/** With their rows. */
const TABLES: Readonly<Record<string, number>> = { a: 3, b: 2 };
const PLAIN = [
  ...['CREATE TABLE a (id INT PRIMARY KEY)', 'INSERT INTO a VALUES (0), (1), (2)'],
  ...['CREATE TABLE b (id INT PRIMARY KEY)', 'INSERT INTO b VALUES (0), (1)'],
];
const PARTITIONS: Readonly<Record<string, number>> = { a: 16, b: 8 };
/** Each is renamed partition by partition there; a server that is killed may leave it in pieces. */
const PARTITIONED = 'a drop of tables with partitions';
/** Definitions of tables and of triggers as they were made. */
const made = new Map<string, string>();
const FAMILY = ['kid', 'a', 'b', 'p'];
const TRIGGERS = ['first', 'second', 'third'];

const DROP_SCENES: readonly DropScene[] = [
  { title: 'a drop' },
  {
    // The service renames for the user. On MariaDB it also looks for the DATA DIRECTORY that is not
    // shown to a session with that sql_mode.
    title: 'a drop by a user with DROP alone',
    as: { user: DROPPER, password: '' },
    before: ["SET sql_mode = 'NO_DIR_IN_CREATE'"],
  },
  {
    title: 'a text of several statements',
    as: { multipleStatements: true },
    drop: 'SELECT 1; DROP TABLE a; INSERT INTO b VALUES (99); DROP TABLE b',
    rowsOfB: 1,
    inTurnOn: /./,
  },
  {
    // Where RENAME is refused then they go one by one.
    title: 'a drop under LOCK TABLES',
    before: ['LOCK TABLES a WRITE, b WRITE'],
    inTurnOn: /mysql-5|mariadb/,
    locks: true,
  },
  {
    title: PARTITIONED,
    hang: async ({ direct }) => {
      for (const [table, count] of Object.entries(PARTITIONS)) {
        await direct.query(`ALTER TABLE ${table} PARTITION BY HASH (id) PARTITIONS ${count}`);
      }
    },
  },
  {
    // Keys of every kind, out, in, to themselves and between each other; a child lives on. It gets
    // one RENAME after the other, because both tables have triggers.
    title: 'a drop of tables with foreign keys and triggers',
    before: ['SET foreign_key_checks = 0'],
    inTurnOn: /mariadb/,
    tables: (server) => [
      'CREATE TABLE p (id INT PRIMARY KEY)',
      'CREATE TABLE b (id INT PRIMARY KEY)',
      `CREATE TABLE a (id INT PRIMARY KEY, pid INT, bid INT, self INT,
         CONSTRAINT named FOREIGN KEY (pid) REFERENCES p (id) ON DELETE CASCADE,
         FOREIGN KEY (bid) REFERENCES b (id), FOREIGN KEY (self) REFERENCES a (id))`,
      'CREATE TABLE kid (id INT, bid INT, FOREIGN KEY (bid) REFERENCES b (id))',
      'INSERT INTO p VALUES (1)',
      'INSERT INTO b VALUES (1), (2)',
      'INSERT INTO a VALUES (1, 1, 1, NULL), (2, 1, 2, 1), (3, 1, NULL, 2)',
      'INSERT INTO kid VALUES (1, 2)',
      'CREATE TRIGGER first BEFORE INSERT ON a FOR EACH ROW SET NEW.self = NULL',
      'CREATE TRIGGER third AFTER DELETE ON b FOR EACH ROW DELETE FROM kid',
      // A second one for the same event, where the server takes it.
      `CREATE TRIGGER second ${server === 'mysql-5.6' ? 'AFTER' : 'BEFORE'} INSERT ON a
         FOR EACH ROW SET @a = 1`,
    ],
    hang: async (rig) => {
      for (const table of FAMILY) made.set(table, await shown(rig, table));
      for (const name of TRIGGERS) made.set(name, await shownTrigger(rig, name));
    },
    check: async (rig, when) => {
      // What was locked by the killed proxy's last statement is a debt for a moment.
      const isRepointed = async () => (await shown(rig, 'kid')) === made.get('kid');
      await until(isRepointed, 'the child leads to its parent by name').catch(() => undefined);
      expect(await shown(rig, 'kid')).toBe(made.get('kid'));
      if (when === 'held') return expect(await rig.direct.rows('SHOW TRIGGERS')).toEqual([]);
      for (const table of FAMILY) expect(await shown(rig, table)).toBe(made.get(table));
      for (const name of TRIGGERS) expect(await shownTrigger(rig, name)).toBe(made.get(name));
    },
  },
];

export const SCENES_OF_DROP: readonly Scene[] = DROP_SCENES.map((one) => {
  const { before = [], drop = 'DROP TABLE a, b', ...scene } = one;
  return {
    ...scene,
    texts: () => [...before, drop],
    make: async (rig) => {
      await makeAnew(rig, ...(one.tables?.(rig.server.name) ?? PLAIN));
      await one.hang?.(rig);
    },
    live: async (rig) => (await locate(rig)).live.join(),
    end: (rig, fault) => endOfDrop(rig, one, fault),
  };
});

/** Where nothing is left of any scene. */
export async function makeAnew(rig: FaultRig, ...texts: readonly string[]): Promise<void> {
  await rig.direct.run(
    `USE ${rig.schema}`,
    'SET foreign_key_checks = 0',
    `DROP DATABASE IF EXISTS ${six(rig)}`,
    'DROP TABLE IF EXISTS back, kid, c, a, b, p',
    'SET foreign_key_checks = 1',
    ...texts,
  );
}

/** Another schema, for scenes that need one. */
export function six({ schema }: Pick<FaultRig, 'schema'>): string {
  return `${schema}_six`;
}

async function endOfDrop(
  rig: FaultRig,
  { title, inTurnOn = /^$/, rowsOfB = 0, check }: DropScene,
  fault: Fault | null,
): Promise<End> {
  const { direct, server } = rig;
  const { live, held } = await locate(rig);
  expect([...live, ...held.map(({ table }) => table)].sort()).toEqual(['a', 'b']);
  expect(held.filter(({ place }) => place !== '_undrop')).toEqual([]);
  const renamesInPieces = title === PARTITIONED && server.name !== 'mysql-9.7';
  const isInPieces = renamesInPieces && fault === 'server killed';
  // One RENAME is atomic: both, or none. Of two statements the first comes first.
  const isSplit = live.length === 1;
  if (isSplit) expect([live, inTurnOn.test(server.name) || isInPieces]).toEqual([['b'], true]);
  if (held.length === 2) await check?.(rig, 'held');
  const torn = await tornTables(rig, rig.schema, PARTITIONS);
  if (torn.length > 0) expect(isInPieces).toBe(true);
  for (const { id } of held) expect(await rig.restore(id)).toEqual([]);
  for (const [table, rows] of Object.entries(TABLES)) {
    if (torn.includes(table)) continue;
    // Before a was dropped nothing was added, and before b all was.
    const added = table === 'a' || live.length === 2 ? 0 : rowsOfB;
    const fewest = isSplit ? rows : rows + added;
    const count = await direct.count(table);
    expect([table, count, count >= fewest && count <= rows + added]).toEqual([table, count, true]);
  }
  if (torn.length > 0) return 'torn';
  await check?.(rig, 'restored');
  return isSplit ? 'between' : live.length === 2 ? 'whole' : 'done';
}

/** Tables a and b: under their own names, or under a hold name with their id. */
async function locate({ direct, schema }: FaultRig) {
  const tables = await direct.rows<{ place: string; name: string }>(
    `SELECT TABLE_SCHEMA AS place, TABLE_NAME AS name FROM information_schema.TABLES
     WHERE TABLE_SCHEMA IN (?, '_undrop') AND TABLE_TYPE = 'BASE TABLE'`,
    [schema],
  );
  const rows = await direct.rows<{ id: string; name: string }>(
    `SELECT id, table_name AS name FROM _undrop.ledger
     WHERE schema_name = ? AND state IN ('intent', 'HOLD')`,
    [schema],
  );
  const names = new Map(rows.map(({ id, name }) => [id, name]));
  const held = tables.flatMap(({ place, name }) => {
    const id = /^_vt_HOLD_([0-9a-f]{32})_/.exec(name)?.[1] ?? '';
    const table = names.get(id);
    return table === undefined ? [] : [{ id, table, place }];
  });
  const own = tables.filter(({ place, name }) => place === schema && name in TABLES);
  return { live: own.map(({ name }) => name).sort(), held };
}

/** Those that recovery says are in pieces. Rejects where a piece of one is missing. */
export async function tornTables(
  { direct }: FaultRig,
  schema: string,
  partitions: Readonly<Record<string, number>>,
): Promise<readonly string[]> {
  const torn = await direct.rows<{ id: string; name: string }>(
    `SELECT id, table_name AS name FROM _undrop.ledger
     WHERE schema_name = ? AND state = 'intent' AND todo = 'torn'`,
    [schema],
  );
  for (const { id, name } of torn) {
    const pieces = await direct.rows(
      `SELECT NAME FROM information_schema.INNODB_SYS_TABLES
       WHERE NAME LIKE '${schema}/${name}#p#%' OR NAME LIKE '%${id}%#p#%'`,
    );
    expect(pieces).toHaveLength(partitions[name] ?? 0);
  }
  return torn.map(({ name }) => name);
}

/** MySQL 5.6 has the indexes of keys that were added again after the others: sorted there. */
async function shown({ direct, server }: FaultRig, table: string): Promise<string> {
  const text = await direct.show(table);
  if (server.name !== 'mysql-5.6') return text;
  return text.replaceAll(/,$/gm, '').split('\n').sort().join('\n');
}

async function shownTrigger({ direct }: FaultRig, name: string): Promise<string> {
  const [row] = await direct.rows(`SHOW CREATE TRIGGER ${name}`);
  const order = await direct.column(
    `SELECT ACTION_ORDER AS n FROM information_schema.TRIGGERS
     WHERE TRIGGER_SCHEMA = DATABASE() AND TRIGGER_NAME = ?`,
    [name],
  );
  // A RENAME writes the table's name anew.
  const text = String(row?.['SQL Original Statement']).replaceAll(/[`\s]+/g, ' ');
  return `${text} ${row?.['sql_mode']} ${order}`;
}
