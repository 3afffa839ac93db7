/**
 * The queries of EXPLAIN DROP TABLE in the user's session: the kinds of the names, and whether the
 * user may drop them.
 *
 * Invariants: the server checks the privileges, with the errors of DROP, before anything else is
 * shown. No statement here can destroy anything; the check ends the transaction, as the drop does,
 * and waits for others' locks for a second at most.
 */
import { type Answer, answerWith } from '../../steps/reply.js';
import type { DropRequest } from '../../steps/request.js';
import { type NameKind, readKind } from '../../steps/session/facts.js';
import { ask, type UserSession } from '../../steps/session/user-session.js';
import { type QualifiedName, showCreateSql } from '../../steps/session/user-session-sql.js';
import { askToDrop } from '../../steps/session-answers.js';
import { decodeErr, type Result } from '../../wire/response.js';
import { ER_LOCK_WAIT_TIMEOUT } from '../../wire/server-errors.js';
import { lockWaitSql, readSchemaFacts, schemaFactsSql } from '../drop-database/schema-sql.js';
import { namesToAsk } from '../drop-table/decide.js';

export interface MayDrop {
  readonly kind: 'may-drop';
  readonly kinds: readonly NameKind[];
  /** SHOW CREATE of each name. */
  readonly shown: readonly Result[];
  /** Names that another session has locked. */
  readonly locked: ReadonlySet<QualifiedName>;
}

const LOCK_WAIT_S = 1;

/** An answer: the drop would end with it. */
export async function askRights(
  session: UserSession,
  request: DropRequest,
  names: readonly QualifiedName[],
): Promise<MayDrop | Answer> {
  const { server, groupId, charset } = request;
  const shows = names.map((name) => showCreateSql(name, charset));
  const [first, ...shown] = await ask(session, schemaFactsSql(), ...shows);
  const facts = readSchemaFacts(first);
  if ('errno' in facts) return answerWith(facts);
  const kinds: NameKind[] = [];
  for (const kind of shown.map(readKind)) {
    if (typeof kind === 'object') return answerWith(kind);
    kinds.push(kind);
  }
  const isMysql = server.flavour === 'mysql';
  const nowait = { ...request.statement, wait: { kind: 'nowait' } as const };
  const asking = isMysql ? request : { ...request, statement: nowait };
  const wait = (seconds: number) => lockWaitSql(seconds, groupId);
  if (isMysql) await ask(session, wait(LOCK_WAIT_S));
  const locked = new Set<QualifiedName>();
  let ended: Answer | null = null;
  for (const name of namesToAsk({ names, kinds })) {
    const said = await askToDrop(session, asking, [name]);
    if (said === null) continue;
    ended = decodeErr(said.payload).errno === ER_LOCK_WAIT_TIMEOUT ? null : said;
    if (ended !== null) break;
    locked.add(name);
  }
  // Twice, because a late KILL may hit one.
  if (isMysql) await ask(session, wait(facts.lockWaitS), wait(facts.lockWaitS));
  return ended ?? { kind: 'may-drop', kinds, shown, locked };
}
