/**
 * Binds the names in a statement of undrop itself: in UTF-8, with the present default schema, so
 * that a prepared one keeps the meaning that it had at its PREPARE.
 *
 * Invariant: a name that can't be decoded is an error, never another name.
 */

import { decodeName, encodeName } from '../../drop/steps/names/client-names.js';
import { hintsIn } from '../../drop/steps/rules/hints.js';
import type { QualifiedName, Signal } from '../../drop/steps/session/user-session.js';
import type { UserFacts } from '../../drop/steps/world.js';
import { parseDuration, parseMoment, parseSince } from '../../duration.js';
import { UndropError } from '../../errors.js';
import { NAME_CHARACTERS_MAX, type QualifiedTable } from '../../names/names.js';
import type { TableName } from '../../sql/grammar/table-name.js';
import type * as verdict from '../../sql/verdict.js';
import { productName, type ServerVersion } from '../../wire/connection/handshake-v10.js';
import type { ErrPacket } from '../../wire/response.js';
import * as ER from '../../wire/server-errors.js';

/** Thrown for an error of the server: one that it has returned, or one to raise in the session. */
export class SaidByServer extends Error {
  readonly said: Signal | ErrPacket;

  constructor(said: Signal | ErrPacket) {
    super(said.message.toString());
    this.said = said;
  }
}

export type BoundUndo = ReturnType<typeof bindUndo>;
export type Bound<K extends BoundUndo['kind']> = Extract<BoundUndo, { kind: K }>;

/** Throws `SaidByServer` or UNDROP_NAME_CHARSET. */
export function bindUndo(
  { text, statement }: { readonly text: Uint8Array; readonly statement: verdict.UndoStatement },
  facts: UserFacts,
  server: ServerVersion,
) {
  const decode = (bytes: Uint8Array) => decodeOne(bytes, facts);
  const name = (one: TableName): QualifiedTable => {
    const schema = one.schema === null ? facts.schema : decode(one.schema);
    if (schema === null) throw saying(ER.NO_DB_ERROR, '3D000', 'No database selected');
    return { schema, table: decode(one.table) };
  };
  // Null: they can't be read.
  const hints = () => hintsIn(text, facts, server);
  switch (statement.kind) {
    case 'undrop-table': {
      const { id, to } = statement;
      const names = statement.names.map(name);
      const before = statement.before && timeOf(statement.before, 'BEFORE', facts);
      // With an id the table's own schema.
      const isOwn = id !== null && to?.schema === null;
      const as = to && (isOwn ? { schema: null, table: decode(to.table) } : name(to));
      return { ...statement, names, before, to: as };
    }
    case 'hold': {
      const { how, time } = statement;
      // From now on, or until then.
      const change =
        how === 'for'
          ? ({ kind: 'for', holdMs: durationOf(time, facts) } as const)
          : ({ kind: 'until', time: timeOf(time, 'UNTIL', facts) } as const);
      return { ...statement, names: statement.names.map(name), change };
    }
    case 'purge':
      return { ...statement, names: statement.names.map(name) };
    case 'purge-database':
      return { ...statement, schema: decode(statement.schema) };
    case 'undrop-definition':
      return { ...statement, name: name(statement.name) };
    case 'undrop-many':
      return bindMany(statement, facts);
    case 'show-dropped': {
      const { schema, like, user, program, since } = statement;
      return {
        ...statement,
        schema: schema && decode(schema),
        like: like && decodeText(like, 'LIKE', facts),
        user: user && decodeText(user, 'BY', facts),
        program: program && decodeText(program, 'BY PROGRAM', facts),
        since: since && timeOf(since, 'SINCE', facts),
      };
    }
    case 'explain-drop-table':
      return { ...statement, names: statement.drop.names.map(name), hints: hints() };
    case 'explain-drop-database':
      return { ...statement, schema: decode(statement.schema), hints: hints() };
    case 'syntax-error':
      throw syntaxError(text, statement, { facts, server });
  }
}

function decodeOne(bytes: Uint8Array, facts: UserFacts): string {
  const decoded = decodeShort(bytes, NAME_CHARACTERS_MAX, facts);
  if (decoded !== null) return decoded;
  const message = `Identifier name '${readable(bytes, facts)}' is too long`;
  throw saying(ER.TOO_LONG_IDENT, '42000', message);
}

function bindMany(
  statement: verdict.UndropMany<Uint8Array>,
  facts: UserFacts,
): verdict.UndropMany<string> {
  const { schemas, id, since, until, user, program, toSchema } = statement;
  return {
    ...statement,
    schemas: schemas.map((schema) => decodeOne(schema, facts)),
    id: id && readable(id, facts),
    since: since && timeOf(since, 'SINCE', facts),
    until: until && timeOf(until, 'UNTIL', facts),
    user: user && decodeText(user, 'BY', facts),
    program: program && decodeText(program, 'BY PROGRAM', facts),
    toSchema: toSchema && decodeOne(toSchema, facts),
  };
}

/** It is a time by the clock of the session; which one depends on when the statement runs. */
function timeOf(value: Uint8Array, clause: string, facts: UserFacts): string {
  const text = readable(value, facts);
  const parse = clause === 'SINCE' ? parseSince : parseMoment;
  if (parse(text, ANY_DAY, facts.zone) !== null) return text;
  throw wrongArgument(clause, CLOCK_EXPECTED, text);
}

