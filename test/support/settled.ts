/** Behind a drop: what it meant to do has been done, or forgotten. */
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { until } from './poll.js';

/** The ledger has no intent of tables in these schemas any more. */
export async function intentsSettled(
  connection: Connection,
  schemas: readonly string[],
  withinMs?: number,
): Promise<void> {
  const isSettled = async () => (await countOf(connection, "state = 'intent'", schemas)) === 0;
  await until(isSettled, 'no intent is left', withinMs);
}

/**
 * All that is held of them has left its schema besides, free of keys and triggers: it may do so
 * only after the answer, as others, such as the server's purge, have locks as well.
 */
export async function relocationsSettled(
  connection: Connection,
  schemas: readonly string[],
  withinMs?: number,
): Promise<void> {
  const open = "(state = 'intent' OR state = 'HOLD' AND relocated = 0)";
  const isSettled = async () => (await countOf(connection, open, schemas)) === 0;
  await until(isSettled, 'all that is held is relocated', withinMs);
}

async function countOf(
  connection: Connection,
  condition: string,
  schemas: readonly string[],
): Promise<number> {
  const [rows] = await connection.query<RowDataPacket[]>(
    `SELECT id FROM _undrop.ledger WHERE schema_name IN (?) AND ${condition}`,
    [schemas],
  );
  return rows.length;
}
