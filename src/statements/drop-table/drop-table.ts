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
import { notUnderstood } from '../../steps/refusals/refusals.js';
import {
  askToDrop,
  dropOwnTemporarySql,
  dropTemporarySql,
  notSequenceSignal,
  raise,
  type Signal,
  viewSignal,
} from '../../steps/session/user-session.js';
import {
  type Answer,
  again,
  answerWith,
  ask,
  type DropRequest,
  type HeldTable,
  namingOnly,
  type RecordedIntent,
  type Reply,
  refuse,
  sentenceStart,
  type UserSession,
  type World,
} from '../../steps/world.js';
import { type OkPacket, okWithWarnings } from '../../wire/response.js';
import {
  type BlockedParent,
  type Drop,
  decide,
  isBound,
  mustRenameItself,
  type Name,
  namesToAsk,
  parentError,
} from './decide.js';
import { checkDrop, type DropCheck, type Moved, rename } from './rename.js';

export async function dropTable(world: World, request: DropRequest): Promise<Reply> {
  const seen = await inspectNames(world, request);
  if ('kind' in seen) return seen;
  const { kinds, facts } = seen;
  // DROP SEQUENCE skips a temporary table to find a sequence of that name; a RENAME doesn't.
  if (request.statement.object === 'sequence' && kinds.includes('temporary')) {
    return refuse(notUnderstood('a temporary table has a name that DROP SEQUENCE looks for'));
  }
  if (kinds.every((kind) => kind === 'temporary')) return dropTemporary(world, seen);
  // While the intents wait for a lock, the session checks the effect of the lock on the drop
  // itself: its own FLUSH TABLES WITH READ LOCK ends it at once, and for another session's it
  // waits.
  const mayCheck = world.isUnruled && mayBeRenamedOnce(seen);
  const check = async () => (mayCheck ? checkDrop(world, request, seen) : null);
  const { done: checked, isStuck, recorded } = await world.record(facts, check);
  const mustAsk = isStuck && checked === null;
  const ended = mustAsk ? await askToDrop(world, request, namesToAsk(seen)) : checked?.ended;
  if (ended !== null && ended !== undefined) return ended;
  const intents = await recorded();
  await checked?.cleaned;
  return dropRecorded(world, { ...seen, checked }, intents);
}

/**
 * Whether the session may check the privileges, and wait for locks, while the intents are recorded.
 * The reads of the service take such a lock for a moment.
 */
function mayBeRenamedOnce({ request, facts, kinds }: Seen): boolean {
  const { statement, server } = request;
  const isSure = kinds.every((kind) => kind === 'base') && statement.object === 'table';
  const waits = facts.waitsForLocks && statement.wait === null;
  return isSure && waits && !mustRenameItself(facts, server);
}

/** Every name is a temporary table of this session: exactly those are dropped. */
async function dropTemporary(session: UserSession, { request, names }: Seen): Promise<Answer> {
  const text = dropOwnTemporarySql(names, { ...request, ...request.statement });
  const [said] = await ask(session, text);
  assert(said !== undefined, 'DROP has an answer');
  return answerWith(said);
}

/** The names are known, and their intents are in the ledger, unless that failed. */
export async function dropRecorded(
  world: World,
  seen: Seen & { readonly checked?: DropCheck | null },
  recorded: RecordedIntent,
): Promise<Reply> {
  const { request } = seen;
  const { intent, intentError, rulings } = recorded;
  if (intent === null) {
    // The server may be read-only, and then its own error is the response.
    return (await askToDrop(world, request, namesToAsk(seen))) ?? refuse(intentError);
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
    const absent: unknown[] = [];
    const asked = namesToAsk(seen);
    const ended = await askToDrop(world, request, asked, {
      onAbsent: (name) => absent.push(name),
    });
    if (ended !== null) return ended;
    // A drop of all of them came between the look at this one and at the next.
    const isGone = seen.names.some((name, index) => {
      return seen.kinds[index] === 'base' && absent.includes(name);
    });
    if (isGone) return again('a table disappeared while the names were read');
  }
  if (moves.length === 0) {
    const said = await say(world, drop, decision);
    return said.kind === 'answer' ? said : answerWith(said);
  }
  const moved = await rename(world, drop, { moves, checked: seen.checked ?? null });
  return moved.kind === 'moved' ? hold({ ...drop, world }, moved, decision) : moved;
}

