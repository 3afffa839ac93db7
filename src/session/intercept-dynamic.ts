/**
 * A DROP TABLE or DROP DATABASE in a text that the server makes of something else: PREPARE … FROM
 * and EXECUTE IMMEDIATE. The server says what the text is, and that is looked at like any other. A
 * prepared drop is deallocated on the server at once; what the client executes by its name is run
 * here.
 *
 * Invariant: when the client has its answer, the server knows no drop by any name.
 */
import { assert } from '../assert.js';
import { factsSql, readFacts } from '../drop/facts.js';
import type { UserFacts } from '../drop/request.js';
import { UndropError } from '../errors.js';
import { classifying } from '../sql/classify.js';
import { clientCharsetOf, modeFromSqlMode, modeOfSession } from '../sql/lex-mode.js';
import { plainNameOf, readNamedStatement } from '../sql/named-statement.js';
import { isRecycleName } from '../sql/recycle-name.js';
import { mayBeOurs } from '../sql/trigger-scan.js';
import { type Replacement, tablesOf } from '../sql/verdict.js';
import type { ErrPacket } from '../wire/response/err.js';
import { ER_PARSE_ERROR, ER_UNKNOWN_STMT_HANDLER } from '../wire/server-errors.js';
import { isReadAlike, isSame, isWide } from './alike.js';
import { concernsName, noticePrepare } from './concerns-name.js';
import { mayWish, wishesIn } from './drop-wishes.js';
import { inSlices } from './in-slices.js';
import {
  answerWith,
  type DynamicVerdict,
  dropAndHold,
  type Interception,
  type InterceptOptions,
  NO_WISHES,
  readUserFacts,
  refused,
  type Taken,
  unclear,
  type Wrapped,
} from './intercept.js';
import { noRoom, runPreparedDrop, tablesIn } from './intercept-prepared.js';
import { dropOf, replaceTable } from './intercept-replace.js';
import { dropSchema } from './intercept-schema.js';
import { objectionTo } from './objections.js';
import { isOfSchema, type PreparedDrop, type PreparedDrops } from './prepared-drops.js';
import { isProtected, soughtBy } from './protection.js';
import { guardedBy, HOW, listTables, namesIn, notDone, notUnderstood } from './refusals.js';
import { SessionUnderSettings, settingsBefore } from './set-statement.js';

type Options = InterceptOptions & { readonly prepared: PreparedDrops | null };

/** PREPARE and EXECUTE IMMEDIATE, of a text that may be a drop. */
export async function dynamic(
  taken: Taken,
  verdict: DynamicVerdict,
  options: Options,
): Promise<Interception> {
  const { source, carrier } = verdict;
  const { prepared } = options;
  if (prepared !== null && carrier === 'prepare') noticePrepare(plainNameOf(source.name), prepared);
  // In a COM_STMT_PREPARE it is nothing that can be prepared; the server says so.
  if (taken.carrier === 'prepare') return unclear(taken, 'it prepares another text', options);
  if (source.kind === 'expression') {
    return refused(notUnderstood('the text that it executes is an expression'), options);
  }
  const made = await textOf(source.expression, options);
  if (made instanceof UndropError) return refused(made, options);
  if ('payload' in made) {
    // Those words quote what is of ours around it.
    if (made.errno === ER_PARSE_ERROR) return unclear(taken, 'no expression', options);
    return answerWith(made);
  }
  const { text, facts, connection } = made;
  if (text === null) return { kind: 'forward', facts };
  const isAlike = [connection, facts.charset].every((charset) => isReadAlike(text, charset));
  const sought = soughtBy(options.service.protect);
  // MySQL reads the bytes that a text has in `connection`: in a wide one they may be any ASCII.
  const isOpen = isWide(connection) || isInRecycle(facts);
  if (!isAlike && (isOpen || mayBeOurs(text, 0, text.length, sought))) {
    const why = `its text goes through the character sets ${connection} and ${facts.charset}`;
    return refused(notUnderstood(why), options);
  }
  const mode = modeOfSession(options.server, { ...facts, charset: 'utf8mb4' });
  const read = { multiStatements: false, isPrepared: true, ...sought };
  const inner = await inSlices(classifying(text, mode, read));
  switch (inner.kind) {
    case 'disagree':
    case 'dynamic':
    case 'unclear':
      // The server's words are about the text within, and quote it to its own end.
      return unclear({ ...taken, text, tail: text }, 'the text that it executes', options);
    case 'not-ours':
      return { kind: 'forward', facts };
    case 'guarded':
      return refused(guardedBy(inner), options);
    case 'refused': {
      if (!isProtected(inner, options.service.protect)) return { kind: 'forward', facts };
      const { replacement, schema, ifExists = false } = inner;
      if (replacement !== undefined) {
        const statement = dropOf(replacement);
        return dropIn(taken, verdict, { text, statement, replacement, facts }, options);
      }
      if (inner.carrier !== 'drop-database' || schema === null) {
        return refused(notDone(HOW[carrier], namesIn(inner)), options);
      }
      const statement = { schema, ifExists };
      return dropIn(taken, verdict, { text, statement, replacement: null, facts }, options);
    }
    case 'drop-table':
      if (!isProtected(inner, options.service.protect)) return { kind: 'forward', facts };
      return dropIn(
        taken,
        verdict,
        { text, statement: inner.statement, replacement: null, facts },
        options,
      );
  }
}