function durationOf(value: Uint8Array, facts: UserFacts): number {
  const text = readable(value, facts);
  const holdMs = parseDuration(text);
  if (holdMs !== null && holdMs > 0) return holdMs;
  throw wrongArgument('FOR', 'a duration like 12h or 30d', text);
}

function wrongArgument(clause: string, expected: string, found: string): SaidByServer {
  const message = `Incorrect arguments to ${clause}: expected ${expected}, found '${found}'`;
  return saying(ER.WRONG_ARGUMENTS, 'HY000', message);
}

function decodeText(bytes: Uint8Array, clause: string, facts: UserFacts): string {
  const text = decodeShort(bytes, TEXT_CHARACTERS_MAX, facts);
  if (text !== null) return text;
  const found = `${readable(bytes, facts)}...`;
  throw wrongArgument(clause, `${TEXT_CHARACTERS_MAX} characters at most`, found);
}

/** Null: it is longer. */
function decodeShort(bytes: Uint8Array, most: number, { charset }: UserFacts): string | null {
  if (bytes.length > BYTES_OF_CHARACTER * most) return null;
  const decoded = decodeName(bytes, charset);
  return Array.from(decoded).length <= most ? decoded : null;
}

/** The name for a statement of undrop on the session. Throws UNDROP_NAME_CHARSET. */
export function onSession(
  { schema, table }: QualifiedTable,
  { charset }: UserFacts,
): QualifiedName {
  const bytes = { schema: encodeName(schema, charset), table: encodeName(table, charset) };
  if (bytes.schema === null || bytes.table === null) {
    throw new UndropError('UNDROP_NAME_CHARSET', { charset });
  }
  return { schema: bytes.schema, table: bytes.table };
}

const ANY_DAY = new Date(0);
const CLOCK_EXPECTED = "a time like 2026-11-24 14:00, 14:00 or '2 hours ago'";

/** The maximum in any character set. */
const BYTES_OF_CHARACTER = 4;
const TEXT_CHARACTERS_MAX = 256;

export function notUnique(table: string): SaidByServer {
  return saying(ER.NONUNIQ_TABLE, '42000', `Not unique table/alias: '${table}'`);
}

function saying(errno: number, sqlState: string, message: string): SaidByServer {
  return new SaidByServer({ errno, sqlState, message });
}

/** The forms, which the server's manual doesn't have. Many clients show 512 bytes of an error. */
const FORMS: Readonly<Record<verdict.UndoForm, string>> = {
  undrop:
    "undrop's own: UNDROP TABLE name, ... | 'id' [BEFORE 'time'] [TO name] [SWAP] [WITH KEYS]; " +
    "UNDROP DATABASE name [TO name | SWAP [PARTIAL]]; UNDROP ALL [FROM name, ...] SINCE 'time' " +
    "[UNTIL 'time'] [BY 'user'] | UNDROP DROP 'id' [SWAP | TO SCHEMA name] [PARTIAL]; " +
    'UNDROP VIEW | PROCEDURE | FUNCTION | TRIGGER | EVENT name [SWAP]',
  show:
    "undrop's own: SHOW [FULL] DROPPED TABLES [FROM database] [LIKE 'pattern'] [BY 'user'] " +
    "[SINCE 'time'] [ORDER BY size] [LIMIT n]; operators: SELECT … FROM _undrop.dropped_tables; " +
    "SHOW DROPPED DATABASES [LIKE 'pattern']; SHOW DROPPED OBJECTS [FROM database] [LIKE 'pattern']",
  hold: "undrop's own: HOLD TABLE name | 'id' FOR '30d' | UNTIL '2026-12-31 00:00'",
  purge: "undrop's own: PURGE TABLE name | 'id'; PURGE DATABASE name",
  explain:
    "undrop's own: EXPLAIN DROP TABLE name, ... | DROP DATABASE name | " +
    "UNDROP TABLE name, ... | 'id' [TO name] [SWAP] | UNDROP DATABASE ... | UNDROP ALL ... | " +
    "UNDROP DROP 'id' ...",
};
/** The length of the text that servers quote. */
const QUOTED_CHARACTERS_MAX = 80;
const LINE_FEED = 0x0a;

function syntaxError(
  text: Uint8Array,
  { at, form }: Extract<verdict.UndoStatement, { kind: 'syntax-error' }>,
  { facts, server }: { readonly facts: UserFacts; readonly server: ServerVersion },
): SaidByServer {
  const near = readable(text.subarray(at), facts);
  const line = 1 + text.subarray(0, at).filter((byte) => byte === LINE_FEED).length;
  const message =
    'You have an error in your SQL syntax; check the manual that corresponds to your ' +
    `${productName(server)} server version for the right syntax to use near '${near}' at line ${line} (${FORMS[form]})`;
  return saying(ER.PARSE_ERROR, '42000', message);
}

/** The first characters of a text; ASCII alone if it can't be decoded. */
function readable(bytes: Uint8Array, { charset }: UserFacts): string {
  try {
    // A character has two units at most; the whole text may be long.
    const first = decodeName(bytes, charset).slice(0, 2 * QUOTED_CHARACTERS_MAX);
    return Array.from(first).slice(0, QUOTED_CHARACTERS_MAX).join('');
  } catch (error) {
    if (!(error instanceof UndropError)) throw error;
    const first = bytes.subarray(0, QUOTED_CHARACTERS_MAX);
    return Array.from(first, (byte) => (byte < 0x80 ? String.fromCharCode(byte) : '?')).join('');
  }
}
