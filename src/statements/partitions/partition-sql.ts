/**
 * The statements and refusals of an ALTER TABLE … DROP or TRUNCATE PARTITION in the user's session.
 *
 * Invariant: no statement built here takes a row. Each names a partition that no table has, so that
 * it fails before it begins.
 */
import { UndropError } from '../../errors.js';
import { type ClientCharset, quoteClientName } from '../../sql/lex/client-charset.js';
import { type QualifiedName, qualified } from '../../steps/session/user-session-sql.js';

/** The beginning of a partition name that no table has. */
export const NONE = '_undrop_none_';

export type Verb = 'drop' | 'truncate';

interface AlterPartitionOptions {
  readonly groupId: string;
  readonly charset: ClientCharset;
  readonly verb: Verb;
  /** MariaDB's WAIT n or NOWAIT. */
  readonly wait: string | null;
  /** Names, in ASCII, before those that no table has. */
  readonly names: readonly string[];
  /** How many that no table has; at least 1. */
  readonly missing: number;
}

export function alterPartitionSql(name: QualifiedName, words: AlterPartitionOptions): Buffer {
  const { groupId, charset, verb, wait, names, missing } = words;
  const none = Array.from({ length: missing }, () => `${NONE}${groupId}`);
  const quoted = (one: string) => Buffer.from(quoteClientName(Buffer.from(one), charset));
  const list = [...names, ...none].map((one) => quoted(one).toString()).join(', ');
  return Buffer.concat([
    Buffer.from(`ALTER /* undrop wait-for-lock ${groupId} */ TABLE `),
    qualified(name, charset),
    Buffer.from(`${wait === null ? '' : ` ${wait}`} ${verb.toUpperCase()} PARTITION ${list}`),
  ]);
}

interface Table {
  readonly schema: string;
  readonly table: string;
}

/** The start of a sentence. */
export function partitionsOf({ schema, table }: Table): string {
  return `Partitions of ${schema}.${table} were`;
}

/** `how`: continues the sentence "a table that is dropped by ALTER TABLE … DROP PARTITION …". */
export function notHeld(
  { verb, ...table }: Table & { readonly verb: Verb },
  how: string,
  instead = 'Use a direct connection.',
): UndropError {
  const statement = `by ALTER TABLE … ${verb.toUpperCase()} PARTITION`;
  const params = { tables: partitionsOf(table), how: `${statement} ${how}`, instead };
  return new UndropError('UNDROP_NOT_DONE_YET', params);
}

/** `cause`: the server's error. */
export function notExchanged(table: Table, verb: Verb, cause: string): UndropError {
  const instead = cause.includes('INSTANT')
    ? 'Run ALTER TABLE … FORCE first, because columns of the table were added instantly; or use a direct connection.'
    : undefined;
  return notHeld({ ...table, verb }, `and the server says: ${cause}`, instead);
}
