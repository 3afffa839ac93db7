/**
 * `pruneLedger` deletes ledger rows long after the end of their table, and then their history;
 * `keepLedger` also creates a ledger that was lost.
 *
 * Invariants: only rows of ended tables go. A row that is in the binary log is deleted in
 * it, any other outside of it. The row of a dropped schema, which has its views and programs,
 * outlasts all its tables.
 */

import { isServerError, unlessRefused } from '../connections/errors.js';
import type { ServiceConnection, ServicePool, SQLQuery } from '../connections/sql.js';
import { note, sql } from '../connections/sql.js';
import { UndropError } from '../errors.js';
import { ensureLedger, HISTORY, LEDGER } from '../ledger/tables.js';
import type { Log } from '../log.js';
import * as ER from '../wire/server-errors.js';
import type { ActionContext } from './action-context.js';

/** The maximum of rows, logged or not, that one round deletes; the next continues. */
const ROWS_MAX = 1_000;

const ENDED = sql`state IN ('restored', 'removed', 'gone')`;
/** Materialized: a server can't delete from a table that it reads. */
const OPEN_GROUPS = sql`SELECT group_id FROM (SELECT DISTINCT group_id FROM ${LEDGER}
  WHERE NOT (${ENDED})) AS open`;

/**
 * Deletes ended rows whose time is over, by a clock that was found to be right; creates a lost
 * ledger again, because without one every drop is refused. The lifecycle itself needs no ledger.
 */
export async function keepLedger(
  connection: ServicePool,
  { log, settings }: Pick<ActionContext, 'log' | 'settings'>,
): Promise<void> {
  try {
    await pruneLedger(connection, settings.ledgerKeepMs);
  } catch (error) {
    log.warn(
      { event: 'collector', err: error },
      'cannot delete old rows of the ledger; will try again',
    );
    if (isServerError(error, ...ER.ABSENT_TABLE)) await makeLedger(connection, log);
  }
}

async function makeLedger(connection: ServicePool, log: Log): Promise<void> {
  try {
    await ensureLedger(connection);
    log.warn({ event: 'collector' }, 'created an empty ledger, because it was missing');
  } catch (error) {
    if (!(error instanceof UndropError) || error.code !== 'UNDROP_LEDGER_UNAVAILABLE') throw error;
    log.error({ event: 'collector', err: error }, 'cannot create the missing ledger');
  }
}

/** Deletes rows that ended more than `keepMs` ago, by the server's clock. */
async function pruneLedger(connection: ServiceConnection, keepMs: number): Promise<void> {
  const since = sql`UTC_TIMESTAMP() - INTERVAL ${Math.ceil(keepMs / 1000)} SECOND`;
  for (const logged of [true, false]) {
    const old = sql`${LEDGER} WHERE row_logged = ${logged} AND ${ENDED} AND ended_at < ${since}
      AND (kind <> 'schema' OR group_id NOT IN (${OPEN_GROUPS}))`;
    const inLog = connection.logging(logged);
    await prune(inLog, old, sql`id`);
    // History stays as long as the ledger has a row of its table.
    const history = sql`${HISTORY} WHERE row_logged = ${logged} AND at < ${since}
      AND NOT EXISTS (SELECT 1 FROM ${LEDGER} WHERE ${LEDGER}.id = ${HISTORY}.id)`;
    await unlessRefused(prune(inLog, history, sql`seq`), undefined, ...ER.ABSENT_TABLE);
  }
}

/**
 * Reads first, because also a DELETE that finds nothing may be written to the binary log.
 */
async function prune(
  connection: ServiceConnection,
  rows: SQLQuery,
  order: SQLQuery,
): Promise<void> {
  const [found] = await connection.run(sql`SELECT ${note('prune')} 1 AS one FROM ${rows} LIMIT 1`);
  if (found?.length === 0) return;
  const pruned = connection.run(
    sql`DELETE ${note('prune')} FROM ${rows} ORDER BY ${order} LIMIT ${ROWS_MAX}`,
  );
  // The account had the privilege when an unlogged row was written, but may have lost it.
  await unlessRefused(pruned, [], ER.SPECIFIC_ACCESS_DENIED_ERROR);
}
