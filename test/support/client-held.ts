/** What of a schema is held, as `undrop list` has it, and how many rows each table has. */
import { silentLog } from '../../src/log.js';
import { openServicePool } from '../../src/service/pools.js';
import { listHeld } from '../../src/undo/list.js';
import { query, type Target } from './servers.js';

/** Rows by the name under which a table was dropped; counted, not estimated. */
export async function heldRows(
  { host, port, user, password }: Target,
  schema: string,
): Promise<Readonly<Record<string, number>>> {
  const address = { host, port };
  const pool = openServicePool({ address, user, password, connectionsMax: 2, log: silentLog });
  const held = (await listHeld(pool)).filter(({ origin }) => origin?.schema === schema);
  await pool.dispose();
  const counts = held.map(async ({ origin, holdSchema, holdName }) => {
    const text = `SELECT COUNT(*) AS n FROM \`${holdSchema}\`.\`${holdName}\``;
    const [row] = await query<{ n: number }>({ host, port, user, password }, text);
    return [origin?.table ?? '', row?.n ?? -1] as const;
  });
  return Object.fromEntries(await Promise.all(counts));
}
