/**
 * Renames the base tables of a drop to their hold names: the user's own session by one atomic
 * RENAME, so that rights, locks and the binary log are the user's. MariaDB takes several where one
 * has triggers (steps/rename/take-by-service.ts). If the user may drop a table, but not rename it,
 * the service account renames, after the server has said in the user's session that it may be
 * dropped.
 *
 * Invariant: nobody without the right to drop a table gets it renamed.
 */
import { assert, assertNever } from '../../assert.js';
import { UndropError } from '../../errors.js';
import { askToDrop, isGone, SAME_AS_DROP } from '../../steps/ask-to-drop.js';
import { ask, perform, query, type Steps } from '../../steps/procedure.js';
import {
  type Again,
  type Answer,
  again,
  answerWith,
  holdFailed,
  namingOnly,
  type Reply,
  refuse,
  sentenceStart,
} from '../../steps/refuse.js';
import { FIRST_TRY_MS, NEXT_TRY_MS, renameGroups } from '../../steps/rename/take-by-service.js';
import { signalSql } from '../../steps/session/signal.js';
import {
  askMovesSql,
  cleanSql,
  ownLockSql,
  renameSql,
  waitText,
} from '../../steps/session/user-session-sql.js';
import { clean } from '../../steps/session-answers.js';
import type { ErrPacket } from '../../wire/response.js';
import { type OkPacket, okWithWarnings } from '../../wire/response.js';
import type { Result } from '../../wire/result-reader.js';
import {
  ER_BAD_LOG_STATEMENT,
  ER_CANT_RENAME_LOG_TABLE,
  ER_DBACCESS_DENIED_ERROR,
  ER_FK_NO_UNIQUE_INDEX_PARENT,
  ER_LOCK_WAIT_TIMEOUT,
  ER_TABLE_EXISTS_ERROR,
  ER_TABLE_NOT_LOCKED,
  ER_TABLEACCESS_DENIED_ERROR,
  UNDER_LOCK_TABLES,
} from '../../wire/server-errors.js';
import type { Drop, Move } from './decide.js';
import { hasForeignKeys } from './parents.js';

/** What was renamed. */
export interface Moved {
  readonly kind: 'moved';
  /** Null where the service has renamed only the first ones. */
  readonly ok: OkPacket | null;
  readonly moves: readonly Move[];
  /** The answer where it ended before the last. */
  readonly failed: Answer | null;
  /** The session has them locked by LOCK TABLES. */
  readonly keepsLocks: boolean;
}

type Groups = readonly (readonly Move[])[];

/** The first table is in its own way, or somebody has it locked: the rights come before that. */
const MAY_MOVE: readonly number[] = [ER_TABLE_EXISTS_ERROR, ER_LOCK_WAIT_TIMEOUT];

/** Of all groups together. */
const SERVICE_TRIES_MAX = 20;
/** After so many tries the session is asked whether it is itself in the way. */
const TRIES_BEFORE_OWN = 2;

/** 'locked': the session is under LOCK TABLES, and nothing was renamed. */
export function* rename(drop: Drop, moves: readonly Move[]): Steps<Moved | Reply | 'locked'> {
  const { request } = drop;
  const isMariadb = request.server.flavour === 'mariadb';
  const groups = renameGroups(moves, ({ seen }) => isMariadb && seen.triggers.length > 0);
  if (groups.length > 1) return yield* renameInTurn(drop, groups);
  const said = yield* renameByUser(drop, moves);
  if (said.kind === 'err') return yield* notRenamed(drop, groups, said);
  return whole(moves, yield* withoutKeyWarnings(drop, moves, said));
}

function whole(moves: readonly Move[], ok: OkPacket): Moved {
  return { kind: 'moved', ok, moves, failed: null, keepsLocks: false };
}

