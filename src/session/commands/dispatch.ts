/**
 * What happens to a statement that was taken out of the client's stream: it is understood (asking
 * the server where only the server knows), then dropped-and-held, refused, or sent on after all.
 *
 * Invariant: a statement that would destroy a base table never goes to the server; what can't be
 * understood and might be one is refused, and the table is still there.
 */
import { assert, assertNever } from '../../assert.js';
import { UndropError } from '../../errors.js';
import { classifying } from '../../sql/classify.js';
import type { DropTableStatement } from '../../sql/grammar/drop-table.js';
import { clientCharsetOf, modeOfSession } from '../../sql/lex/lex-mode.js';
import {
  enabledKinds,
  isProtected,
  type Refused,
  type TooMany,
  type Verdict,
} from '../../sql/verdict.js';
import { replaceTable } from '../../statements/create-or-replace/text.js';
import { dropSchema } from '../../statements/drop-database/text.js';
import { dropOrPass } from '../../statements/drop-table/hold-or-pass.js';
import {
  answerWith,
  type Interception,
  newId,
  readUserFacts,
  refused,
  refusedIfValid,
  type Taken,
  unclear,
} from '../../statements/intercepted.js';
import {
  guardedBy,
  HOW,
  namesIn,
  notDone,
  notUnderstood,
  schemaAndTables,
  tooManyOf,
} from '../../steps/refusals/refusals.js';
import { objectionTo } from '../../steps/refusals/unsupported.js';
import type { UserFacts } from '../../steps/request.js';
import { inSlices } from '../../steps/session/in-slices.js';
import { turnSql } from '../../steps/session/user-session-sql.js';
import { COM_STMT_PREPARE } from '../../wire/commands.js';
import { ER_TABLEACCESS_DENIED_ERROR } from '../../wire/server-errors.js';
import { HELD_BYTES_MAX } from '../gate/command-gate.js';
import { commandOnDrop, prepareDrop } from './binary-protocol.js';
import { type DispatchOptions, noticeForwarded } from './prepared-drops.js';
import { commandOnName, dynamic } from './text-protocol.js';

/** Handles whatever was taken to its answer. Rejects if the user session broke. */
export async function answerTo(taken: Taken, options: DispatchOptions): Promise<Interception> {
  const { prepared } = options;
  if (taken.carrier === 'handle') {
    const drop = prepared.find(taken.packet.payload.readUInt32LE(1));
    assert(drop !== null, 'the gate takes no other handle');
    return commandOnDrop(taken.packet, drop, options);
  }
  if (taken.carrier === 'named') return commandOnName(taken, options);
  // Whatever becomes of this one, it is the last that was prepared.
  if (taken.carrier === 'prepare') prepared.onCommand(COM_STMT_PREPARE);
  const interception = await intercept(taken, options);
  if (taken.carrier === 'query' && interception.kind === 'forward') {
    noticeForwarded(taken.text, interception.facts, options);
  }
  return interception;
}

/** Handles one taken statement that is no command on a prepared one. */
export async function intercept(taken: Taken, options: DispatchOptions): Promise<Interception> {
  if (taken.refusal !== null) return refused(taken.refusal, options);
  switch (taken.carrier) {
    case 'drop-database':
      return refused(notDone('as a schema (COM_DROP_DB)', schemaAndTables(taken.text)), options);
    case 'unknown': {
      const command = (taken.packet.payload[0] ?? 0).toString(16).padStart(2, '0');
      return refused(new UndropError('UNDROP_UNKNOWN_COMMAND', { command }), options);
    }
    case 'query':
    case 'prepare':
      return interceptText(taken, options);
    case 'handle':
    case 'named':
      throw new Error('what was prepared has a way of its own');
  }
}

async function interceptText(taken: Taken, options: DispatchOptions): Promise<Interception> {
  const { verdict } = taken;
  if (verdict !== null && verdict.kind !== 'disagree') {
    return handle(taken, verdict, null, options);
  }
  const facts = await readUserFacts(options);
  if ('errno' in facts) return answerWith(facts);
  const enabled = enabledKinds(options.service.protect);
  const read = { ...options, isPrepared: taken.carrier === 'prepare', ...enabled };
  const mode = modeOfSession(options.server, facts);
  const known = await inSlices(classifying(taken.text, mode, read));
  if (known.kind === 'disagree') {
    return refused(notUnderstood(`the character set ${facts.charset}`), options);
  }
  return handle(taken, known, facts, options);
}

