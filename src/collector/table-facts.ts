/**
 * Reads the facts of a held table before the collector acts on it: whether it is a table, has
 * triggers, is referenced by foreign keys of other tables, and has pages in the buffer pool. A
 * DELETE in it would fire the triggers and follow the foreign keys into live rows. In its own
 * schema it may still have its triggers: no row is deleted there, and a DROP fires none.
 */

import { isServerError, unlessRefused } from '../connections/errors.js';
import type { HoldTable } from '../connections/hold-tables.js';
import type { Row, ServerFacts, ServiceConnection } from '../connections/sql.js';
import { col, ident, note, readStatusVariables, sql } from '../connections/sql.js';
import { foreignKeysOf } from '../ledger/intents/intent-text.js';
import { LEDGER } from '../ledger/tables.js';
import { foldName, isRecycleSchema } from '../names/names.js';
import { isMysql8 } from '../wire/connection/handshake-v10.js';
import * as ER from '../wire/server-errors.js';
import { isDropDear, type RemovalFacts, type TableFacts } from './next-step.js';

const TABLE_TYPES: ReadonlySet<string> = new Set(['BASE TABLE', 'SEQUENCE', 'SYSTEM VERSIONED']);
const OBSTACLES_MAX = 5;

/** All facts except those that need the rows or the buffer pool; `null`: the table is absent. */
export async function readTableFacts(
  connection: ServiceConnection,
  table: HoldTable,
  server: ServerFacts,
): Promise<Omit<TableFacts, 'empty' | 'cachedPages'> | null> {
  const { schema, name } = table;
  const lockedUntil = table.state === 'HOLD' ? await readLock(connection, table.id) : null;
  const [tables, triggers, foreignKeys] = await connection.run([
    sql`${note('look', table.id)} SELECT TABLE_TYPE AS kind, ENGINE AS engine
      FROM information_schema.TABLES WHERE TABLE_SCHEMA = ${schema} AND TABLE_NAME = ${name}`,
    sql`SELECT TRIGGER_NAME AS name FROM information_schema.TRIGGERS
      WHERE EVENT_OBJECT_SCHEMA = ${schema} AND EVENT_OBJECT_TABLE = ${name}`,
    foreignKeysOf([{ schema, table: name }], server),
  ]);
  const found = tables?.[0];
  if (found === undefined) return null;
  const kind = col.text(found, 'kind');
  const isRecycled = isRecycleSchema(schema);
  const obstacles = [
    ...(TABLE_TYPES.has(kind) ? [] : [`it is a ${kind}`]),
    ...(isRecycled ? list(triggers) : []).map(
      (row) => `it has the trigger ${col.text(row, 'name')}`,
    ),
    ...list(foreignKeys?.filter((row) => isOfAnother(row, table, server))).map(formatKey),
  ];
  const engine = col.textOrNull(found, 'engine');
  // Moving it into undrop's schema proved that it has no trigger, not even one that this account
  // can't see: the server refuses to move a table with triggers (1435).
  const purgeable = isRecycled && kind === 'BASE TABLE' && engine === 'InnoDB';
  // On other servers it is purged anyway, and later states don't depend on it.
  const mayPurge = table.state === 'HOLD' || table.state === 'PURGE';
  const matters = mayPurge && purgeable && obstacles.length === 0 && !isDropDear(server);
  const isInSharedTablespace = matters && (await hasNoFile(connection, table, server));
  return { purgeable, isInSharedTablespace, obstacles, lockedUntil };
}

/** Null: it isn't locked, or there is no ledger that knows. Rejects if the ledger can't be read. */
async function readLock(connection: ServiceConnection, id: string): Promise<Date | null> {
  const look = connection.run(
    sql`SELECT ${note('look', id)} locked_until FROM ${LEDGER} WHERE id = ${id}`,
  );
  const absent = [...ER.ABSENT_TABLE, ER.BAD_FIELD_ERROR];
  const [[row] = []] = await unlessRefused(look, [], ...absent);
  return row === undefined ? null : col.dateOrNull(row, 'locked_until');
}

/**
 * Whether an InnoDB table is in the system tablespace, or in a general one (MySQL); false if the
 * account may not read it. MySQL lists tablespaces sooner than the tables in them.
 */
async function hasNoFile(connection: ServiceConnection, table: HoldTable, server: RemovalFacts) {
  const { id, schema, name } = table;
  // Partitions are `name#p#…`.
  const isIts = sql`LOWER(SUBSTRING_INDEX(NAME, '#', 1)) = ${`${schema}/${name}`.toLowerCase()}`;
  const query =
    server.flavour === 'mysql'
      ? sql`SELECT ${note('look', id)} COUNT(*) = 0 AS isShared
          FROM information_schema.INNODB_TABLESPACES_BRIEF WHERE ${isIts}`
      : sql`SELECT ${note('look', id)} COUNT(*) > 0 AS isShared
          FROM information_schema.INNODB_SYS_TABLES WHERE SPACE = 0 AND ${isIts}`;
  const [[row] = []] = await unlessRefused(connection.run(query), []);
  return row !== undefined && col.number(row, 'isShared') !== 0;
}

