/**
 * A DROP TABLE, from top to bottom: the server judges the text and the session tells what each name
 * is, while the service records the intents; base tables are renamed to their hold names, the
 * service moves them into the recycle schema, and the server says its words for all other names.
 *
 * Invariants: no step destroys a base table. An answer that says "dropped" is given only after the
 * RENAME was done.
 */
import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import { BLOCKED_BY_LOCK, NOT_TRIED } from '../../held/relocate/blockers.js';
import type { Relocation } from '../../held/relocate/relocate.js';
import { type Asked, askToDrop, waitForLocks } from '../../steps/ask-to-drop.js';
import { know, syntaxError } from '../../steps/first-look.js';
import { qualify } from '../../steps/names/resolve.js';
import { ask, perform, type Steps } from '../../steps/procedure.js';
import type { RecordedIntent } from '../../steps/record-intents.js';
import {
  type Answer,
  answerWith,
  type HeldTable,
  holdFailed,
  namingOnly,
  type Reply,
  refuse,
  sentenceStart,
} from '../../steps/refuse.js';
import type { DropRequest } from '../../steps/request.js';
import type { Beginning } from '../../steps/run.js';
import { hidesDirectories } from '../../steps/session/facts.js';
import { inspectNames, type Look } from '../../steps/session/inspect-names.js';
import {
  dropOwnTemporarySql,
  probeSql,
  type QualifiedName,
} from '../../steps/session/user-session-sql.js';
import { decodeErr, type ErrPacket } from '../../wire/response.js';
import {
  ER_NO_DB_ERROR,
  ER_TABLEACCESS_DENIED_ERROR,
  ER_XA_TEMP_TABLE,
  ER_XAER_RMFAIL,
} from '../../wire/server-errors.js';
import { type Decision, type Drop, decide, type Move } from './decide.js';
import { hasForeignKeys } from './parents.js';
import { type Moved, rename } from './rename.js';
import { logNotes, okOfBoth, say, type Words } from './say.js';
import { refuseLocked, renameUnderLocks } from './under-locks.js';

/** What is known once the session was asked. */
type Asking = Pick<Drop, 'request' | 'look' | 'names' | 'facts'>;

export function* dropTable({ request: asked, hints, gtidMayBeSet }: Beginning): Steps<Reply> {
  const look = yield* inspectNames(asked, { gtidMayBeSet });
  const { facts } = look;
  if (!('errno' in facts)) yield* know(facts, hints);
  const wrong = (yield* syntaxError(asked, look)) ?? (yield* serversError(asked, look));
  if (wrong !== null) return wrong;
  assert(!('errno' in facts), 'an error of the facts ends the drop');
  // Settings of the session may say more than the text.
  const ifExists = asked.statement.ifExists || facts.addsIfExists;
  const request = { ...asked, statement: { ...asked.statement, ifExists } };
  const names = request.statement.names.map((name) => qualify(name, facts));
  const asking = { request, look, names, facts };
  if (isShadowed(asking)) {
    const why = 'a temporary table has a name that DROP SEQUENCE looks for';
    return refuse(new UndropError('UNDROP_NOT_UNDERSTOOD', { why }));
  }
  if (look.kinds.every((kind) => kind === 'temporary')) return yield* dropTemporary(asking);
  const recorded = yield* record(asking);
  return 'kind' in recorded ? recorded : yield* dropRecorded(asking, recorded);
}

/** errno of the operating system, which MariaDB gives where a table's file is missing. */
const EE_FILENOTFOUND = 29;

/**
 * An error that says nothing about the names. In XA every statement gets 1399, which MariaDB shows
 * twice for what DROP TABLE is; so it is asked for by a RENAME that can't succeed. So is 1046, if
 * nobody has judged the text: its words are the session's last then.
 */
export function* serversError(request: DropRequest, look: Look): Steps<Answer | null> {
  const { facts, kinds } = look;
  const at = kinds.findIndex((kind) => typeof kind !== 'string');
  const failed = kinds[at];
  const error: ErrPacket | null =
    'errno' in facts ? facts : typeof failed === 'object' ? failed : null;
  if (error === null) return null;
  // A RENAME would move the table's other files, and leave it in two halves.
  if (error.errno === EE_FILENOTFOUND) return holdFailed(request, error);
  const expected = error.errno === ER_XA_TEMP_TABLE ? ER_XAER_RMFAIL : error.errno;
  const name = request.statement.names[at];
  if (name === undefined || ![ER_NO_DB_ERROR, ER_XAER_RMFAIL].includes(expected)) {
    return answerWith(error);
  }
  const [said] = yield* ask(probeSql(qualify(name, facts), request));
  return answerWith(said?.kind === 'err' && said.errno === expected ? said : error);
}

