/**
 * Views and programs that a DROP DATABASE took along before it failed: MySQL before 8 and MariaDB
 * drop them first, and what stands in their way later (1010, a stray file) doesn't bring them back.
 */
import type { SchemaDetails, SchemaPart } from '../ledger/schema-details.js';
import type { ServicePool } from '../service/pools.js';
import { textOf } from '../service/row.js';
import { note, sql } from '../service/sql.js';

/** Of those that were seen before what isn't there any more. */
export async function lostParts(
  pool: ServicePool,
  schema: string,
  { parts }: Pick<SchemaDetails, 'parts'>,
): Promise<readonly SchemaPart[]> {
  if (parts.length === 0) return [];
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look')} TABLE_NAME AS name, 'VIEW' AS kind FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = ${schema} AND TABLE_TYPE = 'VIEW'
      UNION ALL SELECT ROUTINE_NAME, ROUTINE_TYPE FROM information_schema.ROUTINES
        WHERE ROUTINE_SCHEMA = ${schema}
      UNION ALL SELECT EVENT_NAME, 'EVENT' FROM information_schema.EVENTS
        WHERE EVENT_SCHEMA = ${schema}`,
  );
  const keyOf = (kind: string, name: string) => `${kind.toUpperCase()} ${name}`;
  const there = new Set(rows.map((row) => keyOf(textOf(row, 'kind'), textOf(row, 'name'))));
  return parts.filter(({ kind, name }) => !there.has(keyOf(kind, name)));
}
