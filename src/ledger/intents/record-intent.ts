/**
 * Records the intent of a drop while the client waits: one text, one INSERT, so the rows of one
 * statement (of hundreds of tables: of each part) are one transaction, and a missing table costs no
 * row.
 *
 * Invariant: without the rows of a statement no RENAME of it follows.
 */
import { assert } from '../../assert.js';
import { systemClock } from '../../clock.js';
import { inBatches } from '../../names/names.js';
import { isPrivilegeDenied, unlessRefused } from '../../service/errors.js';
import type { ServiceConnection, ServicePool, TaskConnection } from '../../service/pool/pools.js';
import { WAITS_FOR_LOCK } from '../../service/pool/statement-timeout.js';
import {
  note,
  numberOf,
  numberOrNullOf,
  processlistOf,
  type SQLQuery,
  sql,
  valueList,
} from '../../service/sql.js';
import { INTENT_TRIES } from '../../tries.js';
import type { LedgerRow } from '../entry.js';
import { beforeNextTry, LEDGER, ledgerUnavailable, mayUnlog, PORT_OF_HOST } from '../tables.js';
import {
  type DropIntent,
  forgetIntents,
  forgetShape,
  type IntentFacts,
  shapeOf,
} from '../write.js';
import { intentText, readIntentFacts } from './intent-text.js';

/** The client is waiting. */
const INTENT_DEADLINE_MS = 5_000;
/** The number of tables in one text, which has to fit max_allowed_packet and the deadline. */
const TABLES_OF_PART = 50;

/**
 * Rejects with UNDROP_LEDGER_UNAVAILABLE; then no RENAME may follow. Rows that were written
 * nevertheless, because the response was lost, are intents whose RENAME didn't happen: recovery
 * forgets them.
 */
export async function recordIntent(pool: ServicePool, intent: DropIntent): Promise<IntentFacts> {
  try {
    const [first, ...more] = inBatches(intent.tables, TABLES_OF_PART);
    assert(first !== undefined, 'an intent has a table');
    const facts = await recordPart(pool, { ...intent, tables: first });
    const tables = [...facts.tables];
    for (const part of more) {
      tables.push(...(await recordPart(pool, { ...intent, tables: part })).tables);
    }
    return { ...facts, tables };
  } catch (error) {
    throw ledgerUnavailable(error);
  }
}

async function recordPart(pool: ServicePool, intent: DropIntent): Promise<IntentFacts> {
  let fresh = false;
  for (let tries = 1; ; tries++) {
    const rowLogged = intent.sqlLogBin !== false || !(await mayUnlog(pool));
    const server = await shapeOf(pool);
    const statements = intentText(intent, server, { rowLogged, again: tries > 1 });
    try {
      const how = { deadlineMs: INTENT_DEADLINE_MS, logged: rowLogged, fresh };
      const facts = readIntentFacts(intent, server, await pool.run(statements, how));
      if (facts !== null) return facts;
      forgetShape(pool);
      if (tries === INTENT_TRIES) throw new Error('the server keeps changing its version');
    } catch (error) {
      forgetShape(pool);
      if (tries === INTENT_TRIES) throw error;
      fresh = isPrivilegeDenied(error);
      if (!fresh) await beforeNextTry(pool, error);
    }
  }
}

// ── the owner of intents ─────────────────────────────────────────────────────────────────────────
// A service connection owns intents while it renames for a user: then recovery skips them while
// that connection is in the processlist, even if the session of the user, or this process, has
// ended. An intent is taken over, or forgotten by recovery, never both: each is one statement that
// changes the row only as it was read.

/** The user's session, as recorded in the intents. */
export type Owner = Pick<LedgerRow, 'threadId' | 'upstreamPort'>;

export interface IntentSet {
  readonly ids: readonly string[];
  readonly rowLogged: boolean;
}

/** Null if one of the intents no longer exists: then nothing may be renamed. */
export async function takeOver(
  connection: TaskConnection,
  { ids, rowLogged }: IntentSet,
  server: Parameters<typeof processlistOf>[0],
): Promise<Owner | null> {
  const [, rows = [], changed] = await connection.run(
    [
      sql`SET @undrop_host = (SELECT ${note('owner')} HOST FROM ${processlistOf(server)}
            WHERE ID = ${connection.threadId})`,
      sql`SELECT thread_id, upstream_port FROM ${LEDGER} WHERE ${areIntents(ids)} LIMIT 1`,
      sql`UPDATE ${note('take-over', ids[0])} ${LEDGER} SET thread_id = ${connection.threadId},
            upstream_port = ${PORT_OF_HOST}
          WHERE ${areIntents(ids)}`,
    ],
    { logged: rowLogged },
  );
  const [row] = rows;
  if (row === undefined || changed?.affectedRows !== ids.length) return null;
  return {
    threadId: numberOf(row, 'thread_id'),
    upstreamPort: numberOrNullOf(row, 'upstream_port'),
  };
}

/** Call it when the RENAME is done, or can't happen; the user's session goes on. */
export async function releaseOwnership(
  connection: ServiceConnection,
  { ids, rowLogged }: IntentSet,
  { threadId, upstreamPort }: Owner,
): Promise<void> {
  await connection.run(
    sql`UPDATE ${note('release', ids[0])} ${LEDGER}
        SET thread_id = ${threadId}, upstream_port = ${upstreamPort} WHERE ${areIntents(ids)}`,
    { logged: rowLogged },
  );
}

function areIntents(ids: readonly string[]) {
  return sql`state = 'intent' AND id IN (${valueList(ids)})`;
}

// ── intents that wait ────────────────────────────────────────────────────────────────────────────
// An intent without a response. It may wait for a lock (FLUSH TABLES WITH READ LOCK, a backup),
// which only the server shows, because a slow statement need not wait for one. And it may have been
// given up: its statement runs until the KILL arrives, and may still write rows.

/** Longer than a lock of the service lasts, and its KILL. */
const LOOKS_MAX = 50;
const CHECK_EVERY_MS = 100;

/** `id`: the first of its tables. False if the server can't report it. */
export function isIntentWaiting(pool: ServicePool, id: string): Promise<boolean> {
  return unlessRefused(isIntentRunning(pool, id, sql` AND ${WAITS_FOR_LOCK}`), false);
}

/**
 * Deletes intents without a confirmed write, after the statement that writes them has ended.
 * Rejects if that doesn't end within some seconds either: then recovery forgets them.
 */
export async function forgetUnanswered(
  pool: ServicePool,
  ids: readonly string[],
  options: { readonly sqlLogBin: boolean },
): Promise<void> {
  const [id = ''] = ids;
  for (let looks = 1; await isIntentRunning(pool, id); looks++) {
    if (looks === LOOKS_MAX) throw new Error('an intent that was given up is still being written');
    await systemClock.sleep(CHECK_EVERY_MS);
  }
  await forgetIntents(pool, ids, options);
}

async function isIntentRunning(
  pool: ServicePool,
  id: string,
  how: SQLQuery = sql``,
): Promise<boolean> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('runs')} 1 FROM information_schema.PROCESSLIST
        WHERE ID <> CONNECTION_ID() AND INFO LIKE ${`%undrop intent ${id}%`}${how}`,
  );
  return rows.length > 0;
}