interface Made {
  /** In UTF-8; null: it is NULL for the server as well. */
  readonly text: Buffer | null;
  readonly facts: UserFacts;
  /** character_set_connection, through which a text goes. */
  readonly connection: string;
}

/** What the server makes of `expression`, with the facts of the session; or its error. */
async function textOf(
  expression: Uint8Array,
  { userSession, server, service }: Options,
): Promise<Made | ErrPacket | UndropError> {
  const select = Buffer.concat([
    Buffer.from('SELECT /* undrop text */ CAST(CONVERT('),
    expression,
    Buffer.from(' USING utf8mb4) AS BINARY), CAST(@@character_set_connection AS BINARY), CAST('),
    expression,
    Buffer.from(' AS BINARY), ('),
    expression,
    Buffer.from(') IS NULL LIMIT 1'),
  ]);
  const [said, value] = await userSession.run([
    { kind: 'query', text: factsSql(server) },
    { kind: 'query', text: select },
  ]);
  assert(said !== undefined && value !== undefined, 'both have an answer');
  const facts = readFacts(said);
  if ('errno' in facts) return facts;
  if (value.kind === 'err') return value;
  const row = value.kind === 'rows' ? value.rows[0] : undefined;
  assert(row !== undefined, 'a SELECT of values has a row');
  const [text = null, , bytes = null, isNull = null] = row;
  const isText = isNull?.includes('0') === true;
  const isOpen = isInRecycle(facts) && text?.equals(bytes ?? text) === false;
  const isSaid = isSame(text, bytes, soughtBy(service.protect));
  if (isOpen || !isSaid || (text === null && isText))
    return notUnderstood('its text is not in UTF-8');
  return { text, facts, connection: row[1]?.toString() ?? '' };
}

function isInRecycle({ schema }: UserFacts): boolean {
  return schema !== null && isRecycleName(schema);
}

interface Found extends Omit<Made, 'connection'> {
  readonly text: Buffer;
  readonly statement: PreparedDrop['statement'];
  /** Where the statement is a CREATE OR REPLACE. */
  readonly replacement: Replacement | null;
}

