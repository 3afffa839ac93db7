/**
 * Records the intent of a drop while the client waits: one text, one INSERT, so the rows of one
 * statement (of hundreds of tables: of each part) are one transaction, and a missing table costs no
 * row.
 *
 * Invariant: without the rows of a statement no RENAME of it follows.
 */
import { assert } from '../../assert.js';
import { inBatches } from '../../names/names.js';
import { isPrivilegeDenied } from '../../service/errors.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { INTENT_TRIES } from '../../tries.js';
import { beforeNextTry, ledgerUnavailable, mayUnlog } from '../tables.js';
import { type DropIntent, forgetShape, type IntentFacts, shapeOf } from '../write.js';
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
