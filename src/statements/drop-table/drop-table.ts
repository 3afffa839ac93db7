/**
 * A DROP TABLE, from top to bottom: the server checks the text and the session reports the kind of
 * each name, while the service records the intents; base tables are renamed to their hold names,
 * the service moves them into the recycle schema, and the server reports on all other names.
 *
 * Invariants: no step destroys a base table. A "dropped" response is given only after the RENAME
 * was done.
 */
import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import { BLOCKED_BY_LOCK, blockerOfDrop } from '../../held/relocate/blockers.js';
import { inspectNames, refusalBeforeInspection, type Seen } from '../../steps/inspect-names.js';
import type { RecordedIntent } from '../../steps/intents.js';
import {
  type Answer,
  answerWith,
  ask,
  type HeldTable,
  namingOnly,
  perform,
  type Reply,
  refuse,
  type Steps,
  sentenceStart,
} from '../../steps/procedure.js';
import { notUnderstood } from '../../steps/refusals/refusals.js';
import type { Beginning } from '../../steps/run.js';
import { dropOwnTemporarySql } from '../../steps/session/user-session-sql.js';
import { askToDrop } from '../../steps/session-answers.js';
import { tellUndo } from '../../steps/undo-note.js';
import { type Drop, decide, isBound, namesToAsk } from './decide.js';
import { type Moved, rename } from './rename.js';
import { okOfBoth, say, type Unmoved } from './say.js';

export function* dropTable(beginning: Beginning): Steps<Reply> {
  const seen = yield* inspectNames(beginning, 'both');
  if ('kind' in seen) return seen;
  const { request, kinds } = seen;
  // DROP SEQUENCE skips a temporary table to find a sequence of that name; a RENAME doesn't.
  if (request.statement.object === 'sequence' && kinds.includes('temporary')) {
    return refuse(notUnderstood('a temporary table has a name that DROP SEQUENCE looks for'));
  }
  if (kinds.every((kind) => kind === 'temporary')) return yield* dropTemporary(seen);
  // While the intents wait for a lock, the session checks the effect of the lock on the drop
  // itself: its own FLUSH TABLES WITH READ LOCK ends it at once, and for another session's it
  // waits.
  const wasStuck = yield* perform('isRecordingStuck', {});
  const ended = wasStuck ? yield* askToDrop(request, namesToAsk(seen)) : null;
  if (ended !== null) return ended;
  return yield* dropRecorded(seen, yield* perform('record', { facts: seen.facts, wasStuck }));
}

/** Every name is a temporary table of this session: exactly those are dropped. */
function* dropTemporary({ request, names }: Seen): Steps<Answer> {
  const [said] = yield* ask(dropOwnTemporarySql(names, { ...request, ...request.statement }));
  assert(said !== undefined, 'DROP has an answer');
  return answerWith(said);
}

/** The names are known, and their intents are in the ledger, unless that failed. */
export function* dropRecorded(seen: Seen, recorded: RecordedIntent): Steps<Reply> {
  const { request } = seen;
  const { intent, intentError, rulings } = recorded;
  if (intent === null) {
    // The server may be read-only, and then its own error is the response.
    return (yield* askToDrop(request, namesToAsk(seen))) ?? refuse(intentError);
  }
  const drop = { ...seen, intent, rulings };
  const refusal = refusalBeforeInspection(drop, intent);
  if (refusal !== null) return refuse(refusal);
  const decision = decide(drop);
  if ('kind' in decision) return decision;
  const { moves, named, blocked } = decision;
  if (named.length + blocked.length > 0) {
    // The RENAME checks the privileges on the tables that it moves; the other names need them as
    // well.
    const ended = yield* askToDrop(request, namesToAsk(seen));
    if (ended !== null) return ended;
  }
  if (moves.length === 0) {
    const said = yield* say(drop, decision);
    return said.kind === 'answer' ? said : answerWith(said);
  }
  const moved = yield* rename(drop, moves);
  return moved.kind === 'moved' ? yield* hold(drop, moved, decision) : moved;
}

