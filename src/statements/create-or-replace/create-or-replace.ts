/**
 * A CREATE OR REPLACE of a table or a sequence (MariaDB), from top to bottom: the server checks the
 * client's own text by a PREPARE; the text runs without the words OR REPLACE, and fails with 1050
 * if the name is taken; the table of that name is then held like a dropped one, and the text runs
 * again. Its response is the client's. If another session was faster to take the name, its table is
 * held as well.
 *
 * Invariants: the text that runs replaces nothing. If the statement fails, its old table is back
 * under its name, or held for UNDROP_HOLD at least; until it ends, the intents stay intents, so
 * that the collector leaves their tables, however soon they are due.
 */
import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import { inspectNames, know, syntaxError } from '../../steps/inspect-names.js';
import { makeTriggers } from '../../steps/make-triggers.js';
import { type NamedTable, qualify, serviceNames } from '../../steps/names/client-names.js';
import {
  type Answer,
  answerWith,
  ask,
  type HeldTable,
  listTables,
  perform,
  type Reply,
  refuse,
  type Steps,
  serve,
} from '../../steps/procedure.js';
import { notDone, notUnderstood } from '../../steps/refusals/refusals.js';
import type { DropRequest, UserFacts } from '../../steps/request.js';
import type { Beginning } from '../../steps/run.js';
import { ownLockSql, probeSql, type QualifiedName } from '../../steps/session/user-session-sql.js';
import { askToDrop, raise, signal } from '../../steps/session-answers.js';
import { decodeErr } from '../../wire/response.js';
import {
  DDL_FORBIDDEN,
  ER_BAD_TABLE_ERROR,
  ER_MAX_PREPARED_STMT_COUNT_REACHED,
  ER_NO_SUCH_TABLE,
  ER_TABLE_EXISTS_ERROR,
  ER_TABLE_NOT_LOCKED,
  ER_UPDATE_TABLE_USED,
  ER_VIEW_INVALID,
  GAVE_UP,
  SAID_BY_PARSER,
} from '../../wire/server-errors.js';
import { dropRecorded } from '../drop-table/drop-table.js';
import type { ReplaceService } from './service.js';

/**
 * The maximum of runs of the text; tables of others that take the name meanwhile are held as well.
 */
export const TRIES_MAX = 32;

/** In performance_schema, CREATE finds these tables and DROP does not. */
const SERVERS_OWN = 'performance_schema';

const OF_PARSER: ReadonlySet<number> = new Set([
  ...SAID_BY_PARSER,
  ER_MAX_PREPARED_STMT_COUNT_REACHED,
]);

/**
 * Errors after which the server still has the old table, or may have it: a source that is missing
 * (the old table itself, or a view of it), a lock that isn't granted, a KILL, a timeout. After
 * other errors the old table is gone.
 */
const KEEPS_THE_OLD: readonly number[] = [...GAVE_UP, ER_NO_SUCH_TABLE, ER_VIEW_INVALID];

/** The state once the server has accepted the text. */
interface Replacing {
  readonly request: DropRequest;
  readonly facts: UserFacts;
  readonly name: QualifiedName;
  /** The same in UTF-8. */
  readonly table: NamedTable;
  /** The client's text without OR REPLACE. */
  readonly create: Buffer;
  readonly service: ReplaceService;
  /** The tables that had the name, in order. */
  readonly held: HeldTable[];
}

/** The procedure, with the text that runs and what the service account does for it. */
export function createOrReplace(
  what: Pick<Replacing, 'create' | 'facts' | 'service'>,
): (beginning: Beginning) => Steps<Reply> {
  return function* ({ request, hints }) {
    const { facts } = what;
    const [named] = request.statement.names;
    assert(named !== undefined, 'one table is replaced');
    const name = qualify(named, facts);
    const wrong = yield* checkSyntax(request, name);
    if (wrong !== null) return wrong;
    const stored = serviceNames(request, facts);
    if ('error' in stored) return refuse(stored.error);
    const [table] = stored.tables;
    assert(table !== undefined, 'each name is decoded');
    yield* know(facts, hints);
    const replacing: Replacing = { ...what, request, name, table, held: [] };
    const end = yield* createAtLast(replacing);
    return isOk(end) ? { ...end, held: replacing.held } : yield* takeBack(replacing, end);
  };
}

/** The server's error for the text; null: it accepts it. */
function* checkSyntax(request: DropRequest, name: QualifiedName): Steps<Reply | null> {
  const [prepared] = yield* prepare(request.text);
  if (prepared?.kind !== 'err') return null;
  if (!OF_PARSER.has(prepared.errno)) {
    // The server reads tables after it has ended the transaction, and so does this.
    const [ended] = yield* ask(probeSql(name, request));
    if (ended?.kind === 'err' && DDL_FORBIDDEN.includes(ended.errno)) return answerWith(ended);
  }
  return yield* syntaxError(request, prepared);
}

function prepare(text: Uint8Array) {
  return perform('user', { commands: [{ kind: 'prepare', text }] });
}

