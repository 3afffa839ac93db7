/**
 * What is said in the user's session of an ALTER TABLE … DROP or TRUNCATE PARTITION.
 *
 * Invariant: no statement built here takes a row: each names a partition that no table has, so that
 * it fails before it begins; or, IF EXISTS, only such.
 */

import { UndropError } from '../../errors.js';
import type { PartitionList } from '../../sql/grammar/alter-partition.js';
import { quoteClientName } from '../../sql/lex/client-charset.js';
import type { ClientCharset } from '../../sql/lex/lex-mode.js';
import { type QualifiedName, qualified } from '../../steps/session/user-session-sql.js';

/** How the name of what isn't there begins. */
export const NONE = '_undrop_none_';

export interface PartitionWords {
  readonly groupId: string;
  readonly charset: ClientCharset;
  readonly verb: PartitionList['verb'];
  /** ALTER TABLE IF EXISTS, of MariaDB; default false, as `ifExists`. */
  readonly ifTableExists?: boolean;
  /** DROP PARTITION IF EXISTS. */
  readonly ifExists?: boolean;
  /** MariaDB's WAIT n or NOWAIT. */
  readonly wait: string | null;
  /** In front of those that aren't there; default: none. */
  readonly names?: readonly Uint8Array[];
  /** How many that aren't there; at least 1. */
  readonly missing: number;
}

export function alterPartitionSql(name: QualifiedName, words: PartitionWords): Buffer {
  const { groupId, charset, verb, wait, names = [] } = words;
  const none = Array.from({ length: words.missing }, () => Buffer.from(`\`${NONE}${groupId}\``));
  const list = [...names.map((one) => Buffer.from(quoteClientName(one, charset))), ...none];
  const ifTableExists = words.ifTableExists === true ? 'IF EXISTS ' : '';
  return Buffer.concat([
    Buffer.from(`ALTER /* undrop turn ${groupId} */ TABLE ${ifTableExists}`),
    qualified(name, charset),
    Buffer.from(`${wait === null ? '' : ` ${wait}`} ${verb.toUpperCase()} PARTITION `),
    Buffer.from(words.ifExists === true ? 'IF EXISTS ' : ''),
    ...list.flatMap((one, index) => (index === 0 ? [one] : [Buffer.from(', '), one])),
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

/** `how`: the sentence that a table can't be held that is dropped by it goes on so. */
export function notTaken(
  table: Table,
  verb: PartitionList['verb'],
  how: string,
  instead = 'Use a direct connection.',
): UndropError {
  const statement = `by ALTER TABLE … ${verb.toUpperCase()} PARTITION`;
  const params = { tables: partitionsOf(table), how: `${statement} ${how}`, instead };
  return new UndropError('UNDROP_NOT_DONE_YET', params);
}

/** `cause`: what the server says. */
export function notExchanged(
  table: Table,
  verb: PartitionList['verb'],
  cause: string,
): UndropError {
  const instead = cause.includes('INSTANT')
    ? 'ALTER TABLE … FORCE first, as columns of it were added instantly; or use a direct connection.'
    : undefined;
  return notTaken(table, verb, `and the server says: ${cause}`, instead);
}
