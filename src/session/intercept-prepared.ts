/**
 * A DROP TABLE or DROP DATABASE by the protocol's prepared statements. Its PREPARE is the server's
 * own, so that the server judges the text and gives the id; then the server's handle is closed. An
 * EXECUTE of that id runs the drop, with the names as they were bound at the PREPARE.
 *
 * Invariant: when the client gets the id, the server has no handle any more with which its text
 * could be executed.
 */
import { assert } from '../assert.js';
import { bindNames, bindPlainNames, bindPlainSchema, bindSchema } from '../drop/bind-names.js';
import { factsSql, readFacts } from '../drop/facts.js';
import { learnNames } from '../drop/learn-names.js';
import { askServiceNames } from '../drop/service-names.js';
import { UndropError } from '../errors.js';
import type { DropTableStatement } from '../sql/grammar/drop-table.js';
import type { Replacement } from '../sql/verdict.js';
import {
  COM_PING,
  COM_STMT_BULK_EXECUTE,
  COM_STMT_RESET,
  COM_STMT_SEND_LONG_DATA,
} from '../wire/commands.js';
import type { Packet } from '../wire/framing.js';
import { okWithSchema, okWithWarnings } from '../wire/response/ok.js';
import { AwaySession } from './away-session.js';
import { wishesIn } from './drop-wishes.js';
import {
  answerWith,
  dropAndHold,
  type Interception,
  type InterceptOptions,
  readUserFacts,
  refused,
} from './intercept.js';
import { dropSchema } from './intercept-schema.js';
import {
  isOfSchema,
  type PreparedDrop,
  type PreparedDrops,
  type PreparedReplacing,
  type PreparedSchema,
} from './prepared-drops.js';
import { listTables, notDone, notUnderstood, schemaAndTables } from './refusals.js';

interface Preparable {
  readonly statement: PreparedDrop['statement'];
  /** Where the statement is a CREATE OR REPLACE. */
  readonly replacement?: Replacement | null;
}

/** The server prepares the client's text; what it says is the answer. */
export async function prepareDrop(
  text: Buffer,
  { statement, replacement = null }: Preparable,
  options: InterceptOptions & { readonly prepared: PreparedDrops },
): Promise<Interception> {
  const { prepared, server, userSession } = options;
  const { full } = prepared;
  if (full !== null) return refused(noRoom(statement, full), options);
  const [said, answer] = await userSession.run([
    { kind: 'query', text: factsSql(server) },
    { kind: 'prepare', text },
  ]);
  assert(said !== undefined && answer !== undefined, 'both have an answer');
  if (answer.kind === 'err') return answerWith(answer);
  assert(answer.kind === 'prepared', 'a PREPARE is answered by an id or an error');
  await userSession.run([{ kind: 'close', statementId: answer.statementId }]);
  const facts = readFacts(said);
  if ('errno' in facts) return answerWith(facts);
  if (replacement !== null && answer.definitions > 0) {
    return refused(notDone('by CREATE OR REPLACE with parameters', tablesIn(statement)), options);
  }
  assert(answer.definitions === 0, 'a DROP has no columns and no parameters');
  const wishes = wishesIn(text, facts, server);
  if (wishes === null) return refused(notUnderstood('its wishes'), options);
  const { schema, charset } = facts;
  const replacing = replacement === null ? null : { replacement, facts };
  const context = { schema, charset };
  prepared.remember(answer.statementId, { text, statement, context, wishes, replacing });
  return {
    kind: 'answer',
    payload: answer.payload,
    refusal: null,
    facts,
    dropped: null,
  };
}

/** A command on the handle of a drop: EXECUTE, BULK_EXECUTE or RESET. */
export async function commandOnDrop(
  { payload }: Packet,
  drop: PreparedDrop,
  options: InterceptOptions,
): Promise<Interception> {
  const { userSession } = options;
  const command = payload[0] ?? 0;
  if (command === COM_STMT_RESET) {
    drop.hasLongData = false;
    // The same OK, from a command that needs no handle.
    const ping = Buffer.from([COM_PING]);
    const [ok] = await userSession.run([{ kind: 'packet', payload: ping, isAnswered: true }]);
    assert(ok?.kind === 'ok', 'a PING is answered by an OK');
    return answerWith({ payload: okWithWarnings(ok, 0) });
  }
  const isBulk = command === COM_STMT_BULK_EXECUTE;
  const isOdd = payload.length < EXECUTE_BYTES || ((payload[5] ?? 0) & CURSOR_FLAGS) !== 0;
  if (isBulk || isOdd || drop.hasLongData) {
    const refusal = await refusalOfServer(payload, drop, options);
    if (refusal !== null) return refusal;
  }
  if (isBulk) {
    return refused(notDone('by a bulk execution', tablesIn(drop.statement)), options);
  }
  return runPreparedDrop(drop, options);
}

export function noRoom(statement: PreparedDrop['statement'], whose: string): UndropError {
  return new UndropError('UNDROP_TOO_MANY_PREPARED', { tables: tablesIn(statement), whose });
}

/** For a refusal. */
export function tablesIn(statement: PreparedDrop['statement']): string {
  if (isOfSchema(statement)) return schemaAndTables(statement.schema);
  return listTables(statement.names);
}

