/**
 * Statements of ours on the user's session under LOCK TABLES, built of names as the client's own
 * bytes.
 *
 * Invariant: none of them can destroy a base table.
 */
import type { ClientCharset } from '../../sql/lex/lex-mode.js';
import { type QualifiedName, qualified } from '../../steps/session/user-session-sql.js';

interface Said {
  readonly groupId: string;
  readonly charset: ClientCharset;
}

/** The RENAME of one table, for servers that refuse RENAME under LOCK TABLES. */
export function alterNameSql(
  { name, holdName }: { readonly name: QualifiedName; readonly holdName: string },
  { groupId, charset }: Said,
): Buffer {
  const hold = { schema: name.schema, table: Buffer.from(holdName) };
  return Buffer.concat([
    Buffer.from(`ALTER /* undrop hold ${groupId} */ TABLE `),
    qualified(name, charset),
    Buffer.from(' RENAME TO '),
    qualified(hold, charset),
  ]);
}

export const UNLOCK_SQL = Buffer.from('UNLOCK /* undrop locks */ TABLES');