/** The text is a DROP TABLE, a DROP DATABASE, or a CREATE OR REPLACE. */
async function dropIn(
  taken: Taken,
  { carrier, source }: DynamicVerdict,
  { text, statement, replacement, facts }: Found,
  options: Options,
): Promise<Interception> {
  const { prepared } = options;
  const how = HOW[carrier];
  const tables = tablesIn(statement);
  if (prepared === null) return refused(notDone(how, tables), options);
  const objection = isOfSchema(statement) ? null : objectionTo(statement, options.server);
  if (objection !== null) return refused(notUnderstood(objection.why), options);
  if (replacement !== null && (await hasParameters(text, options))) {
    return refused(notDone(`${how}, with parameters,`, tables), options);
  }
  if (carrier === 'execute-immediate') {
    if (source.using !== null) return refused(notDone(`${how} … USING`, tables), options);
    const inner = wishesIn(text, { ...facts, charset: 'utf8mb4' }, options.server);
    const outer = wishesIn(taken.text, facts, options.server);
    if (inner === null || outer === null) return refused(notUnderstood('its wishes'), options);
    const wishes = [...inner, ...outer];
    if (replacement !== null) {
      const replacing = { replacement, facts, wishes, isImmediate: true };
      return replaceTable({ ...taken, text, tail: text }, replacing, options);
    }
    if (isOfSchema(statement))
      return dropSchema({ text, wishes }, { ...statement, facts }, options);
    const charset = clientCharsetOf(facts.charset) ?? 'plain';
    return dropAndHold({ text, statement, charset }, facts, options, { wishes });
  }
  const name = plainNameOf(source.name);
  if (name === null) return refused(notDone(`${how} under such a name`, tables), options);
  if (prepared.full !== null) return refused(noRoom(statement, prepared.full), options);
  const { schema } = facts;
  const context = { schema, charset: 'utf8mb4' };
  const wishes = wishesIn(text, { ...facts, charset: 'utf8mb4' }, options.server);
  if (wishes === null) return refused(notUnderstood('its wishes'), options);
  const replacing = replacement === null ? null : { replacement, facts };
  return prepareByName(taken, name, options, () => {
    prepared.rememberName(name, { text, statement, context, wishes, replacing });
  });
}

/** False where it can't be prepared, too. */
async function hasParameters(text: Buffer, { userSession }: Options): Promise<boolean> {
  const [said] = await userSession.run([{ kind: 'prepare', text }]);
  if (said?.kind !== 'prepared') return false;
  await userSession.run([{ kind: 'close', statementId: said.statementId }]);
  return said.definitions > 0;
}

const DEALLOCATE_TRIES_MAX = 5;
/** Unknown prepared statement handler. */

/** The client's PREPARE, as it is; and then nothing is left of it on the server. */
async function prepareByName(
  { packet }: Taken,
  name: string,
  { userSession }: Options,
  remember: () => void,
): Promise<Interception> {
  const [answer] = await userSession.run([
    { kind: 'packet', payload: packet.payload, isAnswered: true },
  ]);
  assert(answer?.kind === 'ok' || answer?.kind === 'err', 'PREPARE answers OK or ERR');
  if (answer.kind === 'err') return answerWith(answer);
  const text = Buffer.from(`DEALLOCATE /* undrop prepared */ PREPARE \`${name}\``);
  for (let tries = 1; ; tries++) {
    // A KILL QUERY may hit it.
    const [gone] = await userSession.run([{ kind: 'query', text }]);
    if (gone?.kind === 'ok') break;
    if (gone?.kind === 'err' && gone.errno === ER_UNKNOWN_STMT_HANDLER) break;
    if (tries === DEALLOCATE_TRIES_MAX) throw new Error('a prepared drop cannot be deallocated');
  }
  remember();
  return answerWith(answer);
}

