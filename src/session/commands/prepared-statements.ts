/**
 * Handles drops that a session prepares, by COM_STMT_PREPARE or by PREPARE … FROM a text, which
 * undrop reads from the server and classifies like any other. The server runs the PREPARE, so that
 * it checks the text; then undrop closes its handle. An EXECUTE runs the drop here, with the names
 * as they were bound at the PREPARE. An EXECUTE IMMEDIATE is refused.
 *
 * Invariant: when the client has its response, the server has no handle, and no name, with which
 * the text of a drop could be executed.
 */
import { isAscii } from 'node:buffer';
import { dropSchema } from '../../drop/drop-database/drop-schema.js';
import type { DynamicVerdict, Intercepted, Interception } from '../../drop/intercepted.js';
import {
  answeredWith,
  dropAndHold,
  readUserFacts,
  refused,
  refuseUnclear,
} from '../../drop/intercepted.js';
import { whyUnsupported } from '../../drop/steps/inspect-names.js';
import { bindNames, bindSchema, orRefusal } from '../../drop/steps/names/client-names.js';
import * as refusals from '../../drop/steps/refusals/refusals.js';
import { hintsIn } from '../../drop/steps/rules/hints.js';
import {
  factsSql,
  isWide,
  notReadIn,
  readFacts,
  withoutNuls,
} from '../../drop/steps/session/facts.js';
import { ask, listTables, query, type UserFacts } from '../../drop/steps/world.js';
import { assert, UndropError } from '../../errors.js';
import { answerPrepared } from '../../faces/sql/answer.js';
import { columnsOf, runUndo, type Undoing, withBound } from '../../faces/sql/own-statements.js';
import { clientCharsetOf, isStorable } from '../../sql/lex/client-charset.js';
import { plainNameOf } from '../../sql/named-statement.js';
import { mayBeOurs } from '../../sql/trigger-scan.js';
import { doesPass, isProtected } from '../../sql/verdict.js';
import * as ER from '../../wire/server-errors.js';
import { classifyByFacts } from '../gate/classify-packet.js';
import { isOnOneNode, notOnOneNode } from './on-one-node.js';
import type { DispatchOptions, PreparedDrop } from './prepared-drops.js';

/** A statement that does nothing. */
const NOTHING = Buffer.from('DO 0');

// ── COM_STMT_PREPARE and COM_STMT_EXECUTE ────────────────────────────────────────────────────────

/** The server prepares the client's text; its response is the client's. */
export async function prepareDrop(
  text: Buffer,
  statement: PreparedDrop['statement'],
  options: DispatchOptions,
): Promise<Interception> {
  const { prepared, server, userSession } = options;
  if (prepared.isFull) return refused(noRoom(statement), options);
  const prepare = { kind: 'prepare', text } as const;
  const [said, answer] = await userSession.run([query(factsSql(server)), prepare]);
  assert(said !== undefined && answer !== undefined, 'both have an answer');
  if (answer.kind === 'err') return answeredWith(answer);
  assert(answer.kind === 'prepared', 'a PREPARE is answered by an id or an error');
  await userSession.run([{ kind: 'close', statementId: answer.statementId }]);
  const facts = readFacts(said);
  if ('errno' in facts) return answeredWith(facts);
  assert(answer.definitions === 0, 'a DROP has no columns and no parameters');
  const drop = boundDrop({ text, statement, facts }, options);
  if (drop === null) return refused(refusals.notUnderstood('its hints'), options);
  prepared.remember(answer.statementId, drop);
  return { ...answeredWith(answer), facts };
}

/** The record of a drop; null: its hints can't be read. */
function boundDrop(
  { text, statement, facts }: Pick<PreparedDrop, 'text' | 'statement'> & { facts: UserFacts },
  { server }: DispatchOptions,
): PreparedDrop | null {
  const { schema, charset } = facts;
  const hints = hintsIn(text, facts, server);
  return hints && { text, statement, context: { schema, charset }, hints };
}

/**
 * A statement of undrop itself, which the server doesn't know: it gets the id of another one that
 * the server prepared and closed.
 */
