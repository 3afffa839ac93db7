/** What a table is made of now: its definition and its foreign keys, in one round trip. */
import type { ForeignKey } from '../../ledger/detached/detached.js';
import { isServerError, type ServiceConnection } from '../../service/pool/pools.js';
import { textOf } from '../../service/row.js';
import { ident, note, sql } from '../../service/sql.js';
import { ABSENT_TABLE } from '../../wire/server-errors.js';
import { readForeignKeys } from './read-definition.js';

export interface TableDefinition {
  readonly definition: string;
  /** Null: there are some that the definition doesn't say in words that are understood. */
  readonly keys: readonly ForeignKey[] | null;
}

/** `missing` only where the server itself says so; `view` for whatever is no table. */
export async function readTable(
  pool: ServiceConnection,
  { id, schema, table }: { readonly id: string; readonly schema: string; readonly table: string },
): Promise<TableDefinition | 'missing' | 'view'> {
  try {
    const [shown = [], named = []] = await pool.run([
      sql`SHOW CREATE TABLE ${note('look', id)} ${ident(schema, table)}`,
      sql`SELECT CONSTRAINT_NAME AS name FROM information_schema.TABLE_CONSTRAINTS
        WHERE CONSTRAINT_SCHEMA = ${schema} AND TABLE_SCHEMA = ${schema} AND TABLE_NAME = ${table}
          AND CONSTRAINT_TYPE = 'FOREIGN KEY'`,
    ]);
    const [row] = shown;
    if (row?.['Create Table'] === undefined) return 'view';
    const definition = textOf(row, 'Create Table');
    const names = named.map((found) => textOf(found, 'name'));
    return { definition, keys: readForeignKeys(definition, schema, names) };
  } catch (error) {
    if (isServerError(error, ...ABSENT_TABLE)) return 'missing';
    throw error;
  }
}
