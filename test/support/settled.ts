/** Behind a drop: what it meant to do has been done, or forgotten. */
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { until } from './poll.js';

/** The ledger has no intent of tables in these schemas any more. */
export async function intentsSettled(
  connection: Connection,
  schemas: readonly string[],
  withinMs?: number,
): Promise<void> {
  const isSettled = async () => {
    const [rows] = await connection.query<RowDataPacket[]>(
      "SELECT id FROM _undrop.ledger WHERE schema_name IN (?) AND state = 'intent'",
      [schemas],
    );
    return rows.length === 0;
  };
  await until(isSettled, 'no intent is left', withinMs);
}