export function prepareUndo(undoing: Undoing, options: DispatchOptions): Promise<Interception> {
  const { prepared, userSession } = options;
  return withBound(undoing, options, async (undo, facts) => {
    const columns = columnsOf(undo);
    const statement = { undo: facts };
    if (prepared.isFull) return refused(noRoom(statement), options);
    const prepare = { kind: 'prepare', text: NOTHING } as const;
    const [answer, ok] = await userSession.run([prepare, query(NOTHING)]);
    if (answer?.kind === 'err') return answeredWith(answer);
    assert(answer?.kind === 'prepared' && ok !== undefined, 'both have an answer');
    const { statementId } = answer;
    await userSession.run([{ kind: 'close', statementId }]);
    const { schema, charset } = facts;
    const text = Buffer.from(undoing.text);
    if (ok.kind === 'err') return answeredWith(ok);
    assert(ok.kind === 'ok', 'DO has no rows');
    prepared.remember(statementId, { text, statement, context: { schema, charset }, hints: [] });
    const payloads = answerPrepared(answer, { columns, ok, facts }, options);
    return { ...payloads, facts };
  });
}

function noRoom(statement: PreparedDrop['statement']): UndropError {
  return new UndropError('UNDROP_TOO_MANY_PREPARED', { tables: tablesIn(statement) });
}

/** The start of a refusal, with the tables. */
function tablesIn(statement: PreparedDrop['statement']): string {
  if ('undo' in statement) return 'The statement was';
  if ('schema' in statement) return refusals.schemaAndTables(statement.schema);
  return listTables(statement.names);
}

/** Runs a drop, or an undo statement, that was prepared earlier. */
export async function runPrepared(
  { text, statement, context, hints }: PreparedDrop,
  options: DispatchOptions,
): Promise<Interception> {
  const facts = await readUserFacts(options);
  if ('errno' in facts) return answeredWith(facts);
  if ('undo' in statement) return runPreparedUndo(text, facts, { ...options, as: statement.undo });
  if (await isOnOneNode(options)) return refused(notOnOneNode(tablesIn(statement)), options);
  if ('schema' in statement) {
    const schema = orRefusal(() => bindSchema(statement.schema, context, facts));
    if (schema instanceof UndropError) return refused(schema, options);
    return dropSchema({ text, hints }, { ...statement, schema, facts }, options);
  }
  const bound = orRefusal(() => bindNames(statement, context, facts));
  if (bound instanceof UndropError) return refused(bound, options);
  return dropAndHold({ text, ...bound, isSyntaxChecked: true }, options, { hints });
}

/** Parses it as the session read it at the PREPARE; the user's rights are those of now. */
async function runPreparedUndo(
  text: Buffer,
  facts: UserFacts,
  { as, ...options }: DispatchOptions & { readonly as: UserFacts },
): Promise<Interception> {
  const verdict = await classifyByFacts(text, as, { ...options, multiStatements: false });
  assert(verdict.kind === 'undo', 'the same text is read in the same way');
  const { statement } = verdict;
  return withBound({ text, statement, facts: as }, options, (undo) =>
    runUndo(undo, { facts, isBinary: true, text }, options),
  );
}

// ── PREPARE, EXECUTE and EXECUTE IMMEDIATE as text ───────────────────────────────────────────────

