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
import { assert, type UndropError } from '../../errors.js';
import type { QualifiedTable } from '../../names/names.js';
import { REPLACE_TRIES } from '../../tries.js';
import { decodeErr } from '../../wire/response.js';
import * as ER from '../../wire/server-errors.js';
import { dropRecorded } from '../drop-table/drop-table.js';
import { inspectNames, syntaxError } from '../steps/inspect-names.js';
import { makeDefinitions } from '../steps/make-definitions.js';
import { qualify, serviceNames } from '../steps/names/client-names.js';
import { notDone, notUnderstood } from '../steps/refusals/refusals.js';
import * as user from '../steps/session/user-session.js';
import type * as steps from '../steps/world.js';
import { answerWith, ask, changedMeanwhile, listTables, refuse } from '../steps/world.js';
import type { PutBackPort } from './put-back-port.js';

/** In performance_schema, CREATE finds these tables and DROP does not. */
const SERVERS_OWN = 'performance_schema';

const OF_PARSER: ReadonlySet<number> = new Set([
  ...ER.SAID_BY_PARSER,
  ER.MAX_PREPARED_STMT_COUNT_REACHED,
]);

/**
 * Errors after which the server still has the old table, or may have it: a source that is missing
 * (the old table itself, or a view of it), a lock that isn't granted, a KILL, a timeout. After
 * other errors the old table is gone.
 */
const KEEPS_THE_OLD: readonly number[] = [...ER.GAVE_UP, ER.NO_SUCH_TABLE, ER.VIEW_INVALID];

/** The state once the server has accepted the text. */
interface Replacing {
  readonly world: steps.World;
  readonly request: steps.DropRequest;
  readonly facts: steps.UserFacts;
  readonly name: user.QualifiedName;
  /** The same in UTF-8. */
  readonly table: QualifiedTable;
  /** The client's text without OR REPLACE. */
  readonly create: Buffer;
  readonly port: PutBackPort;
  /** The tables that had the name, in order. */
  readonly held: steps.HeldTable[];
}

export async function createOrReplace(
  world: steps.World,
  how: Pick<Replacing, 'create' | 'facts' | 'port'>,
  request: steps.DropRequest,
): Promise<steps.Reply> {
  const { facts } = how;
  const [named] = request.statement.names;
  assert(named !== undefined, 'one table is replaced');
  const name = qualify(named, facts);
  const wrong = await checkSyntax(world, request, name);
  if (wrong !== null) return wrong;
  const stored = serviceNames(request, facts);
  if ('error' in stored) return refuse(stored.error);
  const [table] = stored.tables;
  assert(table !== undefined, 'each name is decoded');
  await world.know(facts);
  const replacing: Replacing = { ...how, world, request, name, table, held: [] };
  const end = await createAtLast(replacing);
  return isOk(end) ? { ...end, held: replacing.held } : takeBack(replacing, end);
}

/** The server's error for the text; null: it accepts it. */
async function checkSyntax(
  session: steps.UserSession,
  request: steps.DropRequest,
  name: user.QualifiedName,
): Promise<steps.Reply | null> {
  const [prepared] = await session.run([{ kind: 'prepare', text: request.text }]);
  if (prepared?.kind !== 'err') return null;
  if (!OF_PARSER.has(prepared.errno)) {
    // The server reads tables after it has ended the transaction, and so does this.
    const [ended] = await ask(session, user.probeSql(name, request));
    if (ended?.kind === 'err' && ER.DDL_FORBIDDEN.includes(ended.errno)) return answerWith(ended);
  }
  return syntaxError(session, request, prepared);
}