/** If the session breaks meanwhile, no held table is removed sooner than after UNDROP_HOLD. */
function* createAtLast(replacing: Replacing): Steps<Answer> {
  const { create, request, service, table, held } = replacing;
  let refusal: UndropError | null = null;
  try {
    for (let tries = 1; tries <= TRIES_MAX; tries++) {
      const [said] = yield* ask(create);
      assert(said?.kind === 'ok' || said?.kind === 'err', 'CREATE answers OK or ERR');
      const isTaken = said.kind === 'err' && said.errno === ER_TABLE_EXISTS_ERROR;
      if (!isTaken || table.schema.toLowerCase() === SERVERS_OWN) return answerWith(said);
      if (tries > 1) yield* serve(() => service.pause());
      const reply = tries < TRIES_MAX ? yield* hold(replacing) : null;
      if (reply?.kind === 'again') refusal = reply.otherwise;
      if (reply?.kind !== 'answer') continue;
      held.push(...reply.held);
      if (!isOk(reply) && !isInPassing(reply)) return reply;
    }
  } catch (error) {
    yield* keepLonger(replacing);
    throw error;
  }
  const params = { tables: listTables(request.statement.names), times: TRIES_MAX };
  return refuse(refusal ?? new UndropError('UNDROP_CHANGED_MEANWHILE', params));
}

/** Holds the table that has the name, unless it is gone. */
function* hold({ request, facts, name, table }: Replacing): Steps<Reply> {
  const [own] = yield* prepare(ownLockSql(name, request));
  if (own?.kind === 'err' && own.errno === ER_TABLE_NOT_LOCKED) {
    const how = 'by CREATE OR REPLACE under LOCK TABLES';
    return refuse(notDone(how, listTables(request.statement.names), 'Run UNLOCK TABLES first.'));
  }
  const checked = { ...request, isSyntaxChecked: true };
  const seen = yield* inspectNames({ request: checked, hints: new Set() }, 'user');
  if ('kind' in seen) return seen;
  if (seen.kinds.includes('temporary')) {
    return refuse(notUnderstood('a temporary table has the name of the table that it replaces'));
  }
  const targets = [table];
  const recorded = yield* perform('recordTargets', { facts, targets });
  if (recorded.intent !== null) return yield* dropRecorded(seen, recorded);
  // The session waits for a lock that the service doesn't wait for.
  const ended = yield* askToDrop(request, [name]);
  if (ended !== null) return ended;
  return yield* dropRecorded(seen, yield* perform('recordTargets', { facts, targets }));
}

function isOk({ payload }: Answer): boolean {
  return payload[0] === 0x00;
}

/** The old table is gone or has changed. CREATE reports what has the name now. */
function isInPassing({ payload, refusal }: Answer): boolean {
  if (refusal !== null) return refusal.code === 'UNDROP_CHANGED_MEANWHILE';
  return decodeErr(payload).errno === ER_BAD_TABLE_ERROR;
}

function keepLonger({ held, facts: { logged } }: Replacing) {
  return perform('keepLonger', { held, logged });
}

/**
 * Creates triggers that the service account may not create; the session gets its error again after
 * that.
 */
function* makeMissing({ request, service, facts }: Replacing, failed: Answer): Steps<void> {
  const drop = { groupId: request.groupId, facts };
  const triggers = yield* serve((pool) => service.triggersToMake(pool, drop));
  if (triggers.length === 0) return;
  yield* makeTriggers(triggers, facts);
  const said = decodeErr(failed.payload);
  yield* raise(request, { ...said, message: said.message.toString() });
}

/**
 * The new table could not be created. The first table of that name gets it back if the server would
 * have kept it: a session that took the name meanwhile would natively have waited.
 */
function* takeBack(replacing: Replacing, failed: Answer): Steps<Answer> {
  const { request, service, table } = replacing;
  // First of all, because only the running statement keeps it from being collected.
  const held = yield* keepLonger(replacing);
  const [first, ...others] = held;
  const { errno, message } = decodeErr(failed.payload);
  const isToCome = failed.refusal === null && KEEPS_THE_OLD.includes(errno);
  if (first === undefined || !isToCome) return { ...failed, held };
  const tables = listTables(request.statement.names);
  const isRenamedBack = yield* serve((pool) => service.putBack(pool, { id: first.id, tables }));
  if (!isRenamedBack) return { ...failed, held };
  yield* makeMissing(replacing, failed);
  const isOfItself = message.includes(`'${table.schema}.${table.table}'`);
  if (errno !== ER_NO_SUCH_TABLE || !isOfItself) return { ...failed, held: others };
  const words = `Table '${table.table}' is specified twice, both as a target for 'CREATE' and as a separate source for data`;
  const said = yield* signal({ errno: ER_UPDATE_TABLE_USED, sqlState: 'HY000', message: words });
  return { ...(said.kind === 'err' ? answerWith(said) : failed), held: others };
}
