/**
 * What to do next with a drop by a session that holds LOCK TABLES. Pure: next-step.ts makes steps
 * of it.
 *
 *   look    is each name locked for writing, as the server wants it of a drop? If not, its words
 *   move    MySQL 8.0.13 and later: one RENAME. Others refuse that: an ALTER of each, in order
 *   leave   with its last table a native drop leaves LOCK TABLES behind; a RENAME doesn't
 *
 * Invariants: nothing here destroys a base table. No lock of another table is given up that a
 * drop would have kept: where nobody can say what is locked, the session stays under LOCK TABLES.
 */

import { assert } from '../assert.js';
import { foldName } from '../fold-name.js';
import type { LockedTable, UsedTable, UsedTables } from '../ledger/session-locks.js';
import type { IntentTable } from '../ledger/write.js';
import { parseHoldName } from '../names/hold-name.js';
import type { ErrPacket } from '../wire/response/err.js';
import type { OkPacket } from '../wire/response/ok.js';
import type { Result } from '../wire/result-reader.js';
import type { ServerVersion } from '../wire/server-version.js';
import {
  alterNameSql,
  askAliasSql,
  askFlushSql,
  askLockSql,
  askReadSql,
  askRenameSql,
  FORGET_SQL,
  openTableSql,
  UNLOCK_SQL,
} from './lock-words.js';
import type { DropRequest } from './request.js';
import { signalSql } from './signal-sql.js';
import type { UserCommand } from './user-session.js';
import { type QualifiedName, renameSql, underOwnGtid } from './words.js';

/** A name of the statement that is no temporary table. */
export interface LockedName {
  readonly name: QualifiedName;
  readonly seen: IntentTable;
}

export interface LockedDrop {
  readonly request: DropRequest;
  /** In the order of the statement. */
  readonly names: readonly LockedName[];
  /** Those that are to be held; none where the server wouldn't drop one. */
  readonly moves: readonly (LockedName & { readonly holdName: string })[];
  /** The locks of the session; null where the server can't tell. */
  readonly locks: readonly LockedTable[] | null;
  /** What may be locked beside the names; `tables` null: anything. Null: nobody has looked. */
  readonly used: UsedTables | null;
  /** GTID_NEXT, where it is a GTID: an error uses it up, and so does the RENAME. */
  readonly gtidNext: string | null;
  /** Names that differ in case are one. */
  readonly foldsCase: boolean;
  /** Whether a DROP would have ended with this error of a RENAME, too. */
  readonly endsTheDrop: (error: ErrPacket) => boolean;
}

export type UnderLocks =
  /** The answers are the next of `rounds`. */
  | {
      readonly kind: 'session';
      readonly commands: readonly UserCommand[];
      readonly renames: boolean;
    }
  /** The service looks what is in use. */
  | { readonly kind: 'used' }
  /** The server's own words for the drop, which are the session's last. */
  | { readonly kind: 'answer'; readonly error: ErrPacket }
  /** The right to rename is missing; that to drop, too, where the error names it. */
  | { readonly kind: 'denied'; readonly error: ErrPacket }
  /** Nobody can rename it there. */
  | { readonly kind: 'alias' }
  /** The session has left LOCK TABLES, as the drop would have: it is planned anew. */
  | { readonly kind: 'left' }
  | {
      readonly kind: 'moved';
      /** Of `moves`, the first so many. */
      readonly count: number;
      /** Null where there was nothing to move. */
      readonly ok: OkPacket | null;
      /** What ended it before the last. */
      readonly failed: ErrPacket | null;
      /** The session has the held tables locked until it unlocks. */
      readonly keepsLocks: boolean;
    };

const READ_LOCKED = 1099;
const NOT_LOCKED = 1100;
const DENIED = 1142;

/** `rounds`: the answers to what was sent so far, in order. */
export function nextUnderLocks(
  drop: LockedDrop,
  rounds: readonly (readonly Result[])[],
): UnderLocks {
  const left = [...rounds];
  const round = () => left.shift() ?? null;
  const mayRename = renamesUnderLocks(drop.request.server);
  const looked = mayRename ? lookByRename(drop, round) : lookByAlter(drop, round);
  if (looked !== null) return looked;
  if (drop.moves.length === 0) {
    return { kind: 'moved', count: 0, ok: null, failed: null, keepsLocks: false };
  }
  return mayRename ? moveByRename(drop, round) : moveByAlter(drop, round);
}

