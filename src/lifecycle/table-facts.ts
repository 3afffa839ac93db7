/**
 * Reads what has to be known of one held table before it is touched: is it a table, do triggers
 * hang on it, do foreign keys of other tables lead to it. A DELETE in it would fire the ones and
 * follow the others into live rows. In its own schema its own triggers may still be on it: no row
 * is deleted there, and a DROP fires none.
 */

import { foldName } from '../names/names.js';
import { isRecycleSchema } from '../names/recycle-schema.js';
import type { HoldTable } from '../service/hold-tables.js';
import type { Row, ServiceConnection } from '../service/pool/pools.js';
import { textOf, textOrNullOf } from '../service/row.js';
import type { ServerFacts } from '../service/server-facts.js';
import { note, type SQLQuery, sql } from '../service/sql.js';
import type { TableFacts } from './next-step.js';

const TABLE_TYPES: ReadonlySet<string> = new Set(['BASE TABLE', 'SEQUENCE', 'SYSTEM VERSIONED']);
const OBSTACLES_MAX = 5;

/** Facts but those that need the rows or the buffer pool; `null`: the table is not there. */
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
  const isHome = isRecycleSchema(schema);
  const obstacles = [
    ...(TABLE_TYPES.has(kind) ? [] : [`it is a ${kind}`]),
    ...(isHome ? list(triggers) : []).map((row) => `trigger ${textOf(row, 'name')} hangs on it`),
    ...list(foreignKeys).map((row) => `foreign key ${textOf(row, 'name')} refers to it`),
  ];
  const engine = textOrNullOf(found, 'engine');
  // Moving into our schema proved that no trigger hangs on it: the server refuses to move one with
  // triggers (1435), also one that this account may not see.
  const purgeable = isHome && kind === 'BASE TABLE' && engine === 'InnoDB';
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
