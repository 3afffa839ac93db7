/**
 * Handles PREPARE … FROM and EXECUTE IMMEDIATE of a text that may be a DROP TABLE or DROP DATABASE.
 * The server says what the text is, and it is classified like any other. A prepared drop is
 * deallocated on the server at once; an EXECUTE of its name runs the drop here.
 *
 * Invariant: when the client has its answer, the server knows no drop by any name.
 */
import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import { classifying } from '../../sql/classify.js';
import { isStorable } from '../../sql/lex/client-charset.js';
import { clientCharsetOf, modeFromSqlMode, modeOfSession } from '../../sql/lex/lex-mode.js';
import { plainNameOf, readNamedStatement } from '../../sql/named-statement.js';
import { isRecycleName } from '../../sql/recycle-name.js';
import { mayBeOurs, type Sought } from '../../sql/trigger-scan.js';
import { enabledKinds, isProtected } from '../../sql/verdict.js';
import { dropSchema } from '../../statements/drop-database/text.js';
import {
  answerWith,
  type DynamicVerdict,
  dropAndHold,
  type Interception,
  readUserFacts,
  refused,
  type Taken,
  unclear,
} from '../../statements/intercepted.js';
import { guardedBy, HOW, namesIn, notDone, notUnderstood } from '../../steps/refusals/refusals.js';
import { objectionTo } from '../../steps/refusals/unsupported.js';
import type { UserFacts } from '../../steps/request.js';
import { hintsIn } from '../../steps/rules/hints.js';
import { factsSql, readFacts } from '../../steps/session/facts.js';
import { inSlices } from '../../steps/session/in-slices.js';
import type { ErrPacket } from '../../wire/response.js';
import { ER_PARSE_ERROR, ER_UNKNOWN_STMT_HANDLER } from '../../wire/server-errors.js';
import { noRoom, runPreparedDrop, tablesIn } from './binary-protocol.js';
import {
  type DispatchOptions,
  isDropDatabase,
  namedStatementEffect,
  noticePrepare,
  type PreparedDrop,
} from './prepared-drops.js';

/** PREPARE and EXECUTE IMMEDIATE, of a text that may be a drop. */
export async function dynamic(
  taken: Taken,
  verdict: DynamicVerdict,
  options: DispatchOptions,
): Promise<Interception> {
  const { source, carrier } = verdict;
  if (carrier === 'prepare') noticePrepare(plainNameOf(source.name), options.prepared);
  // In a COM_STMT_PREPARE it is nothing that can be prepared; the server says so.
  if (taken.carrier === 'prepare') return unclear(taken, 'it prepares another text', options);
  if (source.kind === 'expression') {
    const why = 'the text that it executes is an expression, not a literal or a variable';
    return unclear(taken, why, options);
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
  const isSure = [connection, facts.charset].every((charset) => isReadTheSame(text, charset));
  const enabled = enabledKinds(options.service.protect);
  if (!isSure && (isInRecycle(facts) || mayBeOurs(text, 0, text.length, enabled))) {
    const why = `its text goes through the character sets ${connection} and ${facts.charset}`;
    return refused(notUnderstood(why), options);
  }
  const mode = modeOfSession(options.server, { ...facts, charset: 'utf8mb4' });
  const read = { multiStatements: false, isPrepared: true, ...enabled };
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
      const { schema, ifExists = false } = inner;
      if (inner.carrier !== 'drop-database' || schema === null) {
        return refused(notDone(HOW[carrier], namesIn(inner)), options);
      }
      return dropIn(taken, verdict, { text, statement: { schema, ifExists }, facts }, options);
    }
    case 'drop-table':
      if (!isProtected(inner, options.service.protect)) return { kind: 'forward', facts };
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
  { userSession, server, service }: DispatchOptions,
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
  const isSaid = isSame(text, bytes, enabledKinds(service.protect));
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
}