type NextRound = () => readonly Result[] | null;

/** MySQL 8.0.13 took RENAME up into what LOCK TABLES allows. */
function renamesUnderLocks({ flavour, versionId }: ServerVersion): boolean {
  return flavour === 'mysql' && versionId >= 80_013;
}

/** Null: each name is locked for writing. */
function lookByRename(drop: LockedDrop, round: NextRound): UnderLocks | null {
  const { names, locks, request, endsTheDrop } = drop;
  const isWritable = ({ seen }: LockedName) =>
    seen.kind === 'base' &&
    locks?.some((lock) => lock.isWrite && isSame(lock, seen, drop)) === true;
  if (names.every(isWritable)) return null;
  // With a GTID there is one error to be had, so it is that of the first that isn't.
  const first = drop.gtidNext === null ? -1 : names.findIndex((name) => !isWritable(name));
  const asked = first < 0 ? names : names.slice(first, first + 1);
  // Nobody can lock a view, though its RENAME passes for one that can.
  const commands = asked.map(({ name, seen }) =>
    query(seen.kind === 'view' ? notLockedSql(seen) : askRenameSql(name, request)),
  );
  const results = round();
  if (results === null) return session(commands);
  const denied = results.find((result) => isError(result, DENIED));
  if (denied?.kind === 'err' && endsTheDrop(denied)) return { kind: 'denied', error: denied };
  const at = results.findIndex((result) => isEnd(result, endsTheDrop));
  const ended = results[at];
  if (ended?.kind === 'err') {
    return at === results.length - 1
      ? { kind: 'answer', error: ended }
      : inItsWords({ command: commands[at], ended }, drop, round);
  }
  return denied?.kind === 'err' ? lookByRead(asked, denied, drop, round) : null;
}

/** Who may not rename is told by a SELECT that a table isn't locked at all, as by the drop. */
function lookByRead(
  names: readonly LockedName[],
  denied: ErrPacket,
  drop: LockedDrop,
  round: NextRound,
): UnderLocks {
  const commands = names.map(({ name }) => query(askReadSql(name, drop.request)));
  const results = round();
  if (results === null) return session(commands);
  const at = results.findIndex((result) => isError(result, NOT_LOCKED));
  const ended = results[at];
  if (ended?.kind !== 'err') return { kind: 'denied', error: denied };
  return inItsWords({ command: commands[at], ended }, drop, round);
}

/** Null: each name is locked for writing; where it is to be renamed, under its own name. */
function lookByAlter(drop: LockedDrop, round: NextRound): UnderLocks | null {
  const { names, request, endsTheDrop } = drop;
  // Neither can one ask there, nor is there a GTID for each ALTER.
  if (drop.gtidNext !== null) return { kind: 'alias' };
  const rights = names.map(({ name }) => query(askRenameSql(name, request)));
  const asked = names.map(({ name, seen }) =>
    query(seen.kind === 'view' ? notLockedSql(seen) : askLockSql(name, request)),
  );
  const results = round();
  if (results === null) return session([...rights, ...asked]);
  const denied = results.slice(0, names.length).find((result) => isError(result, DENIED));
  if (denied?.kind === 'err' && endsTheDrop(denied)) return { kind: 'denied', error: denied };
  let hasAlias = false;
  for (const [index, result] of results.slice(names.length).entries()) {
    const [one, command] = [names[index], asked[index]];
    assert(one !== undefined && command !== undefined, 'each name was asked for');
    if (result.kind !== 'err') continue;
    const asking = { command, ended: result };
    if (isError(result, NOT_LOCKED)) {
      const ended = notLocked(one, asking, drop, round);
      if (ended !== null) return ended;
      hasAlias = true;
      continue;
    }
    if (result.errno === DENIED) return lookByRead(names, result, drop, round);
    if (isEnd(result, endsTheDrop)) return inItsWords(asking, drop, round);
  }
  const leaving = hasAlias ? leaveFirst(drop, round) : null;
  if (leaving !== null) return leaving;
  return denied?.kind === 'err' ? { kind: 'denied', error: denied } : null;
}

/**
 * Under an alias a table can be dropped, but not renamed. Where the session has nothing locked but
 * what it drops, the drop would have left LOCK TABLES with the last one: so that is left first,
 * unless somebody waits, who would be faster. Null: nothing is to be renamed.
 */