/** SET STATEMENT … FOR: every statement of ours in the session goes under the same settings. */
export async function setStatement(
  taken: Taken,
  { verdict, at, guess }: Wrapped,
  options: Options,
): Promise<Interception> {
  const { prepared, userSession } = options;
  const { text } = taken;
  const prefix = prepared === null ? null : settingsBefore(text, at);
  if (prefix !== null && verdict.kind === 'unclear') return unclear(taken, verdict.why, options);
  const replacement = verdict.kind === 'refused' ? verdict.replacement : undefined;
  if (prefix !== null && replacement !== undefined) {
    const under = { ...options, userSession: new SessionUnderSettings(userSession, prefix) };
    const inner = { ...taken, text: text.subarray(at) };
    const words = replacement.words.map(({ start, end }) => ({ start: start - at, end: end - at }));
    const moved = { ...replacement, words };
    const { tail } = taken;
    return replaceTable(
      tail === undefined ? inner : { ...inner, tail: tail.subarray(at) },
      { replacement: moved, facts: null },
      under,
    );
  }
  if (prefix === null || verdict.kind !== 'drop-table') {
    const how = `${HOW['set-statement']} of these settings`;
    return refused(notDone(how, listTables(tablesOf(verdict))), options);
  }
  const { statement } = verdict;
  const objection = objectionTo(statement, options.server);
  if (objection !== null) return refused(notUnderstood(objection.why), options);
  const charset = clientCharsetOf(guess.charset) ?? 'plain';
  const under = { ...options, userSession: new SessionUnderSettings(userSession, prefix) };
  if (!mayWish(text)) return dropAndHold({ text, statement, charset }, guess, under, NO_WISHES);
  const facts = await readUserFacts(options);
  if ('errno' in facts) return answerWith(facts);
  const wishes = wishesIn(text, facts, options.server);
  if (wishes === null) return refused(notUnderstood('its wishes'), options);
  return dropAndHold({ text, statement, charset }, facts, under, { wishes });
}

/**
 * EXECUTE and DEALLOCATE PREPARE of a drop that was prepared by name, or what may be one of them by
 * the session's own mode.
 */
export async function commandOnName(
  { text, packet }: Taken,
  prepared: PreparedDrops,
  options: InterceptOptions,
): Promise<Interception> {
  const { userSession } = options;
  let read = readNamedStatement(text, options.server, options);
  let facts: UserFacts | null = null;
  if (read.kind === 'disagree') {
    const asked = await readUserFacts(options);
    if ('errno' in asked) return answerWith(asked);
    facts = asked;
    const mode = modeFromSqlMode(options.server, facts.sqlMode, facts.charset);
    read = readNamedStatement(text, mode, options);
  }
  const named = concernsName(read, prepared);
  if (named === null) return { kind: 'forward', facts };
  const drop = named.name === null ? null : prepared.findName(named.name);
  assert(drop !== null && named.name !== null, 'it concerns one that is known');
  if (named.kind === 'deallocate') {
    prepared.forgetName(named.name);
    const client = { kind: 'packet', payload: packet.payload, isAnswered: true } as const;
    if (drop.isDoubtful) {
      const [answer] = await userSession.run([client]);
      assert(answer?.kind === 'ok' || answer?.kind === 'err', 'DEALLOCATE answers OK or ERR');
      // Where there was no other under its name it is ours that is gone.
      const isOurs = answer.kind === 'err' && answer.errno === ER_UNKNOWN_STMT_HANDLER;
      if (!isOurs) return answerWith(answer);
    }
    const [answer] = await userSession.run([{ kind: 'query', text: Buffer.from('DO 0') }]);
    assert(answer?.kind === 'ok' || answer?.kind === 'err', 'both answer OK or ERR');
    return answerWith(answer);
  }
  if (drop.isDoubtful) {
    const why = 'something that ran since its PREPARE may have prepared another under its name';
    return refused(notUnderstood(why), options);
  }
  if (named.hasUsing) {
    const signal =
      "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1210, MESSAGE_TEXT = 'Incorrect arguments to EXECUTE'";
    const [answer] = await userSession.run([{ kind: 'query', text: Buffer.from(signal) }]);
    assert(answer?.kind === 'err', 'SIGNAL is an error');
    return answerWith(answer);
  }
  return runPreparedDrop(drop, options);
}