/** The text is a DROP TABLE, or a DROP DATABASE. */
async function dropIn(
  taken: Taken,
  { carrier, source }: DynamicVerdict,
  { text, statement, facts }: Found,
  options: DispatchOptions,
): Promise<Interception> {
  const { prepared } = options;
  const how = HOW[carrier];
  const tables = tablesIn(statement);
  const objection = isDropDatabase(statement) ? null : objectionTo(statement, options.server);
  if (objection !== null) return refused(notUnderstood(objection.why), options);
  if (carrier === 'execute-immediate') {
    if (source.hasUsing) return refused(notDone(`${how} … USING`, tables), options);
    const inner = hintsIn(text, { ...facts, charset: 'utf8mb4' }, options.server);
    const outer = hintsIn(taken.text, facts, options.server);
    if (inner === null || outer === null) return refused(notUnderstood('its hints'), options);
    const hints = [...inner, ...outer];
    if (isDropDatabase(statement))
      return dropSchema({ text, hints }, { ...statement, facts }, options);
    const charset = clientCharsetOf(facts.charset) ?? 'plain';
    return dropAndHold({ text, statement, charset }, facts, options, { hints });
  }
  const name = plainNameOf(source.name);
  if (name === null) return refused(notDone(`${how} under such a name`, tables), options);
  if (prepared.full !== null) return refused(noRoom(statement, prepared.full), options);
  const { schema } = facts;
  const context = { schema, charset: 'utf8mb4' };
  const hints = hintsIn(text, { ...facts, charset: 'utf8mb4' }, options.server);
  if (hints === null) return refused(notUnderstood('its hints'), options);
  return prepareByName(taken, name, options, () => {
    prepared.rememberName(name, { text, statement, context, hints });
  });
}

const DEALLOCATE_TRIES_MAX = 5;

/** The client's PREPARE, as it is; and then nothing is left of it on the server. */
async function prepareByName(
  { packet }: Taken,
  name: string,
  { userSession }: DispatchOptions,
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

/**
 * EXECUTE and DEALLOCATE PREPARE of a drop that was prepared by name, or what may be one of them by
 * the session's own mode.
 */
export async function commandOnName(
  { text, packet }: Taken,
  options: DispatchOptions,
): Promise<Interception> {
  const { userSession, prepared } = options;
  let read = readNamedStatement(text, options.server, options);
  let facts: UserFacts | null = null;
  if (read.kind === 'disagree') {
    const asked = await readUserFacts(options);
    if ('errno' in asked) return answerWith(asked);
    facts = asked;
    const mode = modeFromSqlMode(options.server, facts.sqlMode, facts.charset);
    read = readNamedStatement(text, mode, options);
  }
  const named = namedStatementEffect(read, prepared);
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

/**
 * Whether `text` is the same bytes in `charset`, and is read in the same way. What isn't ASCII (a
 * backslash in Japanese, a backtick in Swedish) goes through two charsets before the server reads
 * it; only in UTF-8 nothing happens to it.
 */
export function isReadTheSame(text: Buffer, charset: string): boolean {
  if (charset.startsWith('utf8')) return true;
  const isAscii = text.every((byte) => byte < 0x80);
  const kind = clientCharsetOf(charset);
  return isAscii && kind !== null && isStorable(text, kind);
}

/**
 * Whether `text` can stand for what the server has. A conversion may cut a text off at what is no
 * character (MySQL 5.6), put a question mark there (MariaDB), or give NULL (MySQL); the server
 * takes the bytes as they are. Then they have to be innocent in any charset.
 */
export function isSame(text: Buffer | null, bytes: Buffer | null, enabled: Sought): boolean {
  if (text === null || bytes === null) return text === bytes;
  if (text.equals(bytes)) return true;
  const letters = bytes.filter((byte) => byte !== 0);
  return [letters, text].every((one) => !mayBeOurs(one, 0, one.length, enabled));
}