/** DROP SEQUENCE looks past a temporary table for a sequence of that name; no RENAME does. */
function isShadowed({ request, look: { kinds, sequences } }: Asking): boolean {
  const isSequence = request.statement.object === 'sequence';
  return isSequence && kinds.some((kind, index) => kind === 'temporary' && !sequences[index]);
}

/** Every name is a temporary table of this session: what it asked for, of exactly those names. */
function* dropTemporary({ request, names }: Asking): Steps<Answer> {
  const [said] = yield* ask(dropOwnTemporarySql(names, { ...request, ...request.statement }));
  assert(said !== undefined, 'DROP has an answer');
  return answerWith(said);
}

/**
 * Waits until the intents are in the ledger. While they wait for somebody's lock, the session asks
 * what the lock means for the drop itself: its own FLUSH TABLES WITH READ LOCK ends it at once, and
 * for anybody else's it waits there.
 */
function* record(asking: Asking): Steps<RecordedIntent | Reply> {
  const { facts } = asking;
  // An error would use the session's GTID up.
  const wasStuck = facts.gtidNext === null && (yield* perform('isRecordingStuck', {}));
  if (wasStuck) {
    const ended = yield* askToDrop(asking, namesOf(asking));
    if (ended?.kind === 'answer') return ended;
  }
  return yield* perform('record', { facts, wasStuck });
}

/**
 * If nothing could be recorded nothing is dropped; that may be because the server is read-only, and
 * then its own words are the answer.
 */
export function* dropRecorded(asking: Asking, recorded: RecordedIntent): Steps<Reply> {
  const { facts, look, request } = asking;
  const { intent, intentError, rulings } = recorded;
  if (intent === null) {
    return (yield* askToDrop(asking, namesOf(asking))) ?? refuse(intentError);
  }
  const hides = hidesDirectories(facts, request.server);
  const stay = hides ? yield* perform('stays', { tables: intent.tables }) : look.stay;
  return yield* decideAndDrop({ ...asking, intent, rulings, stay });
}

/** Those that DROP needs a right on, and a lock. */
function namesOf({ names, look: { kinds } }: Pick<Asking, 'names' | 'look'>): readonly Asked[] {
  return names.flatMap((name, index) => {
    const kind = kinds[index];
    return kind === 'temporary' ? [] : [{ name, isBase: kind === 'base' }];
  });
}

function* decideAndDrop(drop: Drop): Steps<Reply> {
  const decision = decide(drop);
  switch (decision.kind) {
    case 'again':
      return decision;
    case 'refuse':
      return yield* unlessKilled(decision.error);
    case 'words':
      return yield* sayOnly(drop, decision);
    case 'move':
      return yield* hold(drop, decision);
  }
}

/** A session that the service doesn't see may have been killed: then that is what is heard. */
function* unlessKilled(error: UndropError): Steps<Answer> {
  if (error.code !== 'UNDROP_SESSION_NOT_FOUND') return refuse(error);
  const [said] = yield* ask(Buffer.from('DO 0'));
  return said?.kind === 'err' ? answerWith(said) : refuse(error);
}

function isUnderLocks({ look: { kinds }, intent }: Drop): boolean {
  return kinds.includes('unlocked') || (intent.lockedTables ?? []).length > 0;
}

/** Nothing is to be moved. */
function* sayOnly(drop: Drop, decision: Extract<Decision, { kind: 'words' }>): Steps<Reply> {
  if (drop.facts.gtidNext !== null && isUnderLocks(drop)) return refuseLocked(drop);
  const ended =
    (yield* askToDrop(drop, namesOf(drop))) ?? (yield* waitForLocks(drop, decision.waitsFor));
  if (ended !== null) return ended;
  const logged = isUnderLocks(drop) ? null : yield* logNotes(drop, decision);
  const said = yield* say(drop, decision, { isBeside: false });
  return answerWith(logged !== null && said.kind === 'ok' ? okOfBoth(logged, said) : said);
}