/** The base tables have their hold names: the server reports on the other names. */
async function hold(
  { world, ...drop }: Drop & { readonly world: World },
  moved: Moved,
  unmoved: Unmoved,
): Promise<Answer> {
  const { ok, moves, failed } = moved;
  const { held, why } = await relocate(world, drop, moved);
  if (why !== null) return { ...refuse(notFree(drop, moved, { held, why })), held };
  const hasUnmoved = failed === null && unmoved.named.length + unmoved.blocked.length > 0;
  const said = hasUnmoved ? await say(world, drop, unmoved) : null;
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
  return { ...answerWith(said === null ? ok : okOfBoth(ok, said)), held };
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

async function relocate(
  world: World,
  { blockers, facts }: Drop,
  { moves, keepsLocks, isFree }: Moved,
): Promise<Relocated> {
  const tables = moves.map(({ index, seen, holdName, holdSchema }) => ({
    id: seen.id,
    fromSchema: holdSchema,
    holdName,
    table: seen.table,
    blocker: blockerOfDrop(blockers[index] ?? null) ?? (keepsLocks ? BLOCKED_BY_LOCK : null),
  }));
  const detach = !keepsLocks && moves.some(({ seen }) => isBound(seen));
  const relocations = await world.relocate(tables, { logged: facts.logged, detach, isFree });
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

// ── names that are no base tables ────────────────────────────────────────────────────────────────
// Makes the server report on the names of a DROP TABLE that aren't base tables, and on parents that
// it would not drop. Temporary tables among them are dropped.
//
// Invariant: no statement here can destroy a base table.

interface Unmoved {
  readonly named: readonly Name[];
  readonly blocked: readonly BlockedParent[];
}

export async function say(
  session: UserSession,
  { request }: Drop,
  { named, blocked }: Unmoved,
): Promise<OkPacket | Answer> {
  const error = errorOf(request, named, blocked);
  if (error === null) return sayNames(session, request, named);
  const temporary = named.filter(({ kind }) => kind === 'temporary');
  if (temporary.length > 0) await sayNames(session, request, temporary);
  return raise(session, request, error);
}

/** Null: the names alone make the server report the error. */
function errorOf(
  { server, statement }: DropRequest,
  names: readonly Name[],
  [parent]: readonly BlockedParent[],
): Signal | null {
  if (parent !== undefined) return parentError(server, parent);
  // MariaDB's texts for other objects are errors of their own; under IF EXISTS they are notes.
  if (statement.ifExists) return null;
  for (const { kind, seen } of names) {
    if (kind === 'view' && server.flavour === 'mariadb') return viewSignal(seen);
    if (kind === 'table') return notSequenceSignal(seen);
  }
  return null;
}

/** The server reports a name that isn't a temporary table as unknown. */
async function sayNames(
  session: UserSession,
  request: DropRequest,
  names: readonly Name[],
): Promise<OkPacket | Answer> {
  const { object, ifExists } = request.statement;
  const text = dropTemporarySql(
    names.map(({ name }) => name),
    { ...request, object, ifExists },
  );
  const [said] = await ask(session, text);
  assert(said !== undefined, 'DROP has an answer');
  return said.kind === 'ok' ? said : answerWith(said);
}

/** The first ended the transaction, which its flags show; the notes are those of the second. */
function okOfBoth(first: OkPacket, { warnings }: OkPacket): OkPacket {
  return { ...first, warnings, payload: okWithWarnings(first, warnings) };
}
