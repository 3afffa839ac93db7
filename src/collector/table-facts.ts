/**
 * Reads the facts of a held table before the collector acts on it: whether it is a table, has
 * triggers, is referenced by foreign keys of other tables, and has pages in the buffer pool. A
 * DELETE in it would fire the triggers and follow the foreign keys into live rows. In its own
 * schema it may still have its triggers: no row is deleted there, and a DROP fires none.
 */

import { isServerError, unlessRefused } from '../connections/errors.js';
import { type HoldTable, lookUps } from '../connections/hold-tables.js';
import type { Row, ServerFacts, ServiceConnection, SQLQuery } from '../connections/sql.js';
import { col, ident, note, readStatusVariables, sql, valueList } from '../connections/sql.js';
import { foreignKeysOf } from '../ledger/intents/intent-text.js';
import { LEDGER } from '../ledger/tables.js';
import { foldName, isRecycleSchema } from '../names/names.js';
import { isMysql8 } from '../wire/connection/handshake-v10.js';
import * as ER from '../wire/server-errors.js';
import { isDropDear, type RemovalFacts, type TableFacts } from './next-step.js';

const TABLE_TYPES: ReadonlySet<string> = new Set(['BASE TABLE', 'SEQUENCE', 'SYSTEM VERSIONED']);
const OBSTACLES_MAX = 5;

type KnownFacts = Omit<TableFacts, 'empty' | 'cachedPages'>;

/**
 * All facts except those that need the rows or the buffer pool, by id; of an absent table none.
 * `tables`: of one schema.
 */
export async function readTableFacts(
  connection: ServiceConnection,
  tables: readonly HoldTable[],
  server: ServerFacts,
): Promise<ReadonlyMap<string, KnownFacts>> {
  const schema = tables[0]?.schema ?? '';
  const isRecycled = isRecycleSchema(schema);
  const locks = await readLocks(connection, tables);
  const columns = sql`TABLE_TYPE AS kind, ENGINE AS engine`;
  const texts = lookUps(tables, { columns, server });
  const [keys = [], ...answers] = await connection.run([
    foreignKeysOf(
      tables.map(({ name }) => ({ schema, table: name })),
      server,
    ),
    ...texts,
    ...(isRecycled ? triggersOf(schema, tables, server) : []),
  ]);
  const found = answers.slice(0, texts.length).flat();
  const triggers = answers.slice(texts.length).flat();
  const all = new Map<string, KnownFacts>();
  for (const table of tables) {
    const row = found.find((one) => namesTable(one, 'name', table));
    if (row === undefined) continue;
    const kind = col.text(row, 'kind');
    const own = triggers.filter((one) => namesTable(one, 'ofTable', table));
    const obstacles = [
      ...(TABLE_TYPES.has(kind) ? [] : [`it is a ${kind}`]),
      ...list(own).map((one) => `it has the trigger ${col.text(one, 'name')}`),
      ...list(keys.filter((key) => isObstacle(key, table, { tables, server }))).map(formatKey),
    ];
    // Moving it into undrop's schema proved that it has no trigger, not even one that this account
    // can't see: the server refuses to move a table with triggers (1435).
    const isPlain = kind === 'BASE TABLE' && col.textOrNull(row, 'engine') === 'InnoDB';
    const lockedUntil = locks.get(table.id) ?? null;
    all.set(table.id, { purgeable: isRecycled && isPlain, obstacles, lockedUntil });
  }
  // On other servers they are purged anyway, and later states don't depend on it.
  const inDoubt = tables.filter(({ id, state }) => {
    const { purgeable = false, obstacles = [] } = all.get(id) ?? {};
    return ['HOLD', 'PURGE'].includes(state) && purgeable && obstacles.length === 0;
  });
  const shared = isDropDear(server) ? [] : await withoutFile(connection, inDoubt, server);
  for (const { id } of shared) {
    const facts = all.get(id);
    if (facts !== undefined) all.set(id, { ...facts, isInSharedTablespace: true });
  }
  return all;
}

/** With a data dictionary one statement finds the triggers of all. */
function triggersOf(
  schema: string,
  tables: readonly HoldTable[],
  server: ServerFacts,
): readonly SQLQuery[] {
  const names = tables.map(({ name }) => name);
  const inParts = isMysql8(server) ? [names] : names.map((name) => [name]);
  return inParts.map(
    (part) => sql`SELECT EVENT_OBJECT_TABLE AS ofTable, TRIGGER_NAME AS name
      FROM information_schema.TRIGGERS
      WHERE EVENT_OBJECT_SCHEMA = ${schema} AND EVENT_OBJECT_TABLE IN (${valueList(part)})`,
  );
}