/** If the session breaks meanwhile, no held table is removed sooner than after UNDROP_HOLD. */
async function createAtLast(replacing: Replacing): Promise<steps.Answer> {
  const { world, create, request, port, table, held } = replacing;
  let refusal: UndropError | null = null;
  try {
    for (let tries = 1; tries <= REPLACE_TRIES; tries++) {
      const [said] = await ask(world, create);
      assert(said?.kind === 'ok' || said?.kind === 'err', 'CREATE answers OK or ERR');
      const isTaken = said.kind === 'err' && said.errno === ER.TABLE_EXISTS_ERROR;
      if (!isTaken || table.schema.toLowerCase() === SERVERS_OWN) return answerWith(said);
      if (tries > 1) await port.pause();
      const reply = tries < REPLACE_TRIES ? await hold(replacing) : null;
      if (reply?.kind === 'again') refusal = reply.otherwise;
      if (reply?.kind !== 'answer') continue;
      held.push(...reply.held);
      if (!isOk(reply) && !isInPassing(reply)) return reply;
    }
  } catch (error) {
    await world.keepLonger(held);
    throw error;
  }
  const tables = listTables(request.statement.names);
  return refuse(refusal ?? changedMeanwhile(tables, REPLACE_TRIES));
}

/** Holds the table that has the name, unless it is gone. */
async function hold({ world, request, facts, name, table }: Replacing): Promise<steps.Reply> {
  const [own] = await world.run([{ kind: 'prepare', text: user.ownLockSql(name, request) }]);
  if (own?.kind === 'err' && own.errno === ER.TABLE_NOT_LOCKED) {
    const how = 'by CREATE OR REPLACE under LOCK TABLES';
    return refuse(notDone(how, listTables(request.statement.names), 'Run UNLOCK TABLES first.'));
  }
  const seen = await inspectNames(world, { ...request, isSyntaxChecked: true });
  if ('kind' in seen) return seen;
  if (seen.kinds.includes('temporary')) {
    return refuse(notUnderstood('a temporary table has the name of the table that it replaces'));
  }
  const targets = [table];
  const recorded = await world.recordTargets(facts, targets);
  if (recorded.intent !== null) return dropRecorded(world, seen, recorded);
  // The session waits for a lock that the service doesn't wait for.
  const ended = await user.askToDrop(world, request, [name]);
  if (ended !== null) return ended;
  return dropRecorded(world, seen, await world.recordTargets(facts, targets));
}

function isOk({ payload }: steps.Answer): boolean {
  return payload[0] === 0x00;
}

/** The old table is gone or has changed. CREATE reports what has the name now. */
function isInPassing({ payload, refusal }: steps.Answer): boolean {
  if (refusal !== null) return refusal.code === 'UNDROP_CHANGED_MEANWHILE';
  return decodeErr(payload).errno === ER.BAD_TABLE_ERROR;
}

/**
 * Creates triggers that the service account may not create; the session gets its error again after
 * that.
 */
async function makeMissing(
  { world, request, port, facts }: Replacing,
  failed: steps.Answer,
): Promise<void> {
  const drop = { dropId: request.dropId, facts };
  const triggers = await port.triggersToMake(drop);
  if (triggers.length === 0) return;
  await makeDefinitions(world, triggers, facts);
  const said = decodeErr(failed.payload);
  await user.raise(world, request, { ...said, message: said.message.toString() });
}

/**
 * The new table could not be created. The first table of that name gets it back if the server would
 * have kept it: a session that took the name meanwhile would natively have waited.
 */
async function takeBack(replacing: Replacing, failed: steps.Answer): Promise<steps.Answer> {
  const { world, request, port, table } = replacing;
  // First of all, because only the running statement keeps it from being collected.
  const held = await world.keepLonger(replacing.held);
  const [first, ...others] = held;
  const { errno, message } = decodeErr(failed.payload);
  const isToCome = failed.refusal === null && KEEPS_THE_OLD.includes(errno);
  if (first === undefined || !isToCome) return { ...failed, held };
  const tables = listTables(request.statement.names);
  const isRenamedBack = await port.putBack({ id: first.id, tables });
  if (!isRenamedBack) return { ...failed, held };
  await makeMissing(replacing, failed);
  const isOfItself = message.includes(`'${table.schema}.${table.table}'`);
  if (errno !== ER.NO_SUCH_TABLE || !isOfItself) return { ...failed, held: others };
  const words = `Table '${table.table}' is specified twice, both as a target for 'CREATE' and as a separate source for data`;
  const error = { errno: ER.UPDATE_TABLE_USED, sqlState: 'HY000', message: words };
  const said = await user.signal(world, error);
  return { ...(said.kind === 'err' ? answerWith(said) : failed), held: others };
}