/** PREPARE and EXECUTE IMMEDIATE, of a text that may be a drop. */
export async function dynamic(
  taken: Intercepted,
  verdict: DynamicVerdict,
  options: DispatchOptions,
): Promise<Interception> {
  const { source, form } = verdict;
  const name = form === 'prepare' ? plainNameOf(source.name) : null;
  if (form === 'prepare') options.prepared.follow({ kind: 'prepare', name });
  // COM_STMT_PREPARE can't prepare it; the server returns that error.
  if (taken.packetKind === 'prepare')
    return refuseUnclear(taken, 'it prepares another text', options);
  // A PREPARE that fails deallocates the statement of that name; this PREPARE doesn't reach the
  // server.
  if (name !== null) await ask(options.userSession, deallocate(name));
  if (source.kind === 'expression') {
    const why = 'the text that it executes is an expression of more than literals and variables';
    return refuseUnclear(taken, why, options);
  }
  const { server, userSession } = options;
  const [said, value] = await ask(userSession, factsSql(server), valueSql(source.expression));
  assert(said !== undefined && value !== undefined, 'both have an answer');
  const facts = readFacts(said);
  if ('errno' in facts) return answeredWith(facts);
  if (value.kind === 'err') {
    // A syntax error would quote the part that undrop put around the expression.
    if (value.errno === ER.PARSE_ERROR) return refuseUnclear(taken, 'no expression', options);
    return answeredWith(value);
  }
  const row = value.kind === 'rows' ? value.rows[0] : undefined;
  assert(row !== undefined, 'a SELECT of values has a row');
  const [text = null, bytes = null, connection = null] = row;
  if (text === null && bytes === null) return { kind: 'forward', facts };
  if ((bytes ?? text ?? []).length > DYNAMIC_BYTES_MAX) {
    const why = `the text that it executes is longer than ${DYNAMIC_BYTES_MAX} bytes`;
    return refuseUnclear(taken, why, options);
  }
  const through = connection?.toString() ?? '';
  // It interprets arbitrary bytes as letters, so that any text may be a drop.
  if (isWide(through)) return answeredWith(notReadIn(through));
  const charsets = [facts.charset, through];
  if (
    text !== null &&
    bytes?.equals(text) === true &&
    charsets.every((one) => isReadTheSame(text, one))
  ) {
    return prepareText(taken, { verdict, text, facts }, options);
  }
  if ([text, bytes].every((one) => one !== null && isInnocent(one, options))) {
    return { kind: 'forward', facts };
  }
  const why = `its text goes through the character sets ${charsets.join(' and ')}`;
  return refused(refusals.notUnderstood(why), options);
}

/** A variable may have max_allowed_packet bytes; a text for PREPARE is short. */
const DYNAMIC_BYTES_MAX = 1024 * 1024;

/**
 * Selects the value of `expression` in UTF-8, its bytes, and a charset through which the text goes.
 * A byte more than DYNAMIC_BYTES_MAX shows that it is longer.
 */
function valueSql(expression: Uint8Array): Buffer {
  const end = `AS BINARY), ${DYNAMIC_BYTES_MAX + 1})`;
  return Buffer.concat([
    Buffer.from('SELECT /* undrop text */ LEFT(CAST(CONVERT('),
    expression,
    Buffer.from(` USING utf8mb4) ${end}, LEFT(CAST(`),
    expression,
    Buffer.from(` ${end}, CAST(@@character_set_connection AS BINARY) LIMIT 1`),
  ]);
}

/**
 * Whether `text` is the same bytes in `charset`, and is read in the same way. Text outside ASCII (a
 * backslash in Japanese, a backtick in Swedish) goes through two charsets before the server reads
 * it; only in UTF-8 it stays unchanged.
 */
function isReadTheSame(text: Buffer, charset: string): boolean {
  if (charset.startsWith('utf8')) return true;
  const kind = clientCharsetOf(charset);
  return isAscii(text) && kind !== null && isStorable(text, kind);
}

/**
 * Whether no charset turns `text` into a drop. A conversion may cut a text off at an invalid
 * character (MySQL 5.6), or put a question mark there (MariaDB); the server uses the bytes
 * unchanged.
 */
function isInnocent(text: Buffer, { service }: DispatchOptions): boolean {
  const letters = withoutNuls(text);
  return !mayBeOurs(letters, 0, letters.length, service.protect);
}

/** The source of a statement that the server makes of a text. */
interface Made {
  readonly verdict: DynamicVerdict;
  /** The text in UTF-8. */
  readonly text: Buffer;
  readonly facts: UserFacts;
}