function* renameByUser({ request }: Drop, moves: readonly Move[]): Steps<OkPacket | ErrPacket> {
  const text = renameSql({ ...request, moves, wait: waitText(request.statement) });
  const [said] = yield* perform('user', { commands: [query(text)], renames: true });
  assert(said?.kind === 'ok' || said?.kind === 'err', 'RENAME answers OK or ERR');
  return said;
}

/** MySQL warns of keys to columns that aren't unique (6124), which DROP doesn't. */
function* withoutKeyWarnings(
  { request, facts }: Drop,
  moves: readonly Move[],
  ok: OkPacket,
): Steps<OkPacket> {
  const hasKeys = moves.some(({ seen }) => hasForeignKeys(seen));
  if (!hasKeys || ok.warnings === 0 || facts.gtidNext !== null) return ok;
  yield* ask(cleanSql(request.groupId));
  return { ...ok, warnings: 0, payload: okWithWarnings(ok, 0) };
}

/**
 * One RENAME after the other, as a native drop on MariaDB takes one table after the other. It asks
 * for the rights on all of them first, and waits for the locks of all of them, like that drop; from
 * then on what ends it leaves the first ones dropped.
 */
function* renameInTurn(drop: Drop, groups: Groups): Steps<Moved | Reply | 'locked'> {
  const moves = groups.flat();
  const [may] = yield* ask(askMovesSql({ ...drop.request, moves }));
  assert(may?.kind === 'err', 'a RENAME of a table to itself fails');
  if (!MAY_MOVE.includes(may.errno)) return yield* notRenamed(drop, groups, may);
  const ended = yield* askToDrop(drop, moves.map(asBase));
  if (ended !== null) return ended;
  let ok: OkPacket | null = null;
  for (const [index, group] of groups.entries()) {
    const said = yield* renameByUser(drop, group);
    if (said.kind === 'err') {
      if (index === 0) return renameFailed(drop, said);
      const [held, others] = [groups.slice(0, index).flat(), groups.slice(index).flat()];
      return { ...partly(held, endedBefore(drop, others, said)), ok };
    }
    ok = said;
  }
  assert(ok !== null, 'there is a table to be renamed');
  return whole(moves, ok);
}

function partly(held: readonly Move[], failed: Answer): Moved {
  return { kind: 'moved', ok: null, moves: held, failed, keepsLocks: false };
}

/** Some tables are held, the others are as they were: so would a native drop have ended there. */
export function endedBefore({ request }: Drop, others: readonly Move[], error: ErrPacket): Answer {
  if (SAME_AS_DROP.includes(error.errno)) return answerWith(error);
  return holdFailed(namingOnly(request, indicesOf(others)), error);
}

export function renameFailed({ request }: Drop, error: ErrPacket): Reply {
  if (SAME_AS_DROP.includes(error.errno) || error.errno === ER_DBACCESS_DENIED_ERROR) {
    return answerWith(error);
  }
  if (isGone(error)) return again('a table was gone when it was to be renamed');
  return holdFailed(request, error);
}

function* notRenamed(
  drop: Drop,
  groups: Groups,
  error: ErrPacket,
): Steps<Moved | Reply | 'locked'> {
  if (UNDER_LOCK_TABLES.includes(error.errno)) return 'locked';
  if (error.errno === ER_CANT_RENAME_LOG_TABLE) return yield* logTable();
  const mayBeDropped =
    error.errno === ER_TABLEACCESS_DENIED_ERROR || error.errno === ER_FK_NO_UNIQUE_INDEX_PARENT;
  if (!mayBeDropped) return renameFailed(drop, error);
  if (drop.facts.gtidNext === null) return yield* takeGroups(drop, groups);
  if (error.errno !== ER_TABLEACCESS_DENIED_ERROR) return renameFailed(drop, error);
  const cause = 'the GTID is the session’s own';
  return refuse(
    new UndropError('UNDROP_PRIVILEGES', { tables: sentenceStart(drop.request), cause }),
  );
}

