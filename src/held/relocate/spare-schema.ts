/**
 * Finds spare schemas for a held table, if the name of one of its CHECKs is taken in the recycle
 * schema.
 *
 * Invariant: a schema with tables that aren't held ones is somebody's own, whatever its name: it is
 * passed over, so that nobody who drops it takes our tables along.
 */

import { shapeOf } from '../../ledger/write.js';
import { spareSchemasFor } from '../../names/names.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { note, sql, textOf } from '../../service/sql.js';

/** MySQL 8.0.16. */
const NAMED_BY_SCHEMA = 80_016;

/** Another session may create a schema, or move a CHECK of that name into it, at the same time. */
const SPARES_MAX = 3;

/**
 * Some to be tried in this order: the first that is free, then others that sessions at once don't
 * all have in common. Other sessions move tables too, so only a RENAME tells whether one takes the
 * table. Null if the table has no CHECK whose name is unique in its schema.
 */
export async function findSpareSchemas(
  pool: ServicePool,
  table: { readonly id: string; readonly fromSchema: string; readonly holdName: string },
  { logged }: { readonly logged: boolean },
): Promise<readonly { readonly schema: string; readonly exists: boolean }[] | null> {
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
  const [first, ...others] = schemas.filter((schema) => !closed.has(schema));
  if (first === undefined) return [];
  const at = others.length === 0 ? 0 : Number.parseInt(table.id.slice(-6), 16) % others.length;
  const inOrder = [first, ...others.slice(at), ...others.slice(0, at)].slice(0, SPARES_MAX + 1);
  return inOrder.map((schema) => ({ schema, exists: there.has(schema) }));
}