/**
 * Whether only the definition of the table is left: a server that was killed may list a table that
 * its engine has lost (MariaDB, MySQL before 8.0), and then can't rename it. The rows of a torn
 * table are in the engine, under a name with the same id.
 */
export async function isLostByEngine(
  connection: ServiceConnection,
  { id, schema, name }: HoldTable,
  server: ServerFacts,
): Promise<boolean> {
  if (isMysql8(server)) return false;
  try {
    await connection.run(sql`SELECT ${note('look', id)} 1 FROM ${ident(schema, name)} LIMIT 1`);
    return false;
  } catch (error) {
    if (!isServerError(error)) throw error;
    if (!isServerError(error, ER.NO_SUCH_TABLE_IN_ENGINE, ER.NO_SUCH_TABLE)) return false;
  }
  const [rows = []] = await connection.run(
    sql`SELECT ${note('look', id)} COUNT(*) AS n FROM information_schema.INNODB_SYS_TABLES
        WHERE NAME LIKE ${`%${id}%`}`,
  );
  return col.number(rows[0] ?? {}, 'n') === 0;
}

function list(rows: readonly Row[] | undefined): readonly Row[] {
  return (rows ?? []).slice(0, OBSTACLES_MAX);
}

function formatKey(row: Row): string {
  const child = `${col.text(row, 'childSchema')}.${col.text(row, 'child')}`;
  return `foreign key ${child}.${col.text(row, 'name')} refers to it`;
}

/** Whether a foreign key from or to this table is another table's. */
function isOfAnother(row: Row, { schema, name }: HoldTable, server: ServerFacts): boolean {
  // InnoDB has its names in lower case wherever the server compares names without regard to case.
  const fold = (text: string) => (server.lowerCaseTableNames === 0 ? text : foldName(text));
  const isSame = (column: string, text: string) => fold(col.text(row, column)) === fold(text);
  return !isSame('childSchema', schema) || !isSame('child', name);
}

/** The server's figures of its buffer pool. */
interface PoolFacts {
  /** Its capacity in pages; 0: not reported. */
  readonly pages: number;
  /** A DROP that scans the pages that aren't written to their files yet would be noticeable. */
  readonly isMuchDirty: boolean;
  /** Pages read from files since the server's start. */
  readonly read: number;
}

const POOL = [
  'Innodb_buffer_pool_pages_total',
  'Innodb_buffer_pool_pages_dirty',
  'Innodb_buffer_pool_reads',
  'Innodb_buffer_pool_read_ahead',
] as const;

export async function readPoolFacts(connection: ServiceConnection): Promise<PoolFacts> {
  const values = await readStatusVariables(connection, POOL);
  const [pages = 0, dirty = 0, reads = 0, ahead = 0] = POOL.map((name) => values.get(name));
  const isMuchDirty = dirty > Math.max(DIRTY_MIN, DIRTY_SHARE * pages);
  return { pages, isMuchDirty, read: reads + ahead };
}

const DIRTY_MIN = 1_000;
const DIRTY_SHARE = 0.01;

/**
 * Cached pages by `schema/name` in lower case; missing: not known. A single query for all held
 * tables, because the server scans all its tables even for one. The pages of partitions are added
 * up. The first page of each index does not count: MySQL 9.7 keeps counting the root of an index
 * that was ever split, long after it has left the pool.
 */
export async function readCachedPages(
  connection: ServiceConnection,
  server: RemovalFacts,
): Promise<ReadonlyMap<string, number>> {
  if (!isMysql8(server)) return new Map();
  const [rows] = await connection.run(
    sql`${note('evac')} SELECT LOWER(SUBSTRING_INDEX(t.NAME, '#', 1)) AS name,
      COALESCE(SUM(GREATEST(c.N_CACHED_PAGES, 1) - 1), 0) AS pages
      FROM information_schema.INNODB_TABLES t
      JOIN information_schema.INNODB_INDEXES i ON i.TABLE_ID = t.TABLE_ID
      LEFT JOIN information_schema.INNODB_CACHED_INDEXES c ON c.INDEX_ID = i.INDEX_ID
      WHERE t.NAME LIKE '%/\\_vt\\_%' GROUP BY 1`,
  );
  return new Map((rows ?? []).map((row) => [col.text(row, 'name'), col.number(row, 'pages')]));
}
