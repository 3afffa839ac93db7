/** The schemas that a service account may be for: those of users. */
import { foldName } from '../names/names.js';
import type { ServicePool } from '../service/pool/pools.js';
import { textOf } from '../service/row.js';
import { readServerFacts } from '../service/server-facts.js';
import { note, sql } from '../service/sql.js';

export const OF_SERVERS = ['mysql', 'sys', 'information_schema', 'performance_schema'];

/** Neither the server's own, nor undrop's. */
export function isOfUsers(schema: string): boolean {
  const name = schema.toLowerCase();
  return !OF_SERVERS.includes(name) && !name.startsWith('_undrop');
}

/** Those of users that the account sees: where it has no rights, it may see none. */
export async function readSchemas(pool: ServicePool): Promise<readonly string[]> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look')} SCHEMA_NAME AS name FROM information_schema.SCHEMATA
        ORDER BY SCHEMA_NAME`,
  );
  return rows.map((row) => textOf(row, 'name')).filter(isOfUsers);
}

/** Those of `wanted` that aren't in `found`, by the server's rules on upper and lower case. */
export async function missingSchemas(
  pool: ServicePool,
  wanted: readonly string[],
  found: readonly string[],
): Promise<readonly string[]> {
  if (wanted.length === 0) return [];
  const { lowerCaseTableNames } = await readServerFacts(pool);
  const keyOf = (name: string) => (lowerCaseTableNames === 0 ? name : foldName(name));
  const there = new Set(found.map(keyOf));
  return wanted.filter((name) => !there.has(keyOf(name)));
}
