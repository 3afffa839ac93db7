/**
 * A DROP TABLE, from top to bottom: the server checks the text and the session reports the kind of
 * each name, while the service records the intents; base tables are renamed to their hold names,
 * the service moves them into the recycle schema, and the server reports on all other names.
 *
 * Invariants: no step destroys a base table. A "dropped" response is given only after the RENAME
 * was done.
 */
import { assert, UndropError } from '../../errors.js';
import { BLOCKED_BY_LOCK, blockerOfDrop } from '../../held/relocate/blockers.js';
import { type OkPacket, okWithWarnings } from '../../wire/response.js';
import { inspectNames, refusalBeforeInspection, type Seen } from '../steps/inspect-names.js';
import { notUnderstood } from '../steps/refusals/refusals.js';
import * as user from '../steps/session/user-session.js';
import * as steps from '../steps/world.js';
import type * as decided from './decide.js';
import { decide, isBound, mustRenameItself, namesToAsk, parentError } from './decide.js';
import { checkDrop, type DropCheck, type Moved, rename } from './rename.js';

export async function dropTable(
  world: steps.World,
  request: steps.DropRequest,
): Promise<steps.Reply> {
  const seen = await inspectNames(world, request);
  if ('kind' in seen) return seen;
  const { kinds, facts } = seen;
  // DROP SEQUENCE skips a temporary table to find a sequence of that name; a RENAME doesn't.
  if (request.statement.object === 'sequence' && kinds.includes('temporary')) {
    return steps.refuse(notUnderstood('a temporary table has a name that DROP SEQUENCE looks for'));
  }
  // Exactly those are dropped.
  if (kinds.every((kind) => kind === 'temporary')) {
    const { object, ifExists } = request.statement;
    const text = user.dropTemporarySql(seen.names, { ...request, object, ifExists, own: true });
    return steps.answerWith(await steps.askText(world, text));
  }
  // While the intents wait for a lock, the session checks the effect of the lock on the drop
  // itself: its own FLUSH TABLES WITH READ LOCK ends it at once, and for another session's it
  // waits.
  const mayCheck = world.isUnruled && mayBeRenamedOnce(seen);
  const check = async () => (mayCheck ? checkDrop(world, request, seen) : null);
  const { done: checked, isStuck, recorded } = await world.record(facts, check);
  const mustAsk = isStuck && checked === null;
  const ended = mustAsk ? await user.askToDrop(world, request, namesToAsk(seen)) : checked?.ended;
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

/** The names are known, and their intents are in the ledger, unless that failed. */
export async function dropRecorded(
  world: steps.World,
  seen: Seen & { readonly checked?: DropCheck | null },
  recorded: steps.RecordedIntent,
): Promise<steps.Reply> {
  const { request } = seen;
  const { intent, intentError, rulings } = recorded;
  if (intent === null) {
    // The server may be read-only, and then its own error is the response.
    return (await user.askToDrop(world, request, namesToAsk(seen))) ?? steps.refuse(intentError);
  }
  const drop = { ...seen, intent, rulings };
  const refusal = refusalBeforeInspection(drop, intent);
  if (refusal !== null) return steps.refuse(refusal);
  const decision = decide(drop);
  if ('kind' in decision) return decision;
  const { moves, named, blocked } = decision;
  if (named.length + blocked.length > 0) {
    // The RENAME checks the privileges on the tables that it moves; the other names need them as
    // well.
    const absent: unknown[] = [];
    const asked = namesToAsk(seen);
    const onAbsent = (name: unknown) => absent.push(name);
    const ended = await user.askToDrop(world, request, asked, { onAbsent });
    if (ended !== null) return ended;
    // A drop of all of them came between the look at this one and at the next.
    const isGone = seen.names.some((name, index) => {
      return seen.kinds[index] === 'base' && absent.includes(name);
    });
    if (isGone) return steps.again('a table disappeared while the names were read');
  }
  if (moves.length === 0) {
    const said = await say(world, drop, decision);
    return said.kind === 'answer' ? said : steps.answerWith(said);
  }
  const moved = await rename(world, drop, { moves, checked: seen.checked ?? null });
  return moved.kind === 'moved' ? hold({ ...drop, world }, moved, decision) : moved;
}

/** The base tables have their hold names: the server reports on the other names. */
async function hold(
  { world, ...drop }: decided.Drop & { readonly world: steps.World },
  moved: Moved,
  unmoved: Unmoved,
): Promise<steps.Answer> {
  const { ok, moves, failed } = moved;
  const { held, why } = await relocate(world, drop, moved);
  if (why !== null) return { ...steps.refuse(notFree(drop, moved, { held, why })), held };
  const hasUnmoved = failed === null && unmoved.named.length + unmoved.blocked.length > 0;
  const said = hasUnmoved ? await say(world, drop, unmoved) : null;
  const back = moves.filter(({ seen }) => !held.some(({ id }) => id === seen.id));
  if (back.length > 0) {
    // Tables that were put back are named; the others are dropped.
    const indices = back.map(({ index }) => index);
    const tables = steps.sentenceStart(steps.namingOnly(drop.request, indices));
    return { ...steps.refuse(steps.changedMeanwhile(tables, 1)), held };
  }
  if (failed !== null) return { ...failed, held };
  assert(ok !== null, 'what is held was renamed');
  if (said?.kind === 'answer') return { ...said, held };
  return { ...steps.answerWith(said === null ? ok : okOfBoth(ok, said)), held };
}

interface Relocated {
  /**
   * Tables that can't be relocated stay under their hold names; those that were put back are left
   * out.
   */
  readonly held: readonly steps.HeldTable[];
  /** Why the drop is refused: a foreign key would bind, or binds, a held table; null: none does. */
  readonly why: string | null;
}

/** All tables are back, or some of them could not be put back. */
function notFree(drop: decided.Drop, { moves }: Moved, { held, why }: Relocated): UndropError {
  const isLeft = (id: string) => held.length === 0 || held.some((table) => table.id === id);
  const indices = moves.filter(({ seen }) => isLeft(seen.id)).map(({ index }) => index);
  const tables = steps.sentenceStart(steps.namingOnly(drop.request, indices));
  const cause = why?.replace(/\.$/, '') ?? '';
  if (held.length > 0) return new UndropError('UNDROP_KEYS_LEFT', { tables, why: cause });
  return new UndropError('UNDROP_HOLD_FAILED', { tables, cause });
}

async function relocate(
  world: steps.World,
  { blockers, facts }: decided.Drop,
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
  const held: steps.HeldTable[] = [];
  let why: string | null = null;
  for (const [index, move] of moves.entries()) {
    const relocation = relocations[index];
    assert(relocation?.id === move.seen.id, 'one report for each table, in order');
    if (relocation.outcome === 'put-back') {
      why ??= relocation.why ?? null;
      continue;
    }
    const hadTriggers = relocation.outcome === 'moved' && move.seen.triggers.length > 0;
    const table = { ...steps.heldTable(relocation, move), hadTriggers };
    held.push(table);
    if (table.pendingWork?.binds !== undefined) why = table.pendingWork.text;
  }
  return { held, why };
}

// ── names that are no base tables ────────────────────────────────────────────────────────────────
// Makes the server report on the names of a DROP TABLE that aren't base tables, and on parents that
// it would not drop. Temporary tables among them are dropped.
//
// Invariant: no statement here can destroy a base table.

interface Unmoved {
  readonly named: readonly decided.Name[];
  readonly blocked: readonly decided.BlockedParent[];
}

export async function say(
  session: steps.UserSession,
  { request }: decided.Drop,
  { named, blocked }: Unmoved,
): Promise<OkPacket | steps.Answer> {
  const error = errorOf(request, named, blocked);
  if (error === null) return sayNames(session, request, named);
  const temporary = named.filter(({ kind }) => kind === 'temporary');
  if (temporary.length > 0) await sayNames(session, request, temporary);
  return user.raise(session, request, error);
}

/** Null: the names alone make the server report the error. */
function errorOf(
  { server, statement }: steps.DropRequest,
  names: readonly decided.Name[],
  [parent]: readonly decided.BlockedParent[],
): user.Signal | null {
  if (parent !== undefined) return parentError(server, parent);
  // MariaDB's texts for other objects are errors of their own; under IF EXISTS they are notes.
  if (statement.ifExists) return null;
  for (const { kind, seen } of names) {
    if (kind === 'view' && server.flavour === 'mariadb') return user.viewSignal(seen);
    if (kind === 'table') return user.notSequenceSignal(seen);
  }
  return null;
}

/** The server reports a name that isn't a temporary table as unknown. */
async function sayNames(
  session: steps.UserSession,
  request: steps.DropRequest,
  names: readonly decided.Name[],
): Promise<OkPacket | steps.Answer> {
  const { object, ifExists } = request.statement;
  const all = names.map(({ name }) => name);
  const text = user.dropTemporarySql(all, { ...request, object, ifExists });
  const said = await steps.askText(session, text);
  return said.kind === 'ok' ? said : steps.answerWith(said);
}

/** The first ended the transaction, which its flags show; the notes are those of the second. */
function okOfBoth(first: OkPacket, { warnings }: OkPacket): OkPacket {
  return { ...first, warnings, payload: okWithWarnings(first, warnings) };
}