/** The base tables have their hold names: the server reports on the other names. */
function* hold(drop: Drop, moved: Moved, unmoved: Unmoved): Steps<Answer> {
  const { ok, moves, failed } = moved;
  const { held, why } = yield* relocate(drop, moved);
  if (why !== null) return { ...refuse(notFree(drop, moved, { held, why })), held };
  const hasUnmoved = failed === null && unmoved.named.length + unmoved.blocked.length > 0;
  const said = hasUnmoved ? yield* say(drop, unmoved) : null;
  const back = moves.filter(({ seen }) => !held.some(({ id }) => id === seen.id));
  if (back.length > 0) {
    // Tables that were put back are named; the others are dropped.
    const indices = back.map(({ index }) => index);
    const tables = sentenceStart(namingOnly(drop.request, indices));
    return { ...refuse(new UndropError('UNDROP_CHANGED_MEANWHILE', { tables, times: 1 })), held };
  }
  if (failed !== null) return { ...failed, held };
  assert(ok !== null, 'what is held was renamed');
  if (said?.kind === 'answer') return { ...said, held };
  const answer = said === null ? ok : okOfBoth(ok, said);
  if (drop.request.tellsUndo !== true) return { ...answerWith(answer), held };
  const names = moves.map(({ seen: { schema, table } }) => [schema, table]);
  const told = yield* tellUndo(drop.request, answer, { held, names, what: 'TABLE' });
  return { ...answerWith(told), held };
}

interface Relocated {
  /**
   * Tables that can't be relocated stay under their hold names; those that were put back are left
   * out.
   */
  readonly held: readonly HeldTable[];
  /** Why the drop is refused: a foreign key would bind, or binds, a held table; null: none does. */
  readonly why: string | null;
}

/** All tables are back, or some of them could not be put back. */
function notFree(drop: Drop, { moves }: Moved, { held, why }: Relocated): UndropError {
  const isLeft = (id: string) => held.length === 0 || held.some((table) => table.id === id);
  const indices = moves.filter(({ seen }) => isLeft(seen.id)).map(({ index }) => index);
  const tables = sentenceStart(namingOnly(drop.request, indices));
  const cause = why?.replace(/\.$/, '') ?? '';
  if (held.length > 0) return new UndropError('UNDROP_KEYS_LEFT', { tables, why: cause });
  return new UndropError('UNDROP_HOLD_FAILED', { tables, cause });
}

function* relocate(drop: Drop, { moves, keepsLocks }: Moved): Steps<Relocated> {
  const { blockers, facts } = drop;
  const relocations = yield* perform('relocate', {
    tables: moves.map(({ index, seen, holdName, holdSchema }) => ({
      id: seen.id,
      fromSchema: holdSchema,
      holdName,
      table: seen.table,
      blocker: blockerOfDrop(blockers[index] ?? null) ?? (keepsLocks ? BLOCKED_BY_LOCK : null),
    })),
    logged: facts.logged,
    detach: !keepsLocks && moves.some(({ seen }) => isBound(seen)),
  });
  const held: HeldTable[] = [];
  let why: string | null = null;
  for (const [index, move] of moves.entries()) {
    const { id, triggers } = move.seen;
    const hadTriggers = triggers.length > 0;
    const relocation = relocations[index];
    assert(relocation?.id === id, 'one report for each table, in order');
    if (relocation.outcome === 'moved') {
      // Its name may have another due time now.
      const { holdSchema, holdName, failure = null } = relocation;
      held.push({ id, holdSchema, holdName, relocated: failure === null, failure, hadTriggers });
      if (failure?.binds !== undefined) why = failure.text;
    } else if (relocation.outcome === 'failed') {
      const { failure } = relocation;
      const { holdSchema, holdName } = move;
      held.push({ id, holdSchema, holdName, relocated: false, failure });
      if (failure.binds !== undefined) why = failure.text;
    } else why ??= relocation.why ?? null;
  }
  return { held, why };
}