function leaveFirst(drop: LockedDrop, round: NextRound): UnderLocks | null {
  const { used, names, moves, request } = drop;
  if (moves.length === 0) return null;
  if (moves.length < names.length) return { kind: 'alias' };
  if (used === null) return { kind: 'used' };
  if (used.tables === null || used.isWaitedFor) return { kind: 'alias' };
  const others = used.tables.filter((one) => !names.some(({ seen }) => isSame(one, seen, drop)));
  // MySQL can't be asked for an alias: there one table is all that anybody has in use.
  const isOne = names.length === 1 && others.length === 0 && used.ownInnodb === 1;
  if (request.server.flavour === 'mysql' && !isOne) return { kind: 'alias' };
  const locked = hasLocked(others, drop, round);
  if (typeof locked === 'object') return locked;
  if (locked) return { kind: 'alias' };
  return round() === null ? session([query(UNLOCK_SQL)]) : { kind: 'left' };
}

function isEnd(result: Result, endsTheDrop: LockedDrop['endsTheDrop']): boolean {
  if (result.kind !== 'err') return false;
  return [READ_LOCKED, NOT_LOCKED].includes(result.errno) || endsTheDrop(result);
}

/** Under its own name, at least. Null: it is under an alias. */
function notLocked(
  { name, seen }: LockedName,
  asking: Asking,
  drop: LockedDrop,
  round: NextRound,
): UnderLocks | null {
  const { request } = drop;
  if (seen.kind !== 'base') return inItsWords(asking, drop, round);
  const isMariadb = request.server.flavour === 'mariadb';
  const ask = isMariadb ? askAliasSql(name, request) : askFlushSql(name, request);
  const [result] = round() ?? [null];
  if (result === null) return session([query(ask)]);
  if (result?.kind === 'err' && [NOT_LOCKED, READ_LOCKED].includes(result.errno)) {
    return { kind: 'answer', error: result };
  }
  if (isMariadb || result?.kind === 'ok') return null;
  const open = query(openTableSql(name, { ...request, table: seen.table }));
  const [found] = round() ?? [null];
  if (found === null) return session([open]);
  const isInUse = found?.kind === 'rows' && found.rows.length > 0;
  return isInUse ? null : inItsWords(asking, drop, round);
}

interface Asking {
  readonly command: UserCommand | undefined;
  /** What it has answered. */
  readonly ended: ErrPacket;
}

/** Says it once more, so that the server's words are the session's last; a KILL comes but once. */
function inItsWords(
  { command, ended }: Asking,
  { endsTheDrop }: LockedDrop,
  round: NextRound,
): UnderLocks {
  assert(command !== undefined, 'an answer has its command');
  const [result] = round() ?? [null];
  if (result === null) return session([command]);
  assert(result?.kind === 'err', 'what failed under LOCK TABLES fails again');
  return { kind: 'answer', error: isEnd(result, endsTheDrop) ? result : ended };
}

function moveByRename(drop: LockedDrop, round: NextRound): UnderLocks {
  const { request, moves, locks } = drop;
  const rename = query(renameSql({ ...request, moves, wait: null }));
  const [result] = round() ?? [null];
  if (result === null) return session([rename], { renames: true });
  if (result?.kind === 'err' && result.errno === DENIED) return { kind: 'denied', error: result };
  if (result?.kind === 'err') return failedAt(0, result, null);
  assert(result?.kind === 'ok', 'RENAME answers OK or ERR');
  // Under the name of a held table it is one that this session has dropped before.
  const isOther = (lock: LockedTable) =>
    parseHoldName(lock.table) === null && !moves.some(({ seen }) => isSame(lock, seen, drop));
  if (locks === null || locks.some(isOther)) return movedAll(drop, result, { keepsLocks: true });
  const unlock = underOwnGtid(drop.gtidNext, [query(UNLOCK_SQL)]);
  const unlocked = round();
  if (unlocked === null) return session(unlock.commands);
  return movedAll(drop, moreOf(result, unlocked[unlock.at]), { keepsLocks: false });
}

