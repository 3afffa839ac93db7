/**
 * The texts of refusals: the form of the statement, and the tables that stay. Invariant: an error
 * names its tables, wherever they are known.
 */
import { type ErrorCode, UndropError } from '../../../errors.js';
import { dotted } from '../../../sql/grammar/table-name.js';
import { NAMES_MAX, STATEMENTS_MAX } from '../../../sql/reading.js';
import type * as verdict from '../../../sql/verdict.js';
import { listTables } from '../world.js';

/** Statements are cut here in any case. */
const TEXT_BYTES_MAX = 200;
/** The beginning of a string, also one between dollars. */
const BEGINNING = /['"]|\$\w*\$/;
const NUMBER = /(?<![\w$@.])\.?\d[\w.]*/g;

/** Continues the sentence "cannot hold what is dropped …". */
export const HOW: Readonly<Record<verdict.StatementForm, string>> = {
  'multi-statement': 'in a query of several statements',
  'drop-database': 'with its schema (DROP DATABASE)',
  'create-or-replace': 'by CREATE OR REPLACE',
  prepare: 'by a text PREPARE',
  'execute-immediate': 'by EXECUTE IMMEDIATE',
  compound: 'in a compound statement',
  'set-statement': 'under SET STATEMENT',
};

/** Continues the sentence "The statement was not executed: …". */
const RECYCLE_SCHEMA_WRITES = {
  named: 'it is not a plain read, and names a schema of undrop itself',
  unclear: 'it may write to a schema of undrop itself',
} as const;

export function recycleSchemaRefusal({ how }: verdict.RecycleSchemaWrite): UndropError {
  if (how === 'use') return new UndropError('UNDROP_RECYCLE_SCHEMA_USE');
  const instead = 'Only reads that take no locks are allowed there.';
  const params = { why: RECYCLE_SCHEMA_WRITES[how], instead };
  return new UndropError('UNDROP_RECYCLE_SCHEMA_WRITE', params);
}

/**
 * The tables of a refused statement, or the schema that would have been dropped with all of them.
 */
export function namesIn(verdict: verdict.Refused): string {
  const { tables, schema } = verdict;
  if (schema === null || tables.length > 0) return listTables(tables);
  return schemaAndTables(schema);
}

export function schemaAndTables(schema: Uint8Array): string {
  return `Schema ${Buffer.from(schema)} and its tables were`;
}

const SEND_PLAIN = 'Send it as a plain statement of its own, not prepared.';
/** MariaDB. */
export const SET_IF_EXISTS = 'SET sql_if_exists = 0 for it.';

/** `instead`: default for a statement that is only explained. */
export function untilAllowed({
  subject: tables,
  rule,
  instead = 'The refused drop names the id that an operator can allow.',
}: {
  readonly subject: string;
  readonly rule: string;
  readonly instead?: string;
}): UndropError {
  return new UndropError('UNDROP_ASK', { tables, rule, instead });
}

export function notDone(how: string, tables: string, instead = SEND_PLAIN): UndropError {
  return new UndropError('UNDROP_NOT_DONE_YET' satisfies ErrorCode, { tables, how, instead });
}

/** An ALTER TABLE … DROP or TRUNCATE PARTITION. */
export function partitionsNotHeld({
  names,
}: Pick<verdict.DropTableStatement, 'names'>): UndropError {
  const tables = `Partitions of ${names.map(dotted).join(', ')} were`;
  return notDone('by ALTER TABLE … PARTITION', tables, EXCHANGE_FIRST);
}

const EXCHANGE_FIRST =
  'Move the rows by CREATE TABLE … LIKE, ALTER TABLE … REMOVE PARTITIONING and ' +
  'ALTER TABLE … EXCHANGE PARTITION, and drop that table, which is held; or ask an operator of ' +
  'undrop, who can let the statement pass once.';

/** A text with more names or statements than allowed. */
export function tooManyOf(what: verdict.TooMany): UndropError {
  const max = { names: NAMES_MAX, statements: STATEMENTS_MAX }[what];
  return new UndropError('UNDROP_TOO_MANY', { what, max });
}

export function notUnderstood(why: string): UndropError {
  return new UndropError('UNDROP_NOT_UNDERSTOOD', { why });
}

/**
 * The logged form of a statement: its words and names, up to its first string. Where a string ends
 * depends on how the session reads backslashes and quotes, so nothing after its beginning is shown.
 * No literal of a user gets into the log, be it a password or a row. A single line, with a ? for
 * each number; it ends with … if something is left out.
 */
export function loggedText(text: Buffer): string {
  const whole = text.subarray(0, TEXT_BYTES_MAX).toString().trimStart();
  const at = whole.search(BEGINNING);
  const shown = (at === -1 ? whole : whole.slice(0, at)).replaceAll(NUMBER, '?');
  return at === -1 && text.length <= TEXT_BYTES_MAX ? shown : `${shown}…`;
}
