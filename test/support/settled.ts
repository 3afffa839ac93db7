/** Behind a drop: what it meant to do has been done, or forgotten. */
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { until } from './poll.js';

/** The ledger has no intent of tables in these schemas any more. */
export const intentsSettled = settled("state = 'intent'", 'no intent is left');

/**
 * All that is held of them has left its schema besides, free of keys and triggers: it may do so
 * only after the answer, as others, such as the server's purge, have locks as well.
 */
export const relocationsSettled = settled(
  "(state = 'intent' OR state = 'HOLD' AND relocated = 0)",
  'all that is held is relocated',
);

function settled(open: string, what: string) {
  return (connection: Connection, schemas: readonly string[], withinMs?: number) => {
    let rows: RowDataPacket[] = [];
    const isSettled = async () => {
      [rows] = await connection.query<RowDataPacket[]>(
        `SELECT id, table_name, state, thread_id, state_since, todo, failure, UTC_TIMESTAMP()
         FROM _undrop.ledger WHERE schema_name IN (?) AND ${open}`,
        [schemas],
      );
      return rows.length === 0;
    };
    const told = (error: Error) => Promise.reject(new Error(error.message + JSON.stringify(rows)));
    return until(isSettled, what, withinMs).catch(told);
  };
}