function moveByAlter(drop: LockedDrop, round: NextRound): UnderLocks {
  const { request, moves, used } = drop;
  let ok: OkPacket | null = null;
  for (const [index, move] of moves.entries()) {
    const [result] = round() ?? [null];
    if (result === null) return session([query(alterNameSql(move, request))], { renames: true });
    if (result?.kind === 'err') return failedAt(index, result, ok);
    assert(result?.kind === 'ok', 'ALTER answers OK or ERR');
    ok = result;
  }
  assert(ok !== null, 'something was moved');
  if (used === null) return { kind: 'used' };
  const done = movedAll(drop, ok, { keepsLocks: false });
  const tables = lockedPerhaps(used);
  if (tables === null) return done;
  const locked = hasLocked(tables, drop, round);
  if (typeof locked === 'object') return locked;
  if (locked) return forgetting(done, round);
  const unlocked = round();
  const last = [query(UNLOCK_SQL), ...(tables.length > 0 ? FORGET_SQL.map(query) : [])];
  if (unlocked === null) return session(last);
  return movedAll(drop, moreOf(ok, unlocked[0]), { keepsLocks: false });
}

/** Behind the move: what InnoDB says of the session is asked no more. Null: it has some locked. */
function lockedPerhaps({ tables, ownInnodb }: UsedTables): readonly UsedTable[] | null {
  if (tables === null || ownInnodb === null) return tables;
  return ownInnodb > 0 ? null : tables.filter(({ isInnodb }) => !isInnodb);
}

/** Whether the session has one of `tables` locked, or nobody can say so; or the step that says. */
function hasLocked(
  tables: readonly UsedTable[],
  { request }: LockedDrop,
  round: NextRound,
): boolean | UnderLocks {
  if (tables.length === 0) return false;
  if (!tables.every(({ schema, table }) => isWritable(`${schema}${table}`, request))) return true;
  const nameOf = ({ schema, table }: UsedTable) => ({
    schema: Buffer.from(schema),
    table: Buffer.from(table),
  });
  const reads = round();
  if (reads === null) {
    return session(tables.map((one) => query(askReadSql(nameOf(one), request))));
  }
  if (reads.some((result) => result.kind !== 'err')) return true;
  const doubtful = tables.filter((_one, index) => isError(reads[index], NOT_LOCKED));
  if (doubtful.length === 0) return false;
  const canAsk = request.server.flavour === 'mariadb' && doubtful.every(({ isBase }) => isBase);
  if (!canAsk) return true;
  const aliases = round();
  if (aliases === null) {
    return session(doubtful.map((one) => query(askAliasSql(nameOf(one), request))));
  }
  return !aliases.every((result) => isError(result, NOT_LOCKED) || isError(result, DENIED));
}

/** What was asked for in vain is not seen in SHOW WARNINGS. */
function forgetting(done: UnderLocks, round: NextRound): UnderLocks {
  return round() === null ? session(FORGET_SQL.map(query)) : done;
}

function movedAll(
  { moves }: LockedDrop,
  ok: OkPacket,
  { keepsLocks }: { readonly keepsLocks: boolean },
): UnderLocks {
  return { kind: 'moved', count: moves.length, ok, failed: null, keepsLocks };
}

function failedAt(count: number, failed: ErrPacket, ok: OkPacket | null): UnderLocks {
  return { kind: 'moved', count, ok, failed, keepsLocks: false };
}

/** The OK that reports more of the session's state: the end of LOCK TABLES, or a GTID. */
function moreOf(renamed: OkPacket, unlocked: Result | undefined): OkPacket {
  if (unlocked?.kind !== 'ok') return renamed;
  return unlocked.payload.length > renamed.payload.length ? unlocked : renamed;
}

/** Whether a name of the service's can be said in the client's charset. */
function isWritable(name: string, { charset }: DropRequest): boolean {
  return charset === 'utf8' || Buffer.from(name).every((byte) => byte < 0x80);
}

function isSame(
  lock: Pick<LockedTable, 'schema' | 'table'>,
  { schema, table }: IntentTable,
  { foldsCase }: LockedDrop,
): boolean {
  const fold = (name: string) => (foldsCase ? foldName(name) : name);
  return fold(lock.schema) === fold(schema) && fold(lock.table) === fold(table);
}

function notLockedSql({ table }: IntentTable): Buffer {
  const message = `Table '${table}' was not locked with LOCK TABLES`;
  return signalSql({ errno: NOT_LOCKED, sqlState: 'HY000', message });
}

function isError(result: Result | undefined, errno: number): boolean {
  return result?.kind === 'err' && result.errno === errno;
}

function session(
  commands: readonly UserCommand[],
  { renames = false }: { readonly renames?: boolean } = {},
): UnderLocks {
  return { kind: 'session', commands, renames };
}

function query(text: Uint8Array): UserCommand {
  return { kind: 'query', text };
}
