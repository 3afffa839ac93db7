/**
 * Makes the user session respond as after a statement of the client: OK, or a server's error.
 */
import { assert } from '../assert.js';
import { decodeErr, type ErrPacket, encodeErr, type OkPacket } from '../wire/response.js';
import {
  DDL_FORBIDDEN,
  ER_BAD_LOG_STATEMENT,
  ER_DBACCESS_DENIED_ERROR,
  ER_SP_BAD_SQLSTATE,
  ER_TABLE_NOT_LOCKED,
  ER_TABLE_NOT_LOCKED_FOR_WRITE,
  ER_TABLEACCESS_DENIED_ERROR,
  GAVE_UP,
  OWN_GLOBAL_LOCK,
} from '../wire/server-errors.js';
import { type Answer, answerWith } from './reply.js';
import type { DropRequest } from './request.js';
import { ask, type UserSession } from './session/user-session.js';
import {
  cleanSql,
  type QualifiedName,
  type Signal,
  signalCharactersMax,
  signalSql,
  waitForLockSql,
} from './session/user-session-sql.js';

/** OK and no diagnostics, as after a statement without rows. */
export async function clean(
  session: UserSession,
  { groupId }: Pick<DropRequest, 'groupId'>,
): Promise<OkPacket> {
  // A KILL QUERY hits one of them, and the taken tables are held.
  const text = cleanSql(groupId);
  const said = (await ask(session, text, text)).find(({ kind }) => kind === 'ok');
  assert(said?.kind === 'ok', 'DO answers OK');
  return said;
}

/**
 * The response to a SIGNAL. In a connection of UTF-16 and the like the server can't read SQLSTATE
 * (1407): then it is the same response, and SHOW WARNINGS doesn't have it.
 */
export async function signal(session: UserSession, signal: Signal): Promise<OkPacket | ErrPacket> {
  const [said] = await ask(session, signalSql(signal));
  assert(said?.kind === 'ok' || said?.kind === 'err', 'SIGNAL answers OK or ERR');
  if (said.kind === 'ok' || said.errno !== ER_SP_BAD_SQLSTATE) return said;
  if (signal.sqlState.startsWith('01')) return clean(session, { groupId: 'raise' });
  return decodeErr(encodeErr({ ...signal, message: Buffer.from(signal.message) }));
}

/**
 * An error of the server, raised in the session so that SHOW WARNINGS has it too; cut there if it
 * is too long for MySQL.
 */
export async function raise(
  session: UserSession,
  { server }: Pick<DropRequest, 'server'>,
  { errno, sqlState, message }: Signal,
): Promise<Answer> {
  const characters = Array.from(message);
  const charactersMax = signalCharactersMax(server);
  const isCut = characters.length > charactersMax;
  const raised = isCut ? characters.slice(0, charactersMax).join('') : message;
  const said = await signal(session, { errno, sqlState, message: raised });
  if (said.kind === 'err' && !(isCut && said.errno === errno)) return answerWith(said);
  const payload = encodeErr({ errno, sqlState, message: Buffer.from(message) });
  return { kind: 'answer', payload, held: [], refusal: null };
}

// ── the rights on names ──────────────────────────────────────────────────────────────────────────
// Checks in the user's session, before a drop, how the server would answer the DROP of a table:
// whether the user may drop it, whether this or another session has it locked, whether any table
// may be dropped now. The check is an ALTER TABLE … TRUNCATE PARTITION of a partition that doesn't
// exist. It needs the privilege DROP alone, waits for the same lock as DROP TABLE, as long as the
// session's own settings and KILL allow, and returns 1142, 1099 and 1100 with the texts of DROP
// TABLE (tried on all four servers, on tables, views and missing names).
//
// Invariant: it can't succeed, so nothing is destroyed.

/** Errors of a statement of undrop that the DROP would have returned too, word for word. */
export const SAME_AS_DROP: readonly number[] = [
  ...GAVE_UP,
  ...OWN_GLOBAL_LOCK,
  ...DDL_FORBIDDEN,
  ER_BAD_LOG_STATEMENT,
];

/** Errors of the check about the table, with the texts of DROP TABLE. */
const NOT_TO_BE_DROPPED: readonly number[] = [
  ER_DBACCESS_DENIED_ERROR,
  ER_TABLEACCESS_DENIED_ERROR,
  ER_TABLE_NOT_LOCKED_FOR_WRITE,
  ER_TABLE_NOT_LOCKED,
];

/** Null: the server would drop all of them, or they don't exist. */
export async function askToDrop(
  session: UserSession,
  request: DropRequest,
  names: readonly QualifiedName[],
): Promise<Answer | null> {
  const { wait } = request.statement;
  const seconds = wait?.kind === 'nowait' ? '0' : (wait?.text ?? null);
  // In turn, because after one wait has ended the next must not begin.
  for (const name of names) {
    const [said] = await ask(session, waitForLockSql(name, { ...request, wait: seconds }));
    assert(said?.kind === 'err', 'there is no such partition');
    const isEnd = [...SAME_AS_DROP, ...NOT_TO_BE_DROPPED].includes(said.errno);
    if (isEnd) return answerWith(said);
  }
  return null;
}