/** When locked holds may end, by id. Rejects if the ledger can't be read. */
async function readLocks(
  connection: ServiceConnection,
  tables: readonly HoldTable[],
): Promise<ReadonlyMap<string, Date>> {
  const ids = tables.flatMap(({ id, state }) => (state === 'HOLD' ? [id] : []));
  if (ids.length === 0) return new Map();
  const look = connection.run(
    sql`SELECT ${note('look', ids[0])} id, locked_until FROM ${LEDGER}
      WHERE id IN (${valueList(ids)}) AND locked_until IS NOT NULL`,
  );
  const absent = [...ER.ABSENT_TABLE, ER.BAD_FIELD_ERROR];
  const [rows = []] = await unlessRefused(look, [], ...absent);
  return new Map(rows.map((row) => [col.text(row, 'id'), col.date(row, 'locked_until')]));
}

/**
 * The InnoDB tables that are in the system tablespace, or in a general one (MySQL); none if the
 * account may not read it. MySQL lists tablespaces sooner than the tables in them.
 */
async function withoutFile(
  connection: ServiceConnection,
  tables: readonly HoldTable[],
  server: RemovalFacts,
): Promise<readonly HoldTable[]> {
  if (tables.length === 0) return [];
  const files = tables.map(({ schema, name }) => `${schema}/${name}`.toLowerCase());
  // Partitions are `name#p#…`.
  const file = sql`LOWER(SUBSTRING_INDEX(NAME, '#', 1))`;
  const listed = sql`${file} IN (${valueList(files)})`;
  const query =
    server.flavour === 'mysql'
      ? sql`SELECT ${note('look')} ${file} AS file FROM information_schema.INNODB_TABLESPACES_BRIEF
          WHERE ${listed}`
      : sql`SELECT ${note('look')} ${file} AS file FROM information_schema.INNODB_SYS_TABLES
          WHERE SPACE = 0 AND ${listed}`;
  const answers = await unlessRefused(connection.run(query), null);
  if (answers === null) return [];
  const found = new Set(answers[0]?.map((row) => col.text(row, 'file')));
  const isShared = (at: string) => found.has(at) === (server.flavour === 'mariadb');
  return tables.filter((_table, index) => isShared(files[index] ?? ''));
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

function list(rows: readonly Row[]): readonly Row[] {
  return rows.slice(0, OBSTACLES_MAX);
}

function formatKey(row: Row): string {
  const child = `${col.text(row, 'childSchema')}.${col.text(row, 'child')}`;
  return `foreign key ${child}.${col.text(row, 'name')} refers to it`;
}

/** Whether a column has the name of the table; InnoDB may have it in lower case. */
function namesTable(row: Row, column: string, { name }: HoldTable): boolean {
  return foldName(col.text(row, column)) === foldName(name);
}

/** Whether that foreign key of another table is to this one, or to none of these, as it seems. */
function isObstacle(
  key: Row,
  table: HoldTable,
  { tables, server }: { readonly tables: readonly HoldTable[]; readonly server: ServerFacts },
): boolean {
  const fold = (text: string) => (server.lowerCaseTableNames === 0 ? text : foldName(text));
  const is = (end: 'child' | 'parent', { schema, name }: HoldTable) =>
    fold(col.text(key, `${end}Schema`)) === fold(schema) && fold(col.text(key, end)) === fold(name);
  if (is('child', table)) return false;
  return is('parent', table) || !tables.some((one) => is('child', one) || is('parent', one));
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

/** Bytes for a row, by id, of the tables in PURGE, as far as the ledger has them. */
export async function readWorth(
  connection: ServiceConnection,
): Promise<ReadonlyMap<string, number>> {
  const asked = connection.run(
    sql`SELECT ${note('purge')} id, byte_estimate / NULLIF(row_estimate, 0) AS worth
        FROM ${LEDGER} WHERE state = 'PURGE'`,
  );
  const [rows = []] = await unlessRefused(asked, [], ...ER.ABSENT_TABLE);
  return new Map(rows.map((row) => [col.text(row, 'id'), col.numberOrNull(row, 'worth') ?? 0]));
}
