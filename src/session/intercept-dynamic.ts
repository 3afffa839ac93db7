/**
 * A DROP TABLE in a text that the server makes of something else: PREPARE … FROM and EXECUTE
 * IMMEDIATE. The server says what the text is, and that is looked at like any other. A prepared
 * drop is deallocated on the server at once; what the client executes by its name is run here.
 *
 * Invariant: when the client has its answer, the server knows no drop by any name.
 */
import { assert } from '../assert.js';
import { factsSql, readFacts } from '../drop/facts.js';
import type { UserFacts } from '../drop/request.js';
import { UndropError } from '../errors.js';
import { classifyUnderAll } from '../sql/classify.js';
import { isStorable } from '../sql/client-charset.js';
import type { DropTableStatement } from '../sql/grammar/drop-table.js';
import { clientCharsetOf, modeFromSqlMode } from '../sql/lex-mode.js';
import { plainNameOf, readNamedStatement } from '../sql/named-statement.js';
import { mayBeOurs } from '../sql/trigger-scan.js';
import { tablesOf } from '../sql/verdict.js';
import type { ErrPacket } from '../wire/response/err.js';
import { concernsName, noticePrepare } from './concerns-name.js';
import {
  answerWith,
  type Carriers,
  type DynamicVerdict,
  dropAndHold,
  type Interception,
  type InterceptOptions,
  isProtected,
  objectionTo,
  readUserFacts,
  refused,
  type Taken,
  unclear,
  type Wrapped,
} from './intercept.js';
import { prepareDrop, runPreparedDrop } from './intercept-prepared.js';
import { dropSchema } from './intercept-schema.js';
import type { PreparedDrops } from './prepared-drops.js';
import { HOW, listTables, notDone, notUnderstood } from './refusals.js';
import { SessionUnderSettings, settingsBefore } from './set-statement.js';

/**
 * `prepared`: where a session's drops are remembered; null for a statement that isn't alone in its
 * packet, whose drops by these ways are refused.
 */
export function carriersOf(prepared: PreparedDrops | null): Carriers {
  return {
    prepare: (taken, statement, options) =>
      prepared === null
        ? refused(notDone('by a prepared statement', listTables(statement.names)), options)
        : prepareDrop(taken.text, statement, { ...options, prepared }),
    dynamic: (taken, verdict, options) => dynamic(taken, verdict, { ...options, prepared }),
    setStatement: (taken, wrapped, options) =>
      setStatement(taken, wrapped, { ...options, prepared }),
    schema: dropSchema,
  };
}

type Options = InterceptOptions & { readonly prepared: PreparedDrops | null };

async function dynamic(
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
  if (!isAlike && mayBeOurs(text, 0, text.length)) {
    const why = `its text goes through the character sets ${connection} and ${facts.charset}`;
    return refused(notUnderstood(why), options);
  }
  const mode = modeFromSqlMode(options.server, facts.sqlMode, 'utf8mb4');
  const inner = classifyUnderAll(text, mode, { multiStatements: false });
  switch (inner.kind) {
    case 'disagree':
    case 'dynamic':
    case 'unclear':
      // The server's words are about the text within, and quote it to its own end.
      return unclear({ ...taken, text, tail: text }, 'the text that it executes', options);
    case 'not-ours':
      return { kind: 'forward', facts };
    case 'refused': {
      if (!isProtected(inner, options.service.protect)) return { kind: 'forward', facts };
      return refused(notDone(HOW[carrier], listTables(tablesOf(inner))), options);
    }
    case 'drop-table':
      return dropIn(taken, verdict, { text, statement: inner.statement, facts }, options);
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
  { userSession, server }: Options,
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
  if (!isSame(text, bytes) || (text === null && isText))
    return notUnderstood('its text is not in UTF-8');
  return { text, facts, connection: row[1]?.toString() ?? '' };
}

interface Found extends Omit<Made, 'connection'> {
  readonly text: Buffer;
  readonly statement: DropTableStatement;
}

/** The text is a DROP TABLE. */
async function dropIn(
  taken: Taken,
  { carrier, source }: DynamicVerdict,
  { text, statement, facts }: Found,
  options: Options,
): Promise<Interception> {
  const { prepared } = options;
  const how = HOW[carrier];
  const tables = listTables(statement.names);
  if (prepared === null) return refused(notDone(how, tables), options);
  const objection = objectionTo(statement, options.server);
  if (objection !== null) return refused(notUnderstood(objection.why), options);
  if (carrier === 'execute-immediate') {
    if (source.using !== null) return refused(notDone(`${how} … USING`, tables), options);
    const charset = clientCharsetOf(facts.charset) ?? 'plain';
    return dropAndHold({ text, statement, charset }, facts, options);
  }
  const name = plainNameOf(source.name);
  if (name === null) return refused(notDone(`${how} under such a name`, tables), options);
  if (!prepared.hasRoom) return refused(notDone(`${how} beside so many others`, tables), options);
  const { schema } = facts;
  const context = { schema, charset: 'utf8mb4' };
  return prepareByName(taken, name, options, () => {
    prepared.rememberName(name, { text, statement, context });
  });
}

/**
 * Whether `text` is the same bytes in `charset`, and is read in the same way. What isn't ASCII (a
 * backslash in Japanese, a backtick in Swedish) goes through two charsets before the server reads
 * it; only in UTF-8 nothing happens to it.
 */
function isReadAlike(text: Buffer, charset: string): boolean {
  if (charset.startsWith('utf8')) return true;
  const isAscii = text.every((byte) => byte < 0x80);
  const kind = clientCharsetOf(charset);
  const isWide = /^(ucs2|utf16|utf16le|utf32)$/.test(charset);
  return isAscii && (isWide || (kind !== null && isStorable(text, kind)));
}

/**
 * Whether `text` can stand for what the server has. A conversion may cut a text off at what is no
 * character (MySQL 5.6), put a question mark there (MariaDB), or give NULL (MySQL); the server
 * takes the bytes as they are. Then they have to be innocent in any charset.
 */
function isSame(text: Buffer | null, bytes: Buffer | null): boolean {
  if (text === null || bytes === null) return text === bytes;
  if (text.equals(bytes)) return true;
  const letters = bytes.filter((byte) => byte !== 0);
  return !mayBeOurs(letters, 0, letters.length) && !mayBeOurs(text, 0, text.length);
}

const DEALLOCATE_TRIES_MAX = 5;
const ER_PARSE_ERROR = 1064;
/** Unknown prepared statement handler. */
const ER_UNKNOWN_STMT_HANDLER = 1243;

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
async function setStatement(
  taken: Taken,
  { verdict, at, guess }: Wrapped,
  options: Options,
): Promise<Interception> {
  const { prepared, userSession } = options;
  const { text } = taken;
  const prefix = prepared === null ? null : settingsBefore(text, at);
  if (prefix !== null && verdict.kind === 'unclear') return unclear(taken, verdict.why, options);
  if (prefix === null || verdict.kind !== 'drop-table') {
    const how = `${HOW['set-statement']} of these settings`;
    return refused(notDone(how, listTables(tablesOf(verdict))), options);
  }
  const { statement } = verdict;
  const objection = objectionTo(statement, options.server);
  if (objection !== null) return refused(notUnderstood(objection.why), options);
  const charset = clientCharsetOf(guess.charset) ?? 'plain';
  const under = { ...options, userSession: new SessionUnderSettings(userSession, prefix) };
  return dropAndHold({ text, statement, charset }, guess, under);
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