/** Moves the base tables, then has the server say its words for the others. */
function* hold(drop: Drop, decision: Extract<Decision, { kind: 'move' }>): Steps<Reply> {
  const moved = yield* move(drop, decision);
  if (moved.kind !== 'moved') return moved;
  const { ok, moves, failed } = moved;
  const held = yield* relocate(drop, moved);
  const hasWords = failed === null && decision.named.length + decision.blocked.length > 0;
  const words = hasWords ? yield* say(drop, decision, { isBeside: true }) : null;
  const back = moves.filter(({ seen }) => !held.some(({ id }) => id === seen.id));
  if (back.length > 0) {
    // What was put back is named; the others are dropped.
    const indices = back.map(({ index }) => index);
    const tables = sentenceStart(namingOnly(drop.request, indices));
    return { ...refuse(new UndropError('UNDROP_CHANGED_MEANWHILE', { tables, times: 1 })), held };
  }
  if (failed !== null) return { ...failed, held };
  assert(ok !== null, 'what is held was renamed');
  const isBoth = words?.kind === 'ok' && decision.blocked.length === 0;
  return { ...answerWith(isBoth ? okOfBoth(ok, words) : (words ?? ok)), held };
}

/** The RENAME asks for the rights on what it moves; on the other names they are needed as well. */
function* move(
  drop: Drop,
  { moves, ...words }: Extract<Decision, { kind: 'move' }>,
): Steps<Moved | Reply> {
  if (!isUnderLocks(drop)) {
    const ended = yield* askToDrop(drop, othersOf(drop, words));
    if (ended !== null) return isDenied(ended) ? yield* firstDenied(drop, ended) : ended;
    const renamed = yield* rename(drop, moves);
    if (renamed !== 'locked') return renamed;
  }
  if (drop.facts.gtidNext !== null) return refuseLocked(drop);
  return (yield* askToDrop(drop, namesOf(drop))) ?? (yield* renameUnderLocks(drop, moves));
}

function isDenied(ended: Reply): boolean {
  if (ended.kind === 'again') return false;
  return decodeErr(ended.payload).errno === ER_TABLEACCESS_DENIED_ERROR;
}

/** The server names the first that is denied, which may be a table that was to be moved. */
function* firstDenied(drop: Drop, ended: Reply): Steps<Reply> {
  return (yield* askToDrop(drop, namesOf(drop))) ?? ended;
}

function othersOf({ names, intent }: Drop, { named, blocked }: Words): readonly Asked[] {
  const parents = names.filter((_name, index) =>
    blocked.some(({ table }) => table === intent.tables[index]),
  );
  const isAsked = (name: QualifiedName) =>
    named.some((one) => one.name === name && one.kind !== 'temporary');
  return names.flatMap((name) => {
    const isBase = parents.includes(name);
    return isBase || isAsked(name) ? [{ name, isBase }] : [];
  });
}

/** What can't be relocated stays under its hold name; what was put back is left out. */
function* relocate(drop: Drop, { moves, keepsLocks }: Moved): Steps<readonly HeldTable[]> {
  const { stay, facts, intent } = drop;
  const isBound = moves.some(({ seen }) => hasForeignKeys(seen) || seen.triggers.length > 0);
  const relocations = yield* perform('relocate', {
    tables: moves.map(({ index, seen, holdName }) => ({
      id: seen.id,
      fromSchema: seen.schema,
      holdName,
      table: seen.table,
      stays: stay[index] ?? (keepsLocks ? BLOCKED_BY_LOCK : null),
    })),
    logged: facts.logged,
    detach: !keepsLocks && isBound,
    lowerCaseTableNames: intent.lowerCaseTableNames,
  });
  return moves.flatMap((moved) => heldTable(moved, relocations));
}

function heldTable(moved: Move, relocations: readonly Relocation[]): readonly HeldTable[] {
  const { holdName } = moved;
  const { id, schema } = moved.seen;
  const relocation = relocations.find((candidate) => candidate.id === id);
  const stayed = { id, holdSchema: schema, holdName, relocated: false };
  if (relocation === undefined) return [{ ...stayed, failure: NOT_TRIED }];
  switch (relocation.outcome) {
    case 'moved': {
      // Its name may say another due time by now.
      const { holdSchema, holdName: name, failure = null } = relocation;
      return [{ id, holdSchema, holdName: name, relocated: failure === null, failure }];
    }
    case 'failed':
      return [{ ...stayed, failure: relocation.failure }];
    case 'put-back':
      return [];
  }
}
