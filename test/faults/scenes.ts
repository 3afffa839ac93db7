/**
 * What is dropped where something breaks in the middle of it, tables a and b with whatever hangs on
 * them; where they are afterwards, and where they may be.
 */
import { expect } from '@jest/globals';
import type { Connection, RowDataPacket } from 'mysql2/promise';

export const DROPPER = 'dropper';
const TABLES = [
  { table: 'a', rows: 3 },
  { table: 'b', rows: 2 },
] as const;

/** What is dropped: tables a and b, with 3 and 2 rows, and whatever hangs on them. */
export interface Scene {
  readonly title: string;
  make(connection: Connection, schema: string): Promise<void>;
  /** In the client's session, before the drop. */
  readonly before: readonly string[];
  /** How it is dropped; by default by one statement. */
  readonly drop?: KilledDrop;
  /** Of the servers on which b may be live although a is held; default: none. */
  readonly inTurnOn?: RegExp;
  /** By a user who has these on the schema; by default by root. */
  readonly grants?: string;
  /** Rejects where recovery, or a restore of all, left something otherwise than it was. */
  check(connection: Connection, schema: string, when: 'held' | 'restored'): Promise<void>;
}

export const PLAIN: Scene = {
  title: 'a drop',
  make: makeTables,
  before: [],
  check: async () => undefined,
};

/**
 * By a user who may not rename: the service does it for the user. On MariaDB it also looks for the
 * DATA DIRECTORY that is not shown to a session with that sql_mode.
 */
export const BY_SERVICE: Scene = {
  ...PLAIN,
  title: 'a drop by a user with DROP alone',
  before: ["SET sql_mode = 'NO_DIR_IN_CREATE'"],
  grants: 'DROP',
};

export interface KilledDrop {
  /** In one text; drops a and b. */
  readonly text: string;
  /** That it adds to b, between. */
  readonly rowsOfB: number;
}

export const ONE_STATEMENT: KilledDrop = { text: 'DROP TABLE a, b', rowsOfB: 0 };

/** Two drops in a text, and something between them. */
export const TWO_STATEMENTS: Scene = {
  ...PLAIN,
  title: 'a text of several statements',
  drop: { text: 'SELECT 1; DROP TABLE a; INSERT INTO b VALUES (99); DROP TABLE b', rowsOfB: 1 },
  inTurnOn: /./,
};

/** By a session that has both locked; where RENAME is refused then they go one by one. */
export const UNDER_LOCKS: Scene = {
  ...PLAIN,
  title: 'a drop under LOCK TABLES',
  before: ['LOCK TABLES a WRITE, b WRITE'],
  inTurnOn: /mysql-5|mariadb/,
};

async function makeTables(connection: Connection, schema: string): Promise<void> {
  for (const { table, rows } of TABLES) {
    await connection.query(`DROP TABLE IF EXISTS ${schema}.${table}`);
    await connection.query(`CREATE TABLE ${schema}.${table} (id INT PRIMARY KEY)`);
    const values = Array.from({ length: rows }, (_, index) => `(${index})`);
    await connection.query(`INSERT INTO ${schema}.${table} VALUES ${values.join(',')}`);
  }
}

export interface Locations {
  readonly live: readonly string[];
  readonly held: readonly {
    readonly id: string;
    readonly table: string;
    readonly schema: string;
  }[];
}

/** Every table of the test: under its own name, or under a hold name with its id. */
export async function locate(connection: Connection, schema: string): Promise<Locations> {
  const [tables] = await connection.query<RowDataPacket[]>(
    `SELECT TABLE_SCHEMA AS s, TABLE_NAME AS t FROM information_schema.TABLES
     WHERE TABLE_SCHEMA IN (?, '_undrop') AND TABLE_TYPE = 'BASE TABLE'`,
    [schema],
  );
  const [rows] = await connection.query<RowDataPacket[]>(
    `SELECT id, table_name AS t FROM _undrop.ledger
     WHERE schema_name = ? AND state IN ('intent', 'HOLD')`,
    [schema],
  );
  const ids = new Map(rows.map((row) => [String(row['id']), String(row['t'])]));
  const held = tables.flatMap((row) => {
    const id = /^_vt_HOLD_([0-9a-f]{32})_/.exec(String(row['t']))?.[1];
    const table = id === undefined ? undefined : ids.get(id);
    return id === undefined || table === undefined ? [] : [{ id, table, schema: String(row['s']) }];
  });
  const live = tables
    .filter((row) => row['s'] === schema)
    .map((row) => String(row['t']))
    .filter((table) => TABLES.some((known) => known.table === table));
  return { live, held };
}

/** What b has to have: all before it was dropped was done; before a was, nothing. */
export function rowsOfB({ live }: Locations, drop: KilledDrop, found: number): number {
  if (live.includes('a')) return 2;
  return live.includes('b') ? Math.min(Math.max(found, 2), 2 + drop.rowsOfB) : 2 + drop.rowsOfB;
}

/** `home`: where they are held. */
export function assertSound(
  before: Locations,
  after: Locations,
  { isAtomic, home }: { readonly isAtomic: boolean; readonly home: string },
): void {
  const places = [...after.live, ...after.held.map(({ table }) => table)].sort();
  expect(places).toEqual(['a', 'b']);
  // Recovery never renames a live table away, and never brings one back by itself.
  expect([...after.live].sort()).toEqual([...before.live].sort());
  // One RENAME is atomic: both, or none. Of two statements the first comes first.
  expect(isAtomic ? [[], ['a', 'b']] : [[], ['b'], ['a', 'b']]).toContainEqual(
    [...after.live].sort(),
  );
  for (const { schema } of after.held) expect(schema).toBe(home);
}

export async function countRows(
  connection: Connection,
  schema: string,
  without: readonly string[] = [],
): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {};
  for (const { table } of TABLES) {
    if (without.includes(table)) continue;
    const [rows] = await connection.query<RowDataPacket[]>(
      `SELECT COUNT(*) AS n FROM ${schema}.${table}`,
    );
    counts[table] = Number(rows[0]?.['n']);
  }
  return counts;
}
