/** Where a table with a hold name is now, and as what: a fresh look, names as constants. */
import type { ServiceConnection } from '../../service/pool/pools.js';
import { textOf } from '../../service/row.js';
import { note, sql } from '../../service/sql.js';

export interface Whereabouts {
  readonly schema: string;
  readonly name: string;
  readonly isView: boolean;
}

/** Every one of `schemas` in which there is a table or view of that name. */
export async function locateHoldTable(
  connection: ServiceConnection,
  schemas: readonly string[],
  name: string,
): Promise<readonly Whereabouts[]> {
  const answers = await connection.run(
    schemas.map(
      (schema) => sql`SELECT ${note('whereabouts')} TABLE_SCHEMA AS schemaName,
          TABLE_NAME AS tableName, TABLE_TYPE AS type
        FROM information_schema.TABLES WHERE TABLE_SCHEMA = ${schema} AND TABLE_NAME = ${name}`,
    ),
  );
  return answers.flat().map((row) => ({
    schema: textOf(row, 'schemaName'),
    name: textOf(row, 'tableName'),
    isView: textOf(row, 'type') === 'VIEW',
  }));
}