/** A log table while it is written can't be renamed alone (1581), and not be dropped. */
function* logTable(): Steps<Answer> {
  const message = "You cannot 'DROP' a log table if logging is enabled";
  const errno = ER_BAD_LOG_STATEMENT;
  return answerWith(only(yield* ask(signalSql({ errno, sqlState: 'HY000', message }))));
}

/**
 * The session says for each table whether it may be dropped, and waits for its lock; then the
 * service has a moment to be faster than others.
 */
function* takeGroups(drop: Drop, groups: Groups): Steps<Moved | Reply | 'locked'> {
  const all = groups.flat();
  let left = groups;
  for (let tries = 1; left.length > 0; tries++) {
    const [group = []] = left;
    const held = all.filter((move) => !left.flat().includes(move));
    const ended = yield* askToDrop(drop, left.flat().map(asBase));
    if (ended !== null) return endedAfter(drop, held, ended);
    const outcome = yield* take(drop, group, tries === 1 ? FIRST_TRY_MS : NEXT_TRY_MS);
    switch (outcome.kind) {
      case 'renamed':
        left = left.slice(1);
        break;
      case 'busy':
        if (tries === TRIES_BEFORE_OWN && held.length === 0 && (yield* hasOwnLock(drop, group))) {
          return 'locked';
        }
        if (tries >= SERVICE_TRIES_MAX) return endedAfter(drop, held, changed(drop, left, tries));
        break;
      case 'gone':
        return endedAfter(drop, held, again('a table was gone when it was to be renamed'));
      case 'denied':
      case 'failed': {
        const code = outcome.kind === 'denied' ? 'UNDROP_PRIVILEGES' : 'UNDROP_HOLD_FAILED';
        const tables = sentenceStart(namingOnly(drop.request, indicesOf(left.flat())));
        const refusal = refuse(new UndropError(code, { tables, cause: outcome.cause }));
        return endedAfter(drop, held, refusal);
      }
      default:
        assertNever(outcome);
    }
  }
  return whole(all, yield* clean(drop.request));
}

function take({ request, facts }: Drop, moves: readonly Move[], killAfterMs: number) {
  const { logged, checksForeignKeys } = facts;
  const tables = moves.map(({ seen: { id, schema, table }, holdName }) => {
    return { id, schema, table, holdName };
  });
  assert(request.ids.length > 0, 'a drop has a name');
  return perform('take', { rename: { tables, logged, checksForeignKeys, killAfterMs } });
}

/** Whether the session has one of them locked itself: then the service never gets it. */
function* hasOwnLock({ request }: Drop, moves: readonly Move[]): Steps<boolean> {
  const commands = moves.map(({ name }) => {
    return { kind: 'prepare' as const, text: ownLockSql(name, request) };
  });
  const results = yield* perform('user', { commands, renames: false });
  return results.some((said) => said.kind === 'err' && said.errno === ER_TABLE_NOT_LOCKED);
}

/** The first ones are held by then, and stay so. */
function endedAfter(drop: Drop, held: readonly Move[], ended: Answer | Again): Moved | Reply {
  if (held.length === 0) return ended;
  if (ended.kind === 'answer') return partly(held, ended);
  const { ids } = drop.request;
  const others = ids.map((_id, index) => index).filter((at) => !indicesOf(held).includes(at));
  const tables = sentenceStart(namingOnly(drop.request, others));
  const times = 1;
  return partly(held, refuse(new UndropError('UNDROP_CHANGED_MEANWHILE', { tables, times })));
}

function changed({ request }: Drop, left: Groups, times: number): Answer {
  const tables = sentenceStart(namingOnly(request, indicesOf(left.flat())));
  return refuse(new UndropError('UNDROP_CHANGED_MEANWHILE', { tables, times }));
}

export function asBase({ name }: Move) {
  return { name, isBase: true };
}

function indicesOf(moves: readonly Move[]): readonly number[] {
  return moves.map(({ index }) => index);
}

function only([said]: readonly Result[]): Result {
  assert(said !== undefined, 'a statement has an answer');
  return said;
}