async function handle(
  taken: Taken,
  verdict: Verdict,
  facts: UserFacts | null,
  options: DispatchOptions,
): Promise<Interception> {
  if (!isProtected(verdict, options.service.protect)) return { kind: 'forward', facts };
  if (taken.text.length > HELD_BYTES_MAX && verdict.kind !== 'guarded') {
    return refused(notUnderstood('it is too long'), options);
  }
  switch (verdict.kind) {
    case 'not-ours':
      return { kind: 'forward', facts };
    case 'drop-table':
      return dropTable(taken, verdict.statement, facts, options);
    case 'refused':
      return byOtherCarrier(taken, verdict, facts, options);
    case 'dynamic':
      return dynamic(taken, verdict, options);
    case 'unclear':
      if (verdict.tooMany !== undefined) return refuseTooMany(verdict.tooMany, options);
      return unclear(taken, verdict.why, options);
    case 'guarded':
      return refused(guardedBy(verdict), options);
    default:
      return assertNever(verdict);
  }
}

function byOtherCarrier(
  taken: Taken,
  verdict: Refused,
  facts: UserFacts | null,
  options: DispatchOptions,
): Promise<Interception> {
  const { carrier, source } = verdict;
  if (source !== undefined) return dynamic(taken, { ...verdict, source }, options);
  const { schema, ifExists = false, replacement } = verdict;
  if (schema !== null && carrier === 'drop-database') {
    if (taken.carrier === 'prepare') return prepareDrop(taken.text, { schema, ifExists }, options);
    return dropSchema(taken, { schema, ifExists, facts }, options);
  }
  if (carrier === 'create-or-replace' && taken.carrier === 'prepare') {
    return refused(notDone('by a prepared CREATE OR REPLACE', namesIn(verdict)), options);
  }
  if (replacement !== undefined) return replaceTable(taken, { replacement, facts }, options);
  // The server itself says what it doesn't take.
  if (carrier === 'set-statement' || (carrier === 'create-or-replace' && schema !== null)) {
    return refusedIfValid(taken, notDone(HOW[carrier], namesIn(verdict)), options);
  }
  if (carrier !== 'compound') return refused(notDone(HOW[carrier], namesIn(verdict)), options);
  const error = notDone(HOW.compound, namesIn(verdict));
  // MariaDB calls a PREPARE of IF, LOOP and the like a syntax error, so the answer says nothing.
  const isJudged = /^\s*begin\b/i.test(taken.text.toString('latin1', 0, FIRST_WORD_BYTES));
  return isJudged ? refusedIfValid(taken, error, options) : refused(error, options);
}

/** Enough of a text to read its first word. */
const FIRST_WORD_BYTES = 100;

async function dropTable(
  taken: Taken,
  statement: DropTableStatement,
  facts: UserFacts | null,
  options: DispatchOptions,
): Promise<Interception> {
  const objection = objectionTo(statement, options.server, taken.text);
  if (objection !== null) {
    if (objection.isOfSyntax) return unclear(taken, objection.why, options);
    return refused(notUnderstood(objection.why), options);
  }
  if (taken.carrier === 'prepare') return prepareDrop(taken.text, statement, options);
  return dropOrPass(taken, statement, facts, options);
}

/**
 * Who may not drop the first name is told so by the server. The text itself doesn't go there, as
 * the server, too, takes long over it.
 */
async function refuseTooMany(tooMany: TooMany, options: DispatchOptions): Promise<Interception> {
  const { userSession, guess } = options;
  const { first } = tooMany;
  if (first !== undefined) {
    const charset = clientCharsetOf(guess.charset) ?? 'plain';
    const text = turnSql(first, { groupId: newId(), charset, wait: null });
    const [said] = await userSession.run([{ kind: 'query', text }]);
    if (said?.kind === 'err' && said.errno === ER_TABLEACCESS_DENIED_ERROR) return answerWith(said);
  }
  return refused(tooManyOf(tooMany), options);
}
