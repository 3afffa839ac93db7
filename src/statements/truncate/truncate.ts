/**
 * Runs a TRUNCATE, from top to bottom. The user session says whether it may drop the table and
 * waits for the metadata lock; the service account records an intent, makes an empty copy, and
 * renames: the table goes to its hold name, and the copy takes its name in the same atomic
 * statement (swap.ts).
 *
 * Invariants: nothing that goes to the user session empties a base table. A table is renamed only
 * if its intent is in the ledger and a copy is there for it; OK is said only after that.
 */
import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import { lookAtOneTable, type OneTable, wrongSetting } from '../../steps/first-look.js';
import { refusalBeforeLooking } from '../../steps/preconditions.js';
import { ask, perform, query, type Steps } from '../../steps/procedure.js';
import { type Answer, answerWith, type Reply, refuse, sentenceStart } from '../../steps/refuse.js';
import { SERVICE_TRIES_MAX, takeByService } from '../../steps/rename/take-by-service.js';
import type { Beginning } from '../../steps/run.js';
import { ownLockSql, truncateOwnSql, turnSql } from '../../steps/session/user-session-sql.js';
import { clean, raise } from '../../steps/session-answers.js';
import { decodeErr } from '../../wire/response.js';
import {
  ABSENT_TABLE,
  ER_BAD_DB_ERROR,
  ER_TABLE_NOT_LOCKED,
  METADATA_LOCK_GRANTED,
} from '../../wire/server-errors.js';
import { notServed, notTruncated, objectionToTruncate, sayMissing, VERSIONED } from './refusals.js';
import type { SwapService } from './service.js';
import { Swap, type Swapped } from './swap.js';

type End = Answer | 'held' | 'changed';
type Tried = End | 'busy' | 'timeout';

/** In these schemas the server empties what it counts itself, or nothing. */
const OF_THE_SERVER: readonly string[] = ['performance_schema', 'information_schema'];

/** The procedure, with what the service account does for it. */
export function truncate(service: SwapService): (beginning: Beginning) => Steps<Reply> {
  return function* (beginning) {
    const table = yield* lookAtOneTable(beginning);
    if ('kind' in table) return table;
    const { seenAs, schema } = table;
    const isOfServer = OF_THE_SERVER.includes(schema.toLowerCase());
    if (seenAs === 'temporary' || isOfServer) return yield* truncateNatively(table);
    const under = wrongSetting(table);
    if (under !== null) return refuse(notTruncated(table, under));
    const swap = new Swap(table, service);
    let isLocked = false;
    const end = yield* takeByService<End>(table.request, {
      *wait() {
        const turn = yield* waitForTurn(table);
        isLocked = turn === 'locked';
        return typeof turn === 'string' ? null : turn;
      },
      take: (killAfterMs) => tryToSwap(table, swap, { isLocked, killAfterMs }),
    });
    return yield* replyTo(table, swap, end);
  };
}

/** What is emptied is no base table of a user. */
function* truncateNatively({ name, request }: OneTable): Steps<Answer> {
  const [said] = yield* ask(truncateOwnSql(name, request));
  assert(said !== undefined, 'TRUNCATE has an answer');
  return answerWith(said);
}

/** Waits for the table as long as the session's own settings say. */
function* waitForTurn(table: OneTable): Steps<Answer | 'free' | 'locked'> {
  const { name, request, seenAs } = table;
  const [own, turn] = yield* perform('user', {
    commands: [
      { kind: 'prepare', text: ownLockSql(name, request) },
      query(turnSql(name, { ...request, wait: null })),
    ],
    renames: false,
  });
  assert(turn?.kind === 'err', 'there is no such partition');
  if (turn.errno === ER_BAD_DB_ERROR) return yield* raise(request, sayMissing(table));
  if (!METADATA_LOCK_GRANTED.includes(turn.errno)) return answerWith(turn);
  if (seenAs === 'view') return yield* raise(request, sayMissing(table));
  return own?.kind === 'err' && own.errno === ER_TABLE_NOT_LOCKED ? 'locked' : 'free';
}

/** One look by the service, and after it one RENAME. */
function* tryToSwap(
  table: OneTable,
  swap: Swap,
  { isLocked, killAfterMs }: { readonly isLocked: boolean; readonly killAfterMs: number },
): Steps<Tried> {
  const { request, facts, name } = table;
  const targets = [{ schema: table.schema, table: table.table }];
  const recorded = yield* perform('recordTargets', { facts, targets });
  const { intent, intentError, rulings } = recorded;
  if (intent === null) return refuse(intentError);
  const look = { judge: null, kinds: ['base' as const], names: [name], rulings };
  const refusal = refusalBeforeLooking(request, look, intent, facts);
  if (refusal !== null) return refuse(refusal);
  const [seen] = intent.tables;
  if (seen?.kind === 'view') return yield* raise(request, sayMissing(table));
  // It went while it was looked at.
  if (seen === undefined || seen.holdUntil === null || seen.engine === null) return 'busy';
  const { hasBackupLock, utcNow } = intent;
  const { checksForeignKeys } = facts;
  const context = { checksForeignKeys, hasBackupLock, isLocked, server: request.server };
  const why = yield* objectionToTruncate(seen, context, swap.service);
  if (why instanceof UndropError) return refuse(why);
  if (why !== null) return yield* raise(request, why);
  return yield* read(table, yield* swap.run(seen, { utcNow, killAfterMs }), swap);
}

function* read(table: OneTable, swapped: Swapped, { held }: Swap): Steps<Tried> {
  const tables = sentenceStart(table.request);
  switch (swapped.kind) {
    case 'held':
      return 'held';
    case 'altered':
      // The next copy is made like the table that is held; a second ALTER can't be followed.
      return held.length === 1 ? 'busy' : 'changed';
    case 'gone':
      return 'busy';
    case 'busy':
      return swapped.isTimeout === true ? 'timeout' : 'busy';
    case 'none':
      if (swapped.why === 'versioned') return yield* raise(table.request, VERSIONED);
      return refuse(notTruncated(table, `and ${swapped.why}`));
    case 'denied':
      return refuse(new UndropError('UNDROP_PRIVILEGES', { tables, cause: swapped.cause }));
    case 'unserved':
      return refuse(notServed(table, swapped.cause));
    case 'failed':
      return refuse(new UndropError('UNDROP_HOLD_FAILED', { tables, cause: swapped.cause }));
  }
}

function* replyTo(
  { request, facts: { logged }, schema, table }: OneTable,
  { held }: Swap,
  end: End,
): Steps<Answer> {
  if (end === 'held') return { ...answerWith(yield* clean(request)), held };
  if (held.length === 0) {
    if (end !== 'changed') return end;
    const params = { tables: sentenceStart(request), times: SERVICE_TRIES_MAX };
    return refuse(new UndropError('UNDROP_CHANGED_MEANWHILE', params));
  }
  // What was emptied has been dropped since, with the ALTER that it lacked.
  if (end !== 'changed' && saysGone(end)) return { ...answerWith(yield* clean(request)), held };
  const kept = yield* perform('keepLonger', { held, logged });
  const places = kept.map(({ holdSchema, holdName }) => `${holdSchema}.${holdName}`).join(', ');
  const tables = `Table ${schema}.${table} was emptied and lacks an ALTER TABLE of another session, which is held with the rows as ${places}; what came since was`;
  const params = { tables, times: kept.length };
  return { ...refuse(new UndropError('UNDROP_CHANGED_MEANWHILE', params)), held: kept };
}

function saysGone({ refusal, payload }: Answer): boolean {
  return refusal === null && ABSENT_TABLE.includes(decodeErr(payload).errno);
}
