/**
 * Renames tables to their hold names in a session that holds LOCK TABLES. The server has said
 * before that each is locked for writing, under its own name (steps/ask-to-drop.ts). MySQL 8.0.13
 * and later take one RENAME, and tell what else is locked: after its last table the session leaves
 * LOCK TABLES, as after a native drop. Others take an ALTER of each, and tell nobody what is
 * locked: there the session stays under LOCK TABLES until it says UNLOCK TABLES.
 *
 * Invariant: no lock of another table is given up.
 */

import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import type { LockedTable } from '../../ledger/intents/session-locks.js';
import { parseHoldName } from '../../names/hold-name.js';
import { foldName } from '../../names/names.js';
import type { ClientCharset } from '../../sql/lex/lex-mode.js';
import { ask, perform, query, type Steps } from '../../steps/procedure.js';
import { type Answer, type Reply, refuse, sentenceStart } from '../../steps/refuse.js';
import { type QualifiedName, qualified, renameSql } from '../../steps/session/user-session-sql.js';
import type { OkPacket } from '../../wire/response.js';
import type { Result } from '../../wire/result-reader.js';
import { ER_TABLEACCESS_DENIED_ERROR } from '../../wire/server-errors.js';
import type { Drop, Move } from './decide.js';
import { endedBefore, type Moved, renameFailed } from './rename.js';

const UNLOCK_SQL = Buffer.from('UNLOCK /* undrop locks */ TABLES');

export function* renameUnderLocks(drop: Drop, moves: readonly Move[]): Steps<Moved | Reply> {
  const { flavour, versionId } = drop.request.server;
  if (drop.facts.gtidNext !== null) return refuseLocked(drop);
  const takesRename = flavour === 'mysql' && versionId >= 80_013;
  return takesRename ? yield* renameAtOnce(drop, moves) : yield* renameByAlter(drop, moves);
}

export function refuseLocked({ request }: Pick<Drop, 'request'>): Answer {
  return refuse(new UndropError('UNDROP_LOCKED_TABLES', { tables: sentenceStart(request) }));
}

function* renameAtOnce(drop: Drop, moves: readonly Move[]): Steps<Moved | Reply> {
  // What came before the drop, unanswered when the intents were written, may have changed them.
  const locks = yield* perform('locks', {});
  const text = renameSql({ ...drop.request, moves, wait: null });
  const [said] = yield* perform('user', { commands: [query(text)], renames: true });
  if (said?.kind === 'err') {
    const isDenied = said.errno === ER_TABLEACCESS_DENIED_ERROR;
    return isDenied ? refuseLocked(drop) : renameFailed(drop, said);
  }
  assert(said?.kind === 'ok', 'RENAME answers OK or ERR');
  const moved = { kind: 'moved' as const, moves, failed: null };
  // Under a hold name it is a table that this session has dropped before.
  const isOther = ({ schema, table }: LockedTable) =>
    parseHoldName(table) === null &&
    !moves.some(({ seen }) => isSame(drop, { schema, table }, seen));
  if (locks === null || locks.some(isOther)) return { ...moved, ok: said, keepsLocks: true };
  const [unlocked] = yield* ask(UNLOCK_SQL);
  return { ...moved, ok: withMore(said, unlocked), keepsLocks: false };
}

function* renameByAlter(drop: Drop, moves: readonly Move[]): Steps<Moved | Reply> {
  let ok: OkPacket | null = null;
  for (const [index, move] of moves.entries()) {
    const text = alterNameSql(move, drop.request);
    const [said] = yield* perform('user', { commands: [query(text)], renames: true });
    if (said?.kind === 'err') {
      if (index > 0) {
        const failed = endedBefore(drop, moves.slice(index), said);
        return { kind: 'moved', ok, moves: moves.slice(0, index), failed, keepsLocks: false };
      }
      const isDenied = said.errno === ER_TABLEACCESS_DENIED_ERROR;
      return isDenied ? refuseLocked(drop) : renameFailed(drop, said);
    }
    assert(said?.kind === 'ok', 'ALTER answers OK or ERR');
    ok = said;
  }
  return { kind: 'moved', ok, moves, failed: null, keepsLocks: false };
}

interface TableName {
  readonly schema: string;
  readonly table: string;
}

function isSame({ intent }: Drop, one: TableName, other: TableName): boolean {
  const fold = (name: string) => (intent.lowerCaseTableNames === 0 ? name : foldName(name));
  return fold(one.schema) === fold(other.schema) && fold(one.table) === fold(other.table);
}

/** The OK that reports more of the session's state: the end of LOCK TABLES. */
function withMore(renamed: OkPacket, unlocked: Result | undefined): OkPacket {
  if (unlocked?.kind !== 'ok') return renamed;
  return unlocked.payload.length > renamed.payload.length ? unlocked : renamed;
}

interface Said {
  readonly groupId: string;
  readonly charset: ClientCharset;
}

/** The RENAME of one table, for servers that refuse RENAME under LOCK TABLES. */
function alterNameSql(
  { name, holdName }: { readonly name: QualifiedName; readonly holdName: string },
  { groupId, charset }: Said,
): Buffer {
  const hold = { schema: name.schema, table: Buffer.from(holdName) };
  return Buffer.concat([
    Buffer.from(`ALTER /* undrop hold ${groupId} */ TABLE `),
    qualified(name, charset),
    Buffer.from(' RENAME TO '),
    qualified(hold, charset),
  ]);
}