async function prepareText(
  taken: Intercepted,
  made: Made,
  options: DispatchOptions,
): Promise<Interception> {
  // A copy, because the drop is kept, and its packet may be much larger.
  const text = Buffer.from(made.text);
  const facts = { ...made.facts, charset: 'utf8mb4' };
  const inner = await classifyByFacts(text, facts, { ...options, multiStatements: false });
  if (inner.kind === 'disagree' || inner.kind === 'dynamic' || inner.kind === 'unclear') {
    return refuseUnclear({ ...taken, text }, 'the text that it executes', options);
  }
  if (doesPass(inner) || !isProtected(inner, options.service.protect)) {
    return { kind: 'forward', facts: made.facts };
  }
  if (inner.kind === 'recycle-schema-write')
    return refused(refusals.recycleSchemaRefusal(inner), options);
  const own = { ...made, text, facts };
  if (inner.kind === 'undo') return refused(NOT_BY_NAME, options);
  if (inner.kind === 'drop-table')
    return prepareByName(taken, { ...own, statement: inner.statement }, options);
  const { form, schema, ifExists = false } = inner;
  if (form === 'drop-database' && schema !== null) {
    return prepareByName(taken, { ...own, statement: { schema, ifExists } }, options);
  }
  return refused(refusals.notDone(refusals.HOW[form], refusals.namesIn(inner)), options);
}

const NOT_BY_NAME = new UndropError('UNDROP_NOT_UNDONE', {
  why: 'a text PREPARE cannot prepare a statement of undrop itself',
  instead: 'Send it as a statement of its own, or prepare it by the protocol (COM_STMT_PREPARE).',
});

/**
 * The text is a drop: undrop runs the client's PREPARE unchanged, then frees the server's handle.
 */
async function prepareByName(
  { packet }: Intercepted,
  { verdict, text, facts, statement }: Made & Pick<PreparedDrop, 'statement'>,
  options: DispatchOptions,
): Promise<Interception> {
  const { prepared, server, userSession } = options;
  const tables = tablesIn(statement);
  const unsupported = 'names' in statement ? whyUnsupported(statement, server) : null;
  if (unsupported !== null) return refused(refusals.notUnderstood(unsupported), options);
  if (verdict.form === 'execute-immediate')
    return refused(refusals.notDone(refusals.HOW[verdict.form], tables), options);
  const name = plainNameOf(verdict.source.name);
  if (name === null)
    return refused(refusals.notDone('by PREPARE under such a name', tables), options);
  if (prepared.isFull) return refused(noRoom(statement), options);
  const drop = boundDrop({ text, statement, facts }, options);
  if (drop === null) return refused(refusals.notUnderstood('its hints'), options);
  const [answer] = await userSession.run([{ kind: 'packet', payload: packet.payload }]);
  assert(answer?.kind === 'ok' || answer?.kind === 'err', 'PREPARE answers OK or ERR');
  if (answer.kind === 'err') return answeredWith(answer);
  const [freed] = await ask(userSession, deallocate(name));
  const isGone =
    freed?.kind === 'ok' || (freed?.kind === 'err' && freed.errno === ER.UNKNOWN_STMT_HANDLER);
  // Ending the session is the only certain way to free the handle (a KILL QUERY hit the statement).
  if (!isGone) throw new Error('a prepared drop cannot be deallocated');
  prepared.remember(name, drop);
  return answeredWith(answer);
}

function deallocate(name: string): Buffer {
  return Buffer.from(`DEALLOCATE /* undrop prepared */ PREPARE \`${name}\``);
}

/** EXECUTE and DEALLOCATE PREPARE of a drop that was prepared by name. */
export async function commandOnName(
  { command }: Intercepted,
  options: DispatchOptions,
): Promise<Interception> {
  const { userSession, prepared } = options;
  const name = command?.name ?? null;
  const drop = name === null ? null : prepared.find(name);
  assert(command !== undefined && name !== null && drop !== null, 'it concerns one that is known');
  if (command.kind === 'deallocate') {
    prepared.forget(name);
    if (drop.isDoubtful) return { kind: 'forward', facts: null };
    const [answer] = await ask(userSession, NOTHING);
    assert(answer?.kind === 'ok' || answer?.kind === 'err', 'both answer OK or ERR');
    return answeredWith(answer);
  }
  if (drop.isDoubtful) {
    const why = 'a statement after its PREPARE may have prepared another one under its name';
    return refused(refusals.notUnderstood(why), options);
  }
  if (command.hasUsing)
    return refused(refusals.notDone('with parameters', tablesIn(drop.statement)), options);
  return runPrepared(drop, options);
}
