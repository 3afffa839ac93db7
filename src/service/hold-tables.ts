/**
 * Lists the tables that have a hold name, by schema. Names only: no table is opened for it, and one
 * schema is a constant in each statement, as 5.6 and MariaDB read every folder otherwise.
 */
import { type HoldName, parseHoldName } from '../names/hold-name.js';
import { isRecycleSchema } from '../names/recycle-schema.js';
import type { ServiceConnection } from './pool/pools.js';
import { textOf } from './row.js';
import { note, sql } from './sql.js';

export interface HoldTable extends HoldName {
  readonly schema: string;
  /** As the server stores it. */
  readonly name: string;
}

/** Names of 100,000 held tables are 6 MB. */
const LIST_DEADLINE_MS = 60_000;

/** Every held table in `schemas`, in their order, then by name; a missing schema has none. */
export function listHoldTables(
  connection: ServiceConnection,
  schemas: readonly string[],
): Promise<readonly HoldTable[]> {
  return list(connection, schemas, '\\_vt\\_%');
}

/**
 * Those of our own schemas that are there and that this account may see. Where a table may be on
 * its way into one of them, look where it comes from first: the schema may have been made for it.
 */
export async function readRecycleSchemas(
  connection: ServiceConnection,
): Promise<readonly string[]> {
  const [rows = []] = await connection.run(
    sql`SELECT ${note('list')} SCHEMA_NAME AS name FROM information_schema.SCHEMATA
        WHERE SCHEMA_NAME LIKE '\\_undrop%'`,
  );
  return rows.map((row) => textOf(row, 'name')).filter(isRecycleSchema);
}

/** Every held table in our own schemas. */
export async function listRecycledHoldTables(
  connection: ServiceConnection,
): Promise<readonly HoldTable[]> {
  return listHoldTables(connection, await readRecycleSchemas(connection));
}

/**
 * Those in `schemas` and those at home, in this order: what is moved home meanwhile is seen in one
 * place or the other. By id; of one that was seen in both, home is the later word.
 */
export async function mapHoldTables(
  connection: ServiceConnection,
  schemas: Iterable<string>,
): Promise<ReadonlyMap<string, HoldTable>> {
  const away = await listHoldTables(connection, [...schemas]);
  const home = await listRecycledHoldTables(connection);
  return new Map([...away, ...home].map((table) => [table.id, table]));
}

/** The same as `listHoldTables`, but only what has that id, in whatever state. */
export async function findHoldTables(
  connection: ServiceConnection,
  schemas: readonly string[],
  id: string,
): Promise<readonly HoldTable[]> {
  const tables = await list(connection, schemas, `\\_vt\\_%\\_${id}\\_%`);
  return tables.filter((table) => table.id === id);
}

async function list(
  connection: ServiceConnection,
  schemas: readonly string[],
  pattern: string,
): Promise<readonly HoldTable[]> {
  if (schemas.length === 0) return [];
  const answers = await connection.run(
    schemas.map(
      (schema) => sql`SELECT ${note('list')} TABLE_SCHEMA AS schemaName, TABLE_NAME AS name
        FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = ${schema} AND TABLE_NAME LIKE ${pattern}`,
    ),
    { deadlineMs: LIST_DEADLINE_MS },
  );
  return answers.flatMap((rows) =>
    rows
      .flatMap((row) => {
        const name = textOf(row, 'name');
        const parsed = parseHoldName(name);
        return parsed === null ? [] : [{ ...parsed, schema: textOf(row, 'schemaName'), name }];
      })
      .sort((one, other) => (one.name < other.name ? -1 : 1)),
  );
}
