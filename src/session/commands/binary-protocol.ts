/**
 * Handles a DROP TABLE or DROP DATABASE by the protocol's prepared statements. Its PREPARE is the
 * server's own, so that the server judges the text and gives the id; then the server's handle is
 * closed. An EXECUTE of that id runs the drop, with the names as they were bound at the PREPARE.
 *
 * Invariant: when the client gets the id, the server has no handle any more with which its text
 * could be executed.
 */
import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import type { DropTableStatement } from '../../sql/grammar/drop-table.js';
import { dropSchema } from '../../statements/drop-database/text.js';
import {
  answerWith,
  dropAndHold,
  type Interception,
  readUserFacts,
  refused,
} from '../../statements/intercepted.js';
import { bindNames, bindSchema } from '../../steps/names/bind-names.js';
import { notDone, notUnderstood, schemaAndTables } from '../../steps/refusals/refusals.js';
import { listTables } from '../../steps/refuse.js';
import { hintsIn } from '../../steps/rules/hints.js';
import { factsSql, readFacts } from '../../steps/session/facts.js';
import { COM_PING, COM_STMT_BULK_EXECUTE, COM_STMT_RESET } from '../../wire/commands.js';
import type { Packet } from '../../wire/framing.js';
import { okWithWarnings } from '../../wire/response.js';
import {
  type DispatchOptions,
  isDropDatabase,
  type PreparedDrop,
  type PreparedSchema,
} from './prepared-drops.js';

/** The server prepares the client's text; what it says is the answer. */
export async function prepareDrop(
  text: Buffer,
  statement: PreparedDrop['statement'],
  options: DispatchOptions,
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
  assert(answer.definitions === 0, 'a DROP has no columns and no parameters');
  const hints = hintsIn(text, facts, server);
  if (hints === null) return refused(notUnderstood('its hints'), options);
  const { schema, charset } = facts;
  const context = { schema, charset };
  prepared.remember(answer.statementId, { text, statement, context, hints });
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
  options: DispatchOptions,
): Promise<Interception> {
  const { userSession } = options;
  const command = payload[0] ?? 0;
  if (command === COM_STMT_RESET) {
    // The same OK, from a command that needs no handle.
    const ping = Buffer.from([COM_PING]);
    const [ok] = await userSession.run([{ kind: 'packet', payload: ping, isAnswered: true }]);
    assert(ok?.kind === 'ok', 'a PING is answered by an OK');
    return answerWith({ payload: okWithWarnings(ok, 0) });
  }
  const isOdd = payload.length < EXECUTE_BYTES || ((payload[5] ?? 0) & CURSOR_FLAGS) !== 0;
  if (command === COM_STMT_BULK_EXECUTE || isOdd) {
    const how = 'by a bulk execution or with a cursor';
    return refused(notDone(how, tablesIn(drop.statement)), options);
  }
  return runPreparedDrop(drop, options);
}

export function noRoom(statement: PreparedDrop['statement'], whose: string): UndropError {
  return new UndropError('UNDROP_TOO_MANY_PREPARED', { tables: tablesIn(statement), whose });
}

/** For a refusal. */
export function tablesIn(statement: PreparedDrop['statement']): string {
  if (isDropDatabase(statement)) return schemaAndTables(statement.schema);
  return listTables(statement.names);
}

/** Runs a drop that was prepared earlier. */
export async function runPreparedDrop(
  drop: PreparedDrop,
  options: DispatchOptions,
): Promise<Interception> {
  const { statement } = drop;
  if (isDropDatabase(statement)) return runBoundSchema(drop, statement, options);
  return runBound(drop, statement, options);
}

/** Its default schema is of no account. */
async function runBoundSchema(
  { text, context, hints }: PreparedDrop,
  { schema, ifExists }: PreparedSchema,
  options: DispatchOptions,
): Promise<Interception> {
  const facts = await readUserFacts(options);
  if ('errno' in facts) return answerWith(facts);
  const bound = orRefusal(() => bindSchema(schema, context, facts));
  if (bound instanceof UndropError) return refused(bound, options);
  return dropSchema({ text, hints }, { schema: bound, ifExists, facts }, options);
}

async function runBound(
  { text, context, hints }: PreparedDrop,
  statement: DropTableStatement,
  options: DispatchOptions,
): Promise<Interception> {
  const facts = await readUserFacts(options);
  if ('errno' in facts) return answerWith(facts);
  const bound = orRefusal(() => bindNames(statement, context, facts));
  if (bound instanceof UndropError) return refused(bound, options);
  return dropAndHold({ text, ...bound, wasJudged: true }, facts, options, { hints });
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
