/**
 * `pruneLedger` deletes ledger rows long after the end of their table.
 *
 * Invariants: only rows of ended tables go. A row that is in the binary log is deleted in it, any
 * other outside of it. The row of a dropped schema, which has its views and programs,
 * outlasts all its tables.
 */
import { LEDGER } from '../ledger/tables.js';
import { type ServiceConnection, unlessRefused } from '../service/pool/pools.js';
import { note, sql } from '../service/sql.js';
import { ER_SPECIFIC_ACCESS_DENIED_ERROR } from '../wire/server-errors.js';

/** The most rows, logged or not, that one round deletes; the next goes on. */
const ROWS_MAX = 1_000;

const ENDED = sql`state IN ('restored', 'removed', 'gone')`;
/** Materialized: a server deletes from no table that it reads. */
const OPEN_GROUPS = sql`SELECT group_id FROM (SELECT DISTINCT group_id FROM ${LEDGER}
  WHERE NOT (${ENDED})) AS open`;

/** Removes rows that ended more than `keepMs` ago, by the server's clock. */
export async function pruneLedger(connection: ServiceConnection, keepMs: number): Promise<void> {
  const keepSeconds = Math.ceil(keepMs / 1000);
  for (const logged of [true, false]) {
    const ended = sql`${ENDED} AND row_logged = ${logged}
      AND ended_at < UTC_TIMESTAMP() - INTERVAL ${keepSeconds} SECOND
      AND (kind <> 'schema' OR group_id NOT IN (${OPEN_GROUPS}))`;
    const [found] = await connection.run(
      sql`SELECT ${note('prune')} 1 AS one FROM ${LEDGER} WHERE ${ended} LIMIT 1`,
    );
    if (found?.length === 0) continue;
    const pruned = connection.run(
      sql`DELETE ${note('prune')} FROM ${LEDGER} WHERE ${ended} ORDER BY id LIMIT ${ROWS_MAX}`,
      { logged },
    );
    // The account was allowed once, when an unlogged row was written, and is not any more.
    await (logged ? pruned : unlessRefused(pruned, [], ER_SPECIFIC_ACCESS_DENIED_ERROR));
  }
}
