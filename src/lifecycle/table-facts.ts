/**
 * Reads what has to be known of a held table before the collector acts on it: whether it is a
 * table, has triggers, is referenced by foreign keys of other tables, and has pages in the buffer
 * pool. A DELETE in it would fire the triggers and follow the foreign keys into live rows. In its
 * own schema its own triggers may still be on it: no row is deleted there, and a DROP fires none.
 */
import { foldName } from '../names/names.js';
import { isRecycleSchema } from '../names/recycle-schema.js';
import type { HoldTable } from '../service/hold-tables.js';
import type { Row, ServiceConnection } from '../service/pool/pools.js';
import { numberOf, textOf, textOrNullOf } from '../service/row.js';
import type { ServerFacts } from '../service/server-facts.js';
import { note, type SQLQuery, sql } from '../service/sql.js';
import type { RemovalFacts, TableFacts } from './next-step.js';

const TABLE_TYPES: ReadonlySet<string> = new Set(['BASE TABLE', 'SEQUENCE', 'SYSTEM VERSIONED']);
const OBSTACLES_MAX = 5;

/** All facts except those that need the rows or the buffer pool; `null`: the table is absent. */
export async function readTableFacts(
  connection: ServiceConnection,
  table: HoldTable,
  server: ServerFacts,
): Promise<Omit<TableFacts, 'empty' | 'cachedPages'> | null> {
  const { schema, name } = table;
  const [tables, triggers, foreignKeys] = await connection.run([
    sql`${note('look', table.id)} SELECT TABLE_TYPE AS kind, ENGINE AS engine
      FROM information_schema.TABLES WHERE TABLE_SCHEMA = ${schema} AND TABLE_NAME = ${name}`,
    sql`SELECT TRIGGER_NAME AS name FROM information_schema.TRIGGERS
      WHERE EVENT_OBJECT_SCHEMA = ${schema} AND EVENT_OBJECT_TABLE = ${name}`,
    foreignKeysTo(table, server),
  ]);
  const found = tables?.[0];
  if (found === undefined) return null;
  const kind = textOf(found, 'kind');
  const isRecycled = isRecycleSchema(schema);
  const obstacles = [
    ...(TABLE_TYPES.has(kind) ? [] : [`it is a ${kind}`]),
    ...(isRecycled ? list(triggers) : []).map((row) => `trigger ${textOf(row, 'name')} is on it`),
    ...list(foreignKeys).map((row) => `foreign key ${textOf(row, 'name')} refers to it`),
  ];
  const engine = textOrNullOf(found, 'engine');
  // Moving it into undrop's schema proved that it has no trigger: the server refuses to move one
  // with triggers (1435), also one that this account may not see.
  const purgeable = isRecycled && kind === 'BASE TABLE' && engine === 'InnoDB';
  return { purgeable, obstacles };
}

function list(rows: readonly Row[] | undefined): readonly Row[] {
  return (rows ?? []).slice(0, OBSTACLES_MAX);
}

/**
 * Foreign keys of other tables to this one. Each kind of server has one place where this is not
 * slow; the older one names tables as their files are named.
 */
function foreignKeysTo({ schema, name }: HoldTable, server: ServerFacts): SQLQuery {
  if (server.flavour === 'mysql' && server.versionId >= 80000) {
    return sql`SELECT CONCAT(CONSTRAINT_SCHEMA, '.', TABLE_NAME, '.', CONSTRAINT_NAME) AS name
      FROM information_schema.REFERENTIAL_CONSTRAINTS
      WHERE UNIQUE_CONSTRAINT_SCHEMA = ${schema} AND REFERENCED_TABLE_NAME = ${name}
      AND NOT (CONSTRAINT_SCHEMA = ${schema} AND TABLE_NAME = ${name}) LIMIT ${OBSTACLES_MAX}`;
  }
  // InnoDB has its names in lower case wherever the server compares them without regard to it.
  const stored = (part: string) => (server.lowerCaseTableNames === 0 ? part : foldName(part));
  const file = sql`CONCAT(${fileName(stored(schema))}, '/', ${fileName(stored(name))})`;
  return sql`SELECT CONCAT(FOR_NAME, '.', ID) AS name FROM information_schema.INNODB_SYS_FOREIGN
    WHERE REF_NAME = ${file} AND FOR_NAME <> ${file} LIMIT ${OBSTACLES_MAX}`;
}

function fileName(name: string): SQLQuery {
  return sql`CAST(CONVERT(${name} USING filename) AS BINARY)`;
}

/** Cached pages by `schema/name` in lower case; a table that isn't in it is not known. */
export type CachedPages = ReadonlyMap<string, number>;

/**
 * One query for all held tables, because the server goes through all its tables for one as well. In
 * partitioned tables the partitions are added up. One page of each index does not count: MySQL 9.7
 * goes on counting the root of an index that was ever split, long after it has left the pool.
 */
export async function readCachedPages(
  connection: ServiceConnection,
  server: RemovalFacts,
): Promise<CachedPages> {
  if (server.flavour !== 'mysql' || server.versionId < 80000) return new Map();
  const [rows] = await connection.run(
    sql`${note('evac')} SELECT LOWER(SUBSTRING_INDEX(t.NAME, '#', 1)) AS name,
      COALESCE(SUM(GREATEST(c.N_CACHED_PAGES, 1) - 1), 0) AS pages
      FROM information_schema.INNODB_TABLES t
      JOIN information_schema.INNODB_INDEXES i ON i.TABLE_ID = t.TABLE_ID
      LEFT JOIN information_schema.INNODB_CACHED_INDEXES c ON c.INDEX_ID = i.INDEX_ID
      WHERE t.NAME LIKE '%/\\_vt\\_%' GROUP BY 1`,
  );
  return new Map((rows ?? []).map((row) => [textOf(row, 'name'), numberOf(row, 'pages')]));
}
