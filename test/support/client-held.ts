/** What of a schema is held, as `undrop list` has it, and how many rows each table has. */
import { listAll } from '../../src/recycle/held-tables.js';
import { query, type Target } from './servers.js';
import { poolOn } from './service-pool.js';

/**
 * Of the schemas that `isWanted` takes, oldest drop first, under the names that they were dropped
 * by, with the schemas that they are in now; rows are counted, not estimated.
 */
export async function heldTables(target: Target, isWanted: (schema: string) => boolean) {
  const pool = poolOn(target, 2);
  const held = await listAll(pool).finally(() => pool.dispose());
  // Ids begin with the time of the drop.
  const inOrder = held.toSorted((one, other) => (one.id < other.id ? -1 : 1));
  const counts = inOrder.map(async ({ origin, holdSchema, holdName }) => {
    if (origin === null || !isWanted(origin.schema)) return [];
    const text = `SELECT COUNT(*) AS n FROM \`${holdSchema}\`.\`${holdName}\``;
    const [row] = await query<{ n: number }>(target, text);
    return [{ ...origin, rows: row?.n ?? -1, heldIn: holdSchema }];
  });
  return (await Promise.all(counts)).flat();
}

/** Rows by the name under which a table was dropped; counted, not estimated. */
export async function heldRows(target: Target, schema: string) {
  const held = await heldTables(target, (one) => one === schema);
  return Object.fromEntries(held.map(({ table, rows }) => [table, rows]));
}
