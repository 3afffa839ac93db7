/**
 * What a schema is, beside its tables, before it is dropped: for the ledger, as a DROP DATABASE
 * that fails half way takes views and programs along on some servers.
 */
import type { SchemaDetails, SchemaPart } from '../../ledger/schema-details.js';
import { isServerError, type Row, type ServicePool } from '../../service/pool/pools.js';
import { numberOf, textOf, textOrNullOf } from '../../service/row.js';
import { ident, note, type SQLQuery, sql } from '../../service/sql.js';
import { ER_BAD_DB_ERROR, LOCK_NOT_GRANTED } from '../../wire/server-errors.js';

/** Views and programs whose definition is kept, and bytes of these; of more only the names. */
const PARTS_MAX = 1_000;
const PARTS_BYTES_MAX = 4 * 1024 * 1024;
/** Of max_allowed_packet: they go twice into one, with each quote in them escaped. */
const PARTS_OF_PACKET = 1 / 6;

/** The name as stored; null where there is no such schema, or the service may not see it. */
export async function findSchema(pool: ServicePool, name: string): Promise<string | null> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look')} SCHEMA_NAME AS name FROM information_schema.SCHEMATA
        WHERE SCHEMA_NAME = ${name} AND (@@lower_case_table_names <> 0
          OR CAST(SCHEMA_NAME AS BINARY) = CAST(${name} AS BINARY))`,
  );
  const [row] = rows;
  return row === undefined ? null : textOf(row, 'name');
}

/** Null where it is gone. */
export async function readSchemaDetails(
  pool: ServicePool,
  schema: string,
): Promise<SchemaDetails | null> {
  try {
    return await readDetails(pool, schema);
  } catch (error) {
    if (isServerError(error, ER_BAD_DB_ERROR)) return null;
    throw error;
  }
}

async function readDetails(pool: ServicePool, schema: string): Promise<SchemaDetails> {
  const [shown = [], described = [], views = [], routines = [], events = []] = await pool.run([
    sql`SHOW CREATE DATABASE ${note('look')} ${ident(schema)}`,
    sql`SELECT SCHEMATA.*, @@max_allowed_packet AS packet FROM information_schema.SCHEMATA
        WHERE SCHEMA_NAME = ${schema}`,
    sql`SELECT TABLE_NAME AS name, 'VIEW' AS kind FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = ${schema} AND TABLE_TYPE = 'VIEW'`,
    sql`SELECT ROUTINE_NAME AS name, ROUTINE_TYPE AS kind FROM information_schema.ROUTINES
        WHERE ROUTINE_SCHEMA = ${schema}`,
    sql`SELECT EVENT_NAME AS name, 'EVENT' AS kind FROM information_schema.EVENTS
        WHERE EVENT_SCHEMA = ${schema}`,
  ]);
  const description = described[0] ?? {};
  const names = [...views, ...routines, ...events].map((row) => {
    return { name: textOf(row, 'name'), kind: textOf(row, 'kind').toUpperCase() };
  });
  const bytesMax = Math.min(numberOf(description, 'packet') * PARTS_OF_PACKET, PARTS_BYTES_MAX);
  const parts: SchemaPart[] = [];
  let bytes = 0;
  for (const [index, { name, kind }] of names.entries()) {
    const isTooMuch = index >= PARTS_MAX;
    const found = isTooMuch ? null : await show(pool, { schema, name, kind });
    const size = Buffer.byteLength(found?.statement ?? '');
    const isKept = bytes + size <= bytesMax;
    if (isKept) bytes += size;
    parts.push({ name, kind, statement: null, ...(isKept ? found : null) });
  }
  return {
    charset: textOf(description, 'DEFAULT_CHARACTER_SET_NAME'),
    collation: textOf(description, 'DEFAULT_COLLATION_NAME'),
    comment: 'SCHEMA_COMMENT' in description ? textOrNullOf(description, 'SCHEMA_COMMENT') : null,
    statement: textOf(shown[0] ?? {}, 'Create Database'),
    parts,
  };
}

/** SHOW CREATE of each kind, and the column of its answer that has the text. */
const SHOWN: Readonly<Record<string, readonly [SQLQuery, string]>> = {
  VIEW: [sql`VIEW`, 'Create View'],
  PROCEDURE: [sql`PROCEDURE`, 'Create Procedure'],
  FUNCTION: [sql`FUNCTION`, 'Create Function'],
  EVENT: [sql`EVENT`, 'Create Event'],
  PACKAGE: [sql`PACKAGE`, 'Create Package'],
  'PACKAGE BODY': [sql`PACKAGE BODY`, 'Create Package Body'],
};

/** Null where it can't be read: it is gone, it is broken, or the account may not. */
async function show(
  pool: ServicePool,
  { schema, name, kind }: { readonly schema: string; readonly name: string; readonly kind: string },
): Promise<Pick<SchemaPart, 'statement' | 'sqlMode'> | null> {
  const [what, column] = SHOWN[kind] ?? [null, ''];
  if (what === null) return null;
  try {
    const [rows = []] = await pool.run(sql`SHOW CREATE ${what} ${ident(schema, name)}`);
    const row: Row = rows[0] ?? {};
    const statement = column in row ? textOrNullOf(row, column) : null;
    const sqlMode = 'sql_mode' in row ? textOrNullOf(row, 'sql_mode') : null;
    return { statement, ...(sqlMode === null ? {} : { sqlMode }) };
  } catch (error) {
    // The drop fails because of a lock, and can be said again.
    if (isServerError(error) && !isServerError(error, ...LOCK_NOT_GRANTED)) return null;
    throw error;
  }
}
