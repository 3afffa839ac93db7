/**
 * How our own SQL is written: the `sql` tag of @databases for texts and values, and our own
 * identifiers, as the tag's `ident` refuses what is legal in MySQL (any name outside ASCII).
 *
 * Invariant: the only file with `__dangerous__rawValue`; a name gets into a text by
 * `quoteIdentifier` alone.
 */
import type { SQLQuery } from '@databases/mysql';
import { assert } from '../assert.js';
import { UndropError } from '../errors.js';
import { serverIdentitySql } from '../wire/connection/handshake-v10.js';
import { sql } from './databases.js';

export { type SQLQuery, sql };

const NAME_CHARACTERS_MAX = 64;

/** `name` in backticks. Throws UNDROP_BAD_NAME where no server takes it as a name. */
export function quoteIdentifier(name: string): string {
  const length = Array.from(name).length;
  if (length === 0 || length > NAME_CHARACTERS_MAX || name.includes('\0')) {
    throw new UndropError('UNDROP_BAD_NAME', { name: JSON.stringify(name.slice(0, 80)) });
  }
  return `\`${name.replaceAll('`', '``')}\``;
}

/** A name, or a qualified one: `ident('shop', 'orders')`. */
export function ident(...names: readonly string[]): SQLQuery {
  return sql.__dangerous__rawValue(names.map(quoteIdentifier).join('.'));
}

/** For `IN (…)`; a list may not be empty, so NULL stands for no values. */
export function valueList(values: readonly (string | number)[]): SQLQuery {
  return values.length === 0
    ? sql`NULL`
    : sql.join(
        values.map((value) => sql`${value}`),
        ', ',
      );
}

/** `serverIdentitySql` as a query of ours. */
export function serverIdentity(server: Parameters<typeof serverIdentitySql>[0]): SQLQuery {
  return sql.__dangerous__rawValue(serverIdentitySql(server));
}

/** `SELECT, INSERT ON schema.*`, on the whole server where it is null. */
export function grantClause(rights: readonly string[], schema: string | null): SQLQuery {
  assert(
    rights.every((right) => /^[A-Z_ ]+$/.test(right)),
    'a right is words',
  );
  const on = schema === null ? '*' : quoteIdentifier(schema);
  return sql.__dangerous__rawValue(`${rights.join(', ')} ON ${on}.*`);
}

/** The comment that every statement of ours carries: step and ledger id. */
export function note(step: string, id = ''): SQLQuery {
  assert(/^[a-z][a-z-]*$/.test(step) && /^[0-9a-f]*$/.test(id), 'a note is a word and an id');
  return sql.__dangerous__rawValue(`/* undrop ${step}${id === '' ? '' : ` ${id}`} */`);
}
