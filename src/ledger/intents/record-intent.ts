/**
 * Records the intent of a drop while the client waits: one INSERT, so the rows of one statement (of
 * hundreds of tables: of each part) are one transaction, and a missing table costs no row.
 *
 * Invariant: without the rows of a statement no RENAME of it follows.
 */

import { systemClock } from '../../clock.js';
import { isPrivilegeDenied, unlessRefused } from '../../connections/errors.js';
import type { ListedServer, ServicePool, SQLQuery } from '../../connections/sql.js';
import { note, sql, valueList, WAITS_FOR_LOCK } from '../../connections/sql.js';
import { assert } from '../../errors.js';
import { inBatches } from '../../names/names.js';
import { INTENT_TRIES } from '../../tries.js';
import * as ledger from '../tables.js';
import type { DropIntent, IntentFacts } from '../write.js';
import { forgetIntents, forgetShape, shapeOf } from '../write.js';
import * as texts from './intent-text.js';
import { withLockHolders } from './session-locks.js';

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
    const parts: IntentFacts[] = [];
    for (const tables of inBatches(intent.tables, TABLES_OF_PART)) {
      parts.push(await recordPart(pool, { ...intent, tables }));
    }
    const [facts] = parts;
    assert(facts !== undefined, 'an intent has a table');
    return { ...facts, tables: parts.flatMap(({ tables }) => tables) };
  } catch (error) {
    throw ledger.ledgerUnavailable(await withLockHolders(pool, error));
  }
}

async function recordPart(pool: ServicePool, intent: DropIntent): Promise<IntentFacts> {
  let fresh = false;
  for (let tries = 1; ; tries++) {
    const rowLogged = intent.sqlLogBin !== false || !(await ledger.mayUnlog(pool));
    const server = await shapeOf(pool);
    const how = { deadlineMs: INTENT_DEADLINE_MS, fresh };
    const write = async () => {
      const areMany = intent.tables.length >= texts.TOGETHER_MIN;
      const find = () => pool.run(texts.findTogether(intent.tables), how);
      const [together = null] = areMany ? await find() : [];
      const options = { rowLogged, again: tries > 1, together };
      return pool.logging(rowLogged).run(texts.recordText(intent, server, options), how);
    };
    try {
      const answers = [write(), pool.run(texts.looksText(intent, server), how)];
      // After a failure none of them is running.
      await Promise.allSettled(answers);
      const [record = [], looks = []] = await Promise.all(answers);
      const facts = texts.readIntentFacts(intent, server, { record, looks });
      if (facts !== null) return facts;
      forgetShape(pool);
      if (tries === INTENT_TRIES) throw new Error('the server keeps changing its version');
    } catch (error) {
      forgetShape(pool);
      if (tries === INTENT_TRIES) throw error;
      fresh = isPrivilegeDenied(error);
      if (!fresh) await ledger.beforeNextTry(pool, error);
    }
  }
}

// ── the owner of intents ─────────────────────────────────────────────────────────────────────────
// A service connection owns intents while it renames for a user: then recovery skips them while
// that connection is in the processlist, even if the session of the user, or this process, has
// ended. An intent is taken over, or forgotten by recovery, never both: each is one statement that
// changes the row only as it was read.

/**
 * The beginning of a text of the new owner. It ends with 1242 (ER_SUBQUERY_NO_1_ROW) if one of the
 * intents no longer exists: then nothing may be renamed.
 */
export function takeOverText(
  ids: readonly string[],
  ownerId: number,
  server: ListedServer,
): readonly SQLQuery[] {
  if (ids.length === 0) return [];
  return [
    ...ownerChange('take-over', ids, { ownerId, server }),
    // The driver lets the server count rows that it found, not those that it changed.
    sql`SET @undrop = IF(ROW_COUNT() = ${ids.length}, NULL, (SELECT 1 UNION SELECT 2))`,
  ];
}

/** The end of its text, after the RENAME, or a text after a failure: the user's session goes on. */
export function releaseText(
  ids: readonly string[],
  sessionId: number,
  server: ListedServer,
): readonly SQLQuery[] {
  return ids.length === 0 ? [] : ownerChange('release', ids, { ownerId: sessionId, server });
}

function ownerChange(
  step: 'take-over' | 'release',
  ids: readonly string[],
  { ownerId, server }: { readonly ownerId: number; readonly server: ListedServer },
): readonly SQLQuery[] {
  return [
    sql`SET ${ledger.hostOfSession(server, ownerId)}`,
    sql`UPDATE ${note(step, ids[0])} ${ledger.LEDGER} SET thread_id = ${ownerId},
          upstream_port = ${ledger.PORT_OF_HOST}
        WHERE state = 'intent' AND id IN (${valueList(ids)})`,
  ];
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
export async function forgetUnanswered(pool: ServicePool, ids: readonly string[]): Promise<void> {
  const [id = ''] = ids;
  for (let looks = 1; await isIntentRunning(pool, id); looks++) {
    if (looks === LOOKS_MAX) throw new Error('an intent that was given up is still being written');
    await systemClock.sleep(CHECK_EVERY_MS);
  }
  await forgetIntents(pool, ids);
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
