/** What of a schema is held, as `undrop list` has it, and how many rows each table has. */
import { silentLog } from '../../src/log.js';
import { openServicePool } from '../../src/service/pools.js';
import { listHeld } from '../../src/undo/list.js';
import { query, type Target } from './servers.js';

/** Under the name that it was dropped by, with the schema that it is in now. */
interface CountedTable {
  readonly schema: string;
  readonly table: string;
  readonly rows: number;
  readonly heldIn: string;
}

/** Of the schemas that `isWanted` takes; rows are counted, not estimated. */
export async function heldTables(
  { host, port, user, password }: Target,
  isWanted: (schema: string) => boolean,
): Promise<readonly CountedTable[]> {
  const address = { host, port };
  const pool = openServicePool({ address, user, password, connectionsMax: 2, log: silentLog });
  const held = await listHeld(pool);
  await pool.dispose();
  const counts = held.map(async ({ origin, holdSchema, holdName }) => {
    if (origin === null || !isWanted(origin.schema)) return [];
    const text = `SELECT COUNT(*) AS n FROM \`${holdSchema}\`.\`${holdName}\``;
    const [row] = await query<{ n: number }>({ host, port, user, password }, text);
    return [{ ...origin, rows: row?.n ?? -1, heldIn: holdSchema }];
  });
  return (await Promise.all(counts)).flat();
}

/** Rows by the name under which a table was dropped; counted, not estimated. */
export async function heldRows(
  target: Target,
  schema: string,
): Promise<Readonly<Record<string, number>>> {
  const held = await heldTables(target, (one) => one === schema);
  return Object.fromEntries(held.map(({ table, rows }) => [table, rows]));
}