/** Runs a drop that was prepared earlier. */
export async function runPreparedDrop(
  drop: PreparedDrop,
  options: InterceptOptions,
): Promise<Interception> {
  const { statement, replacing } = drop;
  if (replacing !== null) return runReplacing(drop.text, replacing, options);
  if (isOfSchema(statement)) return runBoundSchema(drop, statement, options);
  if (!options.takesReports) return runBound(drop, statement, options);
  const userSession = new AwaySession(options.userSession, { preparedIn: drop.context.schema });
  const mayBeAway = options.server.flavour === 'mysql' && !options.gtidMayBeSet;
  const away = mayBeAway ? { ...options, userSession } : options;
  const interception = await runBound(drop, statement, away);
  await userSession.close();
  return reportingSchema(drop, interception);
}

/** Its text is said again, and has to mean what it meant. */
async function runReplacing(
  text: Buffer,
  { replacement, facts: before }: PreparedReplacing,
  options: InterceptOptions,
): Promise<Interception> {
  const facts = await readUserFacts(options);
  if ('errno' in facts) return answerWith(facts);
  const isSame = (['schema', 'charset', 'sqlMode'] as const).every(
    (key) => facts[key] === before[key],
  );
  if (!isSame) {
    const how = 'by CREATE OR REPLACE, prepared in another schema, charset or sql_mode';
    return refused(notDone(how, listTables([replacement.table])), options);
  }
  const packet = { payload: Buffer.alloc(0), sequenceId: 0 };
  const taken = { packet, carrier: 'query', text, verdict: null, refusal: null } as const;
  return options.carriers.replace(taken, { replacement, facts }, options);
}

/**
 * For a statement that was prepared in another schema the server goes there and comes back; what it
 * tells the client is where it has come to.
 */
function reportingSchema({ context }: PreparedDrop, interception: Interception): Interception {
  const { facts } = interception;
  if (interception.kind !== 'answer' || facts === null || interception.payload[0] !== 0x00) {
    return interception;
  }
  const wentAway = context.schema !== facts.schema;
  if (!wentAway || !facts.tracksSchema) return interception;
  return {
    ...interception,
    payload: okWithSchema(interception.payload, facts.schema ?? '', facts),
  };
}

/** Its default schema is of no account. */
async function runBoundSchema(
  { text, context, wishes }: PreparedDrop,
  { schema, ifExists }: PreparedSchema,
  options: InterceptOptions,
): Promise<Interception> {
  const plain = bindPlainSchema(schema);
  if (plain !== null)
    return dropSchema({ text, wishes }, { schema: plain, ifExists, facts: null }, options);
  const facts = await readUserFacts(options);
  if ('errno' in facts) return answerWith(facts);
  await learnNames(options.service.pool, [schema], context.charset);
  const bound = orRefusal(() => bindSchema(schema, context, facts));
  if (bound instanceof UndropError) return refused(bound, options);
  return dropSchema({ text, wishes }, { schema: bound, ifExists, facts }, options);
}

async function runBound(
  { text, context, wishes }: PreparedDrop,
  statement: DropTableStatement,
  options: InterceptOptions,
): Promise<Interception> {
  const plain = bindPlainNames(statement, context);
  if (plain !== null) {
    return dropAndHold({ text, ...plain, wasJudged: true }, options.guess, options, { wishes });
  }
  const facts = await readUserFacts(options);
  if ('errno' in facts) return answerWith(facts);
  await askServiceNames(options.service.pool, { statement }, context);
  const bound = orRefusal(() => bindNames(statement, context, facts));
  if (bound instanceof UndropError) return refused(bound, options);
  return dropAndHold({ text, ...bound, wasJudged: true }, facts, options, { wishes });
}

function orRefusal<T>(bind: () => T): T | UndropError {
  try {
    return bind();
  } catch (error) {
    if (error instanceof UndropError) return error;
    throw error;
  }
}

const CURSOR_FLAGS = 0x07;
/** Command, id, flags, iteration count. */
const EXECUTE_BYTES = 10;
/** A statement of the same kind, without parameters, that finds nothing to drop. */
const STAND_IN = 'DROP /* undrop stand-in */ TEMPORARY TABLE IF EXISTS `_undrop`.`_undrop_none`';

/**
 * A command that servers refuse in words and versions of their own (a cursor, data for a parameter
 * that isn't there): what this one says to it for a handle of ours. Null: it takes it.
 */
async function refusalOfServer(
  payload: Buffer,
  { hasLongData }: PreparedDrop,
  { userSession }: InterceptOptions,
): Promise<Interception | null> {
  const [standIn] = await userSession.run([{ kind: 'prepare', text: Buffer.from(STAND_IN) }]);
  if (standIn?.kind === 'err') return answerWith(standIn);
  assert(standIn?.kind === 'prepared', 'a PREPARE is answered by an id or an error');
  const { statementId } = standIn;
  const longData = withId(Buffer.from([COM_STMT_SEND_LONG_DATA, 0, 0, 0, 0, 0, 0]), statementId);
  const [said] = await userSession.run([
    ...(hasLongData ? [{ kind: 'packet' as const, payload: longData, isAnswered: false }] : []),
    { kind: 'packet', payload: withId(payload, statementId), isAnswered: true },
  ]);
  await userSession.run([{ kind: 'close', statementId }]);
  return said?.kind === 'err' ? answerWith(said) : null;
}

function withId(payload: Buffer, statementId: number): Buffer {
  const changed = Buffer.from(payload);
  changed.writeUInt32LE(statementId, 1);
  return changed;
}
