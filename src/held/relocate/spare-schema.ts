/**
 * Which spare schemas may take a held table whose CHECK has a name that is taken in the first one.
 *
 * Invariant: a schema with tables that aren't held ones is somebody's own, whatever its name: it is
 * passed over, so that nobody who drops it takes our tables along.
 */

import { shapeOf } from '../../ledger/write.js';
import { spareSchemasFor } from '../../names/recycle-schema.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { textOf } from '../../service/row.js';
import { note, sql } from '../../service/sql.js';

/** MySQL 8.0.16. */
const NAMED_BY_SCHEMA = 80_016;

export interface SpareSchema {
  readonly schema: string;
  readonly exists: boolean;
}

/**
 * In the order of their numbers. Only a hint, as others move tables too: a RENAME says what is so.
 * Null where the table has no CHECK whose name is one of its schema.
 */
export async function findSpareSchemas(
  pool: ServicePool,
  table: { readonly id: string; readonly fromSchema: string; readonly holdName: string },
  { logged }: { readonly logged: boolean },
): Promise<readonly SpareSchema[] | null> {
  const { flavour, versionId } = await shapeOf(pool);
  if (flavour !== 'mysql' || versionId < NAMED_BY_SCHEMA) return null;
  const schemas = spareSchemasFor(logged);
  const ours = sql.join(
    schemas.map((schema) => sql`${schema}`),
    ', ',
  );
  const own = sql`SELECT CONSTRAINT_NAME FROM information_schema.TABLE_CONSTRAINTS
    WHERE TABLE_SCHEMA = ${table.fromSchema} AND TABLE_NAME = ${table.holdName}
      AND CONSTRAINT_TYPE = 'CHECK'
      AND CONSTRAINT_NAME NOT LIKE ${`${table.holdName.replaceAll('_', '\\_')}\\_chk\\_%`}`;
  const [existing = [], foreign = [], taken = [], named = []] = await pool.run([
    sql`SELECT ${note('spare', table.id)} SCHEMA_NAME AS name FROM information_schema.SCHEMATA
        WHERE SCHEMA_NAME IN (${ours})`,
    sql`SELECT DISTINCT TABLE_SCHEMA AS name FROM information_schema.TABLES
        WHERE TABLE_SCHEMA IN (${ours}) AND TABLE_NAME NOT LIKE '\\_vt\\_%'`,
    sql`SELECT DISTINCT CONSTRAINT_SCHEMA AS name FROM information_schema.CHECK_CONSTRAINTS
        WHERE CONSTRAINT_SCHEMA IN (${ours}) AND CONSTRAINT_NAME IN (${own})`,
    sql`${own} LIMIT 1`,
  ]);
  if (named.length === 0) return null;
  const there = new Set(existing.map((row) => textOf(row, 'name')));
  const closed = new Set([...foreign, ...taken].map((row) => textOf(row, 'name')));
  return schemas
    .filter((schema) => !closed.has(schema))
    .map((schema) => ({ schema, exists: there.has(schema) }));
}
